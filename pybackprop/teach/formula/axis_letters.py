"""The letters of a result's axes, given those of its operands (see evaluate.py)."""

from __future__ import annotations

import ast


def joined(left: str, right: str, shape: tuple[int, ...]) -> str:
    """After broadcasting: for each axis the letter of the operand whose letter is not '1'; '?' where they disagree."""
    pairs = zip(left.rjust(len(shape), "1"), right.rjust(len(shape), "1"), strict=True)
    return "".join(a if a == b or b == "1" else b if a == "1" else "?" for a, b in pairs)


def summed(letters: str, axis: int | None, keeps: bool) -> str:
    """After a sum over one axis, or over all of them. keeps: whether the axis stays, with length 1."""
    if axis is None:
        return "1" * len(letters) if keeps else ""
    at = axis % max(1, len(letters))
    return letters[:at] + ("1" if keeps else "") + letters[at + 1 :]


def indexed(letters: str, parts: list[ast.expr]) -> str:
    """After an index of these parts: None inserts an axis, a number removes one, a slice keeps one."""
    kept, rest = "", letters
    for part in parts:
        if isinstance(part, ast.Constant) and part.value is None:
            kept += "1"
        else:
            kept += rest[:1] if isinstance(part, ast.Slice) else ""
            rest = rest[1:]
    return kept + rest

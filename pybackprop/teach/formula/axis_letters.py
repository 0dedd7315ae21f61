"""Letters: what the axes of a result count, given those of its operands (see evaluate)."""

from __future__ import annotations

import ast


def joined(left: str, right: str, shape: tuple[int, ...]) -> str:
    """The letters after broadcasting: those of the operand that has them; '?' where the two disagree."""
    pairs = zip(left.rjust(len(shape), "1"), right.rjust(len(shape), "1"), strict=True)
    return "".join(a if a == b or b == "1" else b if a == "1" else "?" for a, b in pairs)


def summed(letters: str, axis: int | None, keeps: bool) -> str:
    if axis is None:
        return "1" * len(letters) if keeps else ""
    at = axis % max(1, len(letters))
    return letters[:at] + ("1" if keeps else "") + letters[at + 1 :]


def indexed(letters: str, parts: list[ast.expr]) -> str:
    found, rest = "", letters
    for part in parts:
        if isinstance(part, ast.Constant) and part.value is None:
            found += "1"
        else:
            found += rest[:1] if isinstance(part, ast.Slice) else ""
            rest = rest[1:]
    return found + rest

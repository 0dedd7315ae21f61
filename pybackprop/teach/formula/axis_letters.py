"""The letters of a result's axes, given those of its operands (see evaluate.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


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


def indexed(letters: str, parts: Sequence[Any]) -> str:
    """After an index of these parts: None inserts an axis, a number removes one, a slice keeps one, ... keeps many."""
    kept, rest = "", letters
    for k, part in enumerate(parts):
        if part is None:
            kept += "1"
        elif part is Ellipsis:
            behind = len(rest) - sum(other is not None for other in parts[k + 1 :])
            kept, rest = kept + rest[:behind], rest[behind:]
        else:
            kept += rest[:1] if isinstance(part, slice) else ""
            rest = rest[1:]
    return kept + rest

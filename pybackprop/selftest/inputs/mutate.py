"""Mutations of bytes, texts and lists: bits flipped, pieces lost, repeated, moved, and replaced by odd ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import AnyStr, TypeVar

from pybackprop.selftest.draw import Draw

ODD_BYTES = (
    b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\n",
    b"\r\n",
    b",", b";", b'"', b"#", b"nan", b"inf", b"1e999", b"-", b"\xef\xbb\xbf", b"\xc3\x28", b"PK\x03\x04", b"\x1f\x8b",
)  # fmt: skip
MOST_REPEATED = 300
T = TypeVar("T")


def damaged(draw: Draw, content: bytes) -> bytes:
    """One to four mutations; at times none, so that what is whole is tried too."""
    for _ in range(draw.one_of((0, 1, 1, 1, 2, 2, 4))):
        content = _once(draw, content, ODD_BYTES, b"", _flipped)
    return content


def misspelt(draw: Draw, text: str, words: Sequence[str]) -> str:
    """The same for a text, with the words of its language as odd pieces."""
    for _ in range(draw.one_of((0, 1, 1, 2, 2, 3, 6))):
        text = _once(draw, text, words, "", _replaced)
    return text


def shuffled(draw: Draw, parts: list[T], odd: Callable[[], T]) -> list[T]:
    """Parts lost, repeated, moved, replaced."""
    parts = list(parts)
    for _ in range(draw.one_of((0, 1, 1, 2, 3))):
        at = draw.between(0, len(parts))
        change = draw.one_of(("lose", "insert", "insert", "repeat", "move", "replace"))
        if change == "insert" or not parts:
            parts.insert(at, odd())
            continue
        part = parts.pop(min(at, len(parts) - 1))
        if change == "replace":
            part = odd()
        if change in ("replace", "repeat"):
            parts.insert(min(at, len(parts)), part)
        if change in ("repeat", "move"):
            parts.insert(draw.between(0, len(parts)), part)
    return parts


def _once(
    draw: Draw, text: AnyStr, odd: Sequence[AnyStr], empty: AnyStr, change: Callable[[Draw, AnyStr, int], AnyStr]
) -> AnyStr:
    """One mutation."""
    at = draw.between(0, len(text))
    end = min(len(text), at + draw.one_of((1, 1, 2, 4, 16)))
    before, piece, after = text[:at], text[at:end], text[end:]
    how = draw.one_of(("change", "change", "change", "lose", "repeat", "odd", "odd", "insert", "cut", "copy", "many"))
    if how == "change" and at < len(text):
        return change(draw, text, at)
    if how == "cut":
        return before
    start = draw.between(0, len(text))
    piece = {
        "lose": empty,
        "repeat": piece * 2,
        "odd": draw.one_of(odd),
        "insert": draw.one_of(odd) + piece,
        "copy": text[start : start + draw.between(1, 40)],
        "many": (piece or draw.one_of(odd)) * draw.between(2, MOST_REPEATED),
    }.get(how, piece)
    return before + piece + after


def _flipped(draw: Draw, content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << draw.between(0, 7)]) + content[at + 1 :]


def _replaced(draw: Draw, text: str, at: int) -> str:
    return text[:at] + draw.one_of(LETTERS) + text[at + 1 :]


LETTERS = [
    *map(chr, range(32, 127)),
    "\n",
    "\t",
    "\0",
    "é",
    "∂",
    "²",
    "½",
    "·",
    "\u2212",
    "\u200b",
    "\ud800",
    "\U0001d499",
    "\x1b",
]

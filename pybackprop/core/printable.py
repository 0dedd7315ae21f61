"""Text that may come from a file, a name or an argument, made safe for a terminal."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    r"""text with control characters escaped, as ESC to \x1b: they could move the cursor or hide a line. keep: some."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

"""Did you mean: the closest known word to one that is misspelt."""

from __future__ import annotations

from collections.abc import Iterable

FEW = 4  # so many words are read at a glance: a message that lists them needs no suggestion


def suggest(word: str, known: Iterable[str]) -> str:
    """The addition to a message about an unknown word, "; did you mean w1?"; empty if no known word is close."""
    from difflib import get_close_matches  # keeps import pybackprop fast

    folded = {one.casefold(): one for one in reversed(list(known))}
    closest = get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean {folded[closest[0]]}?" if closest else ""


def suggest_among(word: str, listed: Iterable[str]) -> str:
    """The same for a message that lists the known words anyway; empty if these are only a few."""
    words = list(listed)
    return suggest(word, words) if len(words) > FEW else ""

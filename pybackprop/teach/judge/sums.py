"""One element of a gradient written out as a sum: its terms, as formulas and as numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pybackprop.core.arrays import Array

ALL, MOST = 6, 4  # up to ALL terms are all written out; of more, the MOST largest

Label = Callable[[int], str]


@dataclass(frozen=True)
class Sum:
    """The terms, as formulas and as numbers; count: how many there are; total: their sum.

    If there are too many to read, words and numbers hold only the largest.
    """

    words: list[str]
    numbers: list[str]
    count: int
    total: float

    def __str__(self) -> str:
        more = self.count - len(self.words)
        rest = f" + ... ({more} smaller ones)" if more > 0 else ""
        left, right = (" + ".join(part) + rest for part in (self.words, self.numbers))
        total = f"{self.total + 0.0:.4g}"
        return f"{left} = {right} = {total}" if right != total else f"{left} = {total}"


def number(value: float) -> str:
    return f"{value + 0.0:.3g}" if value >= 0 else f"({value:.3g})"


def heaviest(terms: Array) -> list[int]:
    """Which terms to write out: all of them, or the largest."""
    if len(terms) <= ALL:
        return list(range(len(terms)))
    return [int(k) for k in np.argsort(-np.abs(terms), kind="stable")[:MOST]]


def products(left: Array, left_word: Label, right: Array, right_word: Label, total: float | None = None) -> Sum:
    """The sum of left[c] * right[c]."""
    with np.errstate(all="ignore"):
        terms = left * right
    shown = heaviest(terms)
    words = [f"{left_word(c)}*{right_word(c)}" for c in shown]
    numbers = [f"{number(float(left[c]))}*{number(float(right[c]))}" for c in shown]
    return Sum(words, numbers, len(terms), float(terms.sum()) if total is None else total)


def plain(terms: Array, word: Label, total: float) -> Sum:
    """The sum of terms[c]."""
    shown = heaviest(terms)
    return Sum([word(c) for c in shown], [number(float(terms[c])) for c in shown], len(terms), total)

"""Comparisons: as bits, with float64 within a stated tolerance, and what a difference looks like."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.core.arrays import Array

UNSIGNED = {4: np.uint32, 8: np.uint64}
ROUNDINGS = 8  # allowed for each term of a sum, in units of the dtype's eps


class WrongError(AssertionError):
    """A result that is not what the definition, or the documentation, says."""


class Comparisons:
    """Compares, and counts how often it did."""

    count: int

    def __init__(self) -> None:
        self.count = 0

    def same(self, what: str, found: Any, expected: Any) -> None:
        """Raises WrongError unless both are equal bit for bit; all NaNs count as one, as in the definition."""
        self.count += 1
        found, expected = np.asarray(found), np.asarray(expected)
        if found.dtype != expected.dtype or found.shape != expected.shape:
            raise WrongError(f"{what}: found {found.shape} {found.dtype}, expected {expected.shape} {expected.dtype}")
        if found.tobytes() != expected.tobytes():
            differs = bits(found) != bits(expected)
            if differs.any():
                raise WrongError(f"{what}: {first_difference(found, expected, differs)}")

    def close(self, what: str, found: Any, exact: Any, terms: Any, length: int) -> None:
        """Raises WrongError unless found is the float64 result within rounding.

        terms   a bound on the sum of the absolute values that were added
        length  how many roundings an element went through
        """
        self.count += 1
        found = np.asarray(found)
        info = np.finfo(found.dtype)
        allowed = ROUNDINGS * (length + 2) * (float(info.eps) * np.asarray(terms, np.float64) + float(info.tiny))
        differs = ~(np.abs(found.astype(np.float64) - exact) <= allowed)
        if differs.any():
            wrong = first_difference(np.atleast_1d(found), np.atleast_1d(exact), np.atleast_1d(differs))
            raise WrongError(f"{what}: {wrong} (by float64, tolerance {np.max(allowed):.3g})")

    def true(self, what: str, holds: Any) -> None:
        """Raises WrongError with `what` unless it holds."""
        self.count += 1
        if not holds:
            raise WrongError(what)


def bits(array: Array) -> Array:
    """Bits as whole numbers, every NaN as the same one."""
    plain = np.array(array, order="C")
    plain[np.isnan(plain)] = np.nan
    return plain.view(UNSIGNED[plain.itemsize]) if plain.ndim else plain[None].view(UNSIGNED[plain.itemsize])[0]


def first_difference(found: Array, expected: Array, differs: Array) -> str:
    """How many elements differ, and the first one."""
    at = tuple(int(k) for k in np.unravel_index(int(np.argmax(differs)), found.shape))
    place = f"[{','.join(map(str, at))}]" if at else "the number"
    count = f"{int(np.sum(differs))} of {found.size} elements differ, first " if at else ""
    return f"{count}{place}: found {_exactly(found[at])}, expected {_exactly(expected[at])}"


def _exactly(number: Any) -> str:
    """A number with its bits, as -0 or a last digit would not show."""
    return f"{number!s} ({float(number).hex()})"

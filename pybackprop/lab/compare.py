"""A kernel's results against the definition: bits, distance in ulps, tolerance, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.lab import findings
from pybackprop.lab.memory import pattern
from pybackprop.lab.operation import Operation

PADDING = 2.0  # times the usual bound of a sum's rounding that still counts as rounding


@dataclass(frozen=True)
class Difference:
    """Where results differ from the definition.

    kind      the name of what is wrong; findings.ROUNDING if it is within the bound of a sum's rounding, and
              findings.SIGN_OF_ZERO if sums differ in nothing else
    text      the first difference: array, index, found, expected; and where the others lie
    ulps      the largest distance in units of the last place, of numbers that are finite
    relative  the largest difference over the sum of the magnitudes of the terms
    """

    kind: str
    text: str
    ulps: int
    relative: float


def different(found: Array, expected: Array) -> Array:
    """Where bits differ; a NaN is equal to a NaN."""
    bits = f"u{expected.dtype.itemsize}"
    both_nan = np.isnan(found) & np.isnan(expected)
    unequal: Array = (found.view(bits) != expected.view(bits)) & ~both_nan
    return unequal


def difference(
    op: Operation,
    inputs: Mapping[str, Array],
    sizes: Mapping[str, int],
    found: Mapping[str, Array],
    expected: Mapping[str, Array],
) -> Difference | None:
    """None if all bits are equal."""
    worst: Difference | None = None
    with np.errstate(all="ignore"):
        terms, magnitudes = op.terms(inputs, sizes)
        for name, right in expected.items():
            unequal = different(found[name], right)
            if unequal.any():
                here = _described(name, found[name], right, unequal, terms, magnitudes.get(name))
                if worst is None or worst.kind in findings.WITHIN_ROUNDING:
                    worst = here
    return worst


def _described(
    name: str, found: Array, expected: Array, unequal: Array, terms: int, magnitude: Any | None
) -> Difference:
    error = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    info = np.finfo(expected.dtype)
    wrong = unequal
    relative = 0.0
    if magnitude is not None and terms:
        bound = PADDING * terms * (float(info.eps) * magnitude + float(info.smallest_subnormal))
        may_overflow = magnitude > float(info.max) / 2
        wrong = unequal & ~(error <= bound) & ~(may_overflow & ~untouched(found))
        finite = np.isfinite(error) & (magnitude > 0)
        relative = float(np.max(error[finite] / magnitude[finite], initial=0.0))
    kind = findings.SIGN_OF_ZERO if not (found[unequal].any() or expected[unequal].any()) else findings.ROUNDING
    if wrong.any():
        at = first(wrong)
        kind = _kind(found[at], expected[at])
    at = first(wrong if wrong.any() else unequal)
    text = f"{element(name, at)} is {found[at]!s}, expected {expected[at]!s}"
    if (found[at] == 0) and (expected[at] == 0):
        text = f"{element(name, at)} is {'-0' if np.signbit(found[at]) else '+0'}, expected the other sign"
    text += f"; {where(wrong if wrong.any() else unequal)}"
    return Difference(kind, text, ulps(found, expected), relative)


def _kind(found: Any, expected: Any) -> str:
    if untouched(found):
        return findings.NOT_WRITTEN
    if np.isnan(expected) and not np.isnan(found):
        return findings.IGNORES_NAN
    return findings.WRONG


def untouched(found: Array) -> Array:
    """Where an output still holds the NaN that it was filled with, or one that was computed from it."""
    still: Array = found.view(f"u{found.dtype.itemsize}") == pattern(found.dtype)
    return still


def first(mask: Array) -> tuple[int, ...]:
    """The index of the first true element."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def element(name: str, at: tuple[int, ...]) -> str:
    """An element as a program writes it."""
    return f"{name}[{','.join(map(str, at))}]"


def where(mask: Array) -> str:
    """How many elements of how many, and whether they are a last row or column."""
    count = int(mask.sum())
    text = f"{count} of {mask.size} elements differ"
    if count == mask.size and count > 1:
        return f"all {count} elements differ"
    rows, columns = (np.unique(axis) for axis in (np.nonzero(mask) if mask.ndim == 2 else (np.nonzero(mask)[0],) * 2))
    if mask.ndim == 2 and columns[0] == mask.shape[1] - 1 and mask.shape[1] > 1:
        return f"{text}, all in the last column"
    if rows[0] == mask.shape[0] - 1 and mask.shape[0] > 1:
        return f"{text}, all in the last {'row' if mask.ndim == 2 else 'element'}"
    if mask.ndim == 2 and len(columns) == 1:
        return f"{text}, all in column {columns[0]}"
    return text


def ulps(found: Array, expected: Array) -> int:
    """The largest distance of two finite numbers, counted in numbers between them."""
    finite = np.isfinite(found) & np.isfinite(expected)
    if not finite.any():
        return 0
    places = [_place(array[finite]) for array in (found, expected)]
    gap = np.abs(places[0].astype(np.float64) - places[1].astype(np.float64))
    exact = np.abs(places[0] - places[1])[gap < 2.0**62]
    return int(max(exact.max(initial=0), int(gap.max()) if gap.max() >= 2.0**62 else 0))


def _place(numbers: Array) -> Array:
    """The place of each number in their order, so that neighbours differ by one."""
    bits = numbers.view(f"i{numbers.dtype.itemsize}").astype(np.int64)
    lowest = np.int64(-(2 ** (8 * numbers.dtype.itemsize - 1)))
    places: Array = np.where(bits < 0, lowest - bits, bits)
    return places

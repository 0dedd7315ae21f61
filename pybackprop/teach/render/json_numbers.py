"""Numbers as JSON, with as few digits as restore the same number."""

from __future__ import annotations

import math

import numpy as np

from pybackprop.core.arrays import Array

__all__ = ["shortest"]

WHOLE = 2**53  # below this, a float with a whole value is exactly an int


def shortest(array: Array) -> list[float | int | str]:
    """The numbers of an array in row-major order; those that JSON cannot hold as "NaN", "Infinity", "-Infinity"."""
    flat = array.ravel()
    if flat.dtype == np.float32:  # the float64 nearest to the shortest decimal that gives this float32
        return [_plain(float(text)) for text in flat.astype(str)]
    return [_plain(value) for value in flat.tolist()]


def _plain(value: float) -> float | int | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    is_minus_zero = value == 0 and math.copysign(1, value) < 0
    return int(value) if abs(value) < WHOLE and value == int(value) and not is_minus_zero else value

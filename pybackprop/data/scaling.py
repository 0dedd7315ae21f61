"""How numbers are scaled before a network sees them, and by which numbers, so that others can be scaled alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pybackprop.core.arrays import Array

KINDS = ("standard", "bytes", "unit", "none")
CHOICES = ("standard", "bytes", "none")
LARGEST_BYTE = 255
BRIGHT = 128  # no image is so dark that all its bytes are smaller; a column of small counts may be


@dataclass(frozen=True)
class Scaling:
    """What is done to each number of a row.

    kind       "standard": minus the mean, divided by the deviation, column by column; a constant column becomes 0
               "bytes": divided by 255;  "unit": from 0 to 1 already, and kept;  "none": kept
    mean, deviation  of each column of the training part, for "standard"; a deviation of 0 is a constant column's
    """

    kind: str = "none"
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def apply(self, x: Array, dtype: Any) -> Array:
        """x (n,m) scaled, in dtype. Bytes and numbers from 0 to 1 stand for each other: a model of one takes both."""
        if self.kind == "standard":
            mean, deviation = np.asarray(self.mean), np.asarray(self.deviation)
            divisor = np.where(deviation > 0, deviation, np.inf)
            scaled: Array = np.asarray((x - mean) / divisor, dtype)
            return scaled
        if self.kind in ("unit", "bytes") and self.divides(range_of(x)):
            return divided(x, dtype)
        return np.asarray(x, dtype)

    def divides(self, found: Range) -> bool:
        """Whether numbers of this range are divided by 255."""
        return (self.kind == "unit" and found.bytes) or (self.kind == "bytes" and not found.fractions)

    def undo(self, y: Array) -> Array:
        """The numbers that `apply` made y (n,h) of, in float64 where it changed them."""
        if self.kind != "standard":
            return y
        undone: Array = y * np.asarray(self.deviation) + np.asarray(self.mean)
        return undone

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {"kind": self.kind, "mean": list(self.mean), "deviation": list(self.deviation)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Scaling:
        """What `to_json` told. Raises KeyError, TypeError or ValueError for anything else."""
        if told["kind"] not in KINDS or len(told["mean"]) != len(told["deviation"]):
            raise ValueError(f"scaling: found {told['kind']!r}, expected one of {', '.join(KINDS)}")
        return cls(told["kind"], tuple(map(float, told["mean"])), tuple(map(float, told["deviation"])))


def standard(x: Array) -> Scaling:
    """The scaling that gives each column of x (n,m) mean 0 and deviation 1."""
    wide = x.astype(np.float64)
    deviation = np.where(wide.max(0) == wide.min(0), 0.0, wide.std(0))  # rounding gives a constant column a deviation
    return Scaling("standard", tuple(wide.mean(0).tolist()), tuple(deviation.tolist()))


class Range(NamedTuple):
    """The dtype, the least and the largest of some numbers, and whether all of them are whole. Of none: inf, -inf."""

    dtype: np.dtype[Any]
    low: float
    high: float
    whole: bool

    @property
    def bytes(self) -> bool:
        """Whether they are of type uint8, or whole, from 0 to 255, and one of them at least 128."""
        within = self.low >= 0 and BRIGHT <= self.high <= LARGEST_BYTE
        return self.dtype == np.uint8 or (self.dtype.kind in "iuf" and within and self.whole)

    @property
    def units(self) -> bool:
        """Whether all are from 0 to 1."""
        return self.low >= 0 and 0 <= self.high <= 1

    @property
    def fractions(self) -> bool:
        """Whether they are floating-point numbers from 0 to 1, as bytes are after they were scaled."""
        return self.dtype.kind == "f" and self.units


def range_of(x: Array) -> Range:
    """The range of all numbers of x."""
    if not x.size:
        return Range(x.dtype, np.inf, -np.inf, True)
    return Range(x.dtype, float(x.min()), float(x.max()), x.dtype.kind != "f" or bool((x == np.floor(x)).all()))


def holds_bytes(x: Array) -> bool:
    """Whether x holds bytes; see Range.bytes."""
    return range_of(x).bytes


def holds_units(x: Array) -> bool:
    """Whether all numbers of x are from 0 to 1."""
    return range_of(x).units


def divided(x: Array, dtype: Any) -> Array:
    """Bytes as numbers from 0 to 1, divided in dtype."""
    real = np.dtype(dtype)
    return np.asarray(x.astype(real) / real.type(LARGEST_BYTE))

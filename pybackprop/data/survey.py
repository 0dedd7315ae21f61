"""Survey: what must be known of rows on disk before any of them can be scaled, found in one pass, or two, over blocks.

Sums are added row by row, in the order of the rows: they do not depend on how the rows lie in files, and are those that
`scaling.standard` finds for the same rows in memory.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.checks import first_not_finite
from pybackprop.core.row_blocks import RowBlocks
from pybackprop.data import rules
from pybackprop.data.errors import DataError
from pybackprop.data.parts import EVERY, VALIDATION
from pybackprop.data.scaling import Range, Scaling

NUMBERS_AT_ONCE = 2**18  # that are converted to float64 together
MOST_LABELS = 100_000


class Rows(NamedTuple):
    """Some rows in memory. x (n,m), y (n,h), trains (n): which of them belong to the training part."""

    x: Array
    y: Array
    trains: Array


class Survey:
    """What one pass over the rows finds.

    y         the range of the targets in the training part
    values    the different targets, in ascending order, if all are whole and not too many; else None
    counts    whether the first feature counts up by one from row to row
    digest    sha256 of all numbers, of how they lie in blocks, and of how many blocks are shuffled together
    """

    y: Range
    values: Array | None
    counts: bool
    digest: str

    def __init__(self, rows: RowBlocks) -> None:
        self.rows = rows
        self._x, self._y = _Columns(rows.features), _Columns(math.prod(rows.kind.targ_shape))
        self.values = np.empty(0, np.int64) if self._y.count == 1 else None
        self.counts, self._last = True, np.empty(0)
        state = hashlib.sha256(f"{rows.shape} {rows.dtype} {rows.targ_shape} {rows.window}".encode())
        for block in rows.blocks:
            state.update(f"{block.rows} ".encode())
        for part in parts(rows, state):
            self._see(part)
        self.digest = state.hexdigest()
        self.y = self._y.range(rows.kind.targ_dtype)

    def _see(self, part: Rows) -> None:
        x, y = part.x[part.trains], part.y[part.trains]
        self._x.see(x)
        self._y.see(y)
        self._see_first(part.x[:, 0])
        if self.values is None:
            return
        if not rules.is_whole(part.y):
            self.values = None
            return
        self.values = np.union1d(self.values, part.y.astype(np.int64))
        if len(self.values) > MOST_LABELS:
            self.values = None

    def _see_first(self, column: Array) -> None:
        known = np.concatenate([self._last, column])
        self.counts = self.counts and bool((np.diff(known) == 1).all())
        self._last = column[-1:]

    def x_from(self, first: int) -> Range:
        """The range of the features, from so many on, in the training part."""
        return self._x.range(self.rows.dtype, first)

    @cached_property
    def standard(self) -> tuple[Scaling, Scaling]:
        """What `scaling.standard` says of features and targets in the training part. Takes a pass of its own."""
        means = self._x.mean, self._y.mean
        squares = [np.zeros_like(mean) for mean in means]
        for part in parts(self.rows):
            for k, array in enumerate((part.x, part.y)):
                wide = array[part.trains].astype(np.float64) - means[k]
                squares[k] = _added(squares[k], wide * wide)
        found = []
        for columns, total in zip((self._x, self._y), squares, strict=True):
            deviation = np.where(columns.low == columns.high, 0.0, np.sqrt(total / max(columns.rows, 1)))
            found.append(Scaling("standard", tuple(columns.mean.tolist()), tuple(deviation.tolist())))
        return found[0], found[1]


class _Columns:
    """The sums, the least and the largest number of each of so many columns, and whether they are whole."""

    def __init__(self, count: int) -> None:
        self.count, self.rows, self.whole = count, 0, np.ones(count, bool)
        self.total = np.zeros(count)
        self.low, self.high = np.full(count, np.inf), np.full(count, -np.inf)

    def see(self, rows: Array) -> None:
        if not len(rows):
            return
        self.rows += len(rows)
        self.total = _added(self.total, rows.astype(np.float64))
        self.low, self.high = np.minimum(self.low, rows.min(0)), np.maximum(self.high, rows.max(0))
        if rows.dtype.kind == "f":
            self.whole &= (rows == np.floor(rows)).all(0)

    @property
    def mean(self) -> Array:
        mean: Array = self.total / max(self.rows, 1)
        return mean

    def range(self, dtype: np.dtype[np.generic], first: int = 0) -> Range:
        """Of the columns from so many on."""
        low, high = float(self.low[first:].min()), float(self.high[first:].max())
        return Range(dtype, low, high, bool(self.whole[first:].all()))


def parts(rows: RowBlocks, digest: Any = None) -> Iterator[Rows]:
    """All rows in their order, a few at a time. digest: takes the bytes of all. Raises DataError for NaN, infinity."""
    size, first = max(1, NUMBERS_AT_ONCE // rows.features), 0
    for block in rows.blocks:
        part = rows.read(block)
        y = part.targ.reshape(len(part.targ), -1)
        for name, array in (("x", part.x), ("targ", y), ("sample_weight", part.weight)):
            if array is None:
                continue
            found = first_not_finite(array)
            if found:
                raise DataError(f"{block.path}: {name}: {found}; fill it, or leave its row out")
            if digest is not None:
                digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).data)
        for start in range(0, block.rows, size):
            some = slice(start, start + size)
            numbers = np.arange(first + start, first + min(start + size, block.rows))
            yield Rows(part.x[some], y[some], numbers % EVERY != VALIDATION)
        first += block.rows


def _added(total: Array, rows: Array) -> Array:
    """total (m,) plus all rows (n,m), one after another."""
    sums: Array = np.add.accumulate(np.vstack([total, rows]), axis=0)[-1]
    return sums

"""x (n,m) that is made dense, or converted, a batch of rows at a time, never as a whole.

These are scipy.sparse's matrices, numpy's memory maps whose numbers are not of the parameters' dtype, and rows on disk
that `bp.data.open` knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array, converted
from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.core.row_blocks import RowBlocks
from pybackprop.core.sparse import is_sparse
from pybackprop.engine.batch import StepData, rows


class LazyRows:
    """Rows of a sparse matrix or a memory map.

    value    CSR in the parameters' dtype, or a memory map
    index    which of its rows, in order; None: all
    """

    operation: str
    value: Any
    expected: StepData
    index: Array | None

    def __init__(self, operation: str, value: Any, expected: StepData, index: Array | None = None) -> None:
        self.operation, self.value, self.expected, self.index = operation, value, expected, index

    def __len__(self) -> int:
        return int(self.value.shape[0]) if self.index is None else len(self.index)

    @property
    def is_sparse(self) -> bool:
        return not isinstance(self.value, np.ndarray)

    def subset(self, index: Array) -> LazyRows:
        """Some of the rows."""
        return LazyRows(self.operation, self.value, self.expected, index if self.index is None else self.index[index])

    def take(self, index: Array) -> Array:
        """Some of the rows as a contiguous array of the parameters' dtype. Raises OutOfMemoryError."""
        found = self.value[index if self.index is None else self.index[index]]
        return rows(self.operation, found if self.is_sparse else np.asarray(found), self.expected)

    def batches(self, size: int) -> Iterator[Array]:
        """All rows in their order."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))

    def between(self, start: int, end: int) -> LazyRows:
        """The rows from start to end."""
        return self.subset(np.arange(start, end))

    def check(self, name: str) -> None:
        """Raises ValueError for NaN and infinity in a sparse matrix; a memory map is checked by batches."""
        if not self.is_sparse or np.isfinite(self.value.data).all():
            return
        at = int(np.argmin(np.isfinite(self.value.data)))
        row = int(np.searchsorted(self.value.indptr, at, "right")) - 1
        raise ValueError(
            f"{self.operation}: {name}: found {self.value.data[at]} at row {row}, column {self.value.indices[at]} "
            "(counted from 0); expected finite numbers"
        )


class StoredRows(LazyRows):
    """Rows of x on disk, in their order, a block at a time."""

    def __len__(self) -> int:
        return int(self.value.rows)

    @property
    def is_sparse(self) -> bool:
        return False

    def between(self, start: int, end: int) -> LazyRows:
        """The rows from start to end, which are those of whole blocks."""
        ends = np.cumsum([block.rows for block in self.value.blocks])
        first, last = np.searchsorted(ends, [start, end], "right")
        some = RowBlocks(self.value.blocks[first:last], self.value.kind, self.value.window, self.value.shuffle)
        return StoredRows(self.operation, some, self.expected)

    def batches(self, size: int) -> Iterator[Array]:
        """All rows in their order, as many at a time as a block has."""
        for block in self.value.blocks:
            yield rows(f"{self.operation}: {block.path}", self.value.read(block).x, self.expected)


def lazy_rows(operation: str, x: Any, expected: StepData) -> LazyRows | None:
    """x as LazyRows; None for data that can be used as it is, or is converted at once.

    Raises ShapeError and DTypeError for a sparse matrix or memory map that does not fit.
    """
    if isinstance(x, RowBlocks):
        check_features(operation, x, expected)
        return StoredRows(operation, x, expected)
    sparse = is_sparse(x)
    if not sparse and not (isinstance(x, np.memmap) and x.dtype != expected.dtype):
        return None
    if x.ndim != 2 or x.shape[1] != expected.m:
        raise ShapeError(
            f"{operation}: found x {x.shape}, expected rows of {expected.m} features: the first layer's inputs"
        )
    if x.dtype.kind not in "fiub":
        raise DTypeError(f"{operation}: x: found an array of {x.dtype}, expected real numbers (float32 or float64)")
    return LazyRows(operation, _csr(operation, x, expected.dtype) if sparse else x, expected)


def check_features(operation: str, x: RowBlocks, expected: StepData) -> None:
    """Raises ShapeError for rows that the model does not take."""
    if x.features != expected.m:
        raise ShapeError(
            f"{operation}: {x.blocks[0].path}: found rows of {x.features} features, expected {expected.m}: the first "
            "layer's inputs"
        )


def _csr(operation: str, x: Any, dtype: np.dtype[Any]) -> Any:
    csr = x.tocsr()
    if csr.dtype == dtype:
        return csr
    numbers = converted(csr.data, dtype, f"{operation}: x")
    return type(csr)((numbers, csr.indices, csr.indptr), shape=csr.shape)

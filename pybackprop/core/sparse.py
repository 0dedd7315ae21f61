"""Matrices of scipy.sparse. scipy is not loaded: where it is not, nothing is one."""

from __future__ import annotations

import sys
from typing import Any

import numpy.typing as npt

from pybackprop.core import available_memory


def is_sparse(value: Any) -> bool:
    """Whether value is a matrix or array of scipy.sparse."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(value))


def dense(what: str, value: Any) -> npt.NDArray[Any]:
    """A sparse matrix as an array. Raises OutOfMemoryError."""
    n, m = value.shape if value.ndim == 2 else (1, *value.shape)
    available_memory.check(what, n * m * value.dtype.itemsize, n)
    array: npt.NDArray[Any] = value.toarray(order="C")
    return array

"""Conversion of data to float32 and float64 arrays, and aligned memory.

==============================  =========================================================
float32, float64                kept; as data for a model or a plan of the other dtype,
                                an array is converted at the call, a tensor refused
Python numbers and lists        float32, as the lesson's framework does
integers, bool, float16,        float32, or the dtype of the other operand (pixels and
longdouble                      labels are data, not an intention to compute in integers)
big-endian, unaligned           copied into native order
non-contiguous                  kept as a view; copied for the call where C needs it contiguous
read-only                       kept; an operation that would write to it refuses
size 0, 0-d, 3-d and more       kept; an operation that needs another shape refuses
complex, object, text, dates,   refused: DTypeError
structured, masked, sparse arrays
==============================  =========================================================
"""

from __future__ import annotations

import math
import sys
from typing import Any, TypeAlias
from weakref import ref

import numpy as np
import numpy.typing as npt

from pybackprop.core import available_memory, observer
from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.core.native import FLOAT32, FLOAT64, place
from pybackprop.core.sparse import is_sparse
from pybackprop.core.tables import numbers_of

Array: TypeAlias = npt.NDArray[Any]

LINE = 64  # bytes in a cache line, and in the widest vector register
LARGE = 4096  # bytes; smaller arrays are not aligned, as that would cost more than it saves


def float_type(dtype: Any) -> np.dtype[Any]:
    """float32 or float64 as a numpy dtype, from any spelling of it. Raises DTypeError for other types."""
    try:
        parsed: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        raise DTypeError(f"dtype: found {dtype!r}, expected float32 or float64") from error
    if parsed not in (FLOAT32, FLOAT64):
        raise DTypeError(f"dtype: found {parsed}, expected float32 or float64")
    return parsed


def as_array(value: Any, like: np.dtype[Any] | None = None, what: str = "tensor") -> Array:
    """value as a native float32 or float64 array that shares its memory where that is possible.

    like: the dtype for values that are neither float32 nor float64 (default float32).
    Raises DTypeError for elements that are not real numbers, ShapeError for rows of different lengths.
    """
    array = _any_array(value, what)
    if is_sparse(value):
        raise DTypeError(
            f"{what}: found a sparse {type(value).__name__} {value.shape}; a model and a plan take it as x, "
            "here give some of its rows: x[:100].toarray()"
        )
    if isinstance(array, np.ma.MaskedArray):
        raise DTypeError(f"{what}: a masked array's missing values have no gradient; fill or drop them first")
    if array.dtype.kind == "O":
        array = numbers_of(value, array, what)
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"{what}: found an array of {array.dtype}, expected real numbers (float32 or float64)")
    native = array.dtype if array.dtype.isnative else array.dtype.newbyteorder("=")
    if native in (FLOAT32, FLOAT64):
        has_type = hasattr(value, "dtype") or hasattr(value, "__array__")
        target = native if has_type else (like or FLOAT32)
    else:
        target = like or FLOAT32
    if native != target:
        available_memory.check(what, array.size * target.itemsize, *array.shape[:1])
    return np.require(np.asarray(array), target, ["A"])


def _any_array(value: Any, what: str) -> Array:
    if isinstance(value, np.ndarray):
        return value
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{what}: the rows differ in length or depth ({error})") from error
    except (TypeError, RuntimeError, BufferError) as error:
        raise DTypeError(f"{what}: {type(value).__name__} cannot be converted to an array ({error})") from error


def is_plain(array: Array) -> bool:
    """Whether C can read an array where it is: contiguous and aligned."""
    flags = array.flags
    return bool(flags.c_contiguous and flags.aligned)


def converted(array: Array, dtype: np.dtype[Any], what: str) -> Array:
    """An array of one floating-point type in the other. Raises DTypeError for numbers that are too large for it."""
    available_memory.check(what, array.size * dtype.itemsize, *array.shape[:1])
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        raise DTypeError(f"{what}: {array.dtype} {array.shape} holds numbers that are too large for {dtype}") from None


def check_size(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raises ShapeError if an array of this shape could not be addressed."""
    size = dtype.itemsize
    for length in shape:
        size *= max(length, 1)
    if size > sys.maxsize:
        raise ShapeError(f"{what}: a result of shape {shape} and dtype {dtype} is too large to be addressed")


def empty(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """`aligned_empty`, after `check_size`. what: the operation, for messages."""
    check_size(what, shape, dtype)
    return aligned_empty(shape, dtype, what)


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any], what: str = "tensor", rows: int | None = None) -> Array:
    """An uninitialized array. A large one starts at a cache line, so that vector loads do not cross lines.

    Raises OutOfMemoryError if there is not enough memory. For its message: what, the operation; rows, those of the
    batch (default: shape[0]).
    """
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        array: Array = np.empty(shape, dtype)
    else:
        available_memory.check(what, size, shape[0] if rows is None and shape else rows)
        array = _aligned(size, shape, dtype)
    if observer.active is not None:
        observer.active.allocated(array)
    return array


def aligned_copy(array: Array) -> Array:
    """A contiguous copy of array, as `aligned_empty` places it."""
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def aligned_zeros(count: int, dtype: np.dtype[Any], what: str = "compile", rows: int | None = None) -> Array:
    """count zeros, aligned to a cache line. They are written, so that the system has to provide the memory now.

    Raises OutOfMemoryError if there is not enough memory. For its message: what, the operation; rows, of the batch.
    """
    available_memory.check(what, count * dtype.itemsize, rows)
    array = _aligned(count * dtype.itemsize, (count,), dtype)
    array[...] = 0
    if observer.active is not None:
        observer.active.allocated(array)
    return array


def round_up_to_lines(count: int, dtype: np.dtype[Any]) -> int:
    """count elements, rounded up to whole cache lines."""
    line = LINE // dtype.itemsize
    return -(-count // line) * line


def _aligned(size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    memory = np.empty(size + LINE, np.uint8)
    array: Array = np.ndarray(shape, dtype, memory, -place(memory) % LINE)
    return array


def pin(array: Array) -> Any:
    """What keeps the memory behind an array where it is, for as long as the result is kept.

    numpy resizes no array that something refers to weakly, not even with `resize(..., refcheck=False)`.
    """
    owner, base = array, array.base
    while base is not None:
        if not isinstance(base, np.ndarray):
            base = base.obj if isinstance(base, memoryview) else None
            continue
        owner, base = base, base.base
    return ref(owner)


def hint_at_fix(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """What would turn one shape into another, for messages; empty if nothing obvious does."""
    if len(found) == 2 and found == expected[::-1]:
        return "; the transpose (.T) would fit"
    if len(found) == len(expected) + 1 and found[1:] == expected:
        return "; summed over the rows (.sum(0)) it would fit"
    return ""

"""Arithmetic of numpy arrays in the C core: + - * / with broadcasting, powers, and sums in the definition's order.

Arrays are float32 or float64, of one dtype, of any strides. The result is the definition's bit for bit, whatever the
caller's floating-point environment is (see csrc/ops/reference.c). It is a new array, or out if that is given: a
contiguous array of the result's shape, which may be an operand. Nothing is checked here but memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array, empty, is_plain

ADD, SUBTRACT, MULTIPLY, DIVIDE = (
    native.lib.BP_ADD,
    native.lib.BP_SUBTRACT,
    native.lib.BP_MULTIPLY,
    native.lib.BP_DIVIDE,
)
MAX_EXPONENT: int = native.lib.BP_MAX_EXPONENT
Shape = tuple[int, ...]
PART = 1 << 14  # numbers of a copy, at most


def compute(operation: int, a: Array | float, b: Array | float) -> Array:
    """a + b and so on, of two arrays, or of an array and a number."""
    if not isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray)
        return with_number(operation, b, a, first=True)
    return combine(operation, a, b) if isinstance(b, np.ndarray) else with_number(operation, a, b)


def combine(operation: int, a: Array, b: Array, out: Array | None = None) -> Array:
    """a + b, a - b, a * b or a / b; the shapes broadcast. Raises OutOfMemoryError for lack of memory."""
    shape = a.shape if a.shape == b.shape else np.broadcast_shapes(a.shape, b.shape)
    if out is None:
        out = empty("arithmetic", shape, a.dtype)
    h = shape[-1] if shape else 1
    n = out.size // h if h else 0
    a_steps, b_steps = _steps(a, shape, h), _steps(b, shape, h)
    if out.size > PART and (a_steps is None or b_steps is None):
        _in_parts(operation, a, b, out)
        return out
    if a_steps is None:
        a, a_steps = np.broadcast_to(a, shape), (h, 1)
    if b_steps is None:
        b, b_steps = np.broadcast_to(b, shape), (h, 1)
    left, right = native.pointer(contiguous(a)), native.pointer(contiguous(b))
    native.check(native.arithmetic[out.dtype](native.pointer(out), operation, left, *a_steps, right, *b_steps, n, h))
    return out


def _steps(array: Array, shape: Shape, h: int) -> tuple[int, int] | None:
    """How far an operand's next row and column are, for a result of rows of h numbers; None: C cannot broadcast it."""
    if array.shape == shape:
        return h, 1
    if array.size == 1:
        return 0, 0
    if array.shape[-1] == array.size:  # one row for all
        return 0, 1
    return (1, 0) if array.shape == (*shape[:-1], 1) else None  # one number for each row


def _in_parts(operation: int, a: Array, b: Array, out: Array) -> None:
    """Along the first axis, so that what C cannot broadcast is copied for a small part at a time."""
    rows = max(1, PART // (out.size // len(out)))
    for start in range(0, len(out), rows):
        part: Any = slice(start, start + rows) if rows > 1 else start
        combine(operation, _part(a, out.ndim, part), _part(b, out.ndim, part), out[part])


def _part(array: Array, ndim: int, part: Any) -> Array:
    """The part of an operand that goes into this part of the result."""
    if array.ndim < ndim:
        return array
    if len(array) == 1:
        return array if isinstance(part, slice) else np.asarray(array[0])
    return np.asarray(array[part])


def with_number(operation: int, a: Array, number: float, first: bool = False, out: Array | None = None) -> Array:
    """a + number and so on, or number + a if first. The number is rounded to the array's dtype."""
    if out is None:
        out = empty("arithmetic", a.shape, a.dtype)
    call = native.arithmetic_number[out.dtype]
    native.check(call(native.pointer(out), operation, native.pointer(contiguous(a)), number, first, a.size))
    return out


def power(x: Array, exponent: int) -> Array:
    """x multiplied |exponent| times, and 1 over that if it is negative. At most MAX_EXPONENT."""
    out = empty("**", x.shape, x.dtype)
    native.check(native.power[x.dtype](native.pointer(out), native.pointer(contiguous(x)), exponent, x.size))
    return out


def square_root(x: Array) -> Array:
    """The square root, rounded once; NaN of negative numbers."""
    out = empty(".sqrt", x.shape, x.dtype)
    native.square_root[x.dtype](native.pointer(out), native.pointer(contiguous(x)), x.size)
    return out


def total(x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """The sum over these axes (not negative, ascending), in segments as the gradient of a bias is summed."""
    if axes and axes[-1] - axes[0] >= len(axes):  # others lie between them
        others = tuple(k for k in range(x.ndim) if k not in axes)
        kept = total(x.transpose(*axes, *others), tuple(range(len(axes))))
        return kept.reshape(_kept(x.shape, axes)) if keepdims else kept
    first, end = (axes[0], axes[-1] + 1) if axes else (0, 0)
    outer, count, inner = (math.prod(part) for part in (x.shape[:first], x.shape[first:end], x.shape[end:]))
    out = empty(".sum", _kept(x.shape, axes) if keepdims else x.shape[:first] + x.shape[end:], x.dtype)
    native.check(native.sum[x.dtype](native.pointer(out), native.pointer(contiguous(x)), outer, count, inner))
    return out


def total_to(array: Array, shape: Shape) -> Array:
    """Sums over the axes along which shape was broadcast to the array's."""
    if array.shape == shape:
        return array
    added = array.ndim - len(shape)
    stretched = tuple(k + added for k, length in enumerate(shape) if length == 1 != array.shape[k + added])
    return total(array, (*range(added), *stretched)).reshape(shape)


def contiguous(array: Array) -> Array:
    """The array if C can read it as one block, else a copy."""
    return array if is_plain(array) else np.array(array, order="C")


def _kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(1 if k in axes else length for k, length in enumerate(shape))

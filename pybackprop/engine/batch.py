"""StepData: the checked data of a plan's steps, and C's pointers to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array, as_array, converted, is_plain, pin
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.core.sparse import dense, is_sparse
from pybackprop.ops import Op
from pybackprop.ops.checks import mse_hint

NOTHING = object()  # stands for no data


class StepData:
    """x (n,m) and targ (n,h) of the last step. They are kept, so that the same data is checked only once; but not
    targets that have rules of their own, such as labels, since what is written to them later may break those.

    x_at, targ_at  C's pointers;  dx  C's pointer to x.g if x has requires_g, else NULL
    """

    m: int
    h: int
    dtype: np.dtype[Any]
    most: int
    x_at: Any
    targ_at: Any
    dx: Any
    loss: Op
    c_loss: int  # the bp_loss of these targets

    __slots__ = (
        *("_arrays", "_given", "_pins", "_shapes", "c_loss", "dtype", "dx", "h", "loss", "m", "most"),
        *("targ_at", "x_at"),
    )

    def __init__(self, m: int, h: int, dtype: np.dtype[Any], most: int, loss: Op) -> None:
        self.m, self.h, self.dtype, self.most, self.loss = m, h, dtype, most, loss
        self.c_loss = c_loss(loss, 2)
        self.x_at = self.targ_at = self.dx = native.NULL
        self._given: tuple[Any, Any] = (NOTHING, NOTHING)
        self._arrays: tuple[Any, Any] = (None, None)
        self._pins: tuple[Any, Any] = (None, None)
        self._shapes: tuple[Any, Any] = ((), ())

    def holds(self, x: Any, targ: Any) -> bool:
        """Whether these are the data of the last step, in the same memory."""
        given_x, given_targ = self._given
        if x is not given_x or targ is not given_targ:
            return False
        array_x, array_targ = self._arrays
        shape_x, shape_targ = self._shapes
        if (array_x.shape, array_x.dtype) != shape_x or (array_targ.shape, array_targ.dtype) != shape_targ:
            return False
        if x is not array_x and (x._array is not array_x or x.requires_g or x._node is not None):
            return False
        return targ is array_targ or (targ._array is array_targ and not targ.requires_g)

    def take(self, operation: str, x: Any, targ: Any) -> int:
        """Checks and keeps the data; n. Raises ShapeError, DTypeError, GradientError for data that does not fit."""
        self._given = (NOTHING, NOTHING)
        data, targ_data = pair(operation, x, targ, self)
        n = len(data)
        if n > self.most:
            raise ShapeError(
                f"{operation}: found {n} rows, expected at most {self.most}, as compiled; compile with batch={n}, "
                "or use fit, which cuts the data into batches"
            )
        self.x_at, self.targ_at, self.dx = native.pointer(data), native.pointer(targ_data), native.NULL
        self.c_loss = c_loss(self.loss, targ_data.ndim)
        if isinstance(x, Tensor) and x.requires_g:
            self.dx = _gradient_of(operation, x)
        elif self.loss.targets is None and data is _array_of(x) and targ_data is _array_of(targ):
            self._given, self._arrays = (x, targ), (data, targ_data)
            self._pins = pin(data), pin(targ_data)
            self._shapes = (data.shape, data.dtype), (targ_data.shape, targ_data.dtype)
        return n


def pair(operation: str, x: Any, targ: Any, expected: StepData) -> tuple[Array, Array]:
    """x (n,m) and targ (n,h), contiguous and of the parameters' dtype: see targets."""
    data = rows(operation, x, expected)
    return data, targets(operation, len(data), targ, expected)


def targets(operation: str, n: int, targ: Any, expected: StepData) -> Array:
    """targ (n,h), contiguous and of the parameters' dtype; (n,) where h is 1, or labels if the loss takes those."""
    out = (n, expected.h)
    if expected.loss.targets is not None and np.ndim(_array_of(targ)) < 2:
        return expected.loss.targets(operation, targ, out, expected.dtype)._array
    array = as_data(operation, "targ", targ, expected.dtype)
    if expected.loss.targets is not None:
        kept = targ if isinstance(targ, Tensor) and targ._array is array else array
        return expected.loss.targets(operation, kept, out, expected.dtype)._array
    if array.shape != out and not (expected.h == 1 and array.shape == out[:1]):
        raise ShapeError(f"{operation}: found out {out} and targ {array.shape}{mse_hint(out, array.shape)}")
    if isinstance(targ, Tensor) and targ.requires_g:
        raise GradientError(f"{operation}: targ has requires_g, but a plan computes no targ.g; use model(x, targ)")
    return array


def c_loss(loss: Op, axes: int, weighted: bool = False) -> int:
    """The bp_loss for targets of so many axes, with each row's weight behind its targets or without."""
    whole, labels = native.LOSSES[str(loss.loss)]
    kind = int(whole if labels is None or axes == 2 else labels)
    return kind | native.WEIGHTED if weighted else kind


def weights_of_rows(operation: str, weight: Any, n: int, dtype: np.dtype[Any]) -> Array:
    """weight (n) of n rows, of the parameters' dtype. Raises ShapeError for other shapes, ValueError for negative
    numbers, NaN and infinity.
    """
    array = as_array(weight, dtype, f"{operation}: sample_weight")
    if array.shape != (n,):
        raise ShapeError(f"{operation}: found sample_weight {array.shape}, expected a weight for each row: ({n},)")
    fits = (array >= 0) & (array < np.inf)
    if not fits.all():
        at = int(np.argmin(fits))
        raise ValueError(
            f"{operation}: sample_weight[{at}] is {array[at]:g}, expected finite numbers from 0; 0 leaves a row out"
        )
    return array.astype(dtype, copy=False)


def with_weights(targ: Array, weight: Array) -> Array:
    """Rows of targets, or labels, with the rows' weights behind them, as C takes them."""
    return np.ascontiguousarray(np.column_stack([targ, weight]))


def rows(operation: str, x: Any, expected: StepData) -> Array:
    """x (n,m), contiguous and of the parameters' dtype."""
    data = as_data(operation, "x", x, expected.dtype)
    if data.ndim != 2:
        raise ShapeError(
            f"{operation}: found x of shape {data.shape}, expected rows of {expected.m} features; one row is x[None]"
        )
    if data.shape[1] != expected.m:
        raise ShapeError(f"{operation}: found x {data.shape}, expected {expected.m} features: the first layer's inputs")
    return data


def as_data(operation: str, name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """value as a contiguous array of dtype. A tensor of the other floating-point type is refused."""
    array = dense(f"{operation}: {name}", value) if is_sparse(value) else _array_of(value)
    if type(array) is not np.ndarray or array.dtype != dtype or not array.dtype.isnative:
        array = as_array(array, dtype, f"{operation}: {name}")
    if array.dtype != dtype and not isinstance(value, Tensor):
        array = converted(array, dtype, f"{operation}: {name}")
    if array.dtype != dtype:
        raise DTypeError(
            f"{operation}: {name} {array.shape} is {array.dtype}, the parameters are {dtype}; "
            f"convert with .astype(np.{dtype})"
        )
    if isinstance(value, Tensor) and value._node is not None:
        raise GradientError(
            f"{operation}: {name} is a result of '{value._node.op.name}', whose operands get no gradient from a "
            "plan; pass its values, .data, or use model(x, targ)"
        )
    return np.require(array, None, ["C", "A"])


def _array_of(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else value


def _gradient_of(operation: str, x: Tensor) -> Any:
    had_gradient = x._g is not None
    g = x.grad_buffer()
    if not had_gradient:
        g._array[...] = 0  # so that accumulating gives the same as overwriting
    if not is_plain(g._array):
        raise ValueError(f"{operation}: x.g is not contiguous and aligned; set x.g = None first")
    return g.pointer()


def weighted_loss(loss: Op, out: Tensor, targ: Array, weight: Array) -> float:
    """The loss of outputs (n,h) whose rows count with weights (n)."""
    result, rows = np.empty(1, out.dtype), with_weights(targ, weight)
    call, kind = native.weighted_loss_forward[out.dtype], c_loss(loss, targ.ndim)
    native.check(call(kind, native.pointer(result), out.pointer(), native.pointer(rows), *out.shape))
    return float(result[0])

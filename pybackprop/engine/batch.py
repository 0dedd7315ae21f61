"""Feed: the data of a plan's steps, checked, and where C finds it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array, as_array
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.ops.checks import mse_hint

NOTHING = object()  # what nobody gives


class Feed:
    """x (n,m) and targ (n,h) of the last step. They are remembered, so that the same ones are checked only once.

    x_at, targ_at  C's pointers;  dx  C's pointer to x.g where x wants one, else NULL
    """

    __slots__ = ("_found", "_given", "_shapes", "dtype", "dx", "h", "m", "most", "targ_at", "x_at")

    def __init__(self, m: int, h: int, dtype: np.dtype[Any], most: int) -> None:
        self.m, self.h, self.dtype, self.most = m, h, dtype, most
        self.x_at = self.targ_at = self.dx = native.NULL
        self._given: tuple[Any, Any] = (NOTHING, NOTHING)
        self._found: tuple[Any, Any] = (None, None)
        self._shapes: tuple[Any, Any] = ((), ())

    def holds(self, x: Any, targ: Any) -> bool:
        """Whether these are the last ones, where they were."""
        given_x, given_targ = self._given
        if x is not given_x or targ is not given_targ:
            return False
        array_x, array_targ = self._found
        shape_x, shape_targ = self._shapes
        if (array_x.shape, array_x.dtype) != shape_x or (array_targ.shape, array_targ.dtype) != shape_targ:
            return False
        if x is not array_x and (x._array is not array_x or x.requires_g or x._node is not None):
            return False
        return targ is array_targ or (targ._array is array_targ and not targ.requires_g)

    def take(self, operation: str, x: Any, targ: Any) -> int:
        """n. Raises ShapeError, DTypeError, GradientError for what a step cannot be made of."""
        self._given = (NOTHING, NOTHING)
        found, wanted = pair(operation, x, targ, self)
        n = len(found)
        if n > self.most:
            raise ShapeError(
                f"{operation}: found {n} rows, expected at most {self.most}, as compiled; compile with batch={n}, "
                "or use fit, which cuts the data into batches"
            )
        self.x_at, self.targ_at, self.dx = native.pointer(found), native.pointer(wanted), native.NULL
        if isinstance(x, Tensor) and x.requires_g:
            self.dx = _gradient_of(operation, x)
        elif found is _array_of(x) and wanted is _array_of(targ):
            self._given, self._found = (x, targ), (found, wanted)
            self._shapes = (found.shape, found.dtype), (wanted.shape, wanted.dtype)
        return n


def pair(operation: str, x: Any, targ: Any, feed: Feed) -> tuple[Array, Array]:
    """x (n,m) and targ (n,h), contiguous and of the parameters' dtype; targ (n,) stands for (n,1)."""
    found, wanted = rows(operation, x, feed), as_data(operation, "targ", targ, feed.dtype)
    out = (len(found), feed.h)
    if wanted.shape != out and not (feed.h == 1 and wanted.shape == out[:1]):
        raise ShapeError(f"{operation}: found out {out} and targ {wanted.shape}{mse_hint(out, wanted.shape)}")
    if isinstance(targ, Tensor) and targ.requires_g:
        raise GradientError(f"{operation}: targ wants a gradient, which a plan does not compute; use model(x, targ)")
    return found, wanted


def rows(operation: str, x: Any, feed: Feed) -> Array:
    """x (n,m), contiguous and of the parameters' dtype."""
    found = as_data(operation, "x", x, feed.dtype)
    if found.ndim != 2:
        raise ShapeError(
            f"{operation}: found x of shape {found.shape}, expected rows of {feed.m} features; one row is x[None]"
        )
    if found.shape[1] != feed.m:
        raise ShapeError(f"{operation}: found x {found.shape}, expected {feed.m} features: the first layer's inputs")
    return found


def as_data(operation: str, name: str, value: Any, dtype: np.dtype[Any]) -> Array:
    """value's numbers, contiguous; those that are neither float32 nor float64 become dtype."""
    array = _array_of(value)
    if type(array) is not np.ndarray or array.dtype != dtype or not array.dtype.isnative:
        array = as_array(array, dtype, f"{operation}: {name}")
    if array.dtype != dtype:
        raise DTypeError(
            f"{operation}: {name} {array.shape} is {array.dtype}, the parameters are {dtype}; "
            f"convert with .astype(np.{dtype})"
        )
    if isinstance(value, Tensor) and value._node is not None:
        raise GradientError(
            f"{operation}: {name} is a result of '{value._node.op.name}', whose operands get no gradient from a "
            "plan; give its numbers, .data, or use model(x, targ)"
        )
    return np.require(array, None, ["C", "A"])


def _array_of(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else value


def _gradient_of(operation: str, x: Tensor) -> Any:
    known = x._g is not None
    g = x.grad_buffer()
    if not known:
        g._array[...] = 0  # so that adding to it is no different from writing
    if not g._array.flags.c_contiguous:
        raise ValueError(f"{operation}: x.g is not contiguous; set x.g = None first")
    return g.pointer()

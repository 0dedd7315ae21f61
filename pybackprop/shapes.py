"""Shapes, sums and the like, in a lesson's spelling: dim for axis, keepdim for keepdims."""

from __future__ import annotations

import builtins
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.arithmetic import Arithmetic, copy_backward
from pybackprop.autograd import tape
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import ShapeError

if TYPE_CHECKING:
    from pybackprop.autograd.tensor import Tensor


class Shapes(Arithmetic):
    """Computed by numpy; none has a derivative on the tape."""

    __slots__ = ()

    @property
    def T(self) -> Tensor:
        """The transpose, a view. The gradient of x @ w for w is x.T @ out.g."""
        return tape.cut(self._make(self._array.T, self._version), ".T", self)

    def t(self) -> Tensor:
        """The transpose of at most two dimensions, a view."""
        if self.ndim > 2:
            raise ShapeError(f".t(): found shape {self.shape}, expected at most two dimensions")
        return self.T

    def unsqueeze(self, dim: int) -> Tensor:
        """A view with an axis of length 1 put in at dim."""
        return tape.cut(self._make(np.expand_dims(self._array, dim), self._version), ".unsqueeze", self)

    def squeeze(self, dim: int | None = None) -> Tensor:
        """A view without the axes of length 1 (or without axis dim, if that is of length 1)."""
        keeps = dim is not None and self.shape[dim] != 1
        array = self._array if keeps else self._array.squeeze(dim)
        return tape.cut(self._make(array, self._version), ".squeeze", self)

    def reshape(self, *shape: Any) -> Tensor:
        """The same numbers in another shape."""
        array = self._array.reshape(*shape)
        shares = np.may_share_memory(array, self._array)
        return tape.cut(self._make(array, self._version if shares else None), ".reshape", self)

    view = reshape

    def flatten(self) -> Tensor:
        return self.reshape(-1)

    def sum(self, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The sum over axis (all, if None). b.g = out.g.sum(0): b was broadcast over the rows."""
        axis = dim if axis is None else axis
        return self._unary(".sum", np.sum, axis=axis, keepdims=keepdims or keepdim)

    def mean(self, axis: Any = None, keepdims: bool = False, *, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The mean over axis (all, if None)."""
        if self.size == 0:
            raise ShapeError(f".mean: the mean of no elements is not defined (shape {self.shape})")
        axis = dim if axis is None else axis
        return self._unary(".mean", np.mean, axis=axis, keepdims=keepdims or keepdim)

    def max(self, axis: Any = None) -> Tensor:
        return self._unary(".max", np.max, axis=axis)

    def min(self, axis: Any = None) -> Tensor:
        return self._unary(".min", np.min, axis=axis)

    def argmax(self, axis: Any = None, *, dim: Any = None) -> Array:
        """The index of the largest element, as numpy integers."""
        return np.asarray(np.argmax(self._array, axis=dim if axis is None else axis))

    def pow(self, exponent: Any) -> Tensor:
        return self._elementwise("**", np.power, exponent)

    def sqrt(self) -> Tensor:
        return self._unary(".sqrt", np.sqrt)

    def exp(self) -> Tensor:
        return self._unary(".exp", np.exp)

    def log(self) -> Tensor:
        return self._unary(".log", np.log)

    def abs(self) -> Tensor:
        return abs(self)

    def clamp_min(self, low: builtins.float) -> Tensor:
        """max(x, low), a NaN kept. relu by hand is x.clamp_min(0.)."""
        return self._unary(".clamp_min", np.maximum, self.dtype.type(low))

    def float(self) -> Tensor:
        """This tensor if it is float32, else a float32 copy."""
        return self._as_type(native.FLOAT32, ".float")

    def double(self) -> Tensor:
        """This tensor if it is float64, else a float64 copy."""
        return self._as_type(native.FLOAT64, ".double")

    def _as_type(self, dtype: np.dtype[Any], name: str) -> Tensor:
        same: Any = self
        return same if self.dtype == dtype else self._unary(name, lambda array: array.astype(dtype))

    def clone(self) -> Tensor:
        """A copy. The tape passes its gradient on unchanged; bp.tensor(t) is a copy that is off the tape."""
        out = self._make(np.array(self._array))
        return tape.record(out, ".clone", (self,), partial(copy_backward, self))

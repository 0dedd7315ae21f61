"""Arithmetic: what a lesson's cell types between tensors and numbers, computed by numpy.

`@` goes to the C core. Only `@` and `+` have a derivative on the tape.
"""

from __future__ import annotations

import builtins
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pybackprop.autograd import messages, tape
from pybackprop.autograd.storage import Storage
from pybackprop.core.arrays import Array, as_array, hint_at_fix
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.mask import Mask

if TYPE_CHECKING:
    from pybackprop.autograd.tensor import Tensor


Itself = TypeVar("Itself", bound="Arithmetic")


class Arithmetic(Storage):
    """The operators."""

    __slots__ = ()
    __array_priority__ = 1000  # numpy arrays leave array + tensor to us

    def __matmul__(self, other: Any) -> Tensor:
        from pybackprop.ops.matmul import product

        return product(self, _operand("@", self, other))

    def __rmatmul__(self, other: Any) -> Tensor:
        from pybackprop.ops.matmul import product

        return product(_operand("@", self, other), self)

    def __add__(self, other: Any) -> Tensor:
        other = _operand("+", self, other)
        with np.errstate(all="ignore"):
            out = self._make(np.add(self._array, getattr(other, "_array", other)))
        inputs = (self, other) if isinstance(other, Storage) else (self,)
        return tape.record(out, "+", inputs, partial(_add_backward, inputs))

    __radd__ = __add__

    def _elementwise(self, name: str, function: Any, other: Any, swap: bool = False) -> Tensor:
        other = _operand(name, self, other)
        left, right = self._array, getattr(other, "_array", other)
        with np.errstate(all="ignore"):  # inf and NaN propagate, as they do in C
            out = function(right, left) if swap else function(left, right)
        return tape.cut(self._make(out), name, self, other)

    def __sub__(self, other: Any) -> Tensor:
        return self._elementwise("-", np.subtract, other)

    def __rsub__(self, other: Any) -> Tensor:
        return self._elementwise("-", np.subtract, other, swap=True)

    def __mul__(self, other: Any) -> Tensor:
        return self._elementwise("*", np.multiply, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return self._elementwise("/", np.divide, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._elementwise("/", np.divide, other, swap=True)

    def __pow__(self, other: Any) -> Tensor:
        return self._elementwise("**", np.power, other)

    def __neg__(self) -> Tensor:
        return self._unary("-", np.negative)

    def __abs__(self) -> Tensor:
        return self._unary("abs", np.abs)

    def _unary(self, name: str, function: Any, *args: Any, **options: Any) -> Tensor:
        with np.errstate(all="ignore"):
            return tape.cut(self._make(function(self._array, *args, **options)), name, self)

    def _in_place(self: Itself, name: str, function: Any, other: Any) -> Itself:
        self._refuse_on_tape(name)
        other = _operand(name, self, other)
        right = getattr(other, "_array", other)
        if np.broadcast_shapes(self.shape, np.shape(right)) != self.shape:
            raise ShapeError(f"{name}: {np.shape(right)} does not broadcast into {self.shape}")
        self.touch(name)
        with np.errstate(all="ignore"):
            function(self._array, right, out=self._array)
        return self

    def _refuse_on_tape(self, name: str) -> None:
        if self._node is not None:
            raise GradientError(
                f"{name}: {messages.describe(self)} is the result of '{self._node.operation}' and on the tape; "
                "writing to it would make its gradient a lie. Write a new tensor, or to a copy: bp.tensor(t)"
            )

    def __iadd__(self: Itself, other: Any) -> Itself:
        return self._in_place("+=", np.add, other)

    def __isub__(self: Itself, other: Any) -> Itself:
        return self._in_place("-=", np.subtract, other)

    def __imul__(self: Itself, other: Any) -> Itself:
        return self._in_place("*=", np.multiply, other)

    def __itruediv__(self: Itself, other: Any) -> Itself:
        return self._in_place("/=", np.divide, other)

    def zero_(self: Itself) -> Itself:
        """Sets every number to 0, in place."""
        self._refuse_on_tape("zero_")
        self.touch("zero_")
        self._array[...] = 0
        return self

    __hash__ = object.__hash__

    def _compare(self, name: str, function: Any, other: Any) -> Mask:
        other = _operand(name, self, other)
        return Mask(function(self._array, getattr(other, "_array", other)), self.dtype)

    def __gt__(self, other: Any) -> Mask:
        return self._compare(">", np.greater, other)

    def __ge__(self, other: Any) -> Mask:
        return self._compare(">=", np.greater_equal, other)

    def __lt__(self, other: Any) -> Mask:
        return self._compare("<", np.less, other)

    def __le__(self, other: Any) -> Mask:
        return self._compare("<=", np.less_equal, other)

    def __eq__(self, other: object) -> Mask:  # type: ignore[override]
        return self._compare("==", np.equal, other)

    def __ne__(self, other: object) -> Mask:  # type: ignore[override]
        return self._compare("!=", np.not_equal, other)


def _operand(operation: str, left: Storage, right: Any) -> Any:
    """right as a Tensor of left's dtype, or as a Python number; refuses what would broadcast by accident."""
    for name, operand in (("the left operand", left), ("the right operand", right)):
        if isinstance(operand, Storage) and operand.holds_its_gradient():
            raise GradientError(messages.spoiled(operation, name, operand))
    if isinstance(right, (int, builtins.float)):
        return right
    if not isinstance(right, Storage):
        if np.ndim(right) == 0 and isinstance(right, np.number):
            return right.item()
        if isinstance(right, Mask):
            right = right.data
        right = left._make(as_array(right, left.dtype, operation))
    if right.dtype != left.dtype:
        raise DTypeError(
            f"{operation}: found {left.dtype} of shape {left.shape} and {right.dtype} of shape {right.shape}; "
            "convert one of them with .float() or .double()"
        )
    if operation != "@":
        _check_broadcast(operation, left.shape, right.shape)
    return right


def _check_broadcast(operation: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    if left == right:
        return
    for column, row in ((left, right), (right, left)):
        if len(column) == 2 and column[1] == 1 and row == column[:1] and row[0] > 1:
            n = row[0]
            raise ShapeError(
                f"{operation}: {left} with {right} would broadcast to {(n, n)}, every row with every element. "
                f"Make the shapes equal: {column} to {row} with [:,0] or .squeeze(-1), "
                f"or {row} to {column} with [:,None]"
            )
    try:
        np.broadcast_shapes(left, right)
    except ValueError as error:
        backwards = zip(reversed(range(len(left))), reversed(left), reversed(right), strict=False)
        axis = next(axis for axis, a, b in backwards if a != b and 1 not in (a, b))
        raise ShapeError(
            f"{operation}: {left} and {right} do not fit: on axis {axis} of the first they differ, "
            "and neither is 1" + hint_at_fix(left, right)
        ) from error


def _add_backward(inputs: tuple[Storage, ...], upstream: Tensor, sink: tape.Sink) -> None:
    from pybackprop.ops import linear

    for operand in inputs:
        if operand.ndim == 1 and upstream.ndim == 2 and operand.shape == upstream.shape[1:]:
            linear.bias_backward(operand, upstream, sink.into(operand))
        else:
            summed = _sum_to(upstream._array, operand.shape)
            sink.put(operand, partial(_copy, summed))


def copy_backward(operand: Storage, upstream: Tensor, sink: tape.Sink) -> None:
    sink.put(operand, partial(_copy, upstream._array))


def _copy(array: Array, into: Tensor) -> None:
    np.copyto(into._array, array)


def _sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    """Sums over the axes along which shape was broadcast."""
    array = array.sum(tuple(range(array.ndim - len(shape)))) if array.ndim > len(shape) else array
    stretched = tuple(axis for axis, length in enumerate(shape) if length == 1 != array.shape[axis])
    return np.asarray(array.sum(stretched, keepdims=True) if stretched else array)

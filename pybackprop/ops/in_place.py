"""+= -= *= /= of tensors: the update of a parameter by hand, w -= lr * w.g. In C: csrc/ops/arithmetic.c.

Raise GradientError for a result on the tape, ShapeError for an operand that does not broadcast into the tensor's shape,
DTypeError for another dtype, ValueError for read-only memory. Nothing is written before that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pybackprop.autograd.tensor import Tensor, operand
from pybackprop.core import arithmetic
from pybackprop.core.arithmetic import combine, with_number
from pybackprop.core.arrays import is_plain
from pybackprop.core.errors import ShapeError
from pybackprop.ops.arithmetic import add
from pybackprop.ops.op import attach


def _in_place(name: str, code: int, tensor: Tensor, other: Any) -> Tensor:
    tensor.refuse_on_tape(name)
    other = operand(name, tensor, other)
    array, right = tensor._array, getattr(other, "_array", None)
    if (
        right is not None
        and right.shape != array.shape
        and np.broadcast_shapes(array.shape, right.shape) != array.shape
    ):
        raise ShapeError(f"{name}: {right.shape} does not broadcast into {array.shape}")
    tensor.touch(name)
    out = array if is_plain(array) else None
    if right is None:
        result = with_number(code, array, other, out=out)
    else:
        if out is not None and right is not array and np.may_share_memory(out, right):
            right = right.copy()
        result = combine(code, array, right, out)
    if result is not array:
        np.copyto(array, result)
    tensor.came_from_itself(name, other)
    return tensor


def iadd(self: Tensor, other: ArrayLike) -> Tensor:
    """Adds other in place; it must broadcast into this shape. To a result, as total += loss, as a new tensor."""
    if self._node is not None:  # no backward reads the result of +
        return add(self, other)
    return _in_place("+=", arithmetic.ADD, self, other)


def isub(self: Tensor, other: ArrayLike) -> Tensor:
    """Subtracts other in place; it must broadcast into this shape. The update of a parameter: w -= lr * w.g."""
    return _in_place("-=", arithmetic.SUBTRACT, self, other)


def imul(self: Tensor, other: ArrayLike) -> Tensor:
    """Multiplies by other in place; it must broadcast into this shape."""
    return _in_place("*=", arithmetic.MULTIPLY, self, other)


def itruediv(self: Tensor, other: ArrayLike) -> Tensor:
    """Divides by other in place; it must broadcast into this shape."""
    return _in_place("/=", arithmetic.DIVIDE, self, other)


_methods: dict[str, Callable[..., Tensor]] = {
    "__iadd__": iadd,
    "__isub__": isub,
    "__imul__": imul,
    "__itruediv__": itruediv,
}
for _name, _method in _methods.items():
    attach(_name, _method)

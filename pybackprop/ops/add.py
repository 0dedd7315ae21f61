"""+ between tensors and numbers, and .clone(): operations that pass their gradient on unchanged.

The gradient of an operand that was broadcast is summed over those axes: for a bias, (h) to (n,h), b.g = out.g.sum(0).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pybackprop.autograd.broadcast import sum_to
from pybackprop.autograd.tape import Sink, record
from pybackprop.autograd.tensor import Tensor, operand
from pybackprop.core.arrays import Array
from pybackprop.ops.linear import bias_backward
from pybackprop.ops.op import Op, attach, register

__all__ = ["ADD", "CLONE", "add", "clone", "copy_backward"]


def add(self: Tensor, other: ArrayLike) -> Tensor:
    """self + other: a tensor, an array or a number. Gradients are summed over the axes that were broadcast.

    Raises DTypeError and ShapeError as the other operators do; see Tensor.
    """
    return _add(self, operand("+", self, other))


def radd(self: Tensor, other: ArrayLike) -> Tensor:
    """other + self."""
    return add(self, other)


def _add(left: Tensor, right: Tensor | None = None, number: float | None = None) -> Tensor:
    addend: Any = right if number is None else number
    with np.errstate(all="ignore"):
        out = left._make(np.add(left._array, getattr(addend, "_array", addend)))
    if isinstance(addend, Tensor):
        return record(out, ADD, (left, addend))
    return record(out, ADD, (left,), (), {"number": addend})


def _add_backward(
    inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink, number: Any = None
) -> None:
    for inp in inputs:
        if inp.ndim == 1 and dout.ndim == 2 and inp.shape == dout.shape[1:]:
            bias_backward(inp, dout, sink.into(inp))
        else:
            sink.put(inp, partial(_copy, sum_to(dout._array, inp.shape)))


def clone(self: Tensor) -> Tensor:
    """A copy of the same shape and dtype, on the tape: its gradient is passed on unchanged. bp.tensor(t) is off it."""
    return record(self._make(np.array(self._array)), CLONE, (self,))


def _clone_backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink) -> None:
    copy_backward(inputs[0], dout, sink)


def copy_backward(inp: Tensor, dout: Tensor, sink: Sink) -> None:
    """Passes dout on unchanged."""
    sink.put(inp, partial(_copy, dout._array))


def _copy(array: Array, into: Tensor) -> None:
    np.copyto(into._array, array)


ADD = register(
    Op(
        "+",
        _add,
        _add_backward,
        operands=("a", "b"),
        equation="out = a + b",
        gradients=("out.g", "out.g"),
        references=("linear_backward_b",),
    )
)
CLONE = register(
    Op(
        ".clone",
        clone,
        _clone_backward,
        operands=("inp",),
        equation="out = inp",
        gradients=("out.g",),
        elementwise=True,
    )
)
attach("__add__", add)
attach("__radd__", radd)
attach("clone", clone)

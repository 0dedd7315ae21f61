""".clamp_min: out = max(x, low), and its gradient; at 0 it is relu. In C: csrc/ops/clamp_min.c."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pybackprop.autograd.tape import Sink, record
from pybackprop.autograd.tensor import Tensor, operand
from pybackprop.core import native
from pybackprop.core.errors import ShapeError
from pybackprop.ops.op import Op, attach, register
from pybackprop.ops.relu import relu

__all__ = ["CLAMP_MIN", "clamp_min"]


def clamp_min(self: Tensor, low: float) -> Tensor:
    """max(x, low), element by element; NaN stays NaN. relu by hand is x.clamp_min(0.), and is recorded as relu.

    Its gradient is that of the result where x > low, else 0: at x = low too, as relu'(0) is 0 in the lesson.
    Raises ShapeError for a low that is not one number, ValueError for NaN.
    """
    number: Any = operand(".clamp_min", self, low)
    if isinstance(number, Tensor):
        if number.size != 1:
            raise ShapeError(f".clamp_min: found a low of shape {number.shape}, expected one number")
        number = float(number)
    if math.isnan(number):
        raise ValueError(".clamp_min: low is NaN, which is neither below nor above any number")
    return relu(self) if number == 0 else _clamp_min(self, float(number))


def _clamp_min(inp: Tensor, low: float) -> Tensor:
    out = inp.new_like()
    native.clamp_min_forward[inp.dtype](out.pointer(), inp.contiguous().pointer(), low, inp.size)
    return record(out, CLAMP_MIN, (inp,), (inp,), {"low": low})


def _backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink, low: float) -> None:
    def fill(into: Tensor) -> None:
        call = native.clamp_min_backward[into.dtype]
        call(into.pointer(), saved[0].contiguous().pointer(), dout.contiguous().pointer(), low, into.size)

    sink.put(inputs[0], fill)


CLAMP_MIN = register(
    Op(
        ".clamp_min",
        _clamp_min,
        _backward,
        operands=("inp",),
        equation="out = inp where inp > low, else low",
        gradients=("(inp > low) * out.g",),
        references=("clamp_min_forward", "clamp_min_backward"),
        elementwise=True,
        kink="low",
    )
)
attach("clamp_min", clamp_min)

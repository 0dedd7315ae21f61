"""** and .pow with a whole number or one half, and .sqrt, with their gradients. In C: csrc/ops/power.c.

A whole power is a product of its factors, multiplied from the left, so it has the same bits on every machine. Other
exponents are computed by numpy and have no derivative here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pybackprop.autograd.tape import Sink, cut, record
from pybackprop.autograd.tensor import Tensor, operand, wrap
from pybackprop.core import arithmetic
from pybackprop.core.arithmetic import MAX_EXPONENT, combine, power, square_root, with_number
from pybackprop.core.arrays import Array
from pybackprop.ops.op import Op, attach, register

__all__ = ["POWER", "SQRT", "sqrt"]


def pow(self: Tensor, exponent: ArrayLike) -> Tensor:
    """self ** exponent, element by element. NaN where the result is not real.

    On the tape, with a derivative, for a whole exponent from -64 to 64, and 0.5.
    """
    other = operand("**", self, exponent)
    if isinstance(other, (int, float)) and other == 0.5:
        return sqrt(self)
    if isinstance(other, (int, float)) and abs(other) <= MAX_EXPONENT and other == int(other):
        return _power(self, int(other))
    with np.errstate(all="ignore"):
        return cut(self._make(np.power(self._array, getattr(other, "_array", other))), "**", self, other)


def sqrt(self: Tensor) -> Tensor:
    """The square root, elementwise. NaN of negative numbers."""
    out = wrap(square_root(self._array))
    return record(out, SQRT, (self,), (out,) if self.requires_g else ())


def _power(inp: Tensor, exponent: int) -> Tensor:
    return record(wrap(power(inp._array, exponent)), POWER, (inp,), (inp,), {"exponent": exponent})


def _power_backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink, exponent: int) -> None:
    sink.put(inputs[0], lambda into: _times(_slope(inputs[0]._array, exponent), dout, into))


def _slope(x: Array, exponent: int) -> Array:
    """exponent * x ** (exponent - 1); 0 for exponent 0, where x**-1 may be infinite."""
    if exponent == 0:
        return np.zeros_like(x)
    factor = x if exponent == 2 else power(x, exponent - 1) if exponent > -MAX_EXPONENT else _one_more(x, exponent)
    return with_number(arithmetic.MULTIPLY, factor, exponent)


def _one_more(x: Array, exponent: int) -> Array:
    return combine(arithmetic.DIVIDE, power(x, exponent), x)


def _sqrt_backward(inputs: Sequence[Tensor], saved: Sequence[Tensor], dout: Tensor, sink: Sink) -> None:
    def fill(into: Tensor) -> None:
        twice = with_number(arithmetic.MULTIPLY, saved[0]._array, 2)
        combine(arithmetic.DIVIDE, dout._array, twice, into._array)

    sink.put(inputs[0], fill)


def _times(slope: Array, dout: Tensor, into: Tensor) -> None:
    combine(arithmetic.MULTIPLY, slope, dout._array, into._array)


POWER = register(
    Op(
        "**",
        _power,
        _power_backward,
        operands=("inp",),
        equation="out = inp ** exponent",
        gradients=("out.g * exponent * inp ** (exponent - 1)",),
        references=("power", "arithmetic"),
        elementwise=True,
    )
)
SQRT = register(
    Op(
        ".sqrt",
        sqrt,
        _sqrt_backward,
        operands=("inp",),
        equation="out = √inp",
        gradients=("out.g / (2 * out)",),
        references=("square_root", "arithmetic"),
        elementwise=True,
    )
)
attach("__pow__", pow)
attach("pow", pow)
attach("sqrt", sqrt)

"""+ - * / of tensors and numbers, and -t. In C: csrc/ops/arithmetic.c.

The gradient of an operand that was broadcast is summed over those axes: for a bias, (h) to (n,h), b.g = out.g.sum(0).
All raise DTypeError where float32 and float64 are mixed or an operand is not real, ShapeError where shapes do not
broadcast, or a column (n,1) would broadcast with (n,) to (n,n).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pybackprop.autograd.tape import Sink, record
from pybackprop.autograd.tensor import Tensor, operand, wrap
from pybackprop.core import arithmetic
from pybackprop.core.arithmetic import compute, total_to
from pybackprop.core.arrays import Array
from pybackprop.ops.linear import bias_backward, needed
from pybackprop.ops.op import Op, attach, register

__all__ = ["ADD", "DIVIDE", "DIVIDE_NUMBER", "MULTIPLY", "NEGATE", "SUBTRACT", "SUBTRACT_FROM_NUMBER", "put_share"]

# (dout, a, b), arrays or a number for a or b -> the gradient of an operand before it is summed to its shape
Share = Callable[[Array, Any, Any], Array]


def put_share(sink: Sink, inp: Tensor, compute: Callable[[], Array]) -> None:
    """Gives inp what compute returns, summed to inp's shape, if its gradient is needed."""
    sink.put(inp, lambda into: np.copyto(into._array, total_to(compute(), inp.shape)))


def _negated(array: Array) -> Array:
    return np.asarray(np.negative(array))


def _as_it_is(dout: Array, a: Any, b: Any) -> Array:
    return dout


def _negative(dout: Array, a: Any, b: Any) -> Array:
    return _negated(dout)


def _product_left(dout: Array, a: Any, b: Any) -> Array:
    return compute(arithmetic.MULTIPLY, dout, b)


def _product_right(dout: Array, a: Any, b: Any) -> Array:
    return compute(arithmetic.MULTIPLY, dout, a)


def _quotient_left(dout: Array, a: Any, b: Any) -> Array:
    return compute(arithmetic.DIVIDE, dout, b)


def _quotient_right(dout: Array, a: Any, b: Array) -> Array:
    """-out.g * ((a / b) / b), as PyTorch computes it: no square that overflows before the quotient does."""
    twice_divided = compute(arithmetic.DIVIDE, compute(arithmetic.DIVIDE, a, b), b)
    return _negated(compute(arithmetic.MULTIPLY, dout, twice_divided))


def _both(code: int, of_a: Share, of_b: Share, reads: Callable[[Tensor, Tensor], Sequence[Tensor]]) -> Any:
    """forward and backward of an operation on two tensors, or on a tensor and a number after it."""

    def forward(left: Tensor, right: Tensor | None = None, number: Any = None) -> Tensor:
        out = wrap(compute(code, left._array, number if right is None else right._array))
        if right is None:
            return record(out, BY_CODE[code], (left,), (), {"number": number})
        return record(out, BY_CODE[code], (left, right), reads(left, right))

    def backward(inputs: Sequence[Tensor], saved: Any, dout: Tensor, sink: Sink, number: Any = None) -> None:
        a, b = inputs[0]._array, number if len(inputs) == 1 else inputs[1]._array
        for inp, share in zip(inputs, (of_a, of_b), strict=False):
            put_share(sink, inp, partial(share, dout._array, a, b))

    return forward, backward


def _after_number(code: int, of_b: Share, reads: bool) -> Any:
    """forward and backward of number - t and number / t."""

    def forward(right: Tensor, number: Any) -> Tensor:
        out = wrap(compute(code, number, right._array))
        return record(out, AFTER_NUMBER[code], (right,), (right,) if reads else (), {"number": number})

    def backward(inputs: Sequence[Tensor], saved: Any, dout: Tensor, sink: Sink, number: Any) -> None:
        put_share(sink, inputs[0], partial(of_b, dout._array, number, inputs[0]._array))

    return forward, backward


def _nothing(a: Tensor, b: Tensor) -> Sequence[Tensor]:
    return ()


def _divisor(a: Tensor, b: Tensor) -> Sequence[Tensor]:
    return (a, b) if b.requires_g else (b,)


def _bias_or(backward: Callable[..., None]) -> Callable[..., None]:
    """For +: a bias gets its gradient as lin gives it, also where that is added to what other paths left."""

    def with_bias(inputs: Sequence[Tensor], saved: Any, dout: Tensor, sink: Sink, number: Any = None) -> None:
        for inp in inputs:
            if inp.ndim == 1 and dout.ndim == 2 and inp.shape == dout.shape[1:]:
                bias_backward(inp, dout, sink.into(inp))
            else:
                backward((inp,), saved, dout, sink)

    return with_bias


_add, _add_backward = _both(arithmetic.ADD, _as_it_is, _as_it_is, _nothing)
_subtract, _subtract_backward = _both(arithmetic.SUBTRACT, _as_it_is, _negative, _nothing)
_multiply, _multiply_backward = _both(arithmetic.MULTIPLY, _product_left, _product_right, needed)
_divide, _divide_backward = _both(arithmetic.DIVIDE, _quotient_left, _quotient_right, _divisor)
_from_number, _from_number_backward = _after_number(arithmetic.SUBTRACT, _negative, reads=False)
_number_over, _number_over_backward = _after_number(arithmetic.DIVIDE, _quotient_right, reads=True)


def _negate(inp: Tensor) -> Tensor:
    return record(wrap(_negated(inp._array)), NEGATE, (inp,))


def _negate_backward(inputs: Sequence[Tensor], saved: Any, dout: Tensor, sink: Sink) -> None:
    put_share(sink, inputs[0], lambda: _negated(dout._array))


ADD = register(
    Op(
        "+",
        _add,
        _bias_or(_add_backward),
        operands=("a", "b"),
        equation="out = a + b",
        gradients=("out.g", "out.g"),
        references=("arithmetic", "linear_backward_b", "sum"),
    )
)
SUBTRACT = register(
    Op(
        "-",
        _subtract,
        _subtract_backward,
        operands=("a", "b"),
        equation="out = a - b",
        gradients=("out.g", "-out.g"),
        references=("arithmetic", "sum"),
    )
)
MULTIPLY = register(
    Op(
        "*",
        _multiply,
        _multiply_backward,
        operands=("a", "b"),
        equation="out = a * b",
        gradients=("out.g * b", "out.g * a"),
        references=("arithmetic", "sum"),
    )
)
DIVIDE = register(
    Op(
        "/",
        _divide,
        _divide_backward,
        operands=("a", "b"),
        equation="out = a / b",
        gradients=("out.g / b", "-out.g * (a / b / b)"),
        references=("arithmetic", "sum"),
    )
)
SUBTRACT_FROM_NUMBER = register(
    Op(
        "number -",
        _from_number,
        _from_number_backward,
        operands=("b",),
        equation="out = number - b",
        gradients=("-out.g",),
        references=("arithmetic",),
        elementwise=True,
    )
)
DIVIDE_NUMBER = register(
    Op(
        "number /",
        _number_over,
        _number_over_backward,
        operands=("b",),
        equation="out = number / b",
        gradients=("-out.g * (number / b / b)",),
        references=("arithmetic",),
        elementwise=True,
    )
)
NEGATE = register(
    Op(
        "unary -",
        _negate,
        _negate_backward,
        operands=("inp",),
        equation="out = -inp",
        gradients=("-out.g",),
        elementwise=True,
    )
)
BY_CODE = {
    arithmetic.ADD: ADD,
    arithmetic.SUBTRACT: SUBTRACT,
    arithmetic.MULTIPLY: MULTIPLY,
    arithmetic.DIVIDE: DIVIDE,
}
AFTER_NUMBER = {arithmetic.SUBTRACT: SUBTRACT_FROM_NUMBER, arithmetic.DIVIDE: DIVIDE_NUMBER}


# ---- operators ----


def _operated(op: Op, left: Tensor, right: Any) -> Tensor:
    right = operand(op.name, left, right)
    result: Tensor = op(left, right) if isinstance(right, Tensor) else op(left, number=right)
    return result


def add(self: Tensor, other: ArrayLike) -> Tensor:
    """self + other: a tensor, an array or a number. Gradients are summed over the axes that were broadcast."""
    return _operated(ADD, self, other)


def sub(self: Tensor, other: ArrayLike) -> Tensor:
    """self - other."""
    return _operated(SUBTRACT, self, other)


def mul(self: Tensor, other: ArrayLike) -> Tensor:
    """self * other, element by element."""
    return _operated(MULTIPLY, self, other)


def truediv(self: Tensor, other: ArrayLike) -> Tensor:
    """self / other, element by element. Infinity or NaN where other is 0."""
    return _operated(DIVIDE, self, other)


def radd(self: Tensor, other: ArrayLike) -> Tensor:
    """other + self."""
    return _operated(ADD, self, other)


def rmul(self: Tensor, other: ArrayLike) -> Tensor:
    """other * self, element by element."""
    return _operated(MULTIPLY, self, other)


def rsub(self: Tensor, other: ArrayLike) -> Tensor:
    """other - self."""
    return _turned(SUBTRACT, SUBTRACT_FROM_NUMBER, self, other)


def rtruediv(self: Tensor, other: ArrayLike) -> Tensor:
    """other / self, element by element."""
    return _turned(DIVIDE, DIVIDE_NUMBER, self, other)


def _turned(op: Op, after_number: Op, right: Tensor, left: Any) -> Tensor:
    left = operand(op.name, right, left)
    result: Tensor = op(left, right) if isinstance(left, Tensor) else after_number(right, number=left)
    return result


def neg(self: Tensor) -> Tensor:
    """-self."""
    return _negate(self)


_methods: dict[str, Callable[..., Tensor]] = {
    "__add__": add,
    "__sub__": sub,
    "__mul__": mul,
    "__truediv__": truediv,
    "__radd__": radd,
    "__rsub__": rsub,
    "__rmul__": rmul,
    "__rtruediv__": rtruediv,
    "__neg__": neg,
}
for _name, _method in _methods.items():
    attach(_name, _method)

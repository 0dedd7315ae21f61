"""What classifications are made of: sigmoid, tanh, softmax and its logarithm, cross_entropy and nll."""

from __future__ import annotations

import numpy as np

from pybackprop.autograd.tensor import tensor
from pybackprop.core.arrays import Array
from pybackprop.ops import CROSS_ENTROPY, LOG_SOFTMAX, NLL, SIGMOID, SOFTMAX, TANH, Op, reference
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import class_data, given
from pybackprop.selftest.draw import Draw


def _columns(draw: Draw) -> int:
    return draw.between(200, 1200) if draw.maybe(0.03) else draw.size(1)


def _compare(case: Case, op: Op, x: Array, laid: Array, dout: Array) -> None:
    """A function of x with its gradient, by its record."""
    forward, backward = (getattr(reference, name) for name in op.references)
    inp = tensor(laid)
    case.check.same(op.name, op(given(case.draw, laid)).data, forward(x))
    out = op(inp)
    out.g = dout
    op.grad(inp, out)  # type: ignore[misc]
    case.check.same(op.lesson_grad, inp.g.data, backward(x, dout))


@kind("sigmoid and tanh", 3)
def activation_case(case: Case) -> None:
    draw = case.draw
    dtype, shape = draw.dtype(), (draw.rows(0), _columns(draw))
    x, dout = draw.array("x", shape, dtype), draw.array("out.g", shape, dtype)
    laid = draw.laid("x", x)
    _compare(case, draw.one_of((SIGMOID, TANH)), np.array(laid, order="C"), laid, dout)


@kind("softmax", 3)
def softmax_case(case: Case) -> None:
    draw = case.draw
    dtype, shape = draw.dtype(), (draw.rows(0), _columns(draw))
    x, dout = draw.array("x", shape, dtype), draw.array("out.g", shape, dtype)
    laid = draw.laid("x", x)
    _compare(case, draw.one_of((SOFTMAX, LOG_SOFTMAX)), np.array(laid, order="C"), laid, dout)


@kind("cross_entropy", 4)
def cross_entropy_case(case: Case) -> None:
    draw, check = case.draw, case.check
    dtype, n, h = draw.dtype(), draw.rows(1), _columns(draw)
    op = draw.one_of((CROSS_ENTROPY, CROSS_ENTROPY, NLL))
    out = draw.laid("out", draw.array("out", (n, h), dtype))
    targ, plain = class_data(draw, n, h, dtype), np.array(out, order="C")
    forward, backward = (getattr(reference, name) for name in op.references)
    check.same(op.name, op(given(draw, out), targ).data, forward(plain, targ))
    inp = tensor(out)
    op.grad(inp, targ)  # type: ignore[misc]
    check.same(op.lesson_grad, inp.g.data, backward(plain, targ))

"""What classifications are made of: sigmoid, tanh, softmax and its logarithm, cross_entropy and nll."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pybackprop.autograd.tensor import tensor
from pybackprop.ops import CROSS_ENTROPY, LOG_SOFTMAX, NLL, SIGMOID, SOFTMAX, TANH, Op, reference
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import class_data, given
from pybackprop.selftest.draw import Draw


def _columns(draw: Draw) -> int:
    return draw.between(200, 1200) if draw.maybe(0.03) else draw.size(1)


def _compare(case: Case, ops: Sequence[Op]) -> None:
    """One of these functions of x with its gradient, by its record."""
    draw = case.draw
    dtype, shape = draw.dtype(), (draw.rows(0), _columns(draw))
    x, dout = draw.array("x", shape, dtype), draw.array("out.g", shape, dtype)
    laid = draw.laid("x", x)
    op, plain = draw.one_of(ops), np.array(laid, order="C")
    forward, backward = (getattr(reference, name) for name in op.references)
    inp = tensor(laid)
    case.check.same(op.name, op(given(draw, laid)).data, forward(plain))
    out = op(inp)
    out.g = dout
    op.grad(inp, out)  # type: ignore[misc]
    case.check.same(op.lesson_grad, inp.g.data, backward(plain, dout))


@kind("sigmoid and tanh", 3)
def activation_case(case: Case) -> None:
    _compare(case, (SIGMOID, TANH))


@kind("softmax", 3)
def softmax_case(case: Case) -> None:
    _compare(case, (SOFTMAX, LOG_SOFTMAX))


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

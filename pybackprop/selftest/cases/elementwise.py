"""Elementwise operations, mse and sgd: forward, backward, in place, into out=, over their own operands."""

from __future__ import annotations

import numpy as np

from pybackprop.autograd.tensor import Tensor, as_tensor, param, tensor
from pybackprop.core.arrays import Array
from pybackprop.nn.optim import SGD
from pybackprop.ops import leaky_relu, leaky_relu_grad, mse, mse_grad, reference, relu, relu_, relu_grad
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import RATES, SLOPES, given, output
from pybackprop.selftest.draw import Draw

WRITABLE = ("C", "F", "steps", "backwards", "unaligned", "offset")


def _shape(draw: Draw) -> tuple[int, ...]:
    if draw.maybe(0.008):
        return (draw.between(1000, 100_000),)
    dimensions = draw.one_of((1, 2, 2, 3))
    return tuple(draw.size() for _ in range(dimensions)) if dimensions < 3 else tuple(draw.between(0, 9) for _ in "123")


@kind("relu", 6)
def relu_case(case: Case) -> None:
    draw, check = case.draw, case.check
    dtype, shape = draw.dtype(), _shape(draw)
    x, dout = draw.array("x", shape, dtype), draw.array("out.g", shape, dtype)
    laid = draw.laid("x", x)
    x = np.array(laid, order="C")
    expected, gradient = reference.relu_forward(x), reference.relu_backward(x, dout)
    inp = tensor(laid)
    out = relu(given(draw, laid) if draw.maybe(0.4) else inp)
    check.same("relu", out.data, expected)
    with output(case, "relu", dout) as place:
        relu(given(draw, laid), out=place)
        check.same("relu(out=)", place, expected)
    over = draw.note("inplace", draw.maybe(0.5))
    out = relu(inp)
    out.g = dout
    relu_grad(inp, out, inplace=over)
    check.same("relu_grad", inp.g.data, gradient)
    _relu_in_place(case, x, dout, expected, gradient, over)


def _relu_in_place(case: Case, x: Array, dout: Array, expected: Array, gradient: Array, over: bool) -> None:
    draw, check = case.draw, case.check
    if x.ndim < 3:
        view = draw.laid("relu_", x, WRITABLE if x.ndim == 2 else ("C", "steps", "backwards", "unaligned", "offset"))
        relu_(view)
        check.same("relu_ of an array", view, expected)
    both = tensor(x)
    relu_(both)
    check.same("relu_", both.data, expected)
    both.g = dout
    relu_grad(both, both, inplace=over)
    check.same("relu_grad of relu_", both.g.data, gradient)


@kind("leaky_relu", 3)
def leaky_relu_case(case: Case) -> None:
    draw, check = case.draw, case.check
    dtype, shape, slope = draw.dtype(), _shape(draw), draw.note("negative_slope", draw.one_of(SLOPES))
    x, dout = draw.array("x", shape, dtype), draw.array("out.g", shape, dtype)
    laid = draw.laid("x", x)
    x = np.array(laid, order="C")
    inp = tensor(laid)
    out = leaky_relu(inp, negative_slope=slope)
    check.same("leaky_relu", out.data, reference.leaky_relu_forward(x, slope))
    with output(case, "leaky_relu", dout) as place:
        leaky_relu(given(draw, laid), out=place, negative_slope=slope)
        check.same("leaky_relu(out=)", place, reference.leaky_relu_forward(x, slope))
    out.g = dout
    leaky_relu_grad(inp, out, negative_slope=slope)
    check.same("leaky_relu_grad", inp.g.data, reference.leaky_relu_backward(x, dout, slope))


@kind("mse", 5)
def mse_case(case: Case) -> None:
    draw, check = case.draw, case.check
    dtype, n, h = draw.dtype(), draw.rows(1), draw.size(1)
    if draw.maybe(0.01):
        n, h = draw.between(2000, 20_000), draw.between(1, 4)
    out = draw.laid("out", draw.array("out", (n, h), dtype))
    targ = draw.laid("targ", draw.array("targ", (n, h), dtype))
    plain_out, plain_targ = np.array(out, order="C"), np.array(targ, order="C")
    gradient = reference.mse_backward(plain_out, plain_targ)
    row = h == 1 and draw.note("targ is a row", draw.maybe(0.5))
    targ = np.ascontiguousarray(targ[:, 0]) if row else targ
    check.same("mse", mse(given(draw, out), given(draw, targ)).data, reference.mse_forward(plain_out, plain_targ))
    wanted = draw.maybe(0.3)
    inp, target = tensor(out), tensor(targ, requires_g=True)
    mse_grad(inp, target if wanted else targ)
    check.same("mse_grad", inp.g.data, gradient)
    if wanted:
        check.same("mse_grad: targ.g", target.g.data.reshape(n, h), -gradient)
    over = tensor(out)
    mse_grad(over, targ, inplace=True)
    check.same("mse_grad(inplace=True)", over.g.data, gradient)


@kind("sgd", 3)
def sgd_case(case: Case) -> None:
    """Some updates of parameters in arrays of their own, with and without momentum."""
    draw, check = case.draw, case.check
    dtype, lr = draw.dtype(), draw.note("lr", draw.one_of((draw.random.random(), *RATES)))
    momentum = draw.note("momentum", draw.one_of((0.0, 0.5, 0.9)))
    values = [draw.array(f"p{k}", _shape(draw), dtype) for k in range(draw.one_of((1, 1, 2)))]
    velocities = [np.zeros_like(p) for p in values]
    parameters = [param(p) if draw.maybe(0.7) else _shared(p) for p in values]
    sgd = SGD(parameters, lr=lr, momentum=momentum)
    for _ in range(draw.between(1, 3)):
        for k, p in enumerate(parameters):
            g = draw.array(f"p{k}.g", p.shape, dtype)
            p.g = g
            if momentum:
                values[k], velocities[k] = reference.sgd_momentum_update(values[k], velocities[k], g, lr, momentum)
            else:
                values[k] = reference.sgd_update(values[k], g, lr)
        sgd.step()
        for k, p in enumerate(parameters):
            check.same(f"sgd: p{k}", p.data, values[k])
            if momentum:
                check.same(f"sgd: momentum of p{k}", sgd.velocity(p).data, velocities[k])


def _shared(array: Array) -> Tensor:
    shared = as_tensor(array.copy())
    shared.requires_g = True
    return shared

"""numpy's own functions on tensors: the same numbers as on arrays, and gradients where there are any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, param, tensor
from pybackprop.core.errors import GradientError
from pybackprop.ops import mse, reference
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.draw import FINITE

UFUNCS: tuple[np.ufunc, ...] = (
    np.exp, np.square, np.tanh, np.negative, np.absolute, np.sign, np.floor, np.isfinite, np.add, np.subtract,
    np.multiply, np.maximum, np.minimum, np.greater, np.less_equal, np.equal, np.logaddexp, np.hypot,
)  # fmt: skip
REDUCTIONS: tuple[Callable[..., Any], ...] = (np.sum, np.mean, np.max, np.min, np.prod, np.std)
SHAPES: tuple[Callable[..., Any], ...] = (np.transpose, np.ravel, np.flip, np.sort, np.argsort, np.cumsum)


@kind("numpy", 6)
def numpy_case(case: Case) -> None:
    form = case.draw.note("form", case.draw.one_of(("plain", "plain", "recorded", "refused")))
    {"plain": _plain, "recorded": _recorded, "refused": _refused}[form](case)


def _numbers(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else np.asarray(value)


def _alike(case: Case, what: str, found: Any, expected: Any) -> None:
    found, expected = _numbers(found), np.asarray(expected)
    if expected.dtype.kind == "f":
        case.check.same(what, found, expected)
    else:
        case.check.true(f"{what}: found {found}, expected {expected}", np.array_equal(found, expected))


def _plain(case: Case) -> None:
    """Tensors that want no gradient: all of numpy, with numpy's own bits."""
    draw = case.draw
    dtype, shape = draw.dtype(), (draw.size(1), draw.size(1))
    a, b = draw.array("a", shape, dtype), draw.array("b", shape, dtype)
    if draw.maybe(0.5):
        ufunc = draw.one_of(UFUNCS)
        draw.note("function", ufunc.__name__)
        second = (b,) * (ufunc.nin - 1)
        mixed = tuple(tensor(o) if draw.maybe(0.5) else o for o in second)
        _alike(case, f"np.{ufunc.__name__}", ufunc(tensor(a), *mixed), ufunc(a, *second))
    elif draw.maybe(0.6):
        reduction, axis = draw.one_of(REDUCTIONS), draw.one_of((None, 0, 1, -1))
        options: dict[str, Any] = {"axis": axis, "keepdims": draw.maybe(0.5)}
        draw.note("function", f"{reduction.__name__} {options}")
        _alike(case, f"np.{reduction.__name__}", reduction(tensor(a), **options), reduction(a, **options))
    else:
        function = draw.one_of(SHAPES)
        draw.note("function", function.__name__)
        _alike(case, f"np.{function.__name__}", function(tensor(a)), function(a))


def _recorded(case: Case) -> None:
    """np.maximum(x @ w, 0) and np.dot, np.matmul, np.add: on the tape, with the operations' bits."""
    draw, check = case.draw, case.check
    dtype, n, m, h = draw.dtype(), draw.rows(1), draw.size(1), draw.size(1)
    x, targ = draw.array("x", (n, m), dtype), draw.array("targ", (n, h), dtype)
    w, b = draw.array("w", (m, h), dtype), draw.array("b", (h,), dtype)
    weights, bias = param(w), param(b)
    products: tuple[Callable[..., Any], ...] = (np.matmul, np.dot)
    product = draw.one_of(products)(draw.one_of((x, tensor(x))), weights)
    z = np.add(product, bias) if draw.maybe(0.5) else np.add(bias, product)
    relus: tuple[Callable[[Any], Any], ...] = (
        lambda t: np.maximum(t, 0),
        lambda t: np.maximum(0.0, t),
        lambda t: np.clip(t, 0, None),
    )
    loss = mse(draw.one_of(relus)(z), targ)
    loss.backward()
    expected = reference.matmul(x, w) + b
    out = reference.relu_forward(expected)
    dz = reference.relu_backward(expected, reference.mse_backward(out, targ))
    check.same("the loss", loss.data, reference.mse_forward(out, targ))
    check.same("w.g", weights.g.data, reference.linear_backward_w(x, dz))
    check.same("b.g", bias.g.data, reference.linear_backward_b(dz))


def _refused(case: Case) -> None:
    """What has no derivative here gives numpy's numbers, and a backward through it raises: no gradient is lost."""
    draw = case.draw
    dtype, shape = draw.dtype(), (draw.size(1), draw.size(1))
    a = draw.array("a", shape, dtype, FINITE)
    function: np.ufunc = draw.one_of((np.arctan, np.cbrt, np.floor, np.sinh))
    draw.note("function", function.__name__)
    p = param(a)
    result = function(p)
    _alike(case, f"np.{function.__name__}", result, function(a))
    try:
        mse(result, np.zeros(shape, dtype)).backward()
    except GradientError:
        case.check.count += 1
        return
    case.check.true(
        f"np.{function.__name__}: a backward through it neither raised nor gave a gradient", p.g is not None
    )

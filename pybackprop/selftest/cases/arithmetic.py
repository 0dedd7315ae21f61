"""Arithmetic of tensors: + - * / with broadcasting, powers, roots, sums, clamp_min; bits forward, float64 backward."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, param, tensor
from pybackprop.core import arithmetic
from pybackprop.core.arrays import Array
from pybackprop.ops import mse, reference
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.draw import Draw

OPERATORS: tuple[tuple[str, Callable[[Any, Any], Any], int], ...] = (
    ("+", operator.add, arithmetic.ADD),
    ("-", operator.sub, arithmetic.SUBTRACT),
    ("*", operator.mul, arithmetic.MULTIPLY),
    ("/", operator.truediv, arithmetic.DIVIDE),
)
EXPONENTS = (0, 1, 2, 3, 7, 64, -1, -2, -5)
LOWS = (0.0, -0.5, 1.0)


@kind("arithmetic", 8)
def arithmetic_case(case: Case) -> None:
    form = case.draw.note("form", case.draw.one_of(("operator", "operator", "unary", "gradient")))
    {"operator": _operator, "unary": _unary, "gradient": _gradient}[form](case)


def _shapes(draw: Draw) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two that broadcast."""
    n, m = draw.rows(), draw.size()
    other = draw.one_of(((n, m), (n, m), (m,), (n, 1), (1, m), (1, 1), ()))
    return ((n, m), other) if draw.maybe(0.6) else (other, (n, m))


def _operator(case: Case) -> None:
    draw, dtype = case.draw, case.draw.dtype()
    left, right = _shapes(draw)
    symbol, function, code = draw.one_of(OPERATORS)
    draw.note("operator", symbol)
    a, b = (draw.laid(name, draw.array(name, shape, dtype)) for name, shape in (("a", left), ("b", right)))
    expected = reference.arithmetic(code, a, b)
    one, other = draw.one_of(((tensor(a), tensor(b)), (tensor(a), b), (a, tensor(b))))
    case.check.same(f"a {symbol} b", function(one, other).data, expected)


def _unary(case: Case) -> None:
    draw, dtype = case.draw, case.draw.dtype()
    x = draw.laid("x", draw.array("x", (draw.rows(), draw.size()), dtype))
    plain, t = np.array(x, order="C"), tensor(x)
    exponent, low, axis = draw.one_of(EXPONENTS), draw.one_of(LOWS), draw.one_of((0, 1))
    draw.note("arguments", f"exponent {exponent}, low {low}, axis {axis}")
    case.check.same("x ** exponent", (t**exponent).data, reference.power(plain, exponent))
    case.check.same("x.sqrt()", t.sqrt().data, reference.square_root(plain))
    case.check.same("x.sum(axis)", t.sum(axis).data, reference.sum(plain, axis))
    case.check.same("x.clamp_min(low)", t.clamp_min(low).data, reference.clamp_min_forward(plain, low))


# ---- derivatives: (of two tensors, the partial derivatives by float64) ----

DERIVATIVES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Array, Array], tuple[Any, Any]]]] = {
    "a + b": (lambda a, b: a + b, lambda a, b: (1, 1)),
    "a - b": (lambda a, b: a - b, lambda a, b: (1, -1)),
    "a * b": (lambda a, b: a * b, lambda a, b: (b, a)),
    "a / b": (lambda a, b: a / b, lambda a, b: (1 / b, -a / b**2)),
    "-a + b": (lambda a, b: -a + b, lambda a, b: (-1, 1)),
    "a ** 2 * b": (lambda a, b: a**2 * b, lambda a, b: (2 * a * b, a**2)),
    "a ** 3 + b": (lambda a, b: a**3 + b, lambda a, b: (3 * a**2, 1)),
}


def _tame(draw: Draw, shape: tuple[int, ...], dtype: Any) -> Array:
    """Between 0.5 and 1.5 in size, of both signs."""
    values = draw.numbers.uniform(0.5, 1.5, shape) * draw.numbers.choice([-1.0, 1.0], shape)
    return np.asarray(values, dtype)


def _gradient(case: Case) -> None:
    """Of a formula with broadcast operands; what arrives at it is taken as it is."""
    draw, dtype = case.draw, case.draw.dtype()
    left, right = _shapes(draw)
    if 0 in (*left, *right):
        left, right = (3, 4), (4,)
    what = draw.note("formula", draw.one_of(tuple(DERIVATIVES)))
    draw.note("shapes", (left, right))
    forward, partials = DERIVATIVES[what]
    a, b = _tame(draw, left, dtype), _tame(draw, right, dtype)
    p, q = param(a), param(b)
    out = forward(p, q)
    mse(out, np.zeros(out.shape, dtype)).backward(keep=True)
    dout = out.g.data.astype(np.float64)
    for name, t, partial in zip("ab", (p, q), partials(a.astype(np.float64), b.astype(np.float64)), strict=True):
        shares = np.broadcast_to(dout * partial, out.shape)
        exact, terms = (_summed(each, t.shape) for each in (shares, np.abs(shares)))
        case.check.close(f"{what}: {name}.g", t.g.data, exact, terms, 8 + out.size // max(t.size, 1))


def _summed(array: Array, shape: tuple[int, ...]) -> Array:
    """Over the axes that were broadcast."""
    added = array.sum(tuple(range(array.ndim - len(shape))))
    axes = tuple(k for k, size in enumerate(shape) if size == 1 and added.shape[k] != 1)
    return np.asarray(added.sum(axes, keepdims=True) if axes else added)

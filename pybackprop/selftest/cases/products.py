"""Products: matmul in all its forms, and lin with its three gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.autograd.tensor import as_tensor, tensor
from pybackprop.core.arrays import Array
from pybackprop.core.native import SEGMENT
from pybackprop.ops import lin, lin_grad, matmul, reference
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import UNTOUCHED, given, output, unchanged
from pybackprop.selftest.draw import Draw

MOST_WORK = 2e6  # multiplications in a case
LONG = (SEGMENT - 1, SEGMENT, SEGMENT + 1, 1025, 2049, 3000)
WIDE = (600, 1000, 4097)


@kind("matmul", 14)
def matmul_case(case: Case) -> None:
    """A product into a new tensor, into out=, or added to it, of operands in any layout."""
    draw, check = case.draw, case.check
    dtype, (rows, inner, cols) = draw.dtype(), _sizes(draw)
    across_a, across_b = draw.note("transposes", (draw.maybe(0.4), draw.maybe(0.4)))
    a = draw.laid("a", draw.array("a", (inner, rows) if across_a else (rows, inner), dtype))
    b = draw.laid("b", draw.array("b", (cols, inner) if across_b else (inner, cols), dtype))
    before_a, before_b = np.array(a), np.array(b)
    form = draw.note("form", draw.one_of(("new", "@", "out", "out", "inset", "repeated")))
    if form == "new":
        found = matmul(given(draw, a), given(draw, b), across_a, across_b)
        check.same("matmul", found.data, reference.matmul(before_a, before_b, across_a, across_b))
    elif form == "@":
        left, right = as_tensor(a), tensor(b)
        found = (left.T if across_a else left) @ (right.T if across_b else right)
        check.same("@", found.data, reference.matmul(before_a, before_b, across_a, across_b))
    else:
        _into(case, form, a, b, across_a, across_b)
    unchanged(case, a=(a, before_a), b=(b, before_b))


def _sizes(draw: Draw) -> tuple[int, int, int]:
    rows, inner, cols = draw.size(), draw.size(), draw.size()
    p = draw.random.random()
    if p < 0.02:
        inner = draw.one_of(LONG)
    elif p < 0.04:
        rows = draw.one_of(WIDE)
    elif p < 0.06:
        cols = draw.one_of(WIDE)
    elif p < 0.061:
        rows, inner, cols = (draw.between(150, 400) for _ in range(3))
    return (rows, min(inner, 3), cols) if rows * inner * cols > MOST_WORK and p >= 0.061 else (rows, inner, cols)


def _into(case: Case, form: str, a: Array, b: Array, across_a: bool, across_b: bool) -> None:
    draw, check = case.draw, case.check
    accumulate = draw.note("accumulate", draw.maybe(0.5))
    shape = (a.shape[across_a], b.shape[1 - across_b])
    start = draw.array("out", shape, a.dtype)
    plain_a, plain_b = np.array(a), np.array(b)

    def expected(found: Array) -> Array:
        return reference.matmul(plain_a, plain_b, across_a, across_b, add_to=found if accumulate else None)

    if form == "inset":
        whole = np.full((shape[0] + 3, shape[1] + 5), UNTOUCHED, a.dtype)
        out = whole[2:-1, 3:-2]
        out[...] = start
        matmul(given(draw, a), given(draw, b), across_a, across_b, out=out, accumulate=accumulate)
        check.same("matmul(out=)", out, expected(start))
        out[...] = UNTOUCHED
        check.true("matmul: wrote outside out", (whole == UNTOUCHED).all())
    elif form == "repeated":  # the second call takes the short way for tensors that are known to fit
        left, right, result = tensor(a), tensor(b), tensor(start)
        for _ in range(2):
            wanted = expected(result.data.copy())
            matmul(left, right, across_a, across_b, out=result, accumulate=accumulate)
            check.same("matmul(out=tensor)", result.data, wanted)
    else:
        with output(case, "matmul", start) as out:
            target: Any = as_tensor(out) if draw.maybe(0.4) else out
            matmul(given(draw, a), given(draw, b), across_a, across_b, out=target, accumulate=accumulate)
            check.same("matmul(out=)", out, expected(start))


@kind("lin", 12)
def lin_case(case: Case) -> None:
    """lin, and lin_grad for x, w and b, as the lesson calls them."""
    draw, check = case.draw, case.check
    dtype, n, m, h = draw.dtype(), draw.rows(), draw.size(), draw.size()
    x = draw.laid("x", draw.array("x", (n, m), dtype))
    w = draw.laid("w", draw.array("w", (m, h), dtype))
    b = draw.laid("b", draw.array("b", (h,), dtype)) if draw.maybe(0.8) else None
    dout = draw.array("out.g", (n, h), dtype)
    plain_x, plain_w = np.array(x, order="C"), np.array(w, order="C")
    expected = reference.linear_forward(plain_x, plain_w, b)
    if draw.maybe(0.3):
        with output(case, "lin", draw.array("out", (n, h), dtype)) as place:
            target: Any = as_tensor(place) if draw.maybe(0.5) else place
            lin(given(draw, x), given(draw, w), None if b is None else given(draw, b), out=target)
            check.same("lin(out=)", place, expected)
    shares = draw.maybe(0.4)
    inp, weights = (as_tensor if shares else tensor)(x), (as_tensor if shares else tensor)(w)
    bias = None if b is None else tensor(b)
    out = lin(inp, weights, bias)
    check.same("lin", out.data, expected)
    out.g = dout
    for _ in range(2 if draw.maybe(0.15) else 1):
        lin_grad(inp, out, weights, bias)
        check.same("lin_grad: inp.g", inp.g.data, reference.linear_backward_x(dout, plain_w))
        check.same("lin_grad: w.g", weights.g.data, reference.linear_backward_w(plain_x, dout))
        if bias is not None:
            check.same("lin_grad: b.g", bias.g.data, reference.linear_backward_b(dout))
    unchanged(case, x=(x, plain_x), w=(w, plain_w))

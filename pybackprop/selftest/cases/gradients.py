"""Gradients against formulas of float64 numpy: the lesson's matrices, within the rounding of their sums."""

from __future__ import annotations

import numpy as np

from pybackprop.autograd.tensor import param, tensor
from pybackprop.core.arrays import Array
from pybackprop.ops import mse, relu
from pybackprop.selftest.case import Case, kind

OF_NORMAL_SIZE = ("plain", "sparse", "sparse -0", "whole")


@kind("formulas", 5)
def formulas_case(case: Case) -> None:
    """mse(relu(x @ w1 + b1) @ w2 + b2, targ) and its gradients.

    Each formula takes the values of float32 that its operation took, so that errors do not add up over operations,
    and no relu can be on the other side of its kink.
    """
    draw, check = case.draw, case.check
    dtype = draw.dtype()
    n, m, h, o = draw.rows(1), draw.size(1), draw.size(1), draw.size(1)
    shapes = {"x": (n, m), "w1": (m, h), "b1": (h,), "w2": (h, o), "b2": (o,), "targ": (n, o)}
    a = {name: draw.array(name, shape, dtype, OF_NORMAL_SIZE) for name, shape in shapes.items()}
    x, w1, b1 = tensor(a["x"], requires_g=True), param(a["w1"]), param(a["b1"])
    w2, b2 = param(a["w2"]), param(a["b2"])
    l1 = x @ w1 + b1
    l2 = relu(l1)
    out = l2 @ w2 + b2
    loss = mse(out, a["targ"])
    loss.backward(keep=True)
    e = {name: array.astype(np.float64) for name, array in a.items()}
    z, active, found = (t.data.astype(np.float64) for t in (l1, l2, out))
    dz, da, dout = (t.g.data.astype(np.float64) for t in (l1, l2, out))

    def product(what: str, result: Array, left: Array, right: Array, plus: Array | float = 0.0) -> None:
        terms = np.abs(left) @ np.abs(right) + np.abs(plus)
        check.close(what, result, left @ right + plus, terms, left.shape[1])

    product("l1", l1.data, e["x"], e["w1"], e["b1"])
    check.close("l2", l2.data, np.maximum(z, 0), 0.0, 0)
    product("out", out.data, active, e["w2"], e["b2"])
    error = found - e["targ"]
    around = np.abs(found) + np.abs(e["targ"])
    check.close("loss", loss.data, np.mean(error**2), np.mean(error**2 + 2 * np.abs(error) * around), 4)
    check.close("out.g", out.g.data, 2 * error / error.size, 2 * around / error.size, 2)
    product("l2.g", l2.g.data, dout, e["w2"].T)
    product("w2.g", w2.g.data, active.T, dout)
    check.close("b2.g", b2.g.data, dout.sum(0), np.abs(dout).sum(0), n)
    check.close("l1.g", l1.g.data, (z > 0) * da, 0.0, 0)
    product("x.g", x.g.data, dz, e["w1"].T)
    product("w1.g", w1.g.data, e["x"].T, dz)
    check.close("b1.g", b1.g.data, dz.sum(0), np.abs(dz).sum(0), n)

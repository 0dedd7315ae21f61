"""What must come out of a work, in float64, and how far a right result may be from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pybackprop.bench.works import Work
from pybackprop.convert import Array

SLACK = 16  # the largest of millions of random errors is some six times the usual one


@dataclass
class Expected:
    """values: what to find. scale: the size of a sum of such terms. length: how many terms a sum has.

    Rounding errors add up like a random walk, so a result in a dtype may be SLACK eps sqrt(length) away,
    times the size of the sum; and `more` away where a rounding before it may decide on whole terms.
    """

    values: Array
    scale: float
    length: int
    more: Array | float = 0.0

    def tolerance(self, dtype: str) -> Array:
        eps = float(np.finfo(dtype).eps)
        found: Array = SLACK * eps * math.sqrt(self.length) * (self.scale + np.abs(self.values)) + self.more
        return found


def expected(work: Work, data: Mapping[str, Array]) -> dict[str, Expected]:
    """The results of a work by name, from float64 copies of its data."""
    exact = {name: array.astype(np.float64) for name, array in data.items()}
    if work.kind == "step":
        return _step(work.dtype, **exact)
    if work.kind == "matmul":
        return {"out": _product(exact["a"], exact["b"])}
    if work.kind == "forward":
        return {"out": _product(exact["x"], exact["w"], exact["b"])}
    if work.kind == "backward_w":
        return {"dw": _product(exact["x"].T, exact["dout"])}
    return {"dx": _product(exact["dout"], exact["w"].T)}


def _product(a: Array, b: Array, bias: Array | float = 0.0, length: int = 0, more: Array | float = 0.0) -> Expected:
    """a @ b + bias. length: of the sums before this one, whose errors are in a and b."""
    inner = a.shape[1]
    return Expected(a @ b + bias, _rms(a) * _rms(b) * math.sqrt(inner), inner + length, more)


def _rms(array: Array) -> float:
    return float(np.linalg.norm(array)) / math.sqrt(array.size)


def _step(dtype: str, x: Array, targ: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> dict[str, Expected]:
    """The loss and the gradients of mse(relu(x @ w1 + b1) @ w2 + b2, targ)."""
    n, before = len(x), w1.shape[0] + w2.shape[0] + w2.shape[1]
    hidden = _product(x, w1, b1)
    l1 = np.maximum(hidden.values, 0)
    diff = l1 @ w2 + b2 - targ
    dout = diff * (2 / diff.size)
    dl1 = dout @ w2.T
    dz = dl1 * (hidden.values > 0)
    # so near to 0 that a rounding may lead to the other side of it: the whole term may be there or not
    unsure = np.abs(hidden.values) <= hidden.tolerance(dtype)
    rows = unsure.any(1)
    terms = np.abs(dl1[rows]) * unsure[rows]
    ones = np.ones((1, n))
    loss = float(np.mean(diff * diff))
    return {
        "loss": Expected(np.array(loss), loss, diff.size + before),
        "w1.g": _product(x.T, dz, length=before, more=np.abs(x[rows]).T @ terms),
        "b1.g": _vector(_product(ones, dz, length=before, more=terms.sum(0))),
        "w2.g": _product(l1.T, dout, length=before),
        "b2.g": _vector(_product(ones, dout, length=before)),
    }


def _vector(row: Expected) -> Expected:
    row.values = row.values[0]
    return row


def wrong(work: Work, found: Mapping[str, Array], right: Mapping[str, Expected]) -> str | None:
    """What is wrong with an engine's results, in words; None if they are right."""
    if set(found) != set(right):
        return f"gave {sorted(found)}, expected {sorted(right)}"
    for name, one in right.items():
        result = found[name]
        if result.shape != one.values.shape or result.dtype != work.dtype:
            return f"{name}: found {result.dtype} {result.shape}, expected {work.dtype} {one.values.shape}"
        distance, allowed = np.abs(result - one.values), one.tolerance(work.dtype)
        good = distance <= allowed  # a NaN is not
        if not good.all():
            at = np.unravel_index(np.argmin(good), good.shape)
            place = f"[{', '.join(map(str, at))}]" if at else ""
            return (
                f"{name}{place}: found {result[at]:.9g}, expected {one.values[at]:.9g} ± {allowed[at]:.2g}; "
                f"{good.size - np.count_nonzero(good)} of {good.size} are wrong"
            )
    return None

"""The expected results of a workload, in float64, and how far a correct result may be from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pybackprop.bench.workloads import ADAM_LR, BETA2, EPOCHS, EPS, LR, MOMENTUM, STEPS, Workload
from pybackprop.core.arrays import Array

Layers: TypeAlias = list[tuple[Array, Array]]  # each layer's w and b

SLACK = 16  # the largest of millions of random errors is about six times the typical one
SHUFFLED = 0.15  # relative tolerance of an epoch's loss, which depends on the order of the rows


@dataclass
class Expected:
    """values: the exact results. scale: the typical size of a sum of such terms. length: how many terms a sum has.

    Rounding errors add up like a random walk, so a result may be off by SLACK eps sqrt(length) times the size of the
    sum, and also by `more` where earlier rounding decides whether a whole term is included.
    """

    values: Array
    scale: float
    length: int
    more: Array | float = 0.0

    def tolerance(self, dtype: str) -> Array:
        eps = float(np.finfo(dtype).eps)
        allowed: Array = SLACK * eps * math.sqrt(self.length) * (self.scale + np.abs(self.values)) + self.more
        return allowed


def expected(workload: Workload, data: Mapping[str, Array]) -> dict[str, Expected]:
    """The results of a workload by name, from float64 copies of its data."""
    exact = {name: array.astype(np.float64) for name, array in data.items()}
    if workload.kind == "step":
        return _step(workload.dtype, **exact)
    if workload.kind == "epoch":
        return _epoch(workload.dtype, workload.batch, **exact)
    if workload.kind == "classify":
        return _classify(workload.batch, **exact)
    if workload.kind == "update":
        return _update(**exact)
    if workload.kind == "loss":
        return _cross_entropy(**exact)
    if workload.kind == "matmul":
        return {"out": _product(exact["a"], exact["b"])}
    if workload.kind == "forward":
        return {"out": _product(exact["x"], exact["w"], exact["b"])}
    if workload.kind == "backward_w":
        return {"dw": _product(exact["x"].T, exact["dout"])}
    return {"dx": _product(exact["dout"], exact["w"].T)}


def _product(a: Array, b: Array, bias: Array | float = 0.0, length: int = 0, more: Array | float = 0.0) -> Expected:
    """a @ b + bias. length: of the earlier sums, whose errors are in a and b."""
    inner = a.shape[1]
    return Expected(a @ b + bias, _rms(a) * _rms(b) * math.sqrt(inner), inner + length, more)


def _rms(array: Array) -> float:
    return float(np.linalg.norm(array)) / math.sqrt(array.size)


class _Pass:
    """The network's forward and backward in float64: a, each layer's input; z, its output before relu; dz."""

    def __init__(self, x: Array, targ: Array, layers: Layers) -> None:
        self.a, self.z = [x], list[Array]()
        for w, b in layers:
            self.z.append(self.a[-1] @ w + b)
            self.a.append(np.maximum(self.z[-1], 0))
        diff = self.z[-1] - targ
        self.loss = float(np.mean(diff * diff))
        self.restart(diff * (2 / diff.size), layers)

    def restart(self, dz: Array, layers: Layers) -> None:
        """Backward from the gradient of the last layer's outputs."""
        self.dz = [dz]
        for (w, _), z in zip(layers[:0:-1], self.z[-2::-1], strict=True):
            self.dz.insert(0, (self.dz[0] @ w.T) * (z > 0))


def _layers(parameters: Mapping[str, Array]) -> Layers:
    arrays = list(parameters.values())
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def _step(dtype: str, x: Array, targ: Array, **parameters: Array) -> dict[str, Expected]:
    """The loss and the gradients of mse(relu(x @ w1 + b1) @ w2 + b2, targ), or with more layers."""
    layers = _layers(parameters)
    done = _Pass(x, targ, layers)
    before = sum(len(w) for w, _ in layers) + targ.shape[1]
    right = {"loss": Expected(np.array(done.loss), done.loss, targ.size + before)}
    doubt = np.zeros_like(targ)  # how far dz may be off where rounding decides whether a term is included
    for k in reversed(range(len(layers))):
        rows = doubt.any(1)
        more = np.abs(done.a[k][rows]).T @ doubt[rows]
        right[f"w{k + 1}.g"] = _product(done.a[k].T, done.dz[k], length=before, more=more)
        ones = np.ones((1, len(x)))
        right[f"b{k + 1}.g"] = _vector(_product(ones, done.dz[k], length=before, more=doubt.sum(0)))
        if k:
            doubt = doubt @ np.abs(layers[k][0].T) + _doubt(dtype, done, layers, k)
    return right


def _doubt(dtype: str, done: _Pass, layers: Layers, k: int) -> Array:
    """The terms of dz of the layer before layer k whose z is so close to 0 that rounding decides its sign."""
    w, b = layers[k - 1]
    z = _product(done.a[k - 1], w, b, length=sum(len(w) for w, _ in layers[: k - 1]))
    terms: Array = np.abs(done.dz[k] @ layers[k][0].T) * (np.abs(z.values) <= z.tolerance(dtype))
    return terms


def _epoch(dtype: str, batch: int, x: Array, targ: Array, **parameters: Array) -> dict[str, Expected]:
    """The mean loss of an epoch's steps, for any order of the rows."""
    layers = _layers(parameters)
    velocity = [[np.zeros_like(p) for p in layer] for layer in layers]
    order, total = np.random.default_rng(0).permutation(len(x)), 0.0
    for start in range(0, len(x), batch):
        rows = order[start : start + batch]
        done = _Pass(x[rows], targ[rows], layers)
        total += done.loss * len(rows)
        for k, layer in enumerate(layers):
            for p, v, g in zip(layer, velocity[k], (done.a[k].T @ done.dz[k], done.dz[k].sum(0)), strict=True):
                v *= MOMENTUM
                v += g
                p -= LR * v
    loss = total / len(x)
    return {"loss": Expected(np.array(loss), loss, 1, more=SHUFFLED * loss)}


def _classify(batch: int, x: Array, targ: Array, **parameters: Array) -> dict[str, Expected]:
    """The mean loss of the last epoch's steps, for any order of the rows."""
    layers = _layers(parameters)
    moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in layer] for layer in layers]
    rng, steps, total = np.random.default_rng(0), 0, 0.0
    for _ in range(EPOCHS):
        order, total = rng.permutation(len(x)), 0.0
        for start in range(0, len(x), batch):
            rows, steps = order[start : start + batch], steps + 1
            done = _Pass(x[rows], np.zeros((len(rows), len(layers[-1][1]))), layers)
            right = _cross_entropy(done.z[-1], targ[rows])
            total += float(right["loss"].values) * len(rows)
            done.restart(right["dout"].values, layers)
            for k, layer in enumerate(layers):
                gradients = done.a[k].T @ done.dz[k], done.dz[k].sum(0)
                for p, (m, v), g in zip(layer, moments[k], gradients, strict=True):
                    m += (1 - MOMENTUM) * (g - m)
                    v += (1 - BETA2) * (g * g - v)
                    squares = v / (1 - BETA2**steps)
                    p -= ADAM_LR * m / (1 - MOMENTUM**steps) / (np.sqrt(squares) + EPS)
    loss = total / len(x)
    return {"loss": Expected(np.array(loss), loss, 1, more=SHUFFLED * loss)}


def _update(p: Array, g: Array, m: Array, v: Array) -> dict[str, Expected]:
    """Adam's update after so many others."""
    m, v = MOMENTUM * m + (1 - MOMENTUM) * g, BETA2 * v + (1 - BETA2) * g * g
    mean, squares = m / (1 - MOMENTUM ** (STEPS + 1)), v / (1 - BETA2 ** (STEPS + 1))
    right = {"p": p - LR * mean / (np.sqrt(squares) + EPS), "m": m, "v": v}
    return {name: Expected(values, _rms(values), 1) for name, values in right.items()}


def _cross_entropy(out: Array, targ: Array) -> dict[str, Expected]:
    """The mean loss of labels, and its gradient."""
    (n, h), rows, labels = out.shape, np.arange(len(out)), targ.astype(int)
    less = out - out.max(1, keepdims=True)
    dout = np.exp(less)
    sums = dout.sum(1)
    loss = float(np.mean(np.log(sums) - less[rows, labels]))
    dout /= sums[:, None]
    dout[rows, labels] -= 1
    dout /= n
    return {"loss": Expected(np.array(loss), loss, n + h), "dout": Expected(dout, _rms(dout), h)}


def _vector(row: Expected) -> Expected:
    row.values = row.values[0]
    return row


def wrong(workload: Workload, results: Mapping[str, Array], right: Mapping[str, Expected]) -> str | None:
    """A message about what is wrong with an engine's results; None if they are right."""
    if set(results) != set(right):
        return f"gave {sorted(results)}, expected {sorted(right)}"
    for name, one in right.items():
        result = results[name]
        if result.shape != one.values.shape or result.dtype != workload.dtype:
            return f"{name}: found {result.dtype} {result.shape}, expected {workload.dtype} {one.values.shape}"
        distance, allowed = np.abs(result - one.values), one.tolerance(workload.dtype)
        good = distance <= allowed  # a NaN is not
        if not good.all():
            at = np.unravel_index(np.argmin(good), good.shape)
            place = f"[{', '.join(map(str, at))}]" if at else ""
            return (
                f"{name}{place}: found {result[at]:.9g}, expected {one.values[at]:.9g} ± {allowed[at]:.2g}; "
                f"{good.size - np.count_nonzero(good)} of {good.size} are wrong"
            )
    return None

"""numpy as a careful user writes it: every buffer allocated beforehand, every result written in place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from pybackprop.bench.engines.engine import Call, Engine, named_gradients, pools
from pybackprop.bench.workloads import BETA2, EPS, LR, MOMENTUM, STEPS
from pybackprop.core.arrays import Array


class Numpy(Engine):
    """matmul(out=) and in-place ufuncs on whatever BLAS numpy was built with."""

    def matmul(self, a: Array, b: Array) -> Call:
        return self._product("out", a, b)

    def backward_w(self, x: Array, dout: Array) -> Call:
        return self._product("dw", x.T, dout)

    def backward_x(self, dout: Array, w: Array) -> Call:
        return self._product("dx", dout, w.T)

    def _product(self, name: str, a: Array, b: Array) -> Call:
        out = np.empty((len(a), b.shape[1]), a.dtype)
        self.results = lambda: {name: out}
        return partial(np.matmul, a, b, out=out)

    def forward(self, x: Array, w: Array, b: Array) -> Call:
        out = np.empty((len(x), len(b)), x.dtype)
        self.results = lambda: {"out": out}

        def call() -> None:
            np.matmul(x, w, out=out)
            np.add(out, b, out=out)

        return call

    def step(self, **data: Array) -> Call:
        step = Step(**data)
        self.results = step.results
        return step

    def update(self, p: Array, g: Array, m: Array, v: Array) -> Call:
        step = Adam(p, g, m, v)
        self.results = lambda: {"p": p, "m": m, "v": v}
        return step

    def loss(self, out: Array, targ: Array) -> Call:
        rows, dout, sums = np.arange(len(out)), np.empty_like(out), np.empty((len(out), 1), out.dtype)
        each = out.dtype.type(1 / len(out))
        self.results = lambda: {"loss": self.last, "dout": dout}

        def call() -> None:
            np.max(out, 1, out=sums, keepdims=True)
            np.subtract(out, sums, out=dout)
            picked = dout[rows, targ]
            np.exp(dout, out=dout)
            np.sum(dout, 1, out=sums, keepdims=True)
            self.last = np.mean(np.log(sums[:, 0]) - picked)
            np.divide(each, sums, out=sums)
            np.multiply(dout, sums, out=dout)
            dout[rows, targ] -= each

        return call

    def about(self) -> dict[str, Any]:
        blas = [pool for pool in pools() if pool["user_api"] == "blas"]
        texts = [f"{p['internal_api']} {p['version']} for {p.get('architecture', 'unknown')}" for p in blas]
        return {"blas": ", ".join(texts) or "unknown BLAS"}


class Adam:
    """An update of p in place, with one array for what is between."""

    def __init__(self, p: Array, g: Array, m: Array, v: Array) -> None:
        self.p, self.g, self.m, self.v, self.held = p, g, m, v, np.empty_like(p)
        self.steps = STEPS

    def __call__(self) -> None:
        p, g, m, v, held = self.p, self.g, self.m, self.v, self.held
        self.steps += 1
        step, root = LR / (1 - MOMENTUM**self.steps), math.sqrt(1 - BETA2**self.steps)
        np.multiply(m, MOMENTUM, out=m)
        np.multiply(g, 1 - MOMENTUM, out=held)
        np.add(m, held, out=m)
        np.multiply(v, BETA2, out=v)
        np.multiply(g, g, out=held)
        np.multiply(held, 1 - BETA2, out=held)
        np.add(v, held, out=v)
        np.sqrt(v, out=held)
        np.divide(held, root, out=held)
        np.add(held, EPS, out=held)
        np.divide(m, held, out=held)
        np.multiply(held, step, out=held)
        np.subtract(p, held, out=p)


class Step:
    """Forward and backward of mse(relu(x @ w1 + b1) @ w2 + b2, targ), or with more layers, without an allocation."""

    x: Array
    targ: Array
    parameters: dict[str, Array]
    layers: list[tuple[Array, Array]]
    a: list[Array]
    d: list[Array]
    is_positive: list[Array]
    flat: Array
    factor: Any
    g: list[tuple[Array, Array]]
    times: list[Any]
    loss: Any

    def __init__(self, x: Array, targ: Array, **parameters: Array) -> None:
        self.x, self.targ, self.parameters = x, targ, parameters
        arrays = list(parameters.values())
        self.layers = list(zip(arrays[::2], arrays[1::2], strict=True))
        self.a = [np.empty((len(x), len(b)), x.dtype) for _, b in self.layers]
        self.d = [np.empty_like(a) for a in self.a[:-1]]
        self.is_positive = [np.empty(a.shape, bool) for a in self.d]
        self.flat = self.a[-1].reshape(-1)
        self.factor = x.dtype.type(2 / targ.size)
        self.g = [(np.empty_like(w), np.empty_like(b)) for w, b in self.layers]
        # an outer product is twice as fast elementwise as through BLAS
        self.times = [np.multiply if w.shape[1] == 1 else np.matmul for w, _ in self.layers]
        self.loss = x.dtype.type(0)

    def __call__(self) -> None:
        last = len(self.layers) - 1
        inp = self.x
        for k, (w, b) in enumerate(self.layers):
            a = self.a[k]
            np.matmul(inp, w, out=a)
            np.add(a, b, out=a)
            if k < last:
                np.maximum(a, 0, out=a)
            inp = a
        np.subtract(inp, self.targ, out=inp)
        self.loss = np.dot(self.flat, self.flat) / inp.size

        np.multiply(inp, self.factor, out=inp)
        d = inp
        for k in range(last, -1, -1):
            w_g, b_g = self.g[k]
            np.matmul((self.a[k - 1] if k else self.x).T, d, out=w_g)
            np.sum(d, 0, out=b_g)
            if k:
                below, a, is_positive = self.d[k - 1], self.a[k - 1], self.is_positive[k - 1]
                self.times[k](d, self.layers[k][0].T, out=below)
                np.greater(a, 0, out=is_positive)
                np.multiply(below, is_positive, out=below)
                d = below

    def results(self) -> Mapping[str, Any]:
        return {"loss": self.loss, **named_gradients(self.parameters, [g for pair in self.g for g in pair])}

"""numpy as a careful user writes it: every buffer made beforehand, every result written in place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from pybackprop.bench.engine import Call, Engine, pools
from pybackprop.convert import Array


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

    def about(self) -> dict[str, Any]:
        found = [pool for pool in pools() if pool["user_api"] == "blas"]
        words = [f"{p['internal_api']} {p['version']} for {p.get('architecture', 'unknown')}" for p in found]
        return {"blas": ", ".join(words) or "unknown BLAS"}


class Step:
    """Forward and backward of mse(relu(x @ w1 + b1) @ w2 + b2, targ) without an allocation."""

    def __init__(self, x: Array, targ: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> None:
        self.x, self.targ, self.w1, self.b1, self.w2, self.b2 = x, targ, w1, b1, w2, b2
        self.l1, self.dl1 = (np.empty((len(x), len(b1)), x.dtype) for _ in range(2))
        self.is_positive = np.empty(self.l1.shape, bool)
        self.out = np.empty(targ.shape, x.dtype)
        self.flat = self.out.reshape(-1)
        self.factor = x.dtype.type(2 / targ.size)
        self.w1_g, self.b1_g, self.w2_g, self.b2_g = map(np.empty_like, (w1, b1, w2, b2))
        # an outer product is twice as fast elementwise as through BLAS
        self.times_w2_t = np.multiply if w2.shape[1] == 1 else np.matmul
        self.loss = x.dtype.type(0)

    def __call__(self) -> None:
        l1, out, dl1 = self.l1, self.out, self.dl1
        np.matmul(self.x, self.w1, out=l1)
        np.add(l1, self.b1, out=l1)
        np.maximum(l1, 0, out=l1)
        np.matmul(l1, self.w2, out=out)
        np.add(out, self.b2, out=out)
        np.subtract(out, self.targ, out=out)
        self.loss = np.dot(self.flat, self.flat) / out.size

        np.multiply(out, self.factor, out=out)
        np.matmul(l1.T, out, out=self.w2_g)
        np.sum(out, 0, out=self.b2_g)
        self.times_w2_t(out, self.w2.T, out=dl1)
        np.greater(l1, 0, out=self.is_positive)
        np.multiply(dl1, self.is_positive, out=dl1)
        np.matmul(self.x.T, dl1, out=self.w1_g)
        np.sum(dl1, 0, out=self.b1_g)

    def results(self) -> Mapping[str, Any]:
        gradients = {"w1.g": self.w1_g, "b1.g": self.b1_g, "w2.g": self.w2_g, "b2.g": self.b2_g}
        return {"loss": self.loss, **gradients}

"""This library: the lesson's functions and the Model, as its users call them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop import settings
from pybackprop.bench.engine import Call, Engine
from pybackprop.convert import Array


class Pybackprop(Engine):
    """Eager calls on tensors."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        bp.set_threads(threads)

    def matmul(self, a: Array, b: Array) -> Call:
        out = bp.tensor(np.zeros((len(a), b.shape[1]), a.dtype))
        self.results = lambda: {"out": out}
        return partial(bp.matmul, bp.tensor(a), bp.tensor(b), out=out)

    def forward(self, x: Array, w: Array, b: Array) -> Call:
        operands = bp.tensor(x), bp.tensor(w), bp.tensor(b)
        self.results = lambda: {"out": self.last}

        def call() -> None:
            self.last = bp.lin(*operands)

        return call

    def backward_w(self, x: Array, dout: Array) -> Call:
        out, w = bp.tensor(dout), bp.tensor(np.zeros((x.shape[1], dout.shape[1]), x.dtype))
        out.g = dout
        self.results = lambda: {"dw": w.g}
        return partial(bp.lin_grad, x, out, w)  # x is an array, so nobody wants its gradient

    def backward_x(self, dout: Array, w: Array) -> Call:
        out, x = bp.tensor(dout), bp.tensor(np.zeros((len(dout), len(w)), w.dtype))
        out.g = dout
        self.results = lambda: {"dx": x.g}
        return partial(bp.lin_grad, x, out, w)

    def step(self, x: Array, targ: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Call:
        model = bp.Model([bp.Lin(w1, b1), bp.Relu(), bp.Lin(w2, b2)], loss=bp.Mse())
        samples, targets = bp.tensor(x), bp.tensor(targ)
        named = dict(zip(("w1.g", "b1.g", "w2.g", "b2.g"), model.parameters(), strict=True))
        self.results = lambda: {"loss": self.last, **{name: p.g for name, p in named.items()}}

        def call() -> None:
            self.last = model(samples, targets)
            model.backward()

        return call

    def about(self) -> dict[str, Any]:
        return settings.info()


class Planned(Pybackprop):
    """The compiled plan: steps only."""

    def step(self, x: Array, targ: Array, w1: Array, b1: Array, w2: Array, b2: Array) -> Call:
        model = bp.Model([bp.Lin(w1, b1), bp.Relu(), bp.Lin(w2, b2)], loss=bp.Mse())
        plan, samples, targets = bp.compile(model, batch=len(x)), bp.tensor(x), bp.tensor(targ)
        named = dict(zip(("w1.g", "b1.g", "w2.g", "b2.g"), model.parameters(), strict=True))
        self.results = lambda: {"loss": np.array(self.last, x.dtype), **{name: p.g for name, p in named.items()}}

        def call() -> None:
            self.last = plan.grads(samples, targets)

        return call

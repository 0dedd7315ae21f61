"""This library: the lesson's functions and the Model, as its users call them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop.bench.engines.engine import Call, Engine, named_gradients
from pybackprop.bench.workloads import ADAM_LR, BETA2, EPOCHS, EPS, LR, MOMENTUM, STEPS
from pybackprop.core import native, settings
from pybackprop.core.arrays import Array


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
        return partial(bp.lin_grad, x, out, w)  # x is an array, so its gradient is not computed

    def backward_x(self, dout: Array, w: Array) -> Call:
        out, x = bp.tensor(dout), bp.tensor(np.zeros((len(dout), len(w)), w.dtype))
        out.g = dout
        self.results = lambda: {"dx": x.g}
        return partial(bp.lin_grad, x, out, w)

    def step(self, x: Array, targ: Array, **parameters: Array) -> Call:
        model, samples, targets = network(parameters), bp.as_tensor(x), bp.as_tensor(targ)
        self.results = lambda: {"loss": self.last, **named_gradients(parameters, [p.g for p in model.parameters()])}

        def call() -> None:
            self.last = model(samples, targets)
            model.backward()

        return call

    def update(self, p: Array, g: Array, m: Array, v: Array) -> Call:
        parameter = bp.param(p)
        parameter.g = g
        adam = bp.Adam([parameter], LR, betas=(MOMENTUM, BETA2), eps=EPS)
        mean, squares = adam.moments(parameter)
        mean.data[...], squares.data[...], adam.steps = m, v, STEPS
        self.results = lambda: {"p": parameter, "m": mean, "v": squares}
        return adam.step

    def loss(self, out: Array, targ: Array) -> Call:
        scores = bp.as_tensor(out)
        self.results = lambda: {"loss": self.last, "dout": scores.g}

        def call() -> None:
            self.last = bp.cross_entropy(scores, targ)
            bp.cross_entropy_grad(scores, targ)

        return call

    def about(self) -> dict[str, Any]:
        return settings.info()


class Planned(Pybackprop):
    """The compiled plan: steps, and whole epochs."""

    def step(self, x: Array, targ: Array, **parameters: Array) -> Call:
        model = network(parameters)
        plan, samples, targets = bp.compile(model, batch=len(x)), bp.as_tensor(x), bp.as_tensor(targ)

        def results() -> dict[str, Any]:
            gradients = [p.g for p in model.parameters()]
            return {"loss": np.array(self.last, x.dtype), **named_gradients(parameters, gradients)}

        self.results = results

        def call() -> None:
            self.last = plan.grads(samples, targets)

        return call

    def epoch(self, x: Array, targ: Array, batch: int, **parameters: Array) -> Call:
        model = network(parameters)
        plan = bp.compile(model, batch=batch, optimizer=bp.SGD(model, lr=LR, momentum=MOMENTUM))
        self.results = lambda: {"loss": np.array(self.last, x.dtype)}
        seeds = count()

        def call() -> None:
            self.last = plan.fit(x, targ, epochs=1, seed=next(seeds))[0].loss

        return call

    def classify(self, x: Array, targ: Array, batch: int, **parameters: Array) -> Call:
        model = network(parameters, bp.CrossEntropy())
        plan = bp.compile(model, batch=min(batch, len(x)), optimizer=bp.Adam(model, ADAM_LR))
        self.results = lambda: {"loss": np.array(self.last, x.dtype)}
        seeds = count()

        def call() -> None:
            self.last = plan.fit(x, targ, epochs=EPOCHS, seed=next(seeds))[-1].loss

        return call


class OnePass(Pybackprop):
    """C's bp_cross_entropy: the loss and its gradient from the same exponentials, as no call from Python does it."""

    def loss(self, out: Array, targ: Array) -> Call:
        loss, dout, labels = np.zeros((), out.dtype), np.empty_like(out), targ.astype(out.dtype)
        pointers = [native.pointer(array) for array in (loss, dout, out, labels)]
        self.results = lambda: {"loss": loss, "dout": dout}
        return partial(native.cross_entropy[out.dtype], *pointers, *out.shape, True)


def network(parameters: Mapping[str, Array], loss: Any = None) -> bp.Model:
    """Lin layers with Relu between them, of copies of w1, b1, w2, b2, ..."""
    arrays = list(parameters.values())
    layers = [layer for w, b in zip(arrays[::2], arrays[1::2], strict=True) for layer in (bp.Lin(w, b), bp.Relu())]
    return bp.Model(layers[:-1], loss=loss)

"""The schemes as programs: each does, line by line, what memory/predict_*.py predicts under the same name.

Each computes one step: forward, loss and all gradients. Data and parameters are allocated before the step; so are the
gradients that count as held: w.g, b.g, and x.g if the program computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array


@dataclass
class Given:
    """x (n,m), targ (n,h), and (w, b) of each layer; b may be None. relu: for each layer, whether a relu follows it."""

    x: Array
    targ: Array
    layers: list[tuple[Tensor, Tensor | None]]
    relu: list[bool]

    @property
    def parameters(self) -> list[Tensor]:
        return [p for layer in self.layers for p in layer if p is not None]

    def touch_gradients(self) -> None:
        """Allocates and writes every parameter's `.g`, so that it is resident."""
        for p in self.parameters:
            p.g = np.ones(p.shape, p.dtype)

    def model(self, **options: Any) -> bp.Model:
        layers: list[Any] = []
        for (w, b), relu in zip(self.layers, self.relu, strict=True):
            layers += [bp.Lin(w, b), *([bp.Relu()] if relu else [])]
        return bp.Model(layers, **options)


def given(widths: list[int], batch: int, dtype: Any, rng: np.random.Generator) -> Given:
    """An mlp of these widths, and random data for it."""
    model, real = bp.mlp(widths, seed=0, dtype=dtype), np.dtype(dtype)
    x = rng.standard_normal((batch, widths[0]), real)
    targ = rng.standard_normal((batch, widths[-1]), real)
    layers = [(layer.w, layer.b) for layer in model.layers if isinstance(layer, bp.Lin)]
    return Given(x, targ, layers, [k < len(layers) - 1 for k in range(len(layers))])


# ---- the lesson ----


def first(data: Given) -> Callable[[], Any]:
    return _lesson(data, lambda inp, out: (inp.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0))


def matmul(data: Given) -> Callable[[], Any]:
    return _lesson(data, lambda inp, out: inp.t() @ out.g)


def _lesson(data: Given, w_g: Callable[[Any, Any], Tensor]) -> Callable[[], Any]:
    """The lesson's own lines, on our tensors: w_g(inp, out) is the gradient of w."""
    for p in data.parameters:
        p.requires_g = False  # gradients are computed by hand: nothing is recorded
    x, targ = bp.as_tensor(data.x), bp.as_tensor(data.targ)
    x.g = np.broadcast_to(x.dtype.type(1), x.shape)

    def lin_grad(inp: Any, out: Any, w: Any, b: Any) -> None:
        inp.g = out.g @ w.t()
        w.g = w_g(inp, out)
        if b is not None:
            b.g = out.g.sum(0)

    def step() -> Any:
        kept, inp = [], x
        for (w, b), relu in zip(data.layers, data.relu, strict=True):
            out = inp @ w if b is None else inp @ w + b
            after = out.clamp_min(0.0) if relu else out
            kept.append((inp, out, after))
            inp = after
        loss = (inp - targ).pow(2).mean()
        inp.g = 2.0 * (inp - targ) / inp.size
        for (w, b), relu, (before, out, after) in reversed(list(zip(data.layers, data.relu, kept, strict=True))):
            if relu:
                out.g = (out > 0).float() * after.g
            lin_grad(before, out, w, b)
        return loss

    return step


def functions(data: Given) -> Callable[[], Any]:
    x = bp.as_tensor(data.x)
    x.g = np.broadcast_to(x.dtype.type(1), x.shape)
    return _functions(data, x, inplace=False)


def inplace(data: Given) -> Callable[[], Any]:
    return _functions(data, data.x, inplace=True)


def _functions(data: Given, x: Any, inplace: bool) -> Callable[[], Any]:
    for p in data.parameters:
        p.requires_g = False

    def step() -> Any:
        kept, inp = [], x
        for (w, b), relu in zip(data.layers, data.relu, strict=True):
            out = bp.lin(inp, w, b)
            after = (bp.relu_(out) if inplace else bp.relu(out)) if relu else out
            kept.append((inp, out, after))
            inp = after
        loss = bp.mse(inp, data.targ)
        bp.mse_grad(inp, data.targ, inplace=inplace and not data.relu[-1])
        for (w, b), relu, (before, out, after) in reversed(list(zip(data.layers, data.relu, kept, strict=True))):
            if relu:
                bp.relu_grad(out, after, inplace=inplace)
            bp.lin_grad(before, out, w, b)
        return loss

    return step


# ---- models, plans, peers ----


def model(data: Given) -> Callable[[], Any]:
    return _model(data, data.model())


def model_inplace(data: Given) -> Callable[[], Any]:
    return _model(data, data.model(inplace=True))


def _model(data: Given, model: bp.Model) -> Callable[[], Any]:
    def step() -> Any:
        loss = model(data.x, data.targ)
        model.backward()
        return loss

    return step


def plan(strategy: str | None) -> Callable[[Given], Callable[[], Any]]:
    """compile is part of the step, because it allocates the plan's memory."""

    def program(data: Given) -> Callable[[], Any]:
        plans = []

        def step() -> Any:
            plans.append(bp.compile(data.model(), batch=max(1, len(data.x)), strategy=strategy))
            return plans[0].grads(data.x, data.targ)

        return step

    return program


def engine(name: str) -> Callable[[Given], Callable[[], Any]]:
    """A peer's step, as the benchmark times it: see bench/engines."""

    def program(data: Given) -> Callable[[], Any]:
        from pybackprop.bench.engines import engine as engines
        from pybackprop.core.settings import threads

        where = next(entry.where for entry in engines.ENTRIES if entry.name == name)
        peer: Any = engines.load(where, threads())
        arrays = {}
        for k, (w, b) in enumerate(data.layers, 1):
            arrays[f"w{k}"] = w.data
            arrays[f"b{k}"] = np.zeros(w.shape[1], w.dtype) if b is None else b.data
        return lambda: peer.step(x=data.x, targ=data.targ, **arrays)()

    return program

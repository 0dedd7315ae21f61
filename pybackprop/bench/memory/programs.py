"""The schemes as programs: each does, line by line, what memory/predict_*.py predicts under the same name.

Each computes one step: forward, loss and all gradients. Data and parameters are allocated before the step; so are the
gradients that count as held: w.g, b.g, and x.g if the program computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.core.settings import threads
from pybackprop.memory.predict_lesson import can_overwrite
from pybackprop.nn.layers import ACTIVATIONS, LOSSES, Activation, Loss
from pybackprop.nn.network import takes_labels
from pybackprop.ops import MSE, RELU, Op


@dataclass
class Given:
    """x (n,m), targ (n,h) or labels (n), and (w, b) of each layer, where b may be None.

    after  what follows each layer: an activation or None
    loss   what ends them
    """

    x: Array
    targ: Array
    layers: list[tuple[Tensor, Tensor | None]]
    after: list[Activation | None]
    loss: Loss

    @property
    def parameters(self) -> list[Tensor]:
        return [p for layer in self.layers for p in layer if p is not None]

    def touch_gradients(self) -> None:
        """Allocates and writes every parameter's `.g`, so that it is resident."""
        for p in self.parameters:
            p.g = np.ones(p.shape, p.dtype)

    def model(self, **options: Any) -> bp.Model:
        layers: list[Any] = []
        for (w, b), activation in zip(self.layers, self.after, strict=True):
            layers += [bp.Lin(w, b), *([] if activation is None else [activation])]
        return bp.Model(layers, loss=self.loss, **options)


def given(
    widths: list[int],
    batch: int,
    dtype: Any,
    rng: np.random.Generator,
    activation: str = RELU.name,
    loss: str = MSE.name,
) -> Given:
    """An mlp of these widths, and random data for it. activation, loss: names of operations."""
    model, real = bp.mlp(widths, seed=0, dtype=dtype), np.dtype(dtype)
    x, end = rng.standard_normal((batch, widths[0]), real), LOSSES[loss]()
    layers = [(layer.w, layer.b) for layer in model.layers if isinstance(layer, bp.Lin)]
    after = [*(ACTIVATIONS[activation]() for _ in layers[1:]), None]
    return Given(x, _targets(batch, widths[-1], real, rng, end.op), layers, after, end)


def _targets(batch: int, h: int, dtype: np.dtype[Any], rng: np.random.Generator, loss: Op) -> Array:
    return rng.integers(h, size=batch).astype(dtype) if takes_labels(loss) else rng.random((batch, h), dtype)


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
        for (w, b), activation in zip(data.layers, data.after, strict=True):
            out = inp @ w if b is None else inp @ w + b
            after = out if activation is None else _lesson_activation(activation, out)
            kept.append((inp, out, after))
            inp = after
        loss = _lesson_loss(data.loss, inp, targ)
        for (w, b), activation, (before, out, after) in reversed([*zip(data.layers, data.after, kept, strict=True)]):
            if activation is not None and activation.op is RELU:
                out.g = (out > 0).float() * after.g
            elif activation is not None:
                activation.bwd(after, out)
            lin_grad(before, out, w, b)
        return loss

    return step


def _lesson_activation(activation: Activation, out: Any) -> Any:
    return out.clamp_min(0.0) if activation.op is RELU else activation.forward(out)


def _lesson_loss(loss: Loss, out: Any, targ: Any) -> Tensor:
    """The loss, and out.g."""
    if loss.op is MSE:
        value: Tensor = (out - targ).pow(2).mean()
        out.g = 2.0 * (out - targ) / out.size
        return value
    value = loss.forward(out, targ)
    loss.bwd(value, out, targ)
    return value


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
        for (w, b), activation in zip(data.layers, data.after, strict=True):
            out = after = bp.lin(inp, w, b)
            if activation is not None:
                after = ((activation.inplace if inplace else None) or activation.op)(out, **activation.params)
            kept.append((inp, out, after))
            inp = after
        loss = data.loss.op(inp, data.targ)
        _gradient(data.loss.op, inplace and data.after[-1] is None)(inp, data.targ)
        for (w, b), activation, (before, out, after) in reversed([*zip(data.layers, data.after, kept, strict=True)]):
            if activation is not None:
                _gradient(activation.op, inplace)(out, after, **activation.params)
            bp.lin_grad(before, out, w, b)
        return loss

    return step


def _gradient(op: Op, inplace: bool) -> Callable[..., Any]:
    """An operation's function of the gradient, in place if that is wanted and there is such a form."""
    options: Mapping[str, Any] = {"inplace": True} if inplace and can_overwrite(op) else {}
    return partial(op.grad or _has_none, **options)


def _has_none(*_: Any) -> None:
    raise NotImplementedError("an operation without a function of its gradient")


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


def torch(data: Given) -> Callable[[], Any]:
    """PyTorch's functions of the same names, and its autograd."""
    peer: Any = import_module("torch")
    functional = peer.nn.functional
    peer.set_num_threads(threads())
    tensors: list[Any] = [[_shared(peer, p) for p in pair] for pair in data.layers]
    activations = [None if layer is None else getattr(functional, layer.op.name) for layer in data.after]
    name, x, targ = data.loss.op.name, peer.from_numpy(data.x), peer.from_numpy(data.targ)
    loss = getattr(functional, f"{name}_loss", None) or getattr(functional, name)
    targ = targ.long() if targ.ndim == 1 else targ

    def step() -> Any:
        out = x
        for (w, b), activation in zip(tensors, activations, strict=True):
            out = functional.linear(out, w.T, b)
            out = out if activation is None else activation(out)
        loss(out, targ).backward()

    return step


def _shared(peer: Any, p: Tensor | None) -> Any:
    """A parameter as PyTorch's, in the same memory."""
    return None if p is None else peer.from_numpy(p.data).requires_grad_()


def engine(name: str) -> Callable[[Given], Callable[[], Any]]:
    """A peer's step, as the benchmark times it: see bench/engines."""

    def program(data: Given) -> Callable[[], Any]:
        from pybackprop.bench.engines import engine as engines

        where = next(entry.where for entry in engines.ENTRIES if entry.name == name)
        peer: Any = engines.load(where, threads())
        arrays = {}
        for k, (w, b) in enumerate(data.layers, 1):
            arrays[f"w{k}"] = w.data
            arrays[f"b{k}"] = np.zeros(w.shape[1], w.dtype) if b is None else b.data
        return lambda: peer.step(x=data.x, targ=data.targ, **arrays)()

    return program

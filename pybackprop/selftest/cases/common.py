"""What kinds have in common: operands as people pass them, outputs with guards, random networks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, as_tensor, tensor
from pybackprop.core.arrays import Array
from pybackprop.nn.layers import (
    Activation,
    BinaryCrossEntropy,
    CrossEntropy,
    LeakyRelu,
    Lin,
    Loss,
    Mse,
    Relu,
    Sigmoid,
    Tanh,
)
from pybackprop.nn.network import takes_labels
from pybackprop.nn.optim import SGD, Adam, AdamW, Optimizer
from pybackprop.selftest.case import Case
from pybackprop.selftest.definition import Definition, Layer
from pybackprop.selftest.draw import GUARD, Draw

UNTOUCHED = 7.5  # what lies around an output
WEIGHTS = (
    "plain", "plain", "plain", "plain", "odd", "small", "sparse", "sparse -0", "zeros", "-zeros", "whole", "one odd",
    "huge", "denormal",
)  # fmt: skip
LOSSES = (Mse(), Mse(), Mse(), CrossEntropy(), BinaryCrossEntropy())
SLOPES = (0.01, 0.25, 1.0, 2.5)
RATES = (0.0, 1e-3, 0.01, 0.5)


def given(draw: Draw, array: Array) -> Any:
    """The array itself, a tensor that shares its memory, or one with a copy."""
    return draw.one_of((lambda a: a, as_tensor, tensor))(array)


@contextmanager
def output(case: Case, what: str, start: Array) -> Iterator[Array]:
    """An array to write to, holding `start`, in the middle of memory that must not change."""
    memory = np.full(start.size + 2 * GUARD, UNTOUCHED, start.dtype)
    first = case.draw.between(1, GUARD)
    out = memory[first : first + start.size].reshape(start.shape)
    out[...] = start
    yield out
    out[...] = UNTOUCHED
    case.check.true(f"{what}: wrote outside out", (memory == UNTOUCHED).all())


def unchanged(case: Case, **operands: tuple[Array, Array]) -> None:
    """Raises WrongError if an operation has written to an operand: (the operand, what it held)."""
    for name, (now, before) in operands.items():
        case.check.same(f"{name}, which is only read", now, before)


class Network:
    """A random chain of layers: its definition, and the layers of a Model with the same parameters."""

    dtype: Any
    widths: list[int]
    definition: Definition

    def __init__(
        self,
        draw: Draw,
        weights: tuple[str, ...] = WEIGHTS,
        widths: list[int] | None = None,
        losses: Sequence[Loss] = LOSSES,
    ) -> None:
        self.dtype = draw.dtype()
        self.widths = self._widths(draw) if widths is None else widths
        depth = len(self.widths) - 1
        bias, every, last = draw.maybe(0.85), draw.maybe(0.75), draw.maybe(0.2)
        kind = draw.one_of(weights)
        layers: list[Layer] = []
        self.activations: list[Activation | None] = []
        for k, shape in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            w = draw._values(shape, self.dtype, kind)
            b = draw._values(shape[1:], self.dtype, kind) if bias else None
            active = last if k == depth - 1 else every or draw.maybe(0.5)
            self.activations.append(_activation(draw) if active else None)
            layers.append(_layer(w, b, self.activations[-1]))
        self.loss = copy.copy(draw.one_of(losses))
        self.definition = Definition(layers, self.loss.op)
        what = f"{kind} weights, bias {bias}, {self.activations}, {self.loss}"
        draw.note("network", f"{self.widths} {self.dtype}, {what}")

    def _widths(self, draw: Draw) -> list[int]:
        widths = [draw.size(1) for _ in range(draw.one_of((2, 3, 3, 3, 4, 5)))]
        if draw.maybe(0.004):
            widths[draw.between(0, len(widths) - 1)] = draw.one_of((256, 300, 784))
        return widths

    def layers(self) -> list[Any]:
        """Those of a Model."""
        made: list[Any] = []
        for layer, activation in zip(self.definition.layers, self.activations, strict=True):
            made.append(Lin(layer.w, layer.b))
            if activation is not None:
                made.append(copy.copy(activation))
        return made

    def data(self, draw: Draw, rows: int, kinds: Any = None) -> tuple[Array, Array, Array]:
        """(x as it is laid out, the same in C order, targ): targ is (n,) at times if there is one output."""
        options = {} if kinds is None else {"kinds": kinds}
        x = draw.array("x", (rows, self.widths[0]), self.dtype, **options)
        laid = draw.laid("x", x)
        if takes_labels(self.loss.op):
            return laid, np.array(laid, order="C"), class_data(draw, rows, self.widths[-1], self.dtype)
        if self.loss.op.targets is not None:
            shares = draw.numbers.random((rows, self.widths[-1])).astype(self.dtype)
            return laid, np.array(laid, order="C"), np.rint(shares) if draw.maybe(0.5) else shares
        targ = draw.array("targ", (rows, self.widths[-1]), self.dtype, **options)
        if self.widths[-1] == 1 and draw.maybe(0.3):
            targ = targ[:, 0]
        return laid, np.array(laid, order="C"), targ


def optimizer_of(draw: Draw, parameters: Any, rates: Sequence[float] = RATES) -> Optimizer:
    """Of any kind, with any options."""
    lr, decay = draw.one_of(rates), draw.one_of((0.0, 0.0, 1e-3, 0.1))
    kind, every = draw.one_of(("sgd", "momentum", "momentum", "nesterov", "adam", "adamw")), draw.maybe(0.7)
    if kind in ("adam", "adamw"):
        betas, eps = draw.one_of(((0.9, 0.999), (0.9, 0.999), (0.0, 0.9), (0.5, 0.0))), draw.one_of((1e-8, 1e-3))
        adam = Adam if kind == "adam" else AdamW
        made: Optimizer = adam(parameters, lr, betas=betas, eps=eps, weight_decay=decay, decay_biases=every)
    else:
        momentum = 0.0 if kind == "sgd" else draw.one_of((0.5, 0.9))
        nesterov = kind == "nesterov"
        made = SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov, decay_biases=every)
    draw.note("optimizer", f"{type(made).__name__} {made.options()}")
    return made


def norm_of(draw: Draw) -> float | None:
    """What gradients are clipped to; None: they are not."""
    return draw.note("clip_norm", draw.one_of((None, None, None, 1e-3, 0.1, 1.0, 1e9)))


def _activation(draw: Draw) -> Activation:
    if draw.maybe(0.15):
        return LeakyRelu(draw.one_of(SLOPES))
    return Relu() if draw.maybe(0.8) else draw.one_of((Sigmoid, Tanh))()


def _layer(w: Array, b: Array | None, activation: Activation | None) -> Layer:
    if activation is None:
        return Layer(w, b)
    return Layer(w, b, activation.op, tuple({**activation.op.defaults, **activation.params}.values()))


def class_data(draw: Draw, rows: int, classes: int, dtype: Any) -> Array:
    """Targets for cross_entropy: labels, of integers or of dtype, rows of the identity matrix, or probabilities."""
    labels = np.array([draw.between(0, classes - 1) for _ in range(rows)], np.int64)
    how = draw.note("targets", draw.one_of(("integers", "labels", "one-hot", "probabilities")))
    if how == "integers":
        return labels
    if how == "labels":
        return labels.astype(dtype)
    one_hot = np.zeros((rows, classes), dtype)
    one_hot[np.arange(rows), labels] = 1
    return one_hot if how == "one-hot" else (one_hot / 2 + 0.5 / classes).astype(dtype)


def compare_parameters(case: Case, what: str, parameters: list[Tensor], definition: Definition) -> None:
    for k, (p, expected) in enumerate(zip(parameters, definition.parameters(), strict=True)):
        case.check.same(f"{what}: parameter {k}", p.data, expected)


def compare_gradients(case: Case, what: str, parameters: list[Tensor], definition: Definition) -> None:
    for k, (p, expected) in enumerate(zip(parameters, definition.flat_gradients(), strict=True)):
        case.check.same(f"{what}: .g of parameter {k}", p.g.data, expected)


def compare_kept(case: Case, what: str, parameters: list[Tensor], optimizer: Optimizer, definition: Definition) -> None:
    """What an optimizer keeps, and its count of updates."""
    case.check.true(f"{what}: {optimizer.steps} steps, not {definition.steps}", optimizer.steps == definition.steps)
    if not optimizer.keeps:
        return
    for k, (p, kept) in enumerate(zip(parameters, definition.kept, strict=False)):
        for name, found, expected in zip(optimizer.STATE, optimizer.kept(p), kept, strict=True):
            case.check.same(f"{what}: {name} of parameter {k}", found.data, expected)

"""Definition: a chain of layers with its gradients and updates, by the operations of the definition alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from pybackprop.core.arrays import Array
from pybackprop.nn.optimizer import Optimizer
from pybackprop.ops import MSE, Op, reference
from pybackprop.selftest.definition_optimizer import Kept, clipped, nothing_kept, updated

Gradients = list[tuple[Array | None, Array | None]]


class Layer(NamedTuple):
    """w (m,h), b (h) or None, and the activation that follows with its arguments; None for nothing."""

    w: Array
    b: Array | None
    activation: Op | None = None
    params: tuple[float, ...] = ()

    def parameters(self) -> list[Array]:
        return [self.w] if self.b is None else [self.w, self.b]


def activated(z: Array, layer: Layer) -> Array:
    if layer.activation is None:
        return z
    result: Array = getattr(reference, layer.activation.references[0])(z, *layer.params)
    return result


def through(z: Array, dout: Array, layer: Layer) -> Array:
    """The gradient of an activation's input."""
    if layer.activation is None:
        return dout
    dz: Array = getattr(reference, layer.activation.references[1])(z, dout, *layer.params)
    return dz


class Definition:
    """The network as the definition computes it, one step after another.

    gradients  of w and b of each layer, after backward
    kept       what an optimizer keeps of each parameter, after its first update;  steps: how many updates there were
    """

    layers: list[Layer]
    targ: Array
    weight: Array | None

    def __init__(self, layers: list[Layer], loss: Op = MSE) -> None:
        self.layers, self.of_loss = list(layers), loss
        self.gradients: Gradients | None = None
        self.kept: list[Kept] = []
        self.steps = 0

    def forward(self, x: Array) -> Array:
        self.inputs: list[Array] = []
        self.before: list[Array] = []
        for layer in self.layers:
            self.inputs.append(x)
            self.before.append(reference.linear_forward(x, layer.w, layer.b))
            x = activated(self.before[-1], layer)
        self.out = x
        return x

    def loss(self, x: Array, targ: Array, weight: Array | None = None) -> Array:
        """weight (n): how much each row counts; None: alike."""
        out = self.forward(x)
        self.targ = targ if self.of_loss.targets is not None else targ.reshape(out.shape)
        self.weight = weight
        if weight is not None:
            return reference.weighted_loss_forward(str(self.of_loss.loss), out, self.targ, weight)
        loss: Array = getattr(reference, self.of_loss.references[0])(out, self.targ)
        return loss

    def backward(self, accumulate: bool = False, dx: Array | None = None) -> Array:
        """The gradient of x; sets those of the parameters. dx: what accumulating adds to."""
        dout = self._dout()
        old = self.gradients if accumulate else None
        gradients: Gradients = []
        for k in reversed(range(len(self.layers))):
            layer = self.layers[k]
            dout = through(self.before[k], dout, layer)
            old_w, old_b = (None, None) if old is None else old[k]
            dw = reference.linear_backward_w(self.inputs[k], dout, add_to=old_w)
            gradients.append((dw, None if layer.b is None else reference.linear_backward_b(dout, add_to=old_b)))
            dout = reference.linear_backward_x(dout, layer.w, add_to=None if k else dx)
        self.gradients = gradients[::-1]
        return dout

    def _dout(self) -> Array:
        if self.weight is not None:
            return reference.weighted_loss_backward(str(self.of_loss.loss), self.out, self.targ, self.weight)
        dout: Array = getattr(reference, self.of_loss.references[1])(self.out, self.targ)
        return dout

    def update(self, optimizer: Optimizer, max_norm: float | None = None) -> bool:
        """Clips the gradients and updates the parameters, by an optimizer's options: its state is not read.

        False, with nothing changed, if the gradients are to be clipped and their norm is not finite.
        """
        gradients = self.flat_gradients()
        if max_norm is not None:
            found = clipped(gradients, max_norm)
            if found is None:
                return False
            gradients = found
        self.steps += 1
        before = self.parameters()
        kept = self.kept or [nothing_kept(p, optimizer) for p in before]
        after = [
            updated(p, state, g, optimizer, self.steps) for p, state, g in zip(before, kept, gradients, strict=True)
        ]
        self.kept = [state for _, state in after]
        self._take([p for p, _ in after], gradients)
        return True

    def _take(self, parameters: list[Array], gradients: list[Array]) -> None:
        """Other parameters and gradients, in the order of `parameters`."""
        new, g = iter(parameters), iter(gradients)
        for k, layer in enumerate(self.layers):
            self.layers[k] = layer._replace(w=next(new), b=None if layer.b is None else next(new))
        self.gradients = [(next(g), None if layer.b is None else next(g)) for layer in self.layers]

    def copied(self) -> Definition:
        """Another one that goes on by itself. Arrays are never written to, so the lists are enough."""
        twin = Definition(self.layers, self.of_loss)
        twin.kept, twin.steps = list(self.kept), self.steps
        return twin

    def parameters(self) -> list[Array]:
        return [p for layer in self.layers for p in layer.parameters()]

    def flat_gradients(self) -> list[Any]:
        assert self.gradients is not None
        return [g for pair in self.gradients for g in pair if g is not None]

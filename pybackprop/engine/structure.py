"""Structure: what a plan was compiled from, and whether that is still what the model is."""

from __future__ import annotations

from typing import Any

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.engine.arena import Arena
from pybackprop.engine.model import Model
from pybackprop.engine.shortcut import may_change
from pybackprop.nn.layers import Lin
from pybackprop.nn.network import name_of


class Structure:
    """A model's layers, parameters and their memory as they were when its plan was compiled."""

    model: Model
    arena: Arena
    layers: list[Any]
    loss: Any
    lins: list[tuple[Lin, Tensor, Tensor | None]]
    activations: list[tuple[Any, Any, dict[str, Any]]]
    trained: list[tuple[Tensor, Array, Tensor]]
    frozen: list[tuple[Tensor, Array]]

    def __init__(self, model: Model, arena: Arena) -> None:
        self.model, self.arena = model, arena
        self.layers, self.loss = list(model.layers), model.loss
        self.lins = [(layer, layer.w, layer.b) for layer in model.layers if type(layer) is Lin]
        self.activations = [(layer, layer.op, dict(layer.params)) for layer in model.layers if may_change(layer)]
        trained = arena.parameters[: arena.trained]
        self.trained = [(p, p._array, g) for p, g in zip(trained, arena.g, strict=True)]
        self.frozen = [(p, p._array) for p in arena.parameters[arena.trained :]]

    def check(self, operation: str) -> None:
        """Raises RuntimeError if the model was edited, and reattaches gradients that are not where C writes them."""
        model = self.model
        if model.layers != self.layers or model.loss is not self.loss:
            raise self._edited(operation)
        for lin, w, b in self.lins:
            if lin.w is not w or lin.b is not b:
                raise self._edited(operation)
        for layer, op, params in self.activations:
            if layer.op is not op or layer.params != params:
                raise self._edited(operation)
        for p, array, g in self.trained:
            if p._array is not array or not p.requires_g:
                raise self._edited(operation)
            if p._g is not g:
                self.arena.attach_gradients()
        for p, array in self.frozen:
            if p._array is not array or p.requires_g:
                raise self._edited(operation)

    def watched(self) -> tuple[tuple[Any, str, Any], ...]:
        """What `check` compares, as (object, name, value)."""
        watched: list[tuple[Any, str, Any]] = [(self.model, "layers", self.layers), (self.model, "loss", self.loss)]
        for lin, w, b in self.lins:
            watched += [(lin, "w", w), (lin, "b", b)]
        for layer, op, params in self.activations:
            watched += [(layer, "op", op), (layer, "params", params)]
        for p, array, g in self.trained:
            watched += [(p, "_array", array), (p, "requires_g", True), (p, "_g", g)]
        for p, array in self.frozen:
            watched += [(p, "_array", array), (p, "requires_g", False)]
        return tuple(watched)

    def _edited(self, operation: str) -> RuntimeError:
        """The error that says how the model differs from the compiled one."""
        return RuntimeError(f"{operation}: the model was edited after compile: {self._edit()}. Compile it again")

    def _edit(self) -> str:
        model, layers = self.model, self.layers
        if len(model.layers) != len(layers):
            return f"it has {len(model.layers)} layers instead of {len(layers)}"
        for k, (now, then) in enumerate(zip(model.layers, layers, strict=True)):
            if now is not then:
                return f"layers[{k}] is another {name_of(now)} than the {name_of(then)} that was there"
        if model.loss is not self.loss:
            return f"the loss is another {name_of(model.loss)}"
        for layer, w, b in self.lins:
            for name, now, then in (("w", layer.w, w), ("b", layer.b, b)):
                if now is not then:
                    what = "no parameter" if then is None else describe(then)
                    return f"layers[{layers.index(layer)}].{name} is not {what} any more"
        for activation, op, params in self.activations:
            if activation.op is not op or activation.params != params:
                return f"layers[{layers.index(activation)}] is not the {name_of(activation)} that it was"
        for k, p in enumerate(self.arena.parameters):
            if p.requires_g is not (k < self.arena.trained):
                return f"requires_g of {describe(p)} is now {p.requires_g}"
        before = [*((p, array) for p, array, _ in self.trained), *self.frozen]
        moved = next(p for p, array in before if p._array is not array)
        return f"{describe(moved)} has other memory: it was compiled into another plan, or converted"

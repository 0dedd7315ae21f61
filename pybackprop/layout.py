"""Layout: a model's layers as a plan's C struct sees them, and where its arrays are in the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop import _native, forecast
from pybackprop.arena import Arena
from pybackprop.chain import Stage
from pybackprop.convert import check_size, lines, whole_lines
from pybackprop.errors import DTypeError, ShapeError
from pybackprop.layers import Lin, Relu
from pybackprop.model import Model
from pybackprop.optim import SGD
from pybackprop.shortcut import OVERRIDES, is_mse, stages_of
from pybackprop.stories import describe
from pybackprop.tensor import Tensor

if TYPE_CHECKING:
    from pybackprop.plan import Plan


class Layout:
    """The bp_plan of a chain of stages, for steps of up to `batch` rows."""

    def __init__(self, stages: Sequence[Stage], batch: int, strategy: str | None, sparse: bool | None) -> None:
        self.stages, self.batch = stages, batch
        self.dtype: np.dtype[Any] = stages[0].w.dtype
        self.inputs, self.outputs = stages[0].w.shape[0], stages[-1].w.shape[1]
        self.forecast = forecast.Forecast(stages, batch)
        self.strategy, self.why = self.forecast.choose(strategy)
        self.c_layers, self.c_plan = _native.layers(len(stages)), _native.plan()
        plan = self.c_plan
        plan.layers, plan.count, plan.batch = self.c_layers, len(stages), batch
        plan.strategy, plan.sparse = _native.STRATEGIES[self.strategy], sparse is not False
        for layer, stage in zip(self.c_layers, stages, strict=True):
            layer.m, layer.h = stage.w.shape
            layer.activation = _native.NO_ACTIVATION if stage.relu is None else _native.ACTIVATIONS["relu"]
        self.memory = self.scratch = self.gathered = np.empty(0, self.dtype)
        self.gather_batch = 0

    def bind(self, arena: Arena) -> None:
        """Tells C where everything is."""
        for layer, stage in zip(self.c_layers, self.stages, strict=True):
            (layer.w, layer.dw), (layer.b, layer.db) = arena.place(stage.w), arena.place(stage.b)
        self.c_plan.parameters, self.c_plan.parameter_count = arena.update, len(arena.update)
        if self.strategy != "fused":
            self._lay_out()
        needed = _native.workspace_bytes(self.c_plan, self.dtype)
        if needed is None:
            raise ValueError(f"compile: strategy '{self.strategy}' does not exist for these layers")
        self.scratch = lines(-(-needed // self.dtype.itemsize), self.dtype)
        self.c_plan.workspace, self.c_plan.workspace_bytes = _native.pointer(self.scratch), self.scratch.nbytes

    def places(self) -> tuple[list[int], list[int | None], int]:
        """(each layer's room for z, where its dz begins, what the dz take together): see _gradient_places."""
        check_size("compile: the workspace", (self.batch, max(s.w.shape[1] for s in self.stages)), self.dtype)
        sizes = [whole_lines(self.batch * stage.w.shape[1], self.dtype) for stage in self.stages]
        places, gradients = self._gradient_places(sizes)
        check_size("compile: the workspace", (gradients + sum(sizes),), self.dtype)
        return sizes, places, gradients

    def _lay_out(self) -> None:
        """Makes place for each layer's z, a and dz. relu works in place, so a is z."""
        sizes, places, gradients = self.places()
        self.memory = lines(gradients + sum(sizes), self.dtype, "compile", self.batch)
        base, at = _native.pointer(self.memory), gradients
        for layer, stage, size, place in zip(self.c_layers, self.stages, sizes, places, strict=True):
            layer.z = base + at
            layer.a = _native.NULL if stage.relu is None else base + at
            layer.dz = layer.z if place is None else base + place
            at += size

    def _gradient_places(self, sizes: list[int]) -> tuple[list[int | None], int]:
        """(where each layer's dz begins; None: where its z is; what they take together).

        Layer by layer, the gradients of neighbours lie in two places in turn; the last layer's is where its
        output was, unless relu's backward still needs that. Where threads share a step, all are needed to its end.
        """
        count = len(sizes)
        if self.strategy == "split":
            return [sum(sizes[:k]) for k in range(count)], sum(sizes)
        over = self.stages[-1].relu is None
        turns = [max((sizes[k] for k in range(turn, count - over, 2)), default=0) for turn in (0, 1)]
        places = [None if over and k == count - 1 else turns[0] * (k % 2) for k in range(count)]
        return places, sum(turns)

    def gather_room(self, batch: int) -> None:
        """Makes place for the rows of a batch of that size, gathered, if there is none yet."""
        if batch <= self.gather_batch:
            return
        x, targ = (whole_lines(batch * width, self.dtype) for width in (self.inputs, self.outputs))
        self.gathered = np.empty(0, self.dtype)  # the old goes before the new comes
        self.gathered, self.gather_batch = lines(x + targ, self.dtype, "fit", batch), batch
        self.c_plan.x = _native.pointer(self.gathered)
        self.c_plan.targ = _native.pointer(self.gathered) + x

    def nbytes(self) -> int:
        return self.memory.nbytes + self.scratch.nbytes + self.gathered.nbytes

    def describe(self) -> str:
        return f"strategy: {self.strategy} ({self.why})\n{self.forecast.describe()}"


# ---- whether a model is a chain ----


def stages_for(model: Any, optimizer: SGD | None) -> tuple[list[Stage], list[Tensor]]:
    """(a model's stages, the parameters to update). Raises TypeError, ShapeError, DTypeError, ValueError."""
    if not isinstance(model, Model):
        raise TypeError(f"compile: found {type(model).__name__}, expected a bp.Model")
    stages = stages_of(model.layers)
    if not stages or type(model).forward is not Model.forward or "forward" in vars(model) or not is_mse(model.loss):
        raise TypeError(
            f"compile: {_fault(model)}; a plan is made of Lin, each with at most one Relu after it, and Mse"
        )
    parameters = [p for stage in stages for p in stage.parameters()]
    _check_parameters(parameters)
    _check_shapes(stages)
    if optimizer is None:
        return stages, []
    if not isinstance(optimizer, SGD):
        raise TypeError(f"compile: found optimizer {type(optimizer).__name__}, expected a bp.SGD")
    return stages, _updated(parameters, optimizer)


def _fault(model: Model) -> str:
    """What about a model is not as in a chain."""
    before: Any = None
    for k, layer in enumerate(model.layers):
        if type(layer) not in (Lin, Relu):
            return f"layers[{k}] is {_named(layer)}"
        if vars(layer).keys() & OVERRIDES:
            return f"layers[{k}], {_named(layer)}, has a method of its own"
        if type(layer) is Relu and type(before) is not Lin:
            return f"layers[{k}] is a Relu with no Lin before it"
        before = layer
    if not model.layers:
        return "the model has no layers"
    if not is_mse(model.loss):
        return f"the loss is {_named(model.loss)}"
    return f"{type(model).__name__} has a forward of its own"


def _named(layer: Any) -> str:
    return str(getattr(layer, "__name__", type(layer).__name__))


def _check_parameters(parameters: list[Tensor]) -> None:
    seen: set[int] = set()
    for p in parameters:
        if not isinstance(p, Tensor) or p._node is not None:
            raise TypeError(f"compile: {describe(p)} is no parameter; make it with bp.param")
        if id(p) in seen:
            raise ValueError(f"compile: {describe(p)} is used twice; a plan has one gradient for each use: use Model")
        if p.dtype != parameters[0].dtype:
            raise DTypeError(
                f"compile: {describe(p)} is {p.dtype}, {describe(parameters[0])} is {parameters[0].dtype}; "
                "convert with model.double() or .float()"
            )
        if not p._array.flags.writeable:
            raise ValueError(f"compile: {describe(p)} is read-only memory; use a copy: bp.param(t)")
        seen.add(id(p))
    for p, other in combinations(parameters, 2):
        if np.may_share_memory(p._array, other._array):
            raise ValueError(
                f"compile: {describe(p)} and {describe(other)} share memory; a plan has each once: use Model"
            )


def _check_shapes(stages: Sequence[Stage]) -> None:
    inputs = stages[0].w.shape[:1]
    for k, stage in enumerate(stages, 1):
        w, b = stage.w.shape, None if stage.b is None else stage.b.shape
        if len(w) != 2 or w[:1] != inputs or (b is not None and b != w[1:]):
            found = f"w {w}" + ("" if b is None else f" and b {b}")
            raise ShapeError(f"compile: Lin {k}: found {found}, expected {inputs[0] if inputs else 'some'} inputs")
        inputs = w[1:]


def _updated(parameters: list[Tensor], optimizer: SGD) -> list[Tensor]:
    """Those of the parameters that want a gradient and are the optimizer's."""
    listed = parameters if optimizer.parameters is None else optimizer.parameters
    known, mine = {id(p) for p in parameters}, {id(p) for p in listed}
    for p in listed:
        if id(p) not in known:
            raise ValueError(f"compile: the optimizer updates {describe(p)}, which the model does not have")
    return [p for p in parameters if p.requires_g and id(p) in mine]


def edited(operation: str, plan: Plan) -> RuntimeError:
    """What about a plan's model is not as it was compiled."""
    return RuntimeError(f"{operation}: the model was edited after compile: {_edit(plan)}. Compile it again")


def _edit(plan: Plan) -> str:
    model, layers = plan.model, plan._layers
    if len(model.layers) != len(layers):
        return f"it has {len(model.layers)} layers instead of {len(layers)}"
    for k, (now, then) in enumerate(zip(model.layers, layers, strict=True)):
        if now is not then:
            return f"layers[{k}] is another {_named(now)} than the {_named(then)} that was there"
    if model.loss is not plan._loss_layer:
        return f"the loss is another {_named(model.loss)}"
    for layer, w, b in plan._lins:
        for name, now, then in (("w", layer.w, w), ("b", layer.b, b)):
            if now is not then:
                what = "no parameter" if then is None else describe(then)
                return f"layers[{layers.index(layer)}].{name} is not {what} any more"
    for k, p in enumerate(plan.arena.parameters):
        if p.requires_g is not (k < plan.arena.wanted):
            return f"requires_g of {describe(p)} is now {p.requires_g}"
    before = [*((p, array) for p, array, _ in plan._trained), *plan._frozen]
    moved = next(p for p, array in before if p._array is not array)
    return f"{describe(moved)} has other memory: it was compiled into another plan, or converted"


def order(stages: Sequence[Stage], updated: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """(all parameters, those to update first, then those that want a gradient; how many want one)."""
    parameters = [p for stage in stages for p in stage.parameters()]
    mine = {id(p) for p in updated}
    wanted = [*updated, *(p for p in parameters if p.requires_g and id(p) not in mine)]
    return [*wanted, *(p for p in parameters if not p.requires_g)], len(wanted)

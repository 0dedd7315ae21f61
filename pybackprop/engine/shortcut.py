"""Shortcut: computes a Model as a Chain, in one call of C, where that is possible, which each call checks.

It is possible if the layers are a network (see nn/network.py) whose parameters are each used once and have requires_g,
and x and targ are contiguous, of the parameters' dtype (labels may be integers), and without requires_g. Everything
else is computed layer by layer, where all error messages come from.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from pybackprop.autograd import tape, versions
from pybackprop.autograd.tape import is_recording
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native, observer, short_calls
from pybackprop.core.arrays import Array, is_plain
from pybackprop.core.errors import GradientError, OutOfMemoryError
from pybackprop.engine.chain import Chain
from pybackprop.engine.held import Held
from pybackprop.engine.one_pass import Pass, PassWorkspace, pass_of
from pybackprop.nn.layers import Activation, Lin
from pybackprop.nn.module import Module
from pybackprop.nn.network import Network, loss_of, stages_of
from pybackprop.ops.short import CLASSES


class Layered(Protocol):
    """The parts of a Model that a shortcut uses."""

    layers: list[Any]
    loss: Any
    inplace: bool

    def _forget(self) -> None: ...


class Shortcut:
    """A Model's layers as last checked, the Chain that they are, and its last pass.

    node      the class of its passes
    again     the forward as a short call, once the workspace of a pass was used again: see core/short_calls.py: passes;
              None if the targets have rules of their own, which Python checks
    backward  the backward as a short call, likewise
    """

    __slots__ = (
        *("again", "backward", "c_type", "chain", "dtype", "inplace", "is_unchanged", "last", "loss", "node"),
        "prepared",
    )

    chain: Chain
    dtype: np.dtype[Any]
    c_type: str
    inplace: bool
    loss: Any
    node: type[Pass]
    is_unchanged: Callable[[list[Any]], bool]

    def __init__(self, model: Layered, chain: Chain) -> None:
        self.chain, self.dtype, self.c_type = chain, chain.dtype, native.C_TYPE[chain.dtype]
        self.inplace, self.loss = chain.inplace, model.loss
        self.node = pass_of(chain.network.loss)
        self.is_unchanged = short_calls.watch(tuple(model.layers), watched(model, chain.parameters))
        self.last: Pass | None = None
        self.again: Callable[..., Tensor | None] | None = None
        self.backward: Callable[..., bool | None] | None = None
        self.prepared: Any = None  # the layers of the workspace that the short calls use

    def fits(self, model: Layered) -> bool:
        """Whether nothing about the layers has changed."""
        if model.loss is not self.loss or model.inplace is not self.inplace or "forward" in model.__dict__:
            return False
        return self.is_unchanged(model.layers)

    def forward(self, model: Layered, x: Any, targ: Any) -> Tensor | None:
        """The loss, on the tape; None, with nothing changed, if it must be computed layer by layer."""
        if not is_recording() or versions.on:
            return None
        data = self._read(x)
        targets = None if data is None else self._read_targets(data[0], targ)
        if data is None or targets is None:
            return None
        workspace = self._workspace(model, (data[0].shape, targets[0].shape))
        if workspace is None:
            return None
        workspace.x.hold(x, *data)
        workspace.targ.hold(targ, *targets)
        if workspace.layers is not self.prepared and workspace.short is not None:
            self._prepare(model, workspace)
        self.last = this = self.node(workspace)
        loss = workspace.forward(this)
        call = (this, None)
        for layer in model.layers:
            layer._last_call = call
        model.loss._last_call = (this, loss)
        return loss

    def _prepare(self, model: Layered, workspace: PassWorkspace) -> None:
        """Makes the short calls for the next passes in a workspace. They hold its layers, but neither it nor data."""
        self.prepared, chain = workspace.layers, self.chain
        call = self.dtype, workspace.layers, workspace.count
        sizes = chain.stages[0].w.shape[0], chain.stages[-1].w.shape[1]
        own = self.node, PassWorkspace, Held, Shortcut
        layers = tuple(model.layers), watched(model, chain.parameters), tuple(chain.inner), self.loss, self.inplace
        modules = vars(observer), vars(versions), vars(tape)
        short = short_calls.passes(call, sizes, CLASSES, own, layers, modules, tape.switch)
        self.again = short.forward if short and chain.network.loss.targets is None else None
        self.backward = short.backward if short else None

    def _read_targets(self, x: Array, targ: Any) -> tuple[Array, Any, int] | None:
        """The same of targ, for x as C reads it. What has rules of its own, such as labels, is checked at each call."""
        loss = self.chain.network.loss
        if loss.targets is None:
            return self._read(targ)
        given = targ._array if type(targ) is Tensor else targ
        if type(given) is not np.ndarray or not self.chain.rows(x.shape, given.shape):
            return None
        if given.dtype != self.dtype and (given is not targ or given.dtype.kind not in "iu"):
            return None
        try:
            checked = loss.targets(loss.name, targ, (len(x), self.chain.stages[-1].w.shape[1]), self.dtype)
        except (GradientError, TypeError, ValueError):
            return None
        return self._read(checked) if given is targ or checked is targ else None

    def _read(self, value: Any) -> tuple[Array, Any, int] | None:
        """(array, C's pointer to it, version); None if C cannot read it directly or it is on the tape."""
        if type(value) is Tensor:
            array, pointer = value._array, value._pointer
            if value.requires_g or value._node is not None or array.dtype != self.dtype:
                return None
            if pointer is None:  # else it was contiguous when C first read it
                if not is_plain(array):
                    return None
                pointer = value.pointer()
            return array, pointer, value._version.count
        if type(value) is not np.ndarray or value.dtype != self.dtype or not value.flags.aligned:
            return None
        try:
            return value, native.from_buffer(self.c_type, value), 0
        except ValueError:  # not contiguous
            return None

    def _workspace(self, model: Layered, shapes: tuple[Any, ...]) -> PassWorkspace | None:
        """Memory for a pass: that of the last one, unless its backward may still run."""
        last = self.last
        if last is not None and last.done and last.workspace is not None and last.workspace.shapes == shapes:
            workspace, last.workspace = last.workspace, None
            return workspace
        n = self.chain.rows(*shapes)
        if n == 0:
            return None
        del last
        workspace = self._free_workspace(model) or PassWorkspace(self.chain)
        try:
            if workspace.shapes != shapes:
                workspace.allocate(n, shapes)
        except OutOfMemoryError:  # layer by layer would need no less
            raise
        except (MemoryError, ValueError):  # layer by layer may fit, or raise a better message
            return None
        return workspace

    def _free_workspace(self, model: Layered) -> PassWorkspace | None:
        last, self.last = self.last, None
        if last is None or last.workspace is None:
            return None
        workspace = last.workspace
        if last.done:
            last.workspace = None
            return workspace
        still_there = weakref.ref(last)
        del last
        model._forget()
        return None if still_there() else workspace


def shortcut(model: Layered) -> Shortcut | None:
    """None where the model is no Chain."""
    stages = stages_of(model.layers)
    loss = loss_of(model.loss)
    if not stages or loss is None:
        return None
    parameters = [p for stage in stages for p in stage.parameters()]
    if len({id(p) for p in parameters}) < len(parameters) or not all(map(_is_plain, parameters)):
        return None
    network = Network(tuple(stages), stages[0].w.dtype, loss)
    if not _fit_each_other(network) or any(p.dtype != network.dtype for p in parameters):
        return None
    if model.inplace and any(stage.activation is not None and stage.inplace is None for stage in stages):
        return None
    return Shortcut(model, Chain(network, model.inplace))


def watched(model: Layered, parameters: Sequence[Tensor]) -> short_calls.Watched:
    """The attributes by which a Model's layers compute. The Model is not among the objects: it would never die."""
    modules: list[Module] = [*model.layers, model.loss]
    kinds: set[type[Any]] = {type(model), *map(type, modules)}
    triples: list[tuple[Any, str, Any]] = [(Module, "__call__", Module.__call__)]
    triples += [(kind, "forward", kind.forward) for kind in kinds]
    for layer in modules:
        triples += [(layer, "__class__", type(layer)), (layer, "__dict__", _size(layer))]
    for layer in model.layers:
        if type(layer) is Lin:
            triples += [(layer, "w", layer.w), (layer, "b", layer.b)]
        elif may_change(layer):
            triples += [(layer, "op", layer.op), (layer, "params", dict(layer.params))]
    for p in parameters:
        triples += [(p, "_array", p._array), (p, "requires_g", True)]
    return tuple(triples)


def may_change(layer: Any) -> bool:
    """Whether a layer is an activation with an operation or arguments of its own, which may change."""
    return isinstance(layer, Activation) and ("op" in vars(layer) or bool(layer.params))


def _fit_each_other(network: Network) -> bool:
    """Whether each stage takes as many inputs as the one before it has outputs, and its activation its arguments."""
    inputs = network.stages[0].w.shape[0]
    for stage in network.stages:
        try:
            stage.check_params(network.dtype)
        except (TypeError, ValueError):
            return False
        if stage.w.shape[:-1] != (inputs,) or (stage.b is not None and stage.b.shape != stage.w.shape[1:]):
            return False
        inputs = stage.w.shape[-1]
    return True


def _is_plain(p: Any) -> bool:
    """Whether C can read a parameter directly, and it has requires_g."""
    if type(p) is not Tensor or p.ndim == 0:
        return False
    return p.requires_g and p._node is None and is_plain(p._array)


def _size(layer: Module) -> int:
    """How many attributes a layer has after a call."""
    return len({*vars(layer), *layer.last_call})

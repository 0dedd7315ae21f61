"""Shortcut: computes a Model as a Chain, in one call of C, where that is possible, which each call checks.

It is possible if the layers are a network (see nn/network.py) whose parameters are each used once and have requires_g,
and x and targ are contiguous, of the parameters' dtype, and without requires_g. Everything else is computed layer by
layer, where all error messages come from.
"""

from __future__ import annotations

import weakref
from typing import Any, Protocol

import numpy as np

from pybackprop.autograd import versions
from pybackprop.autograd.tape import is_recording
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import OutOfMemoryError
from pybackprop.engine.one_pass import Chain, Pass, PassWorkspace
from pybackprop.nn.layers import Activation, Lin, Mse
from pybackprop.nn.module import Module
from pybackprop.nn.network import Network, is_mse, stages_of


class Layered(Protocol):
    """The parts of a Model that a shortcut uses."""

    layers: list[Any]
    loss: Any
    inplace: bool

    def _forget(self) -> None: ...


class Shortcut:
    """A Model's layers as last checked, the Chain that they are, and its last pass."""

    chain: Chain
    inplace: bool
    kinds: list[tuple[type[Module], Any]]
    call: Any
    loss: Any
    loss_size: int
    dtype: np.dtype[Any]
    c_type: str
    layers: list[tuple[int, Any, Any, int]]
    methods: list[tuple[Any, ...]]
    lins: list[tuple[Lin, Tensor, Tensor | None]]
    activations: list[tuple[Any, Any, dict[Any, Any]]]
    parameters: list[tuple[Tensor, Array]]

    def __init__(self, model: Layered, chain: Chain) -> None:
        self.chain, self.inplace = chain, chain.inplace
        self.loss, self.loss_size = model.loss, _size(model.loss)
        self.dtype, self.c_type = chain.dtype, native.C_TYPE[chain.dtype]
        self.layers = [(k, layer, type(layer), _size(layer)) for k, layer in enumerate(model.layers)]
        kinds: set[type[Module]] = {Mse, *map(type, model.layers)}
        self.kinds = [(kind, kind.forward) for kind in kinds]
        self.call = Module.__call__
        self.lins = [(layer, layer.w, layer.b) for layer in model.layers if type(layer) is Lin]
        self.activations = [(a, a.op, dict(a.params)) for a in model.layers if may_change(a)]
        self.parameters = [(p, p._array) for p in chain.parameters]
        self.last: Pass | None = None

    def fits(self, model: Layered) -> bool:
        """Whether nothing about the layers has changed."""
        layers, loss = model.layers, self.loss
        for kind, forward in self.kinds:
            if kind.forward is not forward:
                return False
        if Module.__call__ is not self.call or model.inplace is not self.inplace:
            return False
        if model.loss is not loss or type(loss) is not Mse or len(loss.__dict__) != self.loss_size:
            return False
        if len(layers) != len(self.layers) or "forward" in model.__dict__:
            return False
        for k, layer, kind, size in self.layers:
            if layers[k] is not layer or type(layer) is not kind or len(layer.__dict__) != size:
                return False
        for layer, w, b in self.lins:
            if layer.w is not w or layer.b is not b:
                return False
        for layer, op, params in self.activations:
            if layer.op is not op or layer.params != params:
                return False
        for p, array in self.parameters:  # noqa: SIM110 (a generator costs more than the loop)
            if p._array is not array or not p.requires_g:
                return False
        return True

    def forward(self, model: Layered, x: Any, targ: Any) -> Tensor | None:
        """The loss, on the tape; None, with nothing changed, if it must be computed layer by layer."""
        data, targets = self._read(x), self._read(targ)
        if data is None or targets is None or not is_recording() or versions.on:
            return None
        workspace = self._workspace(model, (data[0].shape, targets[0].shape))
        if workspace is None:
            return None
        if x is not workspace.x or targ is not workspace.targ:
            workspace.hold(x, targ, data[0], targets[0])
        _, workspace.x_at, workspace.x_version = data
        _, workspace.targ_at, workspace.targ_version = targets
        workspace.read = read = []
        for w in self.chain.inner:
            read.append((w, w._version.count))
        self.last = this = Pass(workspace)
        loss = workspace.forward(this)
        call = (this, None)
        for layer in model.layers:
            layer._last_call = call
        model.loss._last_call = (this, loss)
        return loss

    def _read(self, value: Any) -> tuple[Array, Any, int] | None:
        """(array, C's pointer to it, version); None if C cannot read it directly or it is on the tape."""
        if type(value) is Tensor:
            array, pointer = value._array, value._pointer
            if value.requires_g or value._node is not None or array.dtype != self.dtype:
                return None
            if pointer is None:  # else it was contiguous when C first read it
                if not array.flags.c_contiguous:
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
    if not stages or not is_mse(model.loss) or "forward" in vars(model):
        return None
    parameters = [p for stage in stages for p in stage.parameters()]
    if len({id(p) for p in parameters}) < len(parameters) or not all(map(_is_plain, parameters)):
        return None
    network = Network(tuple(stages), stages[0].w.dtype)
    if not _fit_each_other(network) or any(p.dtype != network.dtype for p in parameters):
        return None
    if model.inplace and any(stage.activation is not None and stage.inplace is None for stage in stages):
        return None
    return Shortcut(model, Chain(network, model.inplace))


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
    return p.requires_g and p._node is None and p._array.flags.c_contiguous and p._array.flags.aligned


def _size(layer: Module) -> int:
    """How many attributes a layer has after a call."""
    return len({*vars(layer), *layer.last_call})

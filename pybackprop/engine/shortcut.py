"""Shortcut: whether a Model may be computed as a Chain, asked anew at each call, and the call itself.

It may if its layers are Lin and Relu as they are, each parameter is used once and wants a gradient, and x and targ
are contiguous floats of the parameters' dtype that want none. For everything else there is the ordinary way, and
so are all messages.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.autograd import versions
from pybackprop.autograd.tape import is_recording
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import OutOfMemoryError
from pybackprop.engine.one_pass import Chain, Pass, Room, Stage
from pybackprop.nn.module import Lin, Module, Mse, Relu

if TYPE_CHECKING:
    from pybackprop.engine.model import Model


def _methods() -> list[Any]:
    """What a Chain stands for."""
    return [Lin.forward, Relu.forward, Mse.forward, Module.__call__]


METHODS = _methods()
OVERRIDES = {"__call__", "backward", "bwd", "forward"}  # what makes a layer another one if set on it alone


class Shortcut:
    """A Model's layers when they were last looked at, the Chain that they are, and its last pass."""

    def __init__(self, model: Model, chain: Chain) -> None:
        self.chain = chain
        self.loss, self.loss_size = model.loss, _size(model.loss)
        self.dtype, self.kind = chain.dtype, native.C_TYPE[chain.dtype]
        self.layers = [(k, layer, type(layer), _size(layer)) for k, layer in enumerate(model.layers)]
        self.lins = [(layer, layer.w, layer.b) for layer in model.layers if type(layer) is Lin]
        self.parameters = [(p, p._array) for p in chain.parameters]
        self.last: Pass | None = None

    def fits(self, model: Model) -> bool:
        """Whether nothing about the layers has changed."""
        layers, loss = model.layers, self.loss
        if _methods() != METHODS or model.inplace is not self.chain.inplace:
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
        for p, array in self.parameters:  # noqa: SIM110 (a generator costs more than the loop)
            if p._array is not array or not p.requires_g:
                return False
        return True

    def forward(self, model: Model, x: Any, targ: Any) -> Tensor | None:
        """The loss, on the tape; None, and nothing is changed, where the ordinary way must be taken."""
        seen, wanted = self._data(x), self._data(targ)
        if seen is None or wanted is None or not is_recording() or versions.on:
            return None
        room = self._room(model, (seen[0].shape, wanted[0].shape))
        if room is None:
            return None
        room.x, room.targ = x, targ
        _, room.x_at, room.x_version = seen
        _, room.targ_at, room.targ_version = wanted
        room.read = read = []
        for w in self.chain.inner:
            read.append((w, w._version.count))
        self.last = made = Pass(room)
        loss = room.forward(made)
        call = (made, None)
        for layer in model.layers:
            layer._last_call = call
        model.loss._last_call = (made, loss)
        return loss

    def _data(self, value: Any) -> tuple[Array, Any, int] | None:
        """(array, C's pointer to it, version); None for what C cannot read as it is, or what is on the tape."""
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
            return value, native.from_buffer(self.kind, value), 0
        except ValueError:  # not contiguous
            return None

    def _room(self, model: Model, shapes: tuple[Any, ...]) -> Room | None:
        """Memory for a pass: that of the last one, unless its backward may still come."""
        last = self.last
        if last is not None and last.done and last.room is not None and last.room.shapes == shapes:
            room, last.room = last.room, None
            return room
        n = self.chain.rows(*shapes)
        if n == 0:
            return None
        del last
        room = self._free_room(model) or Room(self.chain)
        try:
            if room.shapes != shapes:
                room.make(n, shapes)
        except OutOfMemoryError:  # and step by step it would be no less
            raise
        except (MemoryError, ValueError):  # step by step it may fit, or there is a message
            return None
        return room

    def _free_room(self, model: Model) -> Room | None:
        last, self.last = self.last, None
        if last is None or last.room is None:
            return None
        room = last.room
        if last.done:
            last.room = None
            return room
        still_there = weakref.ref(last)
        del last
        model._forget()
        return None if still_there() else room


def shortcut(model: Model) -> Shortcut | None:
    """None where the model is no Chain."""
    stages = stages_of(model.layers)
    if _methods() != METHODS:
        return None
    if not stages or not is_mse(model.loss) or "forward" in vars(model):
        return None
    parameters = [p for stage in stages for p in stage.parameters()]
    if len({id(p) for p in parameters}) < len(parameters) or not all(map(_is_plain, parameters)):
        return None
    inputs, dtype = stages[0].w.shape[0], stages[0].w.dtype
    for stage in stages:
        if stage.w.shape[:-1] != (inputs,) or (stage.b is not None and stage.b.shape != stage.w.shape[1:]):
            return None
        inputs = stage.w.shape[-1]
    return Shortcut(model, Chain(stages, dtype, model.inplace)) if all(p.dtype == dtype for p in parameters) else None


def is_mse(loss: Any) -> bool:
    return type(loss) is Mse and not vars(loss).keys() & OVERRIDES


def stages_of(layers: list[Any]) -> list[Stage] | None:
    """Each Lin and the Relu after it; None if there is anything else."""
    stages: list[Stage] = []
    for layer in layers:
        if type(layer) not in (Lin, Relu) or vars(layer).keys() & OVERRIDES:
            return None
        if type(layer) is Lin:
            stages.append(Stage(layer.w, layer.b, id(layer)))
        elif stages and stages[-1].relu is None:
            stages[-1] = replace(stages[-1], relu=id(layer))
        else:
            return None
    return stages


def _is_plain(p: Any) -> bool:
    """Whether C can read a parameter as it is, and it wants a gradient."""
    if type(p) is not Tensor or p.ndim == 0:
        return False
    return p.requires_g and p._node is None and p._array.flags.c_contiguous and p._array.flags.aligned


def _size(layer: Module) -> int:
    """How many attributes a layer has after a call."""
    return len({*vars(layer), *layer.last_call})

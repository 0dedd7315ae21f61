"""SGD: the update p = p - lr p.g, optionally with momentum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any

import numpy as np

from pybackprop.autograd import messages, tape, versions
from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native, observer, short_calls
from pybackprop.core.arrays import Array, is_plain
from pybackprop.core.errors import DTypeError, GradientError, ShapeError

__all__ = ["SGD"]

SMALL = 2**15  # elements: an update of some microseconds, in which no other thread of Python runs
messages.remedies["SGD.step"] = "Update after backward"


class SGD:
    """Stochastic gradient descent: v = momentum v + g, then p = p - lr v (v is g without momentum).

    parameters  a Model, or tensors; may be given to `step` instead
    lr          learning rate, at least 0
    momentum    in [0, 1)

    Raises ValueError for a parameter given twice, and for rates outside their range.
    """

    lr: float
    momentum: float
    parameters: list[Tensor] | None

    def __init__(self, parameters: Any = None, *, lr: float, momentum: float = 0.0) -> None:
        self.lr = rate("lr", lr, math.inf)
        self.momentum = rate("momentum", momentum, 1)
        self.parameters = None if parameters is None else parameter_list(parameters)
        self._model = parameters if hasattr(parameters, "parameters") else None
        self._looked_at: Any = None  # what the Model knew of its layers at the last check; another one if they change
        self._velocity: dict[int, tuple[Tensor, Tensor]] = {}
        self._bound: _Bound | None = None

    def step(self, parameters: Any = None) -> None:
        """Updates the parameters in place, from their `.g`.

        Raises GradientError for a `.g` that is missing, ValueError for memory that cannot be written to,
        before any parameter is changed.
        """
        updated = self.parameters if parameters is None else parameter_list(parameters)
        model, looked_at = self._model, self._looked_at
        if model is not None and parameters is None and (looked_at is None or model._shortcut is not looked_at):
            self._check_model(model)
        if updated is None:
            raise ValueError("SGD.step: no parameters; give them to SGD(model, lr=...) or to step(model)")
        bound = self._bound
        if bound is not None and bound.short is not None and bound.short(updated, self.lr, self.momentum):
            return
        moves = self.momentum != 0
        if bound is None or not bound.fits(updated, moves):
            for parameter in updated:
                _check(parameter)
            bound = self._bound = _Bound(updated, [self.velocity(p) for p in updated] if moves else None)
        bound.check_renewed()
        bound.update(self.lr, self.momentum)

    def _check_model(self, model: Any) -> None:
        """Raises GradientError if the model's parameters are not those that it had when this was made."""
        now, then = parameter_list(model), self.parameters or []
        mine = {id(p) for p in then}
        for p in now:
            if id(p) not in mine:
                raise GradientError(
                    f"SGD.step: {describe(p)} was put into the model after SGD(model), and would never be updated. "
                    "Make a new SGD for the model as it is now"
                )
        self._looked_at = getattr(model, "_shortcut", None)

    def velocity(self, parameter: Tensor) -> Tensor:
        """The parameter's momentum, of its shape and dtype; zeros before the first step.

        Raises ShapeError or DTypeError if the parameter has become another since: its momentum does not fit it.
        """
        entry = self._velocity.get(id(parameter))
        if entry is None or entry[0] is not parameter:
            zeros = parameter.new_like()
            zeros._array[...] = 0
            entry = self._velocity[id(parameter)] = (parameter, zeros)  # holds it, so that its id stays its own
        _check_velocity(*entry)
        return entry[1]

    def take_velocities(self, places: Iterable[tuple[Tensor, Array]]) -> None:
        """Moves the momentum of parameters to other memory."""
        for p, view in places:
            view[...] = self.velocity(p)._array
            self._velocity[id(p)] = (p, wrap(view))
        self._bound = None

    def __copy__(self) -> SGD:
        """Another one for the same parameters, with momentum of its own."""
        twin = SGD.__new__(type(self))
        twin.__setstate__(self.__getstate__())
        twin._velocity = {key: (p, copy(velocity)) for key, (p, velocity) in self._velocity.items()}
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_bound": None, "_looked_at": None, "_velocity": [*self._velocity.values()]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """ids are those of one process and one life, so the momentum is found again by the parameters themselves."""
        vars(self).update(state)
        self._velocity = {id(p): (p, velocity) for p, velocity in state["_velocity"]}

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr}, momentum={self.momentum})"


class _Bound:
    """Checked parameters and C's pointers to them, valid as long as nothing about them changes."""

    def __init__(self, parameters: Sequence[Tensor], velocities: Sequence[Tensor] | None) -> None:
        self.moves = velocities is not None
        self.memory = [(k, p, p._array, p._g) for k, p in enumerate(parameters)]
        self.versions = [p._version for p in parameters]
        self.velocities = velocities  # kept alive for C
        self.calls = [self._call(dtype, parameters) for dtype in {p.dtype for p in parameters}]
        self.gradients: list[Any] = [p._g._version for p in parameters if p._g is not None]
        self.used: list[int] = []  # at the last update: what the gradients' versions counted, and how many walks
        self.short: Any = None  # the update as a short call, from the third one on
        self.looked = False  # whether there may be one

    def check_renewed(self) -> None:
        """Raises GradientError for a `.g` that was used before, if a backward has run since that did not reach it."""
        if not self.used:
            return
        *used, walks = self.used
        old = [k for k, version in enumerate(self.gradients) if version.count == used[k]]
        if old and (len(old) < len(used) or tape.walks != walks):
            p = self.memory[old[0]][1]
            raise GradientError(
                f"SGD.step: {describe(p)} still has the .g of an earlier backward, which was used already: the last "
                f"one did not reach it{_why_not(p)}. Leave it out of the optimizer, or set its .g to None or to zeros"
            )

    def shorten(self) -> None:
        """Prepares the next updates, if those take little more than these checks."""
        self.looked = True
        tensors = tuple(p for _, p, _, _ in self.memory)
        if sum(p.size for p in tensors) > SMALL or len(self.calls) > 1:
            return
        watched: list[tuple[Any, str, Any]] = []
        for _, p, array, g in self.memory:
            watched += [(p, "_array", array), (p, "_g", g), (p, "_node", None)]
        modules = vars(observer), vars(versions), vars(tape)
        given = self.calls[0], tuple(watched), tuple(self.versions), modules, "SGD.step", self.velocities
        read = tuple(self.gradients)
        writer = short_calls.writer("sgd_step", *given, self.moves, tensors, read, self.used)
        self.short = writer and writer.update

    def _call(self, dtype: np.dtype[Any], parameters: Sequence[Tensor]) -> tuple[Any, Any, int]:
        """(dtype, C's array, that array's length) for the parameters of one dtype."""
        indices = [k for k, p in enumerate(parameters) if p.dtype == dtype]
        array = native.parameters(len(indices))
        for entry, k in zip(array, indices, strict=True):
            dp: Any = parameters[k]._g
            entry.p, entry.dp, entry.size = parameters[k].pointer(), dp.pointer(), parameters[k].size
            entry.v = native.NULL if self.velocities is None else self.velocities[k].pointer()
        return dtype, array, len(indices)

    def fits(self, parameters: Sequence[Tensor], moves: bool) -> bool:
        """Whether these are the same, with the same memory, and it may still be written to."""
        if moves != self.moves or len(parameters) != len(self.memory):
            return False
        for k, p, array, g in self.memory:
            if parameters[k] is not p or p._array is not array or p._g is not g or p._node is not None:
                return False
            if not array.flags.writeable:
                return False
        return True

    def update(self, lr: float, momentum: float) -> None:
        for version in self.versions:  # Version.wrote, without a call for each
            version.count += 1
            version.by = "SGD.step"
            if versions.on:
                version.remember()
        for dtype, array, count in self.calls:
            native.sgd_step[dtype](array, count, lr, momentum)
        if self.used and not self.looked:
            self.shorten()
        self.used[:] = [*(version.count for version in self.gradients), tape.walks]
        if observer.active is not None:
            observer.active.ran("SGD.step")


def parameter_list(parameters: Any) -> list[Tensor]:
    """The tensors of a Model or an iterable. Raises TypeError for anything else, ValueError for none or duplicates."""
    listed = parameters.parameters() if hasattr(parameters, "parameters") else parameters
    if isinstance(listed, Tensor) or not isinstance(listed, Iterable):
        raise TypeError(f"SGD: found {type(listed).__name__}, expected a Model or a list of tensors")
    tensors = list(listed)
    seen: dict[int, int] = {}
    for k, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"SGD: parameter {k} is a {type(tensor).__name__}, expected a tensor (bp.param)")
        if id(tensor) in seen:
            raise ValueError(f"SGD: parameters {seen[id(tensor)]} and {k} are one tensor; it would be updated twice")
        seen[id(tensor)] = k
    if not tensors:
        raise ValueError("SGD: there are no parameters to train; make them with bp.param")
    return tensors


def _why_not(p: Tensor) -> str:
    """What can be known of why a backward did not reach a parameter."""
    if not p.requires_g:
        return ", for it does not require a gradient (requires_g is False)"
    return (
        ", for the loss was not computed from it: its layer was not called or was given another tensor, or a step on "
        "the way was off the tape (numpy's functions, .data, bp.tensor)"
    )


def _check_velocity(p: Tensor, velocity: Tensor) -> None:
    """C takes the size from the parameter alone."""
    if velocity.shape != p.shape:
        raise ShapeError(
            f"SGD: the momentum of {describe(p)} has the shape {velocity.shape}: the parameter became another after "
            "the step that made it. Make a new SGD"
        )
    if velocity.dtype != p.dtype:
        raise DTypeError(f"SGD: {describe(p)} is {p.dtype}, its momentum {velocity.dtype}. Make a new SGD")


def _check(p: Tensor) -> None:
    if p._g is None:
        raise GradientError(f"SGD.step: {describe(p)} has no .g; run backward first")
    if p._g.shape != p.shape:
        raise ShapeError(f"SGD.step: {describe(p)} has a .g of shape {p._g.shape}")
    if p._g.dtype != p.dtype or not is_plain(p._g._array):
        raise DTypeError(
            f"SGD.step: the .g of {describe(p)} is {p._g.dtype}, or not contiguous and aligned; set it to None first"
        )
    if p._node is not None:
        raise GradientError(f"SGD.step: {describe(p)} is a result ('{p._node.op.name}'), not a parameter")
    if not p._array.flags.writeable or not is_plain(p._array):
        raise ValueError(f"SGD.step: {describe(p)} is read-only, or not contiguous and aligned; make it with bp.param")


def rate(name: str, value: Any, below: float = math.inf) -> float:
    """value as a float from 0 to below a limit; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < below:
        limit = "a finite number of at least 0" if below == math.inf else "a number from 0 to below 1"
        raise ValueError(f"SGD: found {name}={value!r}, expected {limit}")
    return float(value)

"""Optimizer: what SGD, Adam and AdamW have in common. C's update, its numbers and its count of steps in one record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, ClassVar

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native, observer
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.nn.bound import Bound, check

__all__ = ["Optimizer", "Setting", "check_optimizer", "parameter_list", "rate"]


class Setting:
    """An attribute of an optimizer that C reads where it is, in the bp_optimizer; checked whenever it is set."""

    checked: Callable[[str, str, Any], Any]
    kind: type
    name: str

    def __init__(self, checked: Callable[[str, str, Any], Any], kind: type = float) -> None:
        self.checked, self.kind = checked, kind

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, optimizer: Any, owner: type) -> Any:
        return self if optimizer is None else self.kind(getattr(optimizer.c_optimizer, self.name))

    def __set__(self, optimizer: Any, value: Any) -> None:
        setattr(optimizer.c_optimizer, self.name, self.checked(optimizer.name, self.name, value))


class Optimizer:
    """Updates parameters in place from their `.g`. SGD, Adam and AdamW are the ones to use.

    lr, momentum  the numbers that every update is given; momentum is SGD's, or Adam's beta1
    parameters    what `step` updates if it is given nothing
    steps         how many updates there were
    """

    STATE: ClassVar[tuple[str, ...]]  # what is kept of each parameter, by the names in a checkpoint
    OPTIONS: ClassVar[tuple[str, ...]]  # the arguments that make another one like it

    lr: float
    momentum: float
    parameters: list[Tensor] | None
    c_optimizer: Any

    def __init__(self, parameters: Any, lr: float, momentum: float, decay_biases: bool) -> None:
        self.c_optimizer = native.optimizer()
        self.c_optimizer.decays_weights_only = not switch(self.name, "decay_biases", decay_biases)
        self.lr, self.momentum = lr, momentum
        self.parameters = None if parameters is None else parameter_list(parameters, self.name)
        self._model = parameters if hasattr(parameters, "parameters") else None
        self._looked_at: Any = None  # what the Model knew of its layers at the last check; another one if they change
        self._kept: dict[int, tuple[Tensor, ...]] = {}  # (parameter, what is kept of it ...) by its id
        self._bound: Bound | None = None

    @property
    def name(self) -> str:
        """Its class's: SGD, Adam, AdamW."""
        return type(self).__name__

    @property
    def steps(self) -> int:
        """How many updates there were."""
        return int(self.c_optimizer.steps)

    @steps.setter
    def steps(self, value: int) -> None:
        self.c_optimizer.steps = value

    @property
    def decay_biases(self) -> bool:
        """Whether weight decay is for biases too."""
        return not self.c_optimizer.decays_weights_only

    @property
    def keeps(self) -> bool:
        """Whether an update reads and writes what STATE names."""
        raise NotImplementedError

    def step(self, parameters: Any = None) -> None:
        """Updates the parameters in place, from their `.g`.

        Raises GradientError for a `.g` that is missing, ValueError for memory that cannot be written to,
        before any parameter is changed.
        """
        updated = self.parameters if parameters is None else parameter_list(parameters, self.name)
        model, looked_at = self._model, self._looked_at
        if model is not None and parameters is None and (looked_at is None or model._shortcut is not looked_at):
            self._check_model(model)
        if updated is None:
            raise ValueError(
                f"{self.name}.step: no parameters; give them to {self.name}(model, lr=...) or to step(model)"
            )
        bound = self._bound
        if bound is not None and bound.short is not None and bound.short(updated, self.lr, self.momentum):
            return
        moves = self.momentum != 0
        if bound is None or not bound.fits(updated, moves):
            bound = self._bound = self._bind(updated, moves)
        bound.check_renewed()
        bound.update(self.lr, self.momentum)

    def _bind(self, updated: Sequence[Tensor], moves: bool) -> Bound:
        operation = f"{self.name}.step"
        for parameter in updated:
            check(operation, parameter)
        self._check_counted(operation, updated)
        kept = [self.kept(p) if self.keeps else () for p in updated]
        return Bound(operation, self.c_optimizer, updated, kept, moves)

    def _check_counted(self, operation: str, updated: Sequence[Tensor]) -> None:
        """Raises ValueError for parameters that do not go with the count of steps, where updates depend on it."""

    def _check_model(self, model: Any) -> None:
        """Raises GradientError if the model's parameters are not those that it had when this was made."""
        now, then = parameter_list(model, self.name), self.parameters or []
        mine = {id(p) for p in then}
        for p in now:
            if id(p) not in mine:
                raise GradientError(
                    f"{self.name}.step: {describe(p)} was put into the model after {self.name}(model), and would never "
                    f"be updated. Make a new {self.name} for the model as it is now"
                )
        self._looked_at = getattr(model, "_shortcut", None)

    # ---- what is kept of each parameter ----

    def kept(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """What STATE names of a parameter, of its shape and dtype; zeros before the first step.

        Raises ShapeError or DTypeError if the parameter has become another since: it does not fit what is kept.
        """
        entry = self._kept.get(id(parameter))
        if entry is None or not self.has_kept(parameter):
            zeros = [parameter.new_like() for _ in self.STATE]
            for name, tensor in zip(self.STATE, zeros, strict=True):
                tensor._array[...] = 0
                if observer.active is not None:
                    observer.active.named(tensor._array, f"{name}.{parameter._label}", "momentum")
            entry = self._kept[id(parameter)] = (parameter, *zeros)  # holds it, so that its id stays its own
        for tensor in entry[1:]:
            self._check_kept(parameter, tensor)
        return entry[1:]

    def has_kept(self, parameter: Tensor) -> bool:
        """Whether anything is kept of a parameter already."""
        entry = self._kept.get(id(parameter))
        return entry is not None and entry[0] is parameter

    def take_state(self, parameters: Sequence[Tensor], views: Sequence[Sequence[Array]]) -> None:
        """Moves what is kept of the parameters to other memory: to views[k] of parameters[k]."""
        self._check_counted("compile", parameters)
        for p, places in zip(parameters, views, strict=True):
            for place, tensor in zip(places, self.kept(p), strict=True):
                place[...] = tensor._array
        for p, places in zip(parameters, views, strict=True):
            self._kept[id(p)] = (p, *map(wrap, places))
        self._bound = None

    def _check_kept(self, p: Tensor, tensor: Tensor) -> None:
        """C takes the size from the parameter alone."""
        if tensor.shape != p.shape:
            raise ShapeError(
                f"{self.name}: the momentum of {describe(p)} has the shape {tensor.shape}: the parameter became "
                f"another after the step that made it. Make a new {self.name}"
            )
        if tensor.dtype != p.dtype:
            raise DTypeError(
                f"{self.name}: {describe(p)} is {p.dtype}, its momentum {tensor.dtype}. Make a new {self.name}"
            )

    # ---- copies ----

    def options(self) -> dict[str, Any]:
        """The arguments, by name, that make another optimizer like this one; JSON can hold them."""
        return {name: getattr(self, name) for name in self.OPTIONS}

    def __copy__(self) -> Any:
        """Another one for the same parameters, with a state of its own."""
        twin = type(self).__new__(type(self))
        twin.__setstate__(self.__getstate__())
        twin._kept = {key: (p, *map(copy, kept)) for key, (p, *kept) in self._kept.items()}
        return twin

    def __getstate__(self) -> dict[str, Any]:
        numbers = native.fields(self.c_optimizer)
        kept = [*self._kept.values()]
        return {**vars(self), "_bound": None, "_looked_at": None, "_kept": kept, "c_optimizer": numbers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """ids are those of one process and one life, so what is kept is found again by the parameters themselves."""
        vars(self).update(state)
        self.c_optimizer = native.optimizer(state["c_optimizer"])
        self._kept = {id(entry[0]): entry for entry in state["_kept"]}

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.options().items())})"


def parameter_list(parameters: Any, of: str = "SGD") -> list[Tensor]:
    """The tensors of a Model or an iterable. Raises TypeError for anything else, ValueError for none or duplicates."""
    listed = parameters.parameters() if hasattr(parameters, "parameters") else parameters
    if isinstance(listed, Tensor) or not isinstance(listed, Iterable):
        raise TypeError(f"{of}: found {type(listed).__name__}, expected a Model or a list of tensors")
    tensors = list(listed)
    seen: dict[int, int] = {}
    for k, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{of}: parameter {k} is a {type(tensor).__name__}, expected a tensor (bp.param)")
        if id(tensor) in seen:
            raise ValueError(f"{of}: parameters {seen[id(tensor)]} and {k} are one tensor; it would be updated twice")
        seen[id(tensor)] = k
    if not tensors:
        raise ValueError(f"{of}: there are no parameters to train; make them with bp.param")
    return tensors


def switch(of: str, name: str, value: Any) -> bool:
    """value, which must be a bool; ValueError for anything else."""
    if not isinstance(value, bool):
        raise ValueError(f"{of}: found {name}={value!r}, expected True or False")
    return value


def rate(name: str, value: Any, below: float = math.inf, of: str = "SGD") -> float:
    """value as a float from 0 to below a limit; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < below:
        limit = "a finite number of at least 0" if below == math.inf else "a number from 0 to below 1"
        raise ValueError(f"{of}: found {name}={value!r}, expected {limit}")
    return float(value)


def check_optimizer(operation: str, optimizer: Any) -> None:
    """Raises TypeError for what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{operation}: found optimizer {type(optimizer).__name__}, expected a bp.SGD, Adam or AdamW")

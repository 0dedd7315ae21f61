"""SGD: the update p = p - lr p.g, with momentum if wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from pybackprop import _native
from pybackprop.errors import GradientError, ShapeError
from pybackprop.tape import describe
from pybackprop.tensor import Tensor

__all__ = ["SGD"]


class SGD:
    """Stochastic gradient descent: v = momentum v + g, then p = p - lr v (v is g without momentum).

    parameters  a Model, or tensors; may be given to `step` instead
    lr          learning rate, at least 0
    momentum    in [0, 1)

    Raises ValueError for a parameter given twice, and for rates outside their range.
    """

    def __init__(self, parameters: Any = None, *, lr: float, momentum: float = 0.0) -> None:
        self.lr = _rate("lr", lr, math.inf)
        self.momentum = _rate("momentum", momentum, 1)
        self.parameters = None if parameters is None else parameter_list(parameters)
        self._velocity: dict[int, tuple[Tensor, Tensor]] = {}

    def step(self, parameters: Any = None) -> None:
        """Updates the parameters in place, from their `.g`.

        Raises GradientError for a `.g` that is missing, ValueError for memory that cannot be written to:
        before any parameter is changed.
        """
        given = self.parameters if parameters is None else parameter_list(parameters)
        if given is None:
            raise ValueError("SGD.step: no parameters; give them to SGD(model, lr=...) or to step(model)")
        for parameter in given:
            _check(parameter)
        for parameter in given:
            parameter.touch("SGD.step")
            self._update(parameter)

    def _update(self, p: Tensor) -> None:
        dp: Any = p._g
        if self.momentum == 0:
            _native.sgd_update[p.dtype](p.pointer(), dp.pointer(), self.lr, p.size)
        else:
            v = self.velocity(p)
            call = _native.sgd_momentum_update[p.dtype]
            call(p.pointer(), v.pointer(), dp.pointer(), self.lr, self.momentum, p.size)

    def velocity(self, parameter: Tensor) -> Tensor:
        """The parameter's momentum, of its shape; zeros before the first step."""
        found = self._velocity.get(id(parameter))
        if found is None:
            made = parameter.new_like()
            made._array[...] = 0
            found = self._velocity[id(parameter)] = (parameter, made)  # holds it, so that its id stays its own
        return found[1]

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr}, momentum={self.momentum})"


def parameter_list(parameters: Any) -> list[Tensor]:
    """The tensors of a Model or an iterable, checked: none twice, none that is no leaf."""
    listed = parameters.parameters() if hasattr(parameters, "parameters") else parameters
    if isinstance(listed, Tensor) or not isinstance(listed, Iterable):
        raise TypeError(f"SGD: found {type(listed).__name__}, expected a Model or a list of tensors")
    found = list(listed)
    seen: dict[int, int] = {}
    for k, tensor in enumerate(found):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"SGD: parameter {k} is a {type(tensor).__name__}, expected a tensor (bp.param)")
        if id(tensor) in seen:
            raise ValueError(f"SGD: parameters {seen[id(tensor)]} and {k} are one tensor; it would be updated twice")
        seen[id(tensor)] = k
    if not found:
        raise ValueError("SGD: there are no parameters to train; make them with bp.param")
    return found


def _check(p: Tensor) -> None:
    if p._g is None:
        raise GradientError(f"SGD.step: {describe(p)} has no .g; run backward first")
    if p._g.shape != p.shape:
        raise ShapeError(f"SGD.step: {describe(p)} has a .g of shape {p._g.shape}")
    if p._node is not None:
        raise GradientError(f"SGD.step: {describe(p)} is a result ('{p._node.operation}'), not a parameter")
    if not p._array.flags.writeable or not p._array.flags.c_contiguous:
        raise ValueError(f"SGD.step: {describe(p)} is read-only or not contiguous; make it with bp.param")


def _rate(name: str, value: Any, below: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < below:
        limit = "a finite number of at least 0" if below == math.inf else "a number from 0 to below 1"
        raise ValueError(f"SGD: found {name}={value!r}, expected {limit}")
    return float(value)

"""gradcheck: compares every gradient with how much the loss changes when its element moves a little.

Slopes are signed central differences in double, (f(v + h) - f(v - h)) / 2h, element by element. Where
f has a kink within h (relu at 0), any value between the two one-sided slopes is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop.autograd import tape
from pybackprop.autograd.tensor import Tensor, as_tensor, tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.engine.model import Model

__all__ = ["GradCheck", "gradcheck"]

RTOL = {native.FLOAT32: 1e-4, native.FLOAT64: 1e-6}


@dataclass(frozen=True)
class GradCheck:
    """The outcome of gradcheck; true if every element agreed. The fields after count describe the worst element.

    ok        whether every element agreed
    count     how many elements were checked
    name      of the tensor
    index     of the element
    gradient  the gradient that was checked
    slope     the measured slope
    excess    |gradient - slope| divided by the difference allowed: above 1 is wrong
    """

    ok: bool
    count: int
    name: str
    index: tuple[int, ...]
    gradient: float
    slope: float
    excess: float

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        where = f"{self.name}[{', '.join(map(str, self.index))}]"
        verdict = f"{self.count} elements agree; the worst" if self.ok else "a gradient is wrong: the worst element"
        return (
            f"gradcheck: {verdict} is {where}: gradient {self.gradient:.9g}, slope {self.slope:.9g}, "
            f"{self.excess:.3g} times the difference allowed"
        )


def gradcheck(
    f: Any,
    *tensors: Any,
    grads: Sequence[Any] | None = None,
    h: float = 1e-5,
    rtol: float | None = None,
    atol: float = 1e-10,
    raises: bool = True,
) -> GradCheck:
    """Compares gradients with measured slopes, element by element, and names the worst element.

    f        a function of the tensors that returns one number, or a Model (tensors are then x and targ, and its
             parameters are checked too)
    tensors  those with requires_g are checked, or all if none has it; the others are data
    grads    the gradients to check, one per tensor and, for a Model, then one per parameter (None: leave that one
             out); without it, those of the tape
    h        an element is moved by h * max(1, |element|)
    rtol     allowed difference, relative to the slope and to the tensor's largest slope; 1e-4 for float32,
             1e-6 for float64; atol is added
    raises   raise GradientError for a wrong gradient; otherwise the outcome is returned

    Measuring takes two forward passes in float64 per element. A NaN is always wrong. Raises GradientError for a wrong
    gradient, or if f does not return a tensor; ValueError if there is nothing to check, or the number of grads is
    wrong; ShapeError if a gradient's shape is not its tensor's; DTypeError if f uses float32 tensors that are not
    arguments.
    """
    given = [as_tensor(t) for t in tensors]
    function, checked = _of_model(f, given) if isinstance(f, Model) else (f, given)
    gradients = _gradients(function, checked, grads)
    double = [tensor(np.array(t._array, np.float64)) for t in checked]
    if isinstance(f, Model):
        function, double = _of_model(f.double(), double[: len(given)])
    worst = None
    for k, gradient in gradients.items():
        name = checked[k].name or f"tensors[{k}]"
        limit = RTOL[checked[k].dtype] if rtol is None else rtol
        outcome = _check_one(name, gradient, _Slopes(function, double, k, h), limit, atol)
        worst = outcome if worst is None else _worse(worst, outcome)
    if worst is None:
        raise ValueError("gradcheck: there is nothing to check; give at least one tensor that is not empty")
    if raises and not worst:
        raise GradientError(str(worst))
    return worst


def _of_model(model: Model, data: Sequence[Tensor]) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """The loss as a function of the data and then the parameters; the parameters are read from the model itself."""
    parameters = model.parameters()
    return (lambda *values: model(*values[: len(data)])), [*data, *parameters]


def _gradients(
    function: Callable[..., Any], tensors: Sequence[Tensor], grads: Sequence[Any] | None
) -> dict[int, Array]:
    """The gradients to check, by the position of their tensor."""
    if grads is None:
        grads = _from_tape(function, tensors)
    if len(grads) != len(tensors):
        raise ValueError(f"gradcheck: found {len(grads)} gradients for {len(tensors)} tensors")
    gradients = {}
    for k, (value, gradient) in enumerate(zip(tensors, grads, strict=True)):
        if gradient is None or value.size == 0:
            continue
        array = gradients[k] = np.asarray(gradient, np.float64)
        if array.shape != value.shape:
            raise ShapeError(f"gradcheck: found a gradient of shape {array.shape} for tensor {k} of {value.shape}")
    return gradients


def _from_tape(function: Callable[..., Any], tensors: Sequence[Tensor]) -> list[Tensor | None]:
    check_all = not any(t.requires_g for t in tensors)
    before = [(t, t.requires_g, t._g) for t in tensors]
    for t in tensors:
        t.requires_g, t._g = t.requires_g or check_all, None
    try:
        result = function(*tensors)
        if not isinstance(result, Tensor):
            raise GradientError(f"gradcheck: f returned a {type(result).__name__}, expected a tensor with one number")
        result.backward()
        return [t._g for t in tensors]
    finally:
        for t, requires_g, g in before:
            t.requires_g, t._g = requires_g, g


class _Slopes:
    """How f changes when one element of tensor k moves."""

    def __init__(self, function: Callable[..., Any], tensors: Sequence[Tensor], k: int, h: float) -> None:
        self.function, self.tensors, self.values, self.h = function, tensors, tensors[k]._array, h
        try:
            self.here = self._f()
        except DTypeError as error:
            raise DTypeError(
                "gradcheck: slopes are measured in float64, so f must not bring float32 tensors of its own; "
                f"give every tensor that it uses as an argument ({error})"
            ) from error

    def _f(self) -> float:
        with tape.paused():
            return float(self.function(*self.tensors))

    def at(self, index: tuple[int, ...]) -> tuple[float, float]:
        """(slope to the left, slope to the right)"""
        value = self.values[index]
        step = self.h * max(1.0, abs(value))
        try:
            self.values[index] = value - step
            left = (self.here - self._f()) / step
            self.values[index] = value + step
            right = (self._f() - self.here) / step
        finally:
            self.values[index] = value
        return left, right


def _check_one(name: str, gradient: Array, slopes: _Slopes, rtol: float, atol: float) -> GradCheck:
    sides = np.array([slopes.at(index) for index in np.ndindex(gradient.shape)]).reshape(*gradient.shape, 2)
    with np.errstate(all="ignore"):
        central = sides.mean(-1)
        allowed = atol + rtol * (np.abs(central) + np.nanmax(np.abs(central), initial=0))
        bent = np.abs(sides[..., 1] - sides[..., 0]) > 100 * allowed
        blur = 10 * slopes.h * np.abs(sides).sum(-1)  # one-sided slopes are only right to the first order of h
        low = np.where(bent, sides.min(-1) - blur, central)
        high = np.where(bent, sides.max(-1) + blur, central)
        excess = np.maximum(low - gradient, gradient - high) / allowed
    excess = np.where(np.isnan(excess), np.inf, np.maximum(excess, 0))
    index = tuple(int(i) for i in np.unravel_index(np.argmax(excess), excess.shape))
    worst = float(excess[index])
    return GradCheck(worst <= 1, gradient.size, name, index, float(gradient[index]), float(central[index]), worst)


def _worse(a: GradCheck, b: GradCheck) -> GradCheck:
    worst = b if b.excess > a.excess else a
    return GradCheck(
        a.ok and b.ok, a.count + b.count, worst.name, worst.index, worst.gradient, worst.slope, worst.excess
    )

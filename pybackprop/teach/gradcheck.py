"""gradcheck: compares every gradient with how much the loss changes when its element moves a little.

Slopes are measured in float64, element by element, with their error (see slopes.py), and each gradient is held against
its own slope: a tiny one beside large ones too. Where f has a kink (relu at 0), any value between the two one-sided
slopes is accepted. Where noise is as large as the gradient, nothing can be known: this is counted, and neither called
wrong nor agreement.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, as_tensor, tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DTypeError, GradientError, ShapeError
from pybackprop.engine.model import Model
from pybackprop.teach.slopes import Noise, Slope, Slopes, moved

__all__ = ["GradCheck", "gradcheck"]

RTOL = {native.FLOAT32: 1e-4, native.FLOAT64: 1e-6}
RESOLUTION = {native.FLOAT32: 5e-3, native.FLOAT64: 5e-4}  # an error of twice this fraction of a gradient is seen
SAMPLES = 8  # of a gradient's own rounding error


@dataclass(frozen=True, repr=False)
class GradCheck:
    """The outcome of gradcheck; true if no element was wrong. The fields from name to excess describe the worst one.

    ok          whether no element was wrong
    count       how many elements were checked
    name        of the tensor
    index       of the element
    gradient    the gradient that was checked
    slope       the measured slope
    excess      |gradient - slope| divided by the difference allowed: above 1 is wrong
    unresolved  how many elements could not be resolved, as noise hides an error of 0.1 % (float32: 1 %) in them
    noise       the largest noise among those, relative to its gradient (infinite for a gradient of 0)
    """

    ok: bool
    count: int
    name: str
    index: tuple[int, ...]
    gradient: float
    slope: float
    excess: float
    unresolved: int = 0
    noise: float = 0.0

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        where = f"{self.name}[{', '.join(map(str, self.index))}]"
        agree = f"{self.count - self.unresolved} elements agree"
        if self.unresolved:
            agree += f", {self.unresolved} cannot be resolved: noise {self._how_large()}"
        verdict = f"{agree}; the worst" if self.ok else "a gradient is wrong: the worst element"
        return (
            f"gradcheck: {verdict} is {where}: gradient {self.gradient:.9g}, slope {self.slope:.9g}, "
            f"{self.excess:.3g} times the difference allowed"
        )

    __repr__ = __str__

    def _how_large(self) -> str:
        return "beside gradients of 0" if self.noise == np.inf else f"up to {self.noise:.1g} of the gradient"


def gradcheck(
    f: Any,
    *tensors: Any,
    grads: Sequence[Any] | None = None,
    h: float = 1e-5,
    rtol: float | None = None,
    atol: float = 0.0,
    raises: bool = True,
) -> GradCheck:
    """Compares gradients with measured slopes, element by element, and names the worst element.

    f        a function of the tensors that returns one number, or a Model (tensors are then x and targ, and its
             parameters are checked too)
    tensors  those with requires_g are checked, or all if none has it; the others are data, of which whole numbers, such
             as labels, are taken to be exact
    grads    the gradients to check, one per tensor and, for a Model, then one per parameter (None: leave that one
             out); without it, those of the tape
    h        the first step: an element is moved by h * max(|element|, largest of the tensor / 1000). Smaller and
             larger steps follow where that one does not decide
    rtol     allowed difference, relative to the slope; 1e-4 for float32, 1e-6 for float64. atol is added, and the
             rounding errors of the slope and of the gradient, both of which are estimated
    raises   raise GradientError for a wrong gradient; otherwise the outcome is returned

    Measuring takes two or four forward passes in float64 per element, and up to 90 where they do not decide. A NaN is
    always wrong. An element is unresolved if these rounding errors would hide a difference of 0.1 % (float32: 1 %); the
    outcome counts them. Warns (RuntimeWarning) if no element at all could be resolved.
    Raises GradientError for a wrong gradient, or if f does not return a tensor; ValueError if there is nothing to
    check, or the number of grads is wrong; ShapeError if a gradient's shape is not its tensor's; DTypeError if f uses
    float32 tensors that are not arguments.
    """
    given = [as_tensor(t) for t in tensors]
    function, checked = _of_model(f, given) if isinstance(f, Model) else (f, given)
    gradients = _gradients(function, checked, grads)
    if not gradients:
        raise ValueError("gradcheck: there is nothing to check; give at least one tensor that is not empty")
    double = [tensor(np.array(t._array, np.float64)) for t in checked]
    if isinstance(f, Model):
        function, double = _of_model(f.double(), double[: len(given)])
    free = [t for k, t in enumerate(double) if k in gradients or not _is_whole(t)]
    noise = _noise(function, double, free)
    own = _own_errors(function, double, free, gradients, checked)
    outcomes = []
    for k, gradient in gradients.items():
        real = checked[k].dtype
        slopes = Slopes(function, double, k, h, RESOLUTION[real] / 2, noise)
        limits = _Limits(real, RTOL[real] if rtol is None else rtol, atol, own[k])
        outcomes.append(_check_one(checked[k].name or f"tensors[{k}]", gradient, slopes, limits))
    return _told(outcomes, raises)


def _told(outcomes: Sequence[GradCheck], raises: bool) -> GradCheck:
    """The outcome for all tensors; raises or warns if it has to."""
    worst = max(outcomes, key=lambda outcome: outcome.excess)
    result = replace(
        worst,
        ok=all(outcomes),
        count=sum(outcome.count for outcome in outcomes),
        unresolved=sum(outcome.unresolved for outcome in outcomes),
        noise=max(outcome.noise for outcome in outcomes),
    )
    if raises and not result:
        raise GradientError(str(result))
    if result and result.unresolved == result.count:
        warnings.warn(f"{result}. Nothing was checked", RuntimeWarning, stacklevel=3)
    return result


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


def _is_whole(t: Tensor) -> bool:
    """Whether a tensor is whole numbers: data such as labels, which may have to stay what they are."""
    return bool((np.floor(t._array) == t._array).all())


def _noise(function: Callable[..., Any], double: Sequence[Tensor], free: Sequence[Tensor]) -> Noise:
    try:
        return Noise(function, double, free)
    except DTypeError as error:
        raise DTypeError(
            "gradcheck: slopes are measured in float64, so f must not bring float32 tensors of its own; "
            f"give every tensor that it uses as an argument ({error})"
        ) from error


def _own_errors(
    function: Callable[..., Any],
    double: Sequence[Tensor],
    free: Sequence[Tensor],
    gradients: dict[int, Array],
    checked: Sequence[Tensor],
) -> dict[int, Array]:
    """By how much rounding may have moved each gradient: how much gradients move when every number of f is rounded.

    free: those tensors that may be moved
    Sums of m terms accumulate roundings, so each number is moved by 4 sqrt(m) roundings. Where f has no tape, a
    fraction of the largest gradient is taken instead.
    """
    real = checked[next(iter(gradients))].dtype
    longest = max((length for t in double for length in t.shape), default=1)
    rounding = 4 * sqrt(longest) * float(np.finfo(real).eps) / 2
    for k, t in enumerate(double):
        t.requires_g = k in gradients
    rng = np.random.default_rng(0)
    try:
        with np.errstate(all="ignore"):
            base = _copies(function, double)
            errors = {k: np.zeros(gradient.shape) for k, gradient in gradients.items()}
            for _ in range(SAMPLES):
                with moved(free, [rounding * rng.uniform(-1, 1, t.shape) for t in free]):
                    sample = _copies(function, double)
                for k, error in errors.items():
                    np.fmax(error, 2 * np.abs(sample[k] - base[k]), out=error)
        return errors
    except GradientError:
        return {k: np.full(g.shape, 100 * rounding * np.nanmax(np.abs(g), initial=0)) for k, g in gradients.items()}


def _copies(function: Callable[..., Any], double: Sequence[Tensor]) -> list[Array]:
    found = _from_tape(function, double)
    return [np.zeros(t.shape) if g is None else g._array.copy() for t, g in zip(double, found, strict=True)]


@dataclass(frozen=True)
class _Limits:
    """What may differ. own: the gradients' own rounding errors."""

    real: np.dtype[Any]
    rtol: float
    atol: float
    own: Array

    @property
    def resolution(self) -> float:
        """The largest noise, relative to the slope, that leaves an element resolved."""
        return max(RESOLUTION[self.real], self.rtol)

    def excess(self, gradient: float, slope: Slope, own: float) -> float:
        """The difference of a gradient from its slope, divided by what is allowed."""
        largest, limits = max(abs(slope.low), abs(slope.high)), np.finfo(self.real)
        if abs(gradient) == np.inf and largest >= float(limits.max) and gradient * slope.middle > 0:
            return 0.0  # the slope is beyond the dtype's range
        allowed = self.atol + self.rtol * largest + slope.error + own + float(limits.tiny)
        excess = slope.distance(gradient) / allowed if np.isfinite(gradient) else np.inf
        return excess if np.isfinite(excess) else np.inf if not np.isfinite(gradient) else 0.0

    def noise(self, gradient: float, slope: Slope, own: float) -> float:
        """The noise relative to the gradient or its slope; 0 if there is none."""
        noise, size = slope.error + own, max(abs(gradient), abs(slope.low), abs(slope.high))
        return noise / size if size else np.inf if noise else 0.0


def _check_one(name: str, gradient: Array, slopes: Slopes, limits: _Limits) -> GradCheck:
    worst, unresolved, noisiest = None, 0, 0.0
    for index in np.ndindex(gradient.shape):
        g, own = float(gradient[index]), float(limits.own[index])
        slope = slopes.at(index, g, own, limits.rtol)
        excess, noise = limits.excess(g, slope, own), limits.noise(g, slope, own)
        if excess <= 1 and not noise <= limits.resolution:
            unresolved, noisiest = unresolved + 1, max(noisiest, noise if noise == noise else np.inf)
        if worst is None or excess > worst.excess:
            worst = GradCheck(excess <= 1, gradient.size, name, index, g, slope.middle, excess)
    assert worst is not None
    return replace(worst, unresolved=unresolved, noise=noisiest)

"""Slopes of a function by differences, with the error of each: how much of a difference is rounding, how much bending.

The loss is computed in float64, so a central difference (f(v + h) - f(v - h)) / 2h has two errors. Rounding: the noise
of f divided by h, smaller for larger steps. Truncation: what f bends within h, smaller for smaller steps. A single
element enters the loss of a network of linear layers and relu as a quadratic between two kinks, where a central
difference is exact for every h. So steps are compared with steps 4 times as large, and larger ones are taken where
noise forbids small. A larger step counts only if it agrees with all smaller ones to within their noise.
Sources: Higham, "Accuracy and Stability of Numerical Algorithms", section 1.14; Moré & Wild, "Estimating Computational
Noise", SIAM J. Sci. Comput. 33 (2011), for the noise by difference tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, inf, isfinite, log, sqrt
from typing import Any

import numpy as np

from pybackprop.autograd import tape
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array

EPS = 2.0**-53
RATIO = 4.0  # from one step to the next larger
DOWN, UP = -20, 24  # the smallest and the largest step are RATIO to this power times the first one
SAFETY = 10.0  # the rounding error allowed, in standard deviations of the noise
DIRECTIONS, POINTS, NUDGE = 3, 7, 2.0**-40  # of the table of differences


@dataclass(frozen=True)
class Slope:
    """A measured slope: between low and high, which differ at a kink, to within error."""

    low: float
    high: float
    error: float

    @property
    def middle(self) -> float:
        """The central difference; at a kink the mean of both sides."""
        return (self.low + self.high) / 2

    def distance(self, gradient: float) -> float:
        """How far a gradient is from what was measured."""
        return max(self.low - gradient, gradient - self.high, 0.0)


@dataclass(frozen=True)
class _Pair:
    """f at v - left and v + right, as differences from f(v)."""

    left: float
    right: float
    below: float
    above: float
    noise: float

    @property
    def central(self) -> float:
        return (self.above - self.below) / (self.left + self.right)

    @property
    def sides(self) -> tuple[float, float]:
        return -self.below / self.left, self.above / self.right

    @property
    def rounding(self) -> float:
        return SAFETY * self.noise / min(self.left, self.right)

    @property
    def is_flat(self) -> bool:
        return self.below == 0 == self.above


class Slopes:
    """Measures how f changes when one element of tensor k moves. resolution: the relative error that is aimed at."""

    function: Callable[..., Any]
    tensors: Sequence[Tensor]
    noise: Noise
    values: Array
    h: float
    resolution: float
    typical: float
    here: float

    def __init__(
        self, function: Callable[..., Any], tensors: Sequence[Tensor], k: int, h: float, resolution: float, noise: Noise
    ) -> None:
        self.function, self.tensors, self.noise = function, tensors, noise
        self.values, self.h, self.resolution = tensors[k]._array, h, resolution
        finite = self.values[np.isfinite(self.values)]
        self.typical = float(np.abs(finite).max(initial=0)) or 1.0
        self.here = evaluate(function, tensors)

    def at(self, index: tuple[int, ...], gradient: float, own: float, rtol: float) -> Slope:
        """The slope at an element, measured closely enough to decide on gradient, if that can be done.

        own: the rounding error of the gradient itself. A gradient that agrees is enough: chance would not do that.
        """
        line = _Line(self, index, self.h * max(abs(float(self.values[index])), self.typical / 1000))
        if gradient == 0 and line.pair(0).is_flat and line.is_flat():
            return Slope(0.0, 0.0, 0.0)
        levels = dict.fromkeys([0, line.quieter(self.resolution * abs(gradient))] if isfinite(gradient) else [])
        for level in levels:
            pair = line.pair(level)
            slope = Slope(pair.central, pair.central, pair.rounding)
            close = slope.distance(gradient) <= rtol * abs(slope.middle) + slope.error + own
            if close and slope.error <= self.resolution * abs(gradient):
                return slope
        return line.best(self.resolution)


class _Line:
    """f along one element."""

    def __init__(self, slopes: Slopes, index: tuple[int, ...], step: float) -> None:
        self.slopes, self.index, self.step = slopes, index, step
        self.pairs: dict[int, _Pair] = {}

    def pair(self, level: int) -> _Pair:
        """f on both sides, at step * RATIO**level."""
        if level not in self.pairs:
            self.pairs[level] = self._pair(self.step * RATIO**level)
        return self.pairs[level]

    def _pair(self, step: float) -> _Pair:
        here = float(self.slopes.values[self.index])
        below, above = here - step, here + step  # rounded: the steps are what they really are
        with np.errstate(all="ignore"):
            f_below, f_above = self._f(below), self._f(above)
        f = self.slopes.here
        noise = self.slopes.noise.at(max(abs(f_below), abs(f_above)))
        return _Pair(here - below or inf, above - here or inf, f_below - f, f_above - f, noise)

    def _f(self, value: float) -> float:
        values, before = self.slopes.values, self.slopes.values[self.index]
        try:
            values[self.index] = value
            return evaluate(self.slopes.function, self.slopes.tensors)
        finally:
            values[self.index] = before

    def quieter(self, allowed: float) -> int:
        """The level from which on rounding is less than half of what is allowed."""
        rounding = self.pair(0).rounding
        if not allowed or not isfinite(rounding) or rounding <= allowed / 2:
            return 0
        return min(UP - 1, ceil(log(2 * rounding / allowed, RATIO)))

    def is_flat(self) -> bool:
        """Whether f does not depend on the element: nowhere, or not before a kink, beyond which it changes at once."""
        if self.pair(UP).is_flat:
            return True
        level = next(level for level in range(1, UP + 1) if not self.pair(level).is_flat)
        pair = self.pair(level)
        return max(abs(pair.below), abs(pair.above)) > 100 * RATIO * pair.noise

    def best(self, resolution: float) -> Slope:
        """The slope at a step where it is known well enough, or else all that noise and kinks allow."""
        for level in self._down(resolution):
            slope = self._smooth(level)
            if slope.error <= resolution * abs(slope.middle):
                return slope
        return self._at_kink(resolution) or self._up(resolution) or self._wide()

    def _down(self, resolution: float) -> Iterator[int]:
        """The first step, and smaller ones as long as rounding leaves something to see."""
        for level in range(0, DOWN - 1, -1):
            yield level
            pair = self.pair(level)
            if not pair.rounding <= max(resolution * abs(pair.central), self._jump(level) / 10):
                return

    def _at_kink(self, resolution: float) -> Slope | None:
        """The slopes on both sides of a kink that lies within the smallest step that noise does not hide."""
        for level in sorted(level for level in self.pairs if level <= 0):
            left, right = self._sides(level)
            error = self._error(level)
            if not self._jump(level) or error > resolution * max(abs(left), abs(right)):
                continue
            for pair in self._smaller(level):
                allowed = error + 2 * pair.rounding
                if abs(pair.sides[0] - left) > allowed or abs(pair.sides[1] - right) > allowed:
                    return None
            return Slope(min(left, right), max(left, right), error)
        return None

    def _up(self, resolution: float) -> Slope | None:
        """The slope at a larger step that has no kink and agrees with all smaller ones to within their noise."""
        for level in range(1, UP):
            mine, slope = self.pair(level), self._smooth(level)
            for pair in self._smaller(level):
                if abs(mine.central - pair.central) > 2 * (mine.rounding + pair.rounding):
                    return None
            if slope.error <= resolution * abs(slope.middle):
                return slope
        return None

    def _wide(self) -> Slope:
        """Where nothing is known well: all slopes of small steps, as far as noise leaves them any meaning."""
        low, high = inf, -inf
        for level in range(0, DOWN - 1, -1):
            pair = self.pair(level)
            margin, width = 2 * pair.rounding, high - low
            low, high = min(low, *(s - margin for s in pair.sides)), max(high, *(s + margin for s in pair.sides))
            if margin > 2 * width and level < 0:  # a smaller step would only add noise
                break
        middle, width = (low + high) / 2, (high - low) / 2
        return Slope(middle, middle, width) if isfinite(width) else Slope(0.0, 0.0, inf)

    def _smaller(self, level: int) -> list[_Pair]:
        """What was measured with smaller steps."""
        return [pair for other, pair in self.pairs.items() if other < level]

    def _smooth(self, level: int) -> Slope:
        """The slope at a step if there is no kink; what looks like one is part of the error."""
        left, right = self._sides(level)
        error, middle = self._error(level) + abs(right - left), self.pair(level).central
        return Slope(middle, middle, error if isfinite(error) else inf)

    def _error(self, level: int) -> float:
        """What rounding, and a comparison with the next larger step, allow as error of the central difference."""
        small, large = self.pair(level), self.pair(level + 1)
        return 2 * small.rounding + abs(small.central - large.central)

    def _sides(self, level: int) -> tuple[float, float]:
        """The slopes to the left and to the right, without what f bends within the step."""
        small, large = self.pair(level), self.pair(level + 1)
        left, right = ((RATIO * a - b) / (RATIO - 1) for a, b in zip(small.sides, large.sides, strict=True))
        return left, right

    def _jump(self, level: int) -> float:
        """How far the slopes on both sides differ, if that is more than an error; else 0."""
        left, right = self._sides(level)
        return abs(right - left) if abs(right - left) > 4 * self._error(level) else 0.0


def evaluate(function: Callable[..., Any], tensors: Sequence[Tensor]) -> float:
    """The function's value, off the tape."""
    with tape.paused():
        return float(function(*tensors))


class Noise:
    """How much rounding moves f, in standard deviations: from differences of f at points that lie very close together.

    Differences of second to fourth order leave of a smooth function nothing, and of noise a known multiple.

    tensors  of the function;  free: those among them that may be moved
    """

    here: float
    sigma: float
    largest: float

    def __init__(self, function: Callable[..., Any], tensors: Sequence[Tensor], free: Sequence[Tensor]) -> None:
        self.here = abs(evaluate(function, tensors))
        self.sigma, self.largest = 0.0, self.here
        for xi in _directions(free):
            values = []
            for k in range(POINTS):
                with moved(free, [k * NUDGE * direction for direction in xi]):
                    values.append(evaluate(function, tensors))
            self._take(np.array(values))

    def _take(self, values: Array) -> None:
        self.largest = max(self.largest, float(np.abs(values).max()))
        for order, factor in ((2, 1 / 6), (3, 1 / 20), (4, 1 / 70)):  # (k!)² / (2k)!
            sigma = sqrt(factor * float(np.mean(np.diff(values, order) ** 2)))
            self.sigma = max(self.sigma, sigma)

    def at(self, value: float) -> float:
        """The noise where f has this value. It grows with the value as a sum of squares' does with its terms."""
        grown = sqrt(max(value, self.largest) / self.largest) if self.largest else 1.0
        return max(self.sigma * grown, EPS * max(value, self.here))


def _directions(tensors: Sequence[Tensor]) -> Iterator[list[Array]]:
    rng = np.random.default_rng(0)
    for _ in range(DIRECTIONS):
        yield [rng.uniform(-1, 1, t.shape) for t in tensors]


@contextmanager
def moved(tensors: Sequence[Tensor], by: Sequence[Array]) -> Iterator[None]:
    """Moves every element by a fraction of itself, for a while."""
    before = [t._array.copy() for t in tensors]
    try:
        for tensor, fraction in zip(tensors, by, strict=True):
            tensor._array[...] *= 1 + fraction
        yield
    finally:
        for tensor, values in zip(tensors, before, strict=True):
            tensor._array[...] = values

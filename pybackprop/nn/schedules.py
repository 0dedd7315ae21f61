"""Learning rates that change from step to step: StepLR, CosineLR, OneCycleLR, WarmupLR.

A schedule is a function of the step's number alone, so a resumed training needs nothing but that number. Its rates are
computed by additions, multiplications and divisions in float64 only, so they have the same bits on every machine.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.checks import whole
from pybackprop.nn.optimizer import rate

__all__ = ["CosineLR", "OneCycleLR", "Schedule", "StepLR", "WarmupLR"]

# cos(x) = 1 - x^2/2! + x^4/4! - ... up to x = pi / 4, where the next term is below 2^-60
_COSINE = (-1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600, -1 / 87178291200, 1 / 20922789888000)
_SINE = (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800, -1 / 1307674368000)
_PI = 3.141592653589793


class Schedule:
    """The learning rate of each step, from step 0 on: schedule(step), or rates(first, count) of several.

    In a loop of one's own, `optimizer.lr = schedule(step)` before each step; in a plan, fit(schedule=schedule).

    steps  how many steps there are; None: fit says it, or it does not matter
    """

    steps: int | None = None
    NEEDS_STEPS: ClassVar[bool] = False

    def rates(self, first: int, count: int) -> Array:
        """The learning rates (count,), float64, of the steps first, first + 1, ...

        Raises ValueError for a step below 0, and for a schedule that must be told how many steps there are.
        """
        first, count = whole(f"{self._name}: step", first, 0), whole(f"{self._name}: count", count, 0)
        if self.NEEDS_STEPS and self.steps is None:
            raise ValueError(f"{self._name}: give steps, the number of all steps; only fit knows it by itself")
        return self._rates(np.arange(first, first + count, dtype=np.float64))

    def __call__(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        return float(self.rates(step, 1)[0])

    def over(self, steps: int) -> Schedule:
        """This schedule, or if it needs to know how many steps there are and was not told, one of so many."""
        if not self.NEEDS_STEPS or self.steps is not None:
            return self
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self), steps=whole(f"{self._name}: steps", steps))
        return twin

    def _rates(self, step: Array) -> Array:
        raise NotImplementedError

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _rate(self, name: str, value: Any) -> float:
        return rate(name, value, of=self._name)

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(f'{name}={value}' for name, value in vars(self).items())})"


class StepLR(Schedule):
    """lr, multiplied by gamma after every step_size steps, as torch.optim.lr_scheduler.StepLR.

    Raises ValueError for numbers outside their range.
    """

    lr: float
    step_size: int
    gamma: float

    def __init__(self, lr: float, step_size: int, gamma: float = 0.1) -> None:
        self.lr, self.step_size = self._rate("lr", lr), whole("StepLR: step_size", step_size)
        self.gamma = self._rate("gamma", gamma)

    def _rates(self, step: Array) -> Array:
        return self.lr * _powers(self.gamma, (step // self.step_size).astype(np.int64))


class CosineLR(Schedule):
    """From lr at step 0 down to min_lr at step `steps`, along half a cosine; min_lr from then on.

    Within the steps it is torch.optim.lr_scheduler.CosineAnnealingLR(T_max=steps, eta_min=min_lr). Without steps, fit
    takes all of its own. Raises ValueError for numbers outside their range.
    """

    NEEDS_STEPS: ClassVar[bool] = True

    lr: float
    min_lr: float
    steps: int | None

    def __init__(self, lr: float, steps: int | None = None, min_lr: float = 0.0) -> None:
        self.lr, self.min_lr = self._rate("lr", lr), self._rate("min_lr", min_lr)
        self.steps = None if steps is None else whole("CosineLR: steps", steps)

    def _rates(self, step: Array) -> Array:
        assert self.steps is not None
        return anneal(self.lr, self.min_lr, np.minimum(step / self.steps, 1.0))


class OneCycleLR(Schedule):
    """Up from max_lr / div_factor to max_lr in the first pct_start of the steps, then down to the start divided by
    final_div_factor; both along half a cosine, as torch.optim.lr_scheduler.OneCycleLR (of the learning rate alone).

    Without steps, fit takes all of its own. Later steps keep the last rate.
    Raises ValueError for numbers outside their range.
    """

    NEEDS_STEPS: ClassVar[bool] = True

    max_lr: float
    pct_start: float
    div_factor: float
    final_div_factor: float
    steps: int | None

    def __init__(
        self,
        max_lr: float,
        steps: int | None = None,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        self.max_lr, self.pct_start = self._rate("max_lr", max_lr), rate("pct_start", pct_start, 1, self._name)
        self.div_factor = self._rate("div_factor", div_factor)
        self.final_div_factor = self._rate("final_div_factor", final_div_factor)
        if self.div_factor == 0 or self.final_div_factor == 0:
            raise ValueError("OneCycleLR: found div_factor or final_div_factor 0, expected numbers above 0")
        self.steps = None if steps is None else whole("OneCycleLR: steps", steps)

    def _rates(self, step: Array) -> Array:
        assert self.steps is not None
        start, top, last = self.max_lr / self.div_factor, self.pct_start * self.steps - 1, self.steps - 1
        end = start / self.final_div_factor
        up = anneal(start, self.max_lr, np.minimum(step / top, 1.0) if top > 0 else np.ones(len(step)))
        down = anneal(self.max_lr, end, np.clip((step - top) / (last - top), 0.0, 1.0))
        return np.where(step <= top, up, down)


class WarmupLR(Schedule):
    """In the first warmup_steps steps a part of lr that grows evenly from start_factor to all of it; then `after`.

    after  a rate, the default being lr, or a Schedule, whose steps are counted from the warm-up's end

    The warm-up is torch.optim.lr_scheduler.LinearLR(start_factor, total_iters=warmup_steps).
    Raises ValueError for numbers outside their range.
    """

    lr: float
    warmup_steps: int
    start_factor: float
    after: Schedule | float

    def __init__(
        self, lr: float, warmup_steps: int, start_factor: float = 1 / 3, after: Schedule | float | None = None
    ) -> None:
        self.lr, self.warmup_steps = self._rate("lr", lr), whole("WarmupLR: warmup_steps", warmup_steps)
        self.start_factor = self._rate("start_factor", start_factor)
        if self.start_factor > 1:
            raise ValueError(f"WarmupLR: found start_factor={start_factor!r}, expected a part of lr: from 0 to 1")
        if not isinstance(after, Schedule):
            after = self.lr if after is None else self._rate("after", after)
        self.after = after

    def over(self, steps: int) -> Schedule:
        """This schedule, with what comes after the warm-up over the rest of so many steps."""
        if not isinstance(self.after, Schedule):
            return self
        return WarmupLR(
            self.lr, self.warmup_steps, self.start_factor, self.after.over(max(steps - self.warmup_steps, 1))
        )

    def _rates(self, step: Array) -> Array:
        warm = self.lr * (self.start_factor + (1 - self.start_factor) * (step / self.warmup_steps))
        count = int((step >= self.warmup_steps).sum())  # the last ones
        if count == 0:
            return warm
        if isinstance(self.after, Schedule):
            later: Any = self.after.rates(int(step[-count]) - self.warmup_steps, count)
        else:
            later = np.full(count, self.after)
        return np.concatenate([warm[: len(step) - count], later])


def anneal(start: float, end: float, part: Array) -> Array:
    """From start to end along half a cosine; part, from 0 to 1, says how far."""
    return end + (start - end) * ((1.0 + _cos_of_pi(part)) / 2.0)


def _cos_of_pi(part: Array) -> Array:
    """cos(pi part) for 0 <= part <= 1, by a series: libraries' cosines differ in their last bits."""
    from_half = 0.5 - part  # cos(pi part) = sin(pi from_half)
    fold = np.abs(from_half)
    near = _PI * np.minimum(fold, 0.5 - fold)
    square = near * near
    sine = near * (1.0 + square * _series(_SINE, square))
    cosine = 1.0 + square * _series(_COSINE, square)
    return np.copysign(np.where(fold <= 0.25, sine, cosine), from_half)


def _powers(base: float, exponents: Array) -> Array:
    """base to these whole numbers, by squaring."""
    powers = np.ones(exponents.shape)
    left = exponents
    while left.any():
        powers = np.where(left % 2 == 1, powers * base, powers)
        base, left = base * base, left // 2
    return powers


def _series(coefficients: tuple[float, ...], x: Array) -> Array:
    """coefficients[0] + coefficients[1] x + ..."""
    total: Array = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total

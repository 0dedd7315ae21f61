"""fit: a plan's training loop. C runs the steps of an epoch, and returns between them often enough to be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array, pin
from pybackprop.core.checks import check_seed, first_not_finite, whole
from pybackprop.core.errors import DivergedError, ShapeError
from pybackprop.engine.arena import Arena
from pybackprop.engine.batch import StepData, c_loss, pair
from pybackprop.engine.history import History
from pybackprop.engine.records import Epoch, Moment
from pybackprop.nn.optim import SGD, rate

SLICE = 0.05  # seconds of steps between two checks for Ctrl-C and calls of the callback
SHUFFLE_STREAM = 1  # the seed's random stream for the first epoch; each later epoch takes the next one


class Plan(Protocol):
    """The parts of a plan that fit uses."""

    batch: int
    dtype: Any
    c_plan: Any
    arena: Arena
    step_data: StepData

    def check_step(self, operation: str) -> SGD: ...
    def reserve_batch(self, rows: int) -> None: ...
    def predict(self, x: Any) -> Tensor: ...
    def expect(self, c_loss: int) -> None: ...
    def touch(self) -> None: ...


@dataclass
class Options:
    """The checked options of Plan.fit. Raises ValueError."""

    epochs: int
    seed: int = 0
    batch: int | None = None
    done: int = 0
    validation: tuple[Any, Any] | None = None
    patience: int | None = None
    schedule: Callable[[int], float] | None = None
    callback: Callable[[Moment], Any] | None = None
    checkpoint: Callable[[Epoch], Any] | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        self.seed = check_seed(self.seed)
        for name in ("epochs", "done"):
            setattr(self, name, whole(f"plan.fit: {name}", getattr(self, name), 0))
        if self.batch is not None:
            whole("plan.fit: batch", self.batch)
        if self.patience is not None:
            whole("plan.fit: patience", self.patience)
            if self.validation is None:
                raise ValueError("plan.fit: patience needs a validation loss; give validation=(x, targ)")


def fit(plan: Plan, x: Any, targ: Any, options: Options) -> History:
    """See Plan.fit."""
    return _Fit(plan, x, targ, options).run()


class _Fit:
    """One call of fit.

    at    C's bp_progress: the row and step in the epoch, and the sum of its losses
    best  (loss, state) of the epoch with the least validation loss, kept only with patience
    """

    def __init__(self, plan: Plan, x: Any, targ: Any, options: Options) -> None:
        self.plan, self.options = plan, options
        self.sgd = plan.check_step("plan.fit")
        self.x, self.targ = pair("plan.fit", x, targ, plan.step_data)
        self.validation = _validation(plan, options.validation)
        self.pins = pin(self.x), pin(self.targ)
        self.places = _place(self.x), _place(self.targ)
        self.n, self.batch = len(self.x), plan.batch if options.batch is None else options.batch
        if self.n == 0:
            raise ShapeError("plan.fit: found no rows, expected at least one")
        if not options.done:
            self._check_data()
        if self.batch > plan.batch:
            raise ValueError(f"plan.fit: found batch={self.batch}, expected at most {plan.batch}, as compiled")
        self.steps = -(-self.n // self.batch)
        plan.reserve_batch(min(self.batch, self.n))
        self.order, self.at = native.indices(self.n), native.progress()
        self.call = native.plan_run[plan.dtype]
        self.best: tuple[float, list[Array]] | None = None
        self.best_epoch = 0
        self.history = History()

    def run(self) -> History:
        o = self.options
        with ExitStack() as stack:
            callbacks = [o.callback] if o.callback is not None else []
            if o.progress:
                from pybackprop.engine.progress import Progress

                bar = stack.enter_context(Progress(o.epochs, self.steps, o.done, shown=True))
                callbacks.append(bar.update)
            for epoch in range(o.done + 1, o.epochs + 1):
                if self._epoch(epoch, callbacks) or self._is_enough():
                    break
        if self.best is not None:
            self.plan.touch()
            for array, kept in zip(self._state(), self.best[1], strict=False):  # momentum may be new
                np.copyto(array, kept)
        return self.history

    def _epoch(self, epoch: int, callbacks: list[Callable[[Moment], Any]]) -> bool:
        """One pass over the rows; whether a callback asked to stop."""
        at, o = self.at, self.options
        if o.schedule is not None:
            self.sgd.lr = rate("lr", o.schedule(epoch))
        native.permute(self.order, self.n, o.seed, SHUFFLE_STREAM + epoch - 1)
        at.row = at.steps = 0
        at.loss_sum = seconds = 0.0
        while at.row < self.n:
            seconds += self._slice(epoch)
            if at.row < self.n and _call(callbacks, self._moment(epoch)):
                return True
        self._check_finite(epoch)
        done = Epoch(epoch, at.loss_sum / self.n, self._validation_loss(), self.sgd.lr, seconds)
        self.history.append(done)
        self._keep_best(done.validation)
        if o.checkpoint is not None:
            o.checkpoint(done)
        return _call(callbacks, self._moment(epoch, done))

    def _slice(self, epoch: int) -> float:
        """Runs steps for about SLICE seconds; the seconds that they took."""
        plan, at, sgd = self.plan, self.at, self.plan.check_step("plan.fit")
        for name, array, place in zip(("x", "targ"), (self.x, self.targ), self.places, strict=True):
            if _place(array) != place:
                raise ShapeError(
                    f"plan.fit: {name} was changed during fit: its memory, shape, strides or dtype are not those that "
                    f"were checked ({place[1]} then, {array.shape} now). Change it between two calls, or give a copy"
                )
        plan.touch()
        plan.expect(c_loss(plan.step_data.loss, self.targ.ndim))
        data = native.pointer(self.x), native.pointer(self.targ), self.order
        began = time.perf_counter()
        status = self.call(plan.c_plan, at, *data, self.n, self.batch, sgd.lr, sgd.momentum, SLICE)
        seconds = time.perf_counter() - began
        if status == native.DIVERGED:
            raise self._diverged(epoch, "the loss", at.loss, at.steps + 1)
        native.check(status)
        return seconds

    def _moment(self, epoch: int, done: Epoch | None = None) -> Moment:
        return Moment(epoch, self.at.steps, self.steps, self.at.loss_sum / self.at.row, done)

    def _validation_loss(self) -> float | None:
        if self.validation is None:
            return None
        return float(self.plan.step_data.loss(self.plan.predict(self.validation[0]), self.validation[1]))

    def _keep_best(self, loss: float | None) -> None:
        if self.options.patience is not None and loss is not None and (self.best is None or loss < self.best[0]):
            self.best = (loss, [array.copy() for array in self._state()])
            self.best_epoch = len(self.history)

    def _state(self) -> list[Array]:
        """The state of training: the parameters, and their momentum if there is one."""
        arena = self.plan.arena
        return [arena.updated_values, *([] if arena.momentum is None else [arena.momentum])]

    def _is_enough(self) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        patience = self.options.patience
        return patience is not None and self.best is not None and len(self.history) - self.best_epoch >= patience

    def _check_finite(self, epoch: int) -> None:
        """Raises DivergedError if parameters are not finite, which they need not be after a finite loss."""
        arena = self.plan.arena
        if not np.isfinite(arena.updated_values).all():
            bad = next(p for p in arena.parameters if not np.isfinite(p._array).all())
            raise self._diverged(epoch, describe(bad), float("nan"), self.steps)

    def _check_data(self) -> None:
        """Raises ValueError for NaN and infinity in the data."""
        data = {"x": self.x, "targ": self.targ}
        if self.validation is not None:
            data |= zip(("validation: x", "validation: targ"), self.validation, strict=True)
        for name, array in data.items():
            found = first_not_finite(array)
            if found:
                raise ValueError(f"plan.fit: {name}: {found}")

    def _diverged(self, epoch: int, what: str, value: float, step: int) -> DivergedError:
        happened = f"training diverged: {what} became {value} at step {(epoch - 1) * self.steps + step} (epoch {epoch})"
        try:
            self._check_data()
        except ValueError as error:
            return DivergedError(f"{happened}: {error}")
        return DivergedError(
            f"{happened}. Try a smaller learning rate (it is {self.sgd.lr:g}), less momentum (it is "
            f"{self.sgd.momentum:g}), or data scaled to about 1"
        )


def _place(array: Array) -> tuple[Any, ...]:
    """Where an array is, and how it lies there."""
    return array.ctypes.data, array.shape, array.strides, array.dtype


def _validation(plan: Plan, pair_given: Any) -> tuple[Array, Array] | None:
    if pair_given is None:
        return None
    try:
        x, targ = pair_given
    except (TypeError, ValueError):
        raise ValueError("plan.fit: validation: expected a pair (x, targ)") from None
    data = pair("plan.fit: validation", x, targ, plan.step_data)
    if not len(data[0]):
        raise ShapeError("plan.fit: validation: found no rows, expected at least one")
    return data


def _call(callbacks: list[Callable[[Moment], Any]], moment: Moment) -> bool:
    """Calls all callbacks; whether one of them returned True."""
    return True in [callback(moment) is True for callback in callbacks]

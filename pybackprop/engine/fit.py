"""fit: a plan's training loop. C runs the steps of an epoch, and returns between them often enough to be stopped."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol

import numpy as np

from pybackprop.autograd.messages import describe
from pybackprop.autograd.tensor import Tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DivergedError, ShapeError
from pybackprop.core.interrupt import Deferred
from pybackprop.core.row_blocks import RowBlocks
from pybackprop.engine.arena import Arena
from pybackprop.engine.batch import StepData, c_loss, weighted_loss, with_weights
from pybackprop.engine.history import History
from pybackprop.engine.options import Options
from pybackprop.engine.ranks import together
from pybackprop.engine.records import Epoch, Moment
from pybackprop.engine.samples import Samples, samples, split
from pybackprop.engine.sources import Batches, Rows, lazy_batches, loader_batches
from pybackprop.engine.text_bar import TextBar, in_notebook
from pybackprop.engine.windows import Windows, check_fits, stored_samples
from pybackprop.nn.optimizer import Optimizer, rate
from pybackprop.nn.schedules import Schedule

SLICE = 0.05  # seconds of steps between two checks for Ctrl-C and calls of the callback


class Plan(Protocol):
    """The parts of a plan that fit uses."""

    batch: int
    dtype: Any
    c_plan: Any
    arena: Arena
    step_data: StepData
    clip_norm: float | None
    is_first: bool

    def check_step(self, operation: str) -> Optimizer: ...
    def limit_norm(self, clip_norm: float | None) -> None: ...
    def reserve_batch(self, rows: int) -> None: ...
    def predict(self, x: Any) -> Tensor: ...
    def expect(self, c_loss: int) -> None: ...
    def agree(self, decide: Callable[[], bool], alike: str = "") -> bool: ...
    def from_first(self, value: Any) -> Any: ...
    def run(
        self, at: Any, x: Array, targ: Array, order: Any, rows: int, batch: int, rates: tuple[float, float], most: float
    ) -> int: ...
    def touch(self) -> None: ...


def fit(plan: Plan, x: Any, targ: Any, options: Options) -> History:
    """See Plan.fit."""
    return together(plan.agree, lambda: _Fit(plan, x, targ, options)).run()


class _Fit:
    """One call of fit.

    at      C's bp_progress: the row and step in the epoch, and the sum of its losses
    data    what is trained on, and `validation` what is not; None for a loader, whose batches are checked one by one
    before  steps of the epochs before this one; only with a schedule of steps
    rates   the learning rate of each step of the epoch; None without a schedule of steps, and for batches
    best    (loss, state, count of steps) of the epoch with the least validation loss, kept only with patience
    """

    def __init__(self, plan: Plan, x: Any, targ: Any, options: Options) -> None:
        self.plan, self.options = plan, options
        self.optimizer = plan.check_step("plan.fit")
        self.at = native.progress()
        self.data: Samples | None = None
        self.validation = _validation(plan, options.validation)
        self.source = self._source(x, targ)
        self.schedule = self._schedule()
        self.before = 0
        self.rates: Array | None = None
        self.best: tuple[float, list[Array], int] | None = None
        self.best_epoch = 0
        self.history = History()

    def _source(self, x: Any, targ: Any) -> Rows | Batches | Windows:
        if not isinstance(x, RowBlocks):
            return self._loader(x) if targ is None else self._rows(x, targ)
        if targ is not None:
            raise TypeError("plan.fit: found rows of data.open, which have targets, and targ; leave targ out")
        return self._windows(x)

    def _windows(self, x: RowBlocks) -> Windows:
        """The source for rows on disk, after the checks of what can be known of them."""
        plan, o = self.plan, self.options
        if o.validation_split is not None:
            raise ValueError(
                f"plan.fit: found validation_split={o.validation_split} with rows of data.open; open others and give "
                "validation=rows"
            )
        if o.sample_weight is not None:
            raise ValueError("plan.fit: found sample_weight with rows of data.open, whose shards may hold it instead")
        check_fits("plan.fit", x, plan.step_data)
        self._check_data()
        batch = min(self._rows_in_step(), x.rows)
        plan.reserve_batch(batch)
        epochs = range(o.done + 1, o.epochs + 1)
        return Windows(x, self.at, batch, o.seed, epochs, plan.step_data, plan.agree)

    def _rows_in_step(self) -> int:
        """As asked for, or as compiled. Raises ValueError for more than that."""
        batch = self.plan.batch if self.options.batch is None else self.options.batch
        if batch > self.plan.batch:
            raise ValueError(f"plan.fit: found batch={batch}, expected at most {self.plan.batch}, as compiled")
        return batch

    def _rows(self, x: Any, targ: Any) -> Rows | Batches:
        """The source for x and targ, after their checks."""
        plan, o = self.plan, self.options
        data = samples("plan.fit", x, targ, plan.step_data, o.sample_weight)
        if len(data) == 0:
            raise ShapeError("plan.fit: found no rows, expected at least one")
        if o.validation_split is not None:
            data, self.validation = split(data, o.validation_split, o.seed)
        self.data = data
        if not o.done:
            self._check_data()
        batch = self._rows_in_step()
        plan.reserve_batch(min(batch, len(data)))
        if not isinstance(data.x, np.ndarray):
            return lazy_batches(data.x, data.targ, data.weight, self.at, batch, o.seed, plan.step_data, plan.agree)
        kind = c_loss(plan.step_data.loss, data.targ.ndim, data.weight is not None)
        targ = data.targ if data.weight is None else with_weights(data.targ, data.weight)
        return Rows(data.x, targ, kind, self.at, batch, o.seed)

    def _loader(self, loader: Any) -> Batches:
        """The source for a loader, after the checks of what can be known of it."""
        o = self.options
        for name in ("batch", "validation_split"):
            if getattr(o, name) is not None:
                raise ValueError(
                    f"plan.fit: found {name}={getattr(o, name)} with a loader, which decides that; leave it out"
                )
        if o.sample_weight is not None:
            raise ValueError(
                "plan.fit: found sample_weight with a loader, whose batches may be (x, targ, sample_weight) instead"
            )
        self._check_data()
        source = loader_batches(loader, o.epochs - o.done, self.at, self.plan.step_data, self.plan.agree)
        self.plan.reserve_batch(self.plan.batch)
        return source

    def _schedule(self) -> Schedule | Callable[[int], float] | None:
        """The schedule, which now knows how many steps there are. Raises ValueError where nobody knows them."""
        o, steps = self.options, self.source.steps
        if not isinstance(o.schedule, Schedule):
            return o.schedule
        if steps == 0 and (o.done or (o.schedule.NEEDS_STEPS and o.schedule.steps is None)):
            raise ValueError(
                f"plan.fit: {type(o.schedule).__name__} needs the number of steps in an epoch, and the loader has no "
                "length; give the schedule steps=..., or a loader with a length"
            )
        return o.schedule.over(o.epochs * steps) if steps else o.schedule

    def run(self) -> History:
        o = self.options
        with ExitStack() as stack:
            if o.clip_norm is not None:
                self.plan.limit_norm(o.clip_norm)
                stack.callback(self.plan.limit_norm, self.plan.clip_norm)
            callbacks = [o.callback] if o.callback is not None else []
            if o.progress:  # on all ranks, as each callback is asked together with the others'
                callbacks.append(self._bar(stack) if self.plan.is_first else _silent)
            if isinstance(self.source, Windows):
                stack.callback(self.source.close)
            for epoch in range(o.done + 1, o.epochs + 1):
                if self._epoch(epoch, callbacks) or self._is_enough():
                    break
        self._restore_best()
        return self.history

    def _bar(self, stack: ExitStack) -> Callable[[Moment], Any]:
        """What shows the progress, as a callback."""
        o = self.options
        if in_notebook():
            return TextBar(o.epochs, o.done).update
        from pybackprop.engine.progress import Progress

        return stack.enter_context(Progress(o.epochs, self.source.steps, o.done, shown=True)).update

    def _epoch(self, epoch: int, callbacks: list[Callable[[Moment], Any]]) -> bool:
        """One pass over the rows; whether a callback asked to stop."""
        at = self.at
        self._set_rates(epoch)
        at.row = at.steps = 0
        at.loss_sum = seconds = 0.0
        self.source.begin(epoch)
        while not self.source.is_done:
            seconds += self._slice(epoch)
            if not self.source.is_done and self._asked_to_stop(callbacks, epoch):
                return True
        self._check_finite(epoch)
        validation = self._agreed_validation_loss()
        done = Epoch(epoch, at.loss_sum / self.source.rows, validation, self.optimizer.lr, seconds)
        self.history.append(done)
        self._keep_best(done.validation)
        return self.plan.agree(partial(self._after_epoch, callbacks, done))

    def _asked_to_stop(self, callbacks: list[Callable[[Moment], Any]], epoch: int) -> bool:
        """Whether a callback within an epoch asks to stop."""
        return self.plan.agree(partial(_call, callbacks, self._moment(epoch)))

    def _after_epoch(self, callbacks: list[Callable[[Moment], Any]], done: Epoch) -> bool:
        """Calls what is called after an epoch; whether one of them asks to stop."""
        o = self.options
        if o.checkpoint is not None and self.plan.is_first:
            o.checkpoint(done)
        stop = o.after_epoch(done)
        return _call(callbacks, self._moment(done.epoch, done)) or stop

    def _set_rates(self, epoch: int) -> None:
        """The learning rate of an epoch, or of each of its steps."""
        schedule, steps = self.schedule, self.source.steps
        if isinstance(schedule, Schedule):
            self.before = (epoch - 1) * steps
            if not isinstance(self.source, Batches):
                self.rates = np.ascontiguousarray(schedule.rates(self.before, steps))
                self.c_rates = native.rates(self.rates)  # kept alive for C
                self.at.rates = self.c_rates
        elif schedule is not None:
            self.optimizer.lr = rate("lr", schedule(epoch), of="plan.fit: schedule")

    def _slice(self, epoch: int) -> float:
        """Runs steps for about SLICE seconds; the seconds that they took."""
        at, optimizer = self.at, self.plan.check_step("plan.fit")
        status, seconds = self.source.run(partial(self._run, optimizer), SLICE)
        if self.rates is not None and at.steps:
            optimizer.lr = float(self.rates[at.steps - 1])  # of the last step, as after a loop of one's own
        if status == native.DIVERGED:
            clips = math.isfinite(at.loss)
            what, value = ("the norm of the gradients", float("nan")) if clips else ("the loss", at.loss)
            raise self._diverged(epoch, what, value, at.steps + 1)
        native.check(status)
        return seconds

    def _run(self, optimizer: Optimizer, x: Array, targ: Array, kind: int, order: Any, batch: int, most: float) -> int:
        """Steps in C, of a batch one; the status. kind: the bp_loss."""
        self.plan.expect(kind)
        if isinstance(self.schedule, Schedule) and self.rates is None:
            optimizer.lr = self.schedule(self.before + self.at.steps)
        self.plan.touch()
        return self.plan.run(self.at, x, targ, order, len(x), batch, (optimizer.lr, optimizer.momentum), most)

    def _moment(self, epoch: int, done: Epoch | None = None) -> Moment:
        return Moment(epoch, self.at.steps, self.source.steps, self.at.loss_sum / self.source.rows, done)

    def _agreed_validation_loss(self) -> float | None:
        """The validation loss, which decides when to stop."""
        loss: float | None = self.plan.from_first(together(self.plan.agree, self._validation_loss))
        return loss

    def _validation_loss(self) -> float | None:
        if self.validation is None:
            return None
        out, loss = self.plan.predict(self.validation.x), self.plan.step_data.loss
        if self.validation.weight is None:
            return float(loss(out, self.validation.targ))
        return weighted_loss(loss, out, self.validation.targ, self.validation.weight)

    def _keep_best(self, loss: float | None) -> None:
        if self.options.patience is not None and loss is not None and (self.best is None or not self.best[0] <= loss):
            self.best = (loss, [array.copy() for array in self._state()], self.optimizer.steps)
            self.best_epoch = len(self.history)

    def _restore_best(self) -> None:
        """The state after the epoch with the least validation loss, the whole of it."""
        if self.best is None:
            return
        with Deferred():
            self.plan.touch()
            for array, kept in zip(self._state(), self.best[1], strict=False):  # momentum may be new
                np.copyto(array, kept)
            self.optimizer.steps = self.best[2]

    def _state(self) -> list[Array]:
        """The state of training: the parameters, and what the optimizer keeps of them."""
        arena = self.plan.arena
        return [arena.updated_values, *arena.kept.values()]

    def _is_enough(self) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        patience = self.options.patience
        return patience is not None and self.best is not None and len(self.history) - self.best_epoch >= patience

    def _check_finite(self, epoch: int) -> None:
        """Raises DivergedError if parameters are not finite, which they need not be after a finite loss."""
        arena = self.plan.arena
        if not np.isfinite(arena.updated_values).all():
            bad = next((p for p in arena.parameters if not np.isfinite(p._array).all()), None)
            if bad is not None:  # else it is the padding between them, where Adam without an eps divides 0 by 0
                raise self._diverged(epoch, describe(bad), float("nan"), self.at.steps)

    def _check_data(self) -> None:
        """Raises ValueError for NaN and infinity in the data."""
        if self.data is not None:
            self.data.check_finite()
        if self.validation is not None:
            self.validation.check_finite("validation: ")

    def _diverged(self, epoch: int, what: str, value: float, step: int) -> DivergedError:
        happened = (
            f"training diverged: {what} became {value} at step {(epoch - 1) * self.source.steps + step} (epoch {epoch})"
        )
        try:
            self._check_data()
        except ValueError as error:
            return DivergedError(f"{happened}: {error}")
        return DivergedError(
            f"{happened}. Try a smaller learning rate (it is {self.optimizer.lr:g}), less momentum (it is "
            f"{self.optimizer.momentum:g}), or data scaled to about 1"
        )


def _validation(plan: Plan, pair_given: Any) -> Samples | None:
    if pair_given is None:
        return None
    if isinstance(pair_given, RowBlocks):
        return stored_samples("plan.fit: validation", pair_given, plan.step_data)
    try:
        x, targ, *weight = pair_given
    except (TypeError, ValueError):
        weight = [None] * 2
    if len(weight) > 1:
        raise ValueError(
            "plan.fit: validation: expected a pair (x, targ), (x, targ, sample_weight), or rows of data.open"
        )
    data = samples("plan.fit: validation", x, targ, plan.step_data, *weight)
    if not len(data):
        raise ShapeError("plan.fit: validation: found no rows, expected at least one")
    return data


def _silent(moment: Moment) -> None:
    """Stands for rank 0's bar on the others."""


def _call(callbacks: list[Callable[[Moment], Any]], moment: Moment) -> bool:
    """Calls all callbacks; whether one of them returned True."""
    return True in [callback(moment) is True for callback in callbacks]

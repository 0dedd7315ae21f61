"""Where an epoch's steps get their rows: arrays, which C shuffles and walks through, or batches, one after another.

A source has
    steps         in an epoch; 0 while it is not known
    rows          that this epoch's steps have taken
    begin(epoch)  starts a pass
    is_done       whether the pass has ended
    run(call)     runs steps for about as long as `call` allows; C's status and the seconds that the steps took
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pybackprop.core import native
from pybackprop.core.arrays import Array, pin
from pybackprop.core.checks import first_not_finite
from pybackprop.core.errors import ShapeError
from pybackprop.engine.batch import StepData, c_loss, pair, weights_of_rows, with_weights
from pybackprop.engine.lazy_rows import LazyRows

SHUFFLE_STREAM = 1  # the seed's random stream for the first epoch; each later epoch takes the next one
END = object()  # what an iterator gives after its last batch
Agree = Callable[..., bool]  # see Plan.agree
Call = Callable[..., int]  # (x, targ, bp_loss, order, batch, seconds at most): steps in C; the status


class Rows:
    """x (n,m) and targ (n,h) in memory, for the bp_loss `c_loss`."""

    x: Array
    targ: Array
    c_loss: int
    at: Any
    batch: int
    seed: int
    n: int
    steps: int
    order: Any

    def __init__(self, x: Array, targ: Array, c_loss: int, at: Any, batch: int, seed: int) -> None:
        self.x, self.targ, self.c_loss, self.at, self.batch, self.seed = x, targ, c_loss, at, batch, seed
        self.n = len(x)
        self.steps = -(-self.n // batch)
        self.order = native.indices(self.n)
        self._pins = pin(x), pin(targ)
        self._places = _place(x), _place(targ)

    @property
    def rows(self) -> int:
        return int(self.at.row)

    @property
    def is_done(self) -> bool:
        return self.rows >= self.n

    def begin(self, epoch: int) -> None:
        _shuffle(self.order, self.n, self.seed, epoch)

    def run(self, call: Call, most: float) -> tuple[int, float]:
        for name, array, place in zip(("x", "targ"), (self.x, self.targ), self._places, strict=True):
            if _place(array) != place:
                raise ShapeError(
                    f"plan.fit: {name} was changed during fit: its memory, shape, strides or dtype are not those that "
                    f"were checked ({place[1]} then, {array.shape} now). Change it between two calls, or give a copy"
                )
        began = time.perf_counter()
        status = call(self.x, self.targ, self.c_loss, self.order, self.batch, most)
        return status, time.perf_counter() - began


class Batches:
    """Batches (x, targ) or (x, targ, weight) that an iterator gives: a loader's, or rows made dense batch by batch.

    iterate   an epoch's number -> an iterator of batches
    agree     what calls the waiting for a batch: the plan's, so that all ranks end a slice after the same one, and a
              rank whose loader fails ends all
    """

    iterate: Callable[[int], Iterator[Any]]
    at: Any
    step_data: StepData
    steps: int
    checks: bool
    rows: int

    def __init__(
        self,
        iterate: Callable[[int], Iterator[Any]],
        at: Any,
        step_data: StepData,
        steps: int,
        agree: Agree,
        checks: bool = True,
    ) -> None:
        self.iterate, self.at, self.step_data, self.steps, self.checks = iterate, at, step_data, steps, checks
        self.agree = agree
        self.rows = self._count = 0
        self._iterator: Iterator[Any] = iter(())
        self._next: Any = None

    @property
    def is_done(self) -> bool:
        return self._next is None

    def begin(self, epoch: int) -> None:
        self.rows = self._count = 0
        self._iterator = self.iterate(epoch)
        self.agree(partial(self._advance, math.inf))
        self._same_end()
        if self._next is None:
            raise ShapeError(
                f"plan.fit: found no batches in epoch {epoch}, expected at least one. An iterator gives "
                "its batches once: give a list of batches, a DataLoader, or an object whose __iter__ starts again"
            )

    def run(self, call: Call, most: float) -> tuple[int, float]:
        seconds, until = 0.0, time.perf_counter() + most
        while True:
            x, targ, kind = self._next
            n = len(x)
            self.at.row = 0
            began = time.perf_counter()
            status = call(x, targ, kind, native.NULL, n, most)
            seconds += time.perf_counter() - began
            if status:
                return status, seconds
            self.rows += n
            stops = self.agree(partial(self._advance, until))
            self._same_end()
            if stops:
                self.steps = max(self.steps, self.at.steps)
                return 0, seconds

    def _same_end(self) -> None:
        self.agree(lambda: self.is_done, "plan.fit: the loaders of the ranks do not agree whether the epoch has ended")

    def _advance(self, until: float) -> bool:
        """Gets the next batch; whether the slice of steps ends before it."""
        given = next(self._iterator, END)
        self._count += 1
        self._next = None if given is END else self._checked(given)
        return self.is_done or time.perf_counter() > until

    def _checked(self, given: Any) -> tuple[Array, Array, int]:
        """(x, targ, bp_loss) of a batch."""
        where = f"plan.fit: batch {self._count}"
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            found = f"{len(given)} parts" if isinstance(given, (tuple, list)) else type(given).__name__
            raise TypeError(f"{where}: found {found}, expected (x, targ) or (x, targ, sample_weight)")
        x, targ = pair(where, given[0], given[1], self.step_data)
        if not 0 < len(x) <= self.step_data.most:
            raise ShapeError(
                f"{where}: found {len(x)} rows, expected 1 to {self.step_data.most}, as compiled; give the loader "
                f"smaller batches, or compile with batch={max(len(x), 1)}"
            )
        if self.checks:
            check_finite({"x": x, "targ": targ}, where)
        weight = given[2] if len(given) == 3 else None
        kind = c_loss(self.step_data.loss, targ.ndim, weight is not None)
        if weight is not None:
            targ = with_weights(targ, weights_of_rows(where, weight, len(x), x.dtype))
        return x, targ, kind


def loader_batches(loader: Any, passes: int, at: Any, step_data: StepData, agree: Agree) -> Batches:
    """The batches of a loader: a list of pairs, a DataLoader, or whatever can be iterated over in each epoch.

    Raises TypeError for what cannot be iterated over, ValueError for an iterator that is needed more than once.
    """
    if isinstance(loader, (str, bytes, dict)) or not hasattr(loader, "__iter__"):
        raise TypeError(
            f"plan.fit: found {type(loader).__name__} without targ, expected plan.fit(x, targ, epochs=...), "
            "or a loader: an iterable of batches (x, targ)"
        )
    if hasattr(loader, "__next__") and passes > 1:
        raise ValueError(
            f"plan.fit: found {type(loader).__name__}, which gives its batches once, and {passes} epochs; "
            "give a list of batches, a DataLoader, or an object whose __iter__ starts again; or epochs=1"
        )
    try:
        steps = len(loader)
    except TypeError:
        steps = 0
    return Batches(lambda _: iter(loader), at, step_data, steps, agree)


def lazy_batches(
    x: LazyRows, targ: Array, weight: Array | None, at: Any, batch: int, seed: int, step_data: StepData, agree: Agree
) -> Batches:
    """Shuffled batches of x (n,m), in the order in which `Rows` would take them."""
    n = len(targ)
    order = native.indices(n)

    def iterate(epoch: int) -> Iterator[Any]:
        _shuffle(order, n, seed, epoch)
        shuffled = native.as_index(order)
        for start in range(0, n, batch):
            taken = shuffled[start : start + batch]
            yield x.take(taken), targ[taken], None if weight is None else weight[taken]

    return Batches(iterate, at, step_data, -(-n // batch), agree, checks=not x.is_sparse)


def _shuffle(order: Any, n: int, seed: int, epoch: int) -> None:
    """The order of n rows in an epoch, from 1."""
    native.permute(order, n, seed, SHUFFLE_STREAM + epoch - 1)


def check_finite(data: dict[str, Array], operation: str = "plan.fit") -> None:
    """Raises ValueError for NaN and infinity, with their place."""
    for name, array in data.items():
        found = first_not_finite(array)
        if found:
            raise ValueError(f"{operation}: {name}: {found}")


def _place(array: Array) -> tuple[Any, ...]:
    """Where an array is, and how it lies there."""
    return array.ctypes.data, array.shape, array.strides, array.dtype

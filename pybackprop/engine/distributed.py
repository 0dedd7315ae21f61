"""DistributedPlan: a plan whose steps the ranks of an MPI communicator share, with the bits of a single process.

A step's rows are cut into segments of BP_SEGMENT rows, as the definition says. The ranks get neighbouring segments, and
each computes the gradients of its own, one after another. A gradient's total goes from rank to rank, each of which adds
its segments in their order, in blocks, so that all ranks add at once; the last one then gives the total to all. So the
additions are those of the definition, in its order, whatever the number of ranks. Each rank then makes the same update.
docs/distributed.md has the rules and the costs.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native, observer
from pybackprop.core.arrays import Array, aligned_empty, empty, round_up_to_lines
from pybackprop.core.checks import whole
from pybackprop.core.errors import GradientError, ShapeError
from pybackprop.core.version import __version__
from pybackprop.engine.batch import c_loss, pair
from pybackprop.engine.history import History
from pybackprop.engine.lazy_rows import LazyRows, StoredRows
from pybackprop.engine.model import Model, network_of_model
from pybackprop.engine.plan import Plan
from pybackprop.engine.ranks import RankError, Ranks, together
from pybackprop.nn.optimizer import Optimizer

__all__ = ["DistributedPlan", "RankError"]

SAMPLED = 64  # rows of a step that are compared between the ranks, at least; of fit's data all are, once


class DistributedPlan(Plan):
    """A plan of all ranks, made by `compile(..., comm=comm)`. Every rank calls the same methods with the same data.

    Data is the whole of it on every rank; memory maps are read where they are needed. x may not have requires_g.
    Raises RankError, on every rank, where the ranks do not agree on the model, the data or the options, and where one
    of them failed in a callback.
    """

    def __init__(
        self,
        model: Model,
        batch: int,
        optimizer: Optimizer | None,
        clip_norm: float | None,
        strategy: str | None,
        sparse: bool | None,
        comm: Any,
    ) -> None:
        self.ranks = Ranks(comm)
        network_of_model(model)
        batch = whole("compile: batch", batch)
        self.ranks.same("compile", {"the version": __version__, "the model": repr(model), "batch": batch,
                                    "optimizer": repr(optimizer), "clip_norm": clip_norm,
                                    "the parameters": [_checksum(p.data) for p in model.parameters()]})  # fmt: skip
        super().__init__(model, min(batch, native.SEGMENT), optimizer, clip_norm, strategy, sparse)
        self.is_first = self.ranks.rank == 0
        self.batch = self.step_data.most = batch
        self._allocate()
        self._sum = self.c_plan.loss_sum = native.number(native.FLOAT64)
        self._checked: tuple[Any, Any] = (None, None)  # kept, so that no other array has their place
        self._seconds = 0.0  # of a step of fit, on rank 0

    # ---- steps ----

    def grads(self, x: Any, targ: Any, accumulate: bool = False) -> float:
        """The loss; fills the `.g` of every parameter with requires_g, as Plan.grads does."""
        self._structure.check("plan.grads")
        return self._grads("plan.grads", x, targ, accumulate)

    def step(self, x: Any, targ: Any) -> float:
        """The loss before the update; then updates the parameters, as Plan.step does."""
        optimizer = self.check_step("plan.step")
        self._same_rule("plan.step", optimizer.lr)
        loss = self._grads("plan.step", x, targ, False)
        self.touch()
        native.check(native.plan_update[self.dtype](self.c_plan, optimizer.lr, optimizer.momentum))
        return loss

    def _grads(self, operation: str, x: Any, targ: Any, accumulate: bool) -> float:
        data, targets = together(self.agree, lambda: self._data(operation, x, targ))
        self._check_same(operation, _sample(data), _sample(targets), data.shape)
        self.expect(c_loss(self.step_data.loss, targets.ndim))
        loss = self._all_gradients(data, targets, None, self.arena.gradients.copy() if accumulate else None)
        self.arena.written.count += 1
        if observer.active is not None:
            self._tell(operation)
        return loss

    def _data(self, operation: str, x: Any, targ: Any) -> tuple[Array, Array]:
        """The checked data of a step."""
        if isinstance(x, Tensor) and x.requires_g:
            raise GradientError(f"{operation}: x has requires_g, but ranks compute no x.g; compile without comm")
        data, targets = pair(operation, x, targ, self.step_data)
        if not 0 < len(data) <= self.batch:
            raise ShapeError(f"{operation}: found {len(data)} rows, expected 1 to {self.batch}, as compiled")
        return data, targets

    def _all_gradients(self, x: Array, targ: Array, order: Array | None, before: Array | None = None) -> float:
        """The loss and the gradients of a step, from the parts of all ranks. order: the rows; None: all of them.
        before: gradients to which these are added.
        """
        n = len(x) if order is None else len(order)
        segments = -(-n // native.SEGMENT)
        self.c_plan.mean_rows, mine = n, self.ranks.share(segments)
        for k, segment in enumerate(mine):
            self._segment(segment, n, x, targ, order)
            self._keep(k, before)
        size = self.arena.gradients.size
        self.ranks.add_in_turn(self._parts[: len(mine)], self._total, segments)
        self.arena.gradients[...] = self._total[:size]
        loss = float(self._total[size:].view(np.float64)[0]) / self._terms(n)
        self._loss[0] = loss  # rounded without numpy's warning of an overflow
        return float(self._loss[0])

    def _segment(self, segment: int, n: int, x: Array, targ: Array, order: Array | None) -> None:
        """Computes the gradients of a segment, and the sum of its losses."""
        start = native.SEGMENT * segment
        rows: Any = slice(start, min(start + native.SEGMENT, n))
        if order is not None:
            rows = order[rows]
        own_x, own_targ = (np.ascontiguousarray(array[rows]) for array in (x, targ))
        data = native.pointer(own_x), native.pointer(own_targ), len(own_x)
        native.check(self._c_grads(self.c_plan, self._loss, *data, native.NULL, 0))

    def _keep(self, k: int, before: Array | None) -> None:
        """Keeps what was computed for this rank's k-th segment until its turn; on rank 0, whose turn it is, adds it."""
        size, gradients = self.arena.gradients.size, self.arena.gradients
        into = self._total if self.is_first else self._parts[k]
        loss = into[size:].view(np.float64)
        if not self.is_first or (k == 0 and before is None):
            into[:size], loss[0] = gradients, self._sum[0]
            return
        np.add(before if k == 0 and before is not None else into[:size], gradients, out=into[:size])
        loss[0] = self._sum[0] if k == 0 else loss[0] + self._sum[0]

    def _allocate(self) -> None:
        """Arrays of gradients with a double behind them: the total, and one for each of this rank's segments in a full
        step. Rank 0 adds its own to the total as they come.
        """
        mine = 0 if self.is_first else len(self.ranks.share(-(-self.batch // native.SEGMENT)))
        size = self.arena.gradients.size + 8 // self.dtype.itemsize
        self._total = aligned_empty((size,), self.dtype, "compile")
        sums = aligned_empty((mine, round_up_to_lines(size, self.dtype)), self.dtype, "compile")
        self._parts = [row[:size] for row in sums]
        self.for_ranks = {"the total of the ranks": self._total, "the sums of this rank's segments": sums}

    def _terms(self, n: int) -> float:
        """What the loss of n rows is a mean over."""
        return float(native.lib.bp_loss_terms(self._c_loss, n, self.layout.outputs))

    # ---- predict ----

    def predict(self, x: Any) -> Tensor:
        """The output (n,h) for x (n,m), or rows of `bp.data.open`, on all ranks, which call this together.

        Each computes some of the rows, or of their blocks. model.predict computes on one rank alone.
        """
        data = together(self.agree, lambda: self._to_predict(x))
        some = _sample(data) if isinstance(data, np.ndarray) else np.empty((0, 0), self.dtype)
        facts = {"the shape of x": (len(data), self.layout.inputs), "the checksum of x": _checksum(some)}
        self.ranks.same("plan.predict", facts)
        starts = self._starts(data)
        out = empty("plan.predict", (len(data), self.layout.outputs), self.dtype)
        mine = slice(*starts[self.ranks.rank : self.ranks.rank + 2])
        own = data[mine] if isinstance(data, np.ndarray) else data.between(mine.start, mine.stop)
        together(self.agree, lambda: self._predict(own, out[mine]))
        self.ranks.give(out, starts)
        self._tell("plan.predict")
        return wrap(out)

    def _starts(self, data: Array | LazyRows) -> list[int]:
        """The row from which on each rank computes, and at the end how many rows there are."""
        if isinstance(data, StoredRows):
            sizes = [block.rows for block in data.value.blocks]
        else:
            sizes = [native.SEGMENT] * (len(data) // native.SEGMENT) + [len(data) % native.SEGMENT]
        first = [self.ranks.share(len(sizes), rank).start for rank in range(self.ranks.size)]
        ends = [0, *np.cumsum(sizes).tolist()]
        return [*(ends[k] for k in first), len(data)]

    # ---- fit ----

    def fit(self, x: Any, targ: Any = None, **options: Any) -> History:
        """Trains as Plan.fit does, on all ranks. Callbacks are called on every rank, and rank 0's decide; `checkpoint`
        and `progress` are rank 0's alone.
        """
        told = {name: options.get(name) for name in ("epochs", "seed", "batch", "done", "patience", "validation_split")}
        self.ranks.same("plan.fit", told)
        if not options.get("done"):
            self._checked = (None, None)
        return super().fit(x, targ, **options)

    def run(
        self, at: Any, x: Array, targ: Array, order: Any, rows: int, batch: int, rates: tuple[float, float], most: float
    ) -> int:
        """Steps of fit; rank 0 decides how many they are."""
        self._same_rule("plan.fit", rates[0] if at.rates == native.NULL else at.rates[at.steps])
        self._check_once(x, targ, once=order is not native.NULL or at.row > 0)
        index = None if order is native.NULL else native.as_index(order)
        steps = self.ranks.from_first(max(1, int(most / self._seconds)) if self._seconds else 1)
        began, status, done = time.perf_counter(), 0, 0
        while status == 0 and done < steps and at.row < rows:
            n = min(batch, rows - at.row)
            chosen = slice(at.row, at.row + n)
            some = (x, targ, index[chosen]) if index is not None else (x[chosen], targ[chosen], None)
            status = self._run_step(at, some, rates)
            done += 1
        self._seconds = (time.perf_counter() - began) / max(done, 1)
        return status

    def _run_step(self, at: Any, some: tuple[Array, Array, Array | None], rates: tuple[float, float]) -> int:
        x, targ, order = some
        loss = self._all_gradients(x, targ, order)
        at.loss = loss
        if not math.isfinite(loss):
            return native.DIVERGED
        lr = rates[0] if at.rates == native.NULL else at.rates[at.steps]
        status: int = native.plan_update[self.dtype](self.c_plan, lr, rates[1])
        if status == 0:
            n = len(x) if order is None else len(order)
            at.loss_sum += loss * n
            at.row += n
            at.steps += 1
        return status

    def agree(self, decide: Callable[[], bool], alike: str = "") -> bool:
        """What a callback decides on rank 0."""
        return self.ranks.decide(decide, alike)

    def from_first(self, value: Any) -> Any:
        """Rank 0's value."""
        return self.ranks.from_first(value)

    def reserve_batch(self, rows: int) -> None:
        """Rows are gathered segment by segment, on each rank its own."""

    # ---- what the ranks share ----

    def describe(self) -> str:
        """As Plan.describe, of one segment on one rank; and which ranks a full step uses."""
        segments = -(-self.batch // native.SEGMENT)
        used = min(segments, self.ranks.size)
        said = f"ranks: {used} of {self.ranks.size} compute a full step of {segments} segments of {native.SEGMENT} rows"
        if used < self.ranks.size:
            said += f"; a batch of at least {(self.ranks.size - 1) * native.SEGMENT + 1} rows would use all of them"
        return f"{said}\n{super().describe()}"

    def _check_once(self, x: Array, targ: Array, once: bool) -> None:
        """The same for fit's data. once: not again if they are the arrays of the last time on every rank."""
        known = self._checked[0] is x and self._checked[1] is targ
        if once and all(self.ranks.of_all(known)):
            return
        self._checked = x, targ
        self._check_same("plan.fit", x, targ, x.shape)

    def _check_same(self, operation: str, x: Array, targ: Array, shape: tuple[int, ...]) -> None:
        """Raises RankError where the ranks have different data. shape: of x, of which this may be a part."""
        facts = {"the shape of x": shape, "the checksum of x": _checksum(x), "the checksum of targ": _checksum(targ)}
        self.ranks.same(operation, facts)

    def _same_rule(self, operation: str, lr: float) -> None:
        """Raises RankError where the ranks would update in different ways."""
        optimizer = self.check_step(operation)
        facts = {"the learning rate": lr, "the optimizer": repr(optimizer), "its steps so far": optimizer.steps}
        self.ranks.same(operation, {**facts, "clip_norm": self.c_plan.max_norm})

    def __repr__(self) -> str:
        return f"DistributedPlan({self.model!r}, batch={self.batch}, rank {self.ranks.rank} of {self.ranks.size})"


def _sample(array: Array) -> Array:
    """Some rows of a step's data, as comparing all of them would take longer than the step."""
    return array[:: max(1, len(array) // SAMPLED)]


def _checksum(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B")) if array.size else 0

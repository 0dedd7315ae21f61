"""Plan: a model's training step prepared in advance, with forward, backward and update in one call of C.

`bp.compile(model, batch=64, optimizer=bp.SGD(lr=0.1))` checks the layers once and allocates every array.
A step then gives the same bits as `model(x, targ)`, `model.backward()` and `sgd.step()`, and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pybackprop.autograd import messages, versions
from pybackprop.autograd.tensor import Tensor, wrap
from pybackprop.core import native, observer, short_calls
from pybackprop.core.arrays import Array, empty
from pybackprop.core.checks import whole
from pybackprop.core.errors import GradientError
from pybackprop.core.row_blocks import RowBlocks
from pybackprop.core.tracebacks import shorten
from pybackprop.engine.arena import Arena
from pybackprop.engine.batch import StepData, rows
from pybackprop.engine.history import History
from pybackprop.engine.layout import Layout
from pybackprop.engine.lazy_rows import LazyRows, lazy_rows
from pybackprop.engine.model import Model, network_of_model
from pybackprop.engine.options import OnEpoch, Options
from pybackprop.engine.records import Epoch, Moment
from pybackprop.engine.structure import Structure
from pybackprop.nn.clip import check_max_norm
from pybackprop.nn.network import updated_by, updated_first
from pybackprop.nn.optimizer import Optimizer, check_optimizer
from pybackprop.nn.schedules import Schedule

__all__ = ["Plan"]

messages.remedies["compile"] = "Compile before forward; compile moves the parameters to other memory"
messages.remedies["plan.step"] = "Call backward before the plan's step"


class Plan:
    """Steps of one model; made by `compile`. Data is x (n,m) and targ (n,h), or (n,) where h is 1: tensors or arrays.
    For CrossEntropy targ is labels (n,), integers or not, or probabilities (n,h), for BinaryCrossEntropy numbers from 0
    to 1; both are checked at each call.

    Arrays of another dtype than the parameters', float64 among them, are converted at each call (fit: once); so is
    what is not contiguous. Tensors of the other floating-point type are refused. Steps of
    one plan must not run in two threads at once, nor may data change while a step reads it: the loss and the
    gradients would be meaningless.
    All raise ShapeError, DTypeError and GradientError for data that does not fit, before anything is written,
    and RuntimeError if the model was edited after compile: a layer or a parameter was changed.
    """

    model: Model
    batch: int
    layout: Layout
    dtype: Any
    arena: Arena
    c_plan: Any
    step_data: StepData
    clip_norm: float | None
    for_ranks: dict[str, Array]  # buffers of a plan that ranks share, by their names in a ledger
    is_first: bool = True  # of several that train together, the one that writes and shows

    def __init__(
        self,
        model: Model,
        batch: int,
        optimizer: Optimizer | None,
        clip_norm: float | None,
        strategy: str | None,
        sparse: bool | None,
    ) -> None:
        network = network_of_model(model)
        if optimizer is not None:
            check_optimizer("compile", optimizer)
        self.clip_norm = None if clip_norm is None else check_max_norm("compile", "clip_norm", clip_norm)
        updated = [] if optimizer is None else updated_by(optimizer, network.parameters())
        self.model, self._optimizer, self.for_ranks = model, optimizer, {}
        self.batch = whole("compile: batch", batch)
        self.layout = Layout(network, self.batch, strategy, sparse)
        self.dtype = dtype = self.layout.dtype
        parameters, trained = updated_first(network.parameters(), updated)
        self.arena = arena = Arena(parameters, updated, trained, dtype)
        self.layout.bind(arena)
        arena.move_in()
        self.c_plan, self._loss = self.layout.c_plan, native.number(dtype)
        self._c_grads, self._c_step = native.plan_grads[dtype], native.plan_step[dtype]
        self.step_data = StepData(self.layout.inputs, self.layout.outputs, dtype, self.batch, network.loss)
        self._rows, self._c_loss = 0, 0
        self._moves = False
        self._versions = [p._version for p in updated]
        self._structure = Structure(model, arena)
        self.limit_norm(self.clip_norm)
        self.layout.update_by(optimizer)
        self._set_momentum()
        self._tell("compile")

    @property
    def optimizer(self) -> Optimizer | None:
        """What updates the parameters in step and fit. Another one of the same parameters may take its place.

        Raises TypeError for something else, and ValueError for an optimizer of other parameters.
        """
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer | None) -> None:
        if optimizer is not None:
            check_optimizer("plan.optimizer", optimizer)
            updated = updated_by(optimizer, self.model.parameters())
            if {id(p) for p in updated} != {id(p) for p in self.arena.parameters[: self.arena.updated]}:
                raise ValueError(
                    f"plan.optimizer: found one that updates {len(updated)} parameters, but the plan was compiled to "
                    f"update {self.arena.updated}, or others; compile again with this optimizer"
                )
        self._optimizer = optimizer
        self.layout.update_by(optimizer)
        self._set_momentum()

    # ---- steps ----

    def grads(self, x: Any, targ: Any, accumulate: bool = False) -> float:
        """The loss; fills the `.g` of every parameter with requires_g, and x.g if x is a tensor with requires_g.

        Overwrites what an earlier backward left; accumulate=True adds to it.
        """
        if self._short_grads is not None and observer.active is None and not versions.on:
            loss = self._short_grads(x, targ, accumulate)
            if loss is not None:
                return loss
        self._structure.check("plan.grads")
        if self._may_shorten:
            self._shorten()
        if not self.step_data.holds(x, targ):
            self._take("plan.grads", x, targ)
        self._run_grads(accumulate)
        self.arena.written.count += 1
        if observer.active is not None:
            self._tell("plan.grads")
        return self._loss[0]  # type: ignore[no-any-return]

    def step(self, x: Any, targ: Any) -> float:
        """The loss before the update; then updates the parameters as optimizer.step() does.

        Raises ValueError if the plan was compiled without an optimizer; with clip_norm, DivergedError for gradients
        whose norm is not finite, and then updates nothing.
        """
        optimizer = self._optimizer
        if self._short_step is not None and optimizer is not None and observer.active is None and not versions.on:
            loss = self._short_step(x, targ, optimizer.lr, optimizer.momentum)
            if loss is not None:
                return loss
        optimizer = self.check_step("plan.step")
        if self._may_shorten:
            self._shorten()
        data = self.step_data
        if not data.holds(x, targ):
            self._take("plan.step", x, targ)
        self.touch()
        if data.dx is not native.NULL:
            self._run_grads(False)
            native.check(native.plan_update[self.dtype](self.c_plan, optimizer.lr, optimizer.momentum))
            self._tell("plan.step")
            return self._loss[0]  # type: ignore[no-any-return]
        self.expect(data.c_loss)
        rates = optimizer.lr, optimizer.momentum
        status = self._c_step(self.c_plan, self._loss, data.x_at, data.targ_at, self._rows, *rates)
        if status:
            native.check(status)
        if observer.active is not None:
            self._tell("plan.step")
        return self._loss[0]  # type: ignore[no-any-return]

    def predict(self, x: Any) -> Tensor:
        """The output (n,h) for x (n,m), or rows of `bp.data.open`: any number, processed `batch` at a time."""
        data = self._to_predict(x)
        out = empty("plan.predict", (len(data), self.layout.outputs), self.dtype)
        self._predict(data, out)
        self._tell("plan.predict")
        return wrap(out)

    def _to_predict(self, x: Any) -> Array | LazyRows:
        """The checked rows of x."""
        self._structure.check("plan.predict")
        lazy = x if isinstance(x, LazyRows) else lazy_rows("plan.predict", x, self.step_data)
        return rows("plan.predict", x, self.step_data) if lazy is None else lazy

    def _predict(self, data: Array | LazyRows, out: Array) -> None:
        """Fills the outputs of all rows of data."""
        call, done = native.plan_predict[self.dtype], 0
        for part in [data] if isinstance(data, np.ndarray) else data.batches(self.batch):
            native.check(call(self.c_plan, native.pointer(out[done:]), native.pointer(part), len(part)))
            done += len(part)

    def fit(
        self,
        x: Any,
        targ: Any = None,
        *,
        epochs: int,
        seed: int = 0,
        batch: int | None = None,
        done: int = 0,
        sample_weight: Any = None,
        validation: tuple[Any, ...] | RowBlocks | None = None,
        validation_data: tuple[Any, ...] | RowBlocks | None = None,
        validation_split: float | None = None,
        patience: int | None = None,
        schedule: Schedule | Callable[[int], float] | None = None,
        clip_norm: float | None = None,
        callback: Callable[[Moment], Any] | None = None,
        on_epoch: OnEpoch | Iterable[OnEpoch] | None = None,
        checkpoint: Callable[[Epoch], Any] | None = None,
        progress: bool = False,
    ) -> History:
        """Trains for `epochs` passes over x (n,m) and targ (n,h) in shuffled batches. Returns the Epochs, a bp.History.

        x may be a scipy.sparse matrix, or a numpy.memmap of another dtype: its rows are then made dense, or converted,
        batch by batch. Without targ, x is what `bp.data.open` gives: rows on disk, read ahead by a thread, in the order
        that `rows.order(seed, epoch)` tells; or a loader: an iterable of batches (x, targ), such as a list or PyTorch's
        DataLoader, that is iterated over once in each epoch and decides order and sizes, up to `batch` as compiled;
        or of batches (x, targ, sample_weight).

        seed        of the order of the rows, which is the same on every machine
        batch       rows in a step: by default, and at most, as compiled; the last step takes the remaining rows
        done        epochs done by earlier calls: numbers and order continue after them; `epochs` includes them
        sample_weight  (n), from 0: how much each row counts. A step's loss is the sum of the rows' losses, each times
                    its weight, over the number of rows, whatever the weights; weights of mean 1 keep its size
        validation  (x, targ), (x, targ, sample_weight) or rows of `bp.data.open`, whose loss is computed after each
                    epoch; validation_data is the same
        validation_split  instead: the share of the rows, chosen at random by the seed, that is held out for it; the
                    bits are those of a fit of the others
        patience    stop when the validation loss has not improved for so many epochs; parameters and the optimizer's
                    state are then those of the best one
        schedule    a bp.OneCycleLR or another schedule: the learning rate of each step, counted over all epochs, those
                    in `done` too; or a function of the number of an epoch, from 1, called before it
        clip_norm   as of compile, for this call; None: as compiled
        callback    called with a Moment at least every 100 ms (unless a step takes longer) and after each epoch;
                    returning True stops the training; the result then lacks the unfinished epoch
        on_epoch    a function, or a list of them, called with each Epoch; returning True stops the training after it
        checkpoint  called with the Epoch after each one, before on_epoch
        progress    show a bar on stderr

        An exception from one of these functions, or Ctrl-C, leaves the parameters as after the last complete step.
        Raises ValueError for NaN and infinity in the data, which says where, before the first step (unless `done`
        says that earlier calls have seen it); DivergedError, which names epoch and step, when the loss is not finite:
        the parameters are then those from before that step.
        """
        options = Options(
            epochs, seed, batch, done, validation, validation_data, validation_split, patience, schedule, callback,
            on_epoch, checkpoint, progress, clip_norm, sample_weight,
        )  # fmt: skip
        from pybackprop.engine.fit import fit  # with all sources of data, which a step does without

        try:
            history = fit(self, x, targ, options)
        except Exception as error:
            shorten(error)
            raise
        self._tell("plan.fit")
        return history

    # ---- description ----

    if TYPE_CHECKING:

        def memory(self) -> Any:
            """A bp.Ledger; defined above this package, see pybackprop/__init__.py."""

    def describe(self) -> str:
        """The strategy and why it was chosen; operations and bytes of a full step, and what limits its speed."""
        return self.layout.describe()

    def __repr__(self) -> str:
        return f"Plan({self.model!r}, batch={self.batch}, strategy={self.layout.strategy!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a Plan cannot be copied or pickled; copy the model and compile that")

    # ---- checks before each step ----

    def check_step(self, operation: str) -> Optimizer:
        """The optimizer, after the checks that precede a step. Raises ValueError if there is none."""
        optimizer = self._optimizer
        if optimizer is None:
            raise ValueError(
                f"{operation}: compiled without an optimizer; give one: compile(..., optimizer=bp.SGD(lr=0.1))"
            )
        self._structure.check(operation)
        if (optimizer.momentum != 0) is not self._moves:
            self._set_momentum()
        return optimizer

    def run(
        self, at: Any, x: Array, targ: Array, order: Any, rows: int, batch: int, rates: tuple[float, float], most: float
    ) -> int:
        """Steps of fit, for at most so many seconds or to the last of the rows; a bp_status. at: C's bp_progress.

        order: of the rows, int64_t[rows], or NULL for that of the arrays. rates: the learning rate and the momentum.
        """
        data = native.pointer(x), native.pointer(targ), order, rows, batch
        status: int = native.plan_run[self.dtype](self.c_plan, at, *data, *rates, most)
        return status

    def agree(self, decide: Callable[[], bool], alike: str = "") -> bool:
        """What a callback of fit, or a source of rows, decides: whether to stop. alike: see Ranks.decide."""
        return decide()

    def from_first(self, value: Any) -> Any:
        """A value that all who train together have to have the same of."""
        return value

    def limit_norm(self, clip_norm: float | None) -> None:
        """Makes steps scale their gradients down to this norm; None: not at all."""
        self.c_plan.max_norm = clip_norm or 0.0

    def reserve_batch(self, rows: int) -> None:
        """Allocates memory for a batch of gathered rows, into which fit copies the shuffled ones, and for its steps."""
        self.layout.reserve_batch(rows)
        self.layout.reserve_copies()

    def expect(self, c_loss: int) -> None:
        """Tells C the kind of the next targets, a bp_loss."""
        if c_loss != self._c_loss:
            self._c_loss = self.layout.c_layers[len(self.layout.c_layers) - 1].loss = c_loss

    def touch(self) -> None:
        """Counts a write to the parameters."""
        for version in self._versions:
            version.count += 1  # not wrote(): a step of a small network takes a microsecond
            version.by = "plan.step"
        if versions.on:
            for version in self._versions:
                version.remember()

    def _take(self, operation: str, x: Any, targ: Any) -> None:
        if any(x is p for p in self.arena.parameters):
            raise GradientError(f"{operation}: x is a parameter, so its gradient has two parts; use model(x, targ)")
        try:
            self._rows = self.step_data.take(operation, x, targ)
        except Exception as error:
            shorten(error)
            raise

    def _run_grads(self, accumulate: bool) -> None:
        data = self.step_data
        call = self._c_grads
        self.expect(data.c_loss)
        native.check(call(self.c_plan, self._loss, data.x_at, data.targ_at, self._rows, data.dx, accumulate))

    def _tell(self, operation: str) -> None:
        if observer.active is not None:
            observer.active.ran_plan(operation, self)

    def _set_momentum(self) -> None:
        self._moves = self._optimizer is not None and self._optimizer.momentum != 0
        self.arena.set_kept(self._optimizer)
        self.c_plan.parameter_count = self.arena.update_count
        self._short_step = self._short_grads = None
        of_loss = self.layout.network.loss
        self._may_shorten = self.layout.cost.bound == "latency" and of_loss.targets is None

    def _shorten(self) -> None:
        """Prepares short calls for the next steps, if those take little more than cffi's conversion of arguments."""
        self._may_shorten = False
        arena, sizes = self.arena, (self.batch, self.layout.inputs, self.layout.outputs)
        checks = self._structure.watched(), tuple(arena.parameters)
        for name, counters in (("step", tuple(self._versions)), ("grads", (arena.written,))):
            given = sizes, (Tensor, self.dtype), *checks, counters, (arena, self.layout)
            setattr(self, f"_short_{name}", short_calls.prepared(f"plan_{name}", self.c_plan, self._moves, *given))

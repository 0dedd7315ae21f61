"""Schemes: the ways to compute the same step, each with its prediction and the program that it predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import util
from typing import TYPE_CHECKING, Any

from pybackprop.core.arrays import check_size
from pybackprop.core.checks import whole
from pybackprop.core.suggestions import suggest_among
from pybackprop.engine.model import Model, network_of_model
from pybackprop.memory import predict_lesson, predict_model, predict_plan, predict_update
from pybackprop.memory.buffers import BufferLog
from pybackprop.memory.views import Ledger
from pybackprop.nn.network import Network
from pybackprop.nn.optimizer import Optimizer, check_optimizer
from pybackprop.ops import MSE, RELU

if TYPE_CHECKING:
    from pybackprop.engine.plan import Plan

Predict = Callable[[Network, int, "Optimizer | None"], BufferLog]


@dataclass(frozen=True)
class Scheme:
    """One way to compute a step. program: the function in bench/memory/programs.py that runs it, and its argument."""

    name: str
    title: str
    predict: Predict
    program: tuple[str, ...]
    note: str = ""

    def ledger(self, network: Network, batch: int, optimizer: Optimizer | None = None) -> Ledger:
        """The predicted ledger, from the sizes alone; with an optimizer, of its update and what it keeps, too.

        Raises ShapeError for rows that could not be addressed, ValueError for an optimizer of other parameters.
        """
        _check_batch(network, batch)
        log = self.predict(network, batch, optimizer)
        return Ledger(f"{self.title}: {batch:,} rows of {network}", log, note=self.note)

    def missing(self, network: Network) -> str:
        """Why its program cannot be run here, for this network; empty if it can."""
        if self.name == "torch" and util.find_spec("torch") is None:
            return "PyTorch is not installed: computed from what its operations save"
        usual = network.loss is MSE and all(stage.activation in (None, RELU) for stage in network.stages)
        return "" if usual or self.program[0] != "engine" else "its program is of relu and mse only"


def _of_step(predict: Callable[[Network, int], BufferLog]) -> Predict:
    """Adds the optimizer's update to the prediction of a forward and backward."""

    def predicted(network: Network, batch: int, optimizer: Optimizer | None = None) -> BufferLog:
        log = predict(network, batch)
        if optimizer is not None:
            predict_update.add(log, network, optimizer)
        return log

    return predicted


def _lesson(name: str, title: str, note: str) -> Scheme:
    return Scheme(name, title, _of_step(getattr(predict_lesson, name)), (name,), note)


def _plan(name: str, title: str, strategy: str | None, note: str = "") -> Scheme:
    predict = partial(predict_plan.predicted, strategy=strategy)
    return Scheme(name, title, predict, ("plan", strategy or ""), note)


ALLOCATED = "every buffer allocated beforehand"
SCHEMES = (
    _lesson("first", "lesson, first version", "w.g from an array of rows x inputs x outputs"),
    _lesson("matmul", "lesson, with @", "x.g is computed too, as in the lesson"),
    _lesson("functions", "our functions", "bp.lin, bp.lin_grad, ...; every .g is kept"),
    _lesson("inplace", "our functions, in place", "relu_, mse_grad and relu_grad in place"),
    Scheme("model", "Model", _of_step(predict_model.model), ("model",)),
    Scheme("model_inplace", "Model(inplace=True)", _of_step(predict_model.model_inplace), ("model_inplace",)),
    _plan("plan", "plan", None, "the strategy that compile chooses"),
    _plan("plan_layers", "plan, layers", "layers"),
    _plan("plan_split", "plan, split", "split"),
    _plan("plan_fused", "plan, fused", "fused"),
    Scheme("numpy", "numpy, in place", _of_step(predict_model.numpy), ("engine", "numpy"), ALLOCATED),
    Scheme("torch", "PyTorch autograd", _of_step(predict_model.torch), ("torch",), "from what its operations save"),
)
NAMES = [scheme.name for scheme in SCHEMES]


def named(name: str) -> Scheme:
    """The scheme of this name. Raises ValueError if there is none."""
    for scheme in SCHEMES:
        if scheme.name == name:
            return scheme
    raise ValueError(f"found the scheme {name!r}, expected one of {', '.join(NAMES)}{suggest_among(name, NAMES)}")


def all_of(
    network: Network, batch: int, optimizer: Optimizer | None = None, names: Iterable[str] = NAMES
) -> dict[str, Ledger]:
    """Each scheme's ledger, by its name."""
    return {name: named(name).ledger(network, batch, optimizer) for name in names}


def network_of(model: Any) -> Network:
    """A model's layers as a Network. Raises TypeError, naming the layer, for a model that compile would not accept."""
    if not isinstance(model, Model):
        raise TypeError(f"memory: found {type(model).__name__}, expected a bp.Model")
    try:
        return network_of_model(model)
    except TypeError as error:
        fault = str(error).removeprefix("compile: ").split(";")[0]
        raise TypeError(
            f"memory: {fault}; a prediction needs Lin layers, each with at most one activation after it, and Mse or "
            "another of this package's losses. "
            "Count a real step instead: with bp.ledger() as led: model(x, targ).backward()"
        ) from error


def _check_batch(network: Network, batch: int) -> None:
    check_size("memory: a batch", (batch, max(network.widths)), network.dtype)


def model_ledger(model: Model, batch: Any, optimizer: Any = None) -> Ledger:
    """model.memory(batch, optimizer)"""
    network, rows = network_of(model), whole("memory: batch", batch)
    _check_batch(network, rows)
    if optimizer is not None:
        check_optimizer("memory", optimizer)
    scheme = named("model_inplace" if model.inplace else "model")
    title, log = f"{scheme.title}: {rows:,} rows of {network}", scheme.predict(network, rows, optimizer)
    return Ledger(title, log, others=partial(all_of, network, rows, optimizer), note=scheme.note)


def plan_ledger(plan: Plan) -> Ledger:
    """plan.memory()"""
    arena, batch = plan.arena, plan.batch
    totals = {
        "parameters": arena.values.nbytes,
        "gradients": arena.gradients.nbytes,
        "momentum": arena.kept_bytes,
        "workspace": plan.layout.nbytes() + sum(array.nbytes for array in plan.for_ranks.values()),
    }
    network = plan.layout.network
    title = f"a plan, strategy {plan.layout.strategy}: {batch:,} rows of {network}"
    log = predict_plan.of_plan(plan)
    others = partial(all_of, network, batch, plan.optimizer)
    return Ledger(title, log, {**totals, "total": sum(totals.values())}, others)

"""The ways to compute the same step, side by side: each with its prediction, and the program that it predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import util
from typing import Any

from pybackprop.core.checks import whole
from pybackprop.engine.model import Model, network_of_model
from pybackprop.memory import predict_lesson, predict_model, predict_plan
from pybackprop.memory.buffers import Book
from pybackprop.memory.ledger import Ledger
from pybackprop.nn.network import Network

Predict = Callable[[Network, int], "Book"]


@dataclass(frozen=True)
class Way:
    """One way. program: the name and argument of what runs it, in programs.py."""

    name: str
    title: str
    predict: Predict
    program: tuple[str, ...]
    note: str = ""

    def ledger(self, network: Network, batch: int) -> Ledger:
        """Predicted, from the sizes alone."""
        return Ledger(f"{self.title}: {batch:,} rows of {network}", self.predict(network, batch), note=self.note)

    def missing(self) -> str:
        """Why its program cannot be run here; empty if it can."""
        if self.name == "torch" and util.find_spec("torch") is None:
            return "PyTorch is not installed: computed from what its operations save"
        return ""


def _plan(strategy: str | None) -> dict[str, Any]:
    return {"predict": partial(predict_plan.predicted, strategy=strategy), "program": ("plan", strategy or "")}


WAYS = (
    Way(
        "first", "lesson, first version", predict_lesson.first, ("first",), "w.g by an array of rows x inputs x outputs"
    ),
    Way("matmul", "lesson, with @", predict_lesson.matmul, ("matmul",), "x.g is computed too, as in the lesson"),
    Way(
        "functions",
        "our functions",
        predict_lesson.functions,
        ("functions",),
        "bp.lin, bp.lin_grad, ...; every .g is kept",
    ),
    Way(
        "inplace",
        "our functions, in place",
        predict_lesson.inplace,
        ("inplace",),
        "relu_, mse_grad and relu_grad in place",
    ),
    Way("model", "Model", predict_model.model, ("model",)),
    Way("model_inplace", "Model(inplace=True)", predict_model.model_inplace, ("model_inplace",)),
    Way("plan", "plan", **_plan(None), note="the strategy that compile chooses"),
    Way("plan_layers", "plan, layers", **_plan("layers")),
    Way("plan_split", "plan, split", **_plan("split")),
    Way("plan_fused", "plan, fused", **_plan("fused")),
    Way("numpy", "numpy, in place", predict_model.numpy, ("engine", "numpy"), "every buffer made beforehand"),
    Way("torch", "PyTorch autograd", predict_model.torch, ("engine", "torch"), "from what its operations save"),
)
NAMES = [way.name for way in WAYS]


def named(name: str) -> Way:
    """Raises ValueError for a way that does not exist."""
    for way in WAYS:
        if way.name == name:
            return way
    raise ValueError(f"found the way {name!r}, expected one of {', '.join(NAMES)}")


def network_of(model: Any) -> Network:
    """A model's layers. Raises TypeError for one that is no chain that a plan knows, and names the layer."""
    if not isinstance(model, Model):
        raise TypeError(f"memory: found {type(model).__name__}, expected a bp.Model")
    try:
        return network_of_model(model)
    except TypeError as error:
        fault = str(error).removeprefix("compile: ").split(";")[0]
        raise TypeError(
            f"memory: {fault}; a prediction knows Lin, each with at most one activation after it, and Mse. "
            "Count a real step instead: with bp.ledger() as led: model(x, targ).backward()"
        ) from error


def ledger_of(model: Any, batch: Any) -> Ledger:
    """model.memory(batch)"""
    network, rows = network_of(model), whole("memory: batch", batch)
    way = named("model_inplace" if getattr(model, "inplace", False) else "model")
    title = f"{way.title}: {rows:,} rows of {network}"
    return Ledger(title, way.predict(network, rows), others=lambda: all_of(network, rows), note=way.note)


def all_of(network: Network, batch: int, names: Iterable[str] = NAMES) -> dict[str, Ledger]:
    """Each way's ledger, by its name."""
    return {name: named(name).ledger(network, batch) for name in names}

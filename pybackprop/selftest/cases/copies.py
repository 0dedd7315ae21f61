"""Copies, pickles and checkpoints taken in the middle of a training: both continue with the same bits."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from pybackprop.core.arrays import Array
from pybackprop.engine.model import Model
from pybackprop.engine.plan import Plan
from pybackprop.nn.optimizer import Optimizer
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import Network, compare_kept, compare_parameters, optimizer_of
from pybackprop.selftest.cases.plans import compiled
from pybackprop.selftest.definition import Definition
from pybackprop.selftest.draw import FINITE, Draw
from pybackprop.train import model_file

RATES = (0.0, 1e-3, 0.01)


class Training:
    """A model in training, step by step or by a plan, beside its definition."""

    model: Model
    optimizer: Optimizer
    definition: Definition

    def __init__(self, draw: Draw, model: Model, optimizer: Optimizer, definition: Definition, batch: int) -> None:
        self.model, self.optimizer, self.definition = model, optimizer, definition
        self.plan: Plan | None = compiled(draw, model, batch, optimizer) if draw.maybe(0.5) else None

    def step(self, x: Array, targ: Array) -> None:
        if self.plan is not None:
            self.plan.step(x, targ)
        else:
            self.model(x, targ)
            self.model.backward()
            self.optimizer.step()
        self.definition.loss(x, targ)
        self.definition.backward()
        self.definition.update(self.optimizer)

    def compare(self, case: Case, what: str) -> None:
        compare_parameters(case, what, self.model.parameters(), self.definition)
        compare_kept(case, what, self.model.parameters(), self.optimizer, self.definition)


def _continued(case: Case, way: str, copying: Any) -> None:
    """Trains, copies, and trains both on; each by steps or by a plan."""
    draw = case.draw
    network = Network(draw, FINITE)
    model = Model(network.layers(), network.loss, inplace=draw.maybe(0.2))
    optimizer = optimizer_of(draw, model, RATES)
    rows = draw.size(1)
    training = Training(draw, model, optimizer, network.definition, rows)

    def train(which: Training) -> None:
        for _ in range(draw.between(0, 2)):
            _, x, targ = network.data(draw, rows, FINITE)
            which.step(x, targ)

    train(training)
    twin_model, twin_optimizer = copying((model, optimizer))
    twin = Training(draw, twin_model, twin_optimizer, network.definition.copied(), rows)
    for which in (twin, training) if draw.maybe(0.5) else (training, twin):
        train(which)
    twin.compare(case, f"{way}: the copy")
    training.compare(case, f"{way}: the original")


@kind("copies", 5)
def copies_case(case: Case) -> None:
    way = case.draw.note("way", case.draw.one_of(("deepcopy", "pickle")))
    protocol = case.draw.between(2, pickle.HIGHEST_PROTOCOL)
    ways = {"deepcopy": copy.deepcopy, "pickle": lambda pair: pickle.loads(pickle.dumps(pair, protocol))}
    _continued(case, way, ways[way])


@kind("checkpoint", 1)
def checkpoint_case(case: Case) -> None:
    """bp.save, then bp.load with the optimizer."""
    path = case.folder / "model.npz"

    def through_a_file(pair: tuple[Model, Optimizer]) -> Any:
        model_file.save(pair[0], path, optimizer=pair[1])
        return model_file.load(path, with_optimizer=True)

    _continued(case, "checkpoint", through_a_file)

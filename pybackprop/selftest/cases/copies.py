"""Copies, pickles and checkpoints taken in the middle of a training: both continue with the same bits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

from pybackprop.core.arrays import Array
from pybackprop.engine.model import Model
from pybackprop.engine.plan import Plan
from pybackprop.nn.layers import Loss, Mse
from pybackprop.nn.optim import SGD
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import LOSSES, Network, compare_parameters, compare_velocities
from pybackprop.selftest.cases.plans import compiled
from pybackprop.selftest.definition import Definition
from pybackprop.selftest.draw import FINITE, Draw
from pybackprop.train import model_file

RATES = (0.0, 1e-3, 0.01)


class Training:
    """A model in training, step by step or by a plan, beside its definition."""

    model: Model
    sgd: SGD
    definition: Definition

    def __init__(self, draw: Draw, model: Model, sgd: SGD, definition: Definition, batch: int) -> None:
        self.model, self.sgd, self.definition = model, sgd, definition
        self.plan: Plan | None = compiled(draw, model, batch, sgd) if draw.maybe(0.5) else None

    def step(self, x: Array, targ: Array) -> None:
        if self.plan is not None:
            self.plan.step(x, targ)
        else:
            self.model(x, targ)
            self.model.backward()
            self.sgd.step()
        self.definition.loss(x, targ)
        self.definition.backward()
        self.definition.update(self.sgd.lr, self.sgd.momentum)

    def compare(self, case: Case, what: str) -> None:
        compare_parameters(case, what, self.model.parameters(), self.definition)
        compare_velocities(case, what, self.model.parameters(), self.sgd, self.definition)


def _copied(definition: Definition) -> Definition:
    """Arrays of a definition are never written to, so the lists are enough."""
    twin = Definition(definition.layers, definition.of_loss)
    velocities = definition.velocities
    twin.velocities = None if velocities is None else [list(layer) for layer in velocities]
    return twin


def _continued(case: Case, way: str, copying: Any, losses: Sequence[Loss] = LOSSES) -> None:
    """Trains, copies, and trains both on; each by steps or by a plan."""
    draw = case.draw
    network = Network(draw, FINITE, losses=losses)
    model = Model(network.layers(), network.loss, inplace=draw.maybe(0.2))
    sgd = SGD(model, lr=draw.one_of(RATES), momentum=draw.one_of((0.0, 0.9, 0.9)))
    rows = draw.size(1)
    training = Training(draw, model, sgd, network.definition, rows)

    def train(which: Training) -> None:
        for _ in range(draw.between(0, 2)):
            _, x, targ = network.data(draw, rows, FINITE)
            which.step(x, targ)

    train(training)
    twin_model, twin_sgd = copying((model, sgd))
    twin = Training(draw, twin_model, twin_sgd, _copied(network.definition), rows)
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

    def through_a_file(pair: tuple[Model, SGD]) -> Any:
        model_file.save(pair[0], path, optimizer=pair[1])
        return model_file.load(path, with_optimizer=True)

    _continued(case, "checkpoint", through_a_file, (Mse(),))

"""Plans: steps, gradients, predictions and whole fits, by each strategy, with short batches and zeros left out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pybackprop.autograd.tensor import tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DivergedError
from pybackprop.core.native import SEGMENT
from pybackprop.engine.compile import compile
from pybackprop.engine.model import Model
from pybackprop.engine.plan import Plan
from pybackprop.nn.optimizer import Optimizer
from pybackprop.nn.schedules import CosineLR, OneCycleLR, Schedule, StepLR, WarmupLR
from pybackprop.selftest import machine
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import (
    Network,
    compare_gradients,
    compare_kept,
    compare_parameters,
    given,
    norm_of,
    optimizer_of,
)
from pybackprop.selftest.definition import Definition
from pybackprop.selftest.draw import FINITE, Draw

STRATEGIES = (None, *native.STRATEGIES)
SMALL_RATES = (0.0, 1e-4, 1e-3, 0.01)
LARGE_STRATEGIES = (None, "fused", "fused", "split")
SEVERAL_SEGMENTS = (2 * SEGMENT + 1, 3 * SEGMENT, 3 * SEGMENT + 1, 2100, 2600)


def compiled(
    draw: Draw,
    model: Model,
    batch: int,
    optimizer: Optimizer,
    strategies: Sequence[str | None] = STRATEGIES,
    norm: float | None = None,
) -> Plan:
    """By a random strategy."""
    strategy, sparse = draw.one_of(strategies), draw.one_of((None, True, False))
    draw.note("plan", f"batch {batch}, strategy {strategy}, sparse {sparse}")
    try:
        return compile(model, batch=batch, optimizer=optimizer, clip_norm=norm, strategy=strategy, sparse=sparse)
    except ValueError:  # layers that this strategy cannot compute
        return compile(model, batch=batch, optimizer=optimizer, clip_norm=norm)


@kind("plan", 14)
def plan_case(case: Case) -> None:
    """Steps, gradients and predictions of one plan."""
    _steps(case, Network(case.draw), case.draw.rows(1))


@kind("large plan", 4)
def large_plan_case(case: Case) -> None:
    """Plans of several segments, whose sums threads share, and of inputs so wide that zeros in them are left out."""
    draw = case.draw
    if draw.maybe(0.5):
        widths, batch = [draw.between(1, 9) for _ in range(draw.between(2, 3))], draw.one_of(SEVERAL_SEGMENTS)
    else:
        widths = [draw.between(64, 130), draw.between(16, 70), *(draw.between(1, 9) for _ in range(draw.between(0, 1)))]
        batch = draw.between(1, 140)
    _steps(case, Network(draw, widths=widths), batch, LARGE_STRATEGIES)


def _steps(case: Case, network: Network, batch: int, strategies: Sequence[str | None] = STRATEGIES) -> None:
    """Some calls of one plan, in any order."""
    draw = case.draw
    model = Model(network.layers(), network.loss, inplace=draw.maybe(0.2))
    optimizer = optimizer_of(draw, model)
    plan = compiled(draw, model, batch, optimizer, strategies, norm_of(draw))
    forms = [draw.one_of(("step", "step", "grads", "accumulate", "predict")) for _ in range(draw.between(1, 4))]
    for form in draw.note("calls", forms):
        if draw.maybe(0.15):
            machine.choose(draw)
        if form == "predict":
            laid, x, _ = network.data(draw, draw.between(0, min(3 * plan.batch, 900)))
            case.check.same("plan.predict", plan.predict(laid).data, network.definition.forward(x))
        else:
            _pass(case, network, plan, form)
            compare_parameters(case, f"plan, {form}", model.parameters(), network.definition)
            compare_kept(case, f"plan, {form}", model.parameters(), optimizer, network.definition)


def _pass(case: Case, network: Network, plan: Plan, form: str) -> None:
    """A step, or the gradients of one."""
    draw, definition = case.draw, network.definition
    rows = plan.batch if draw.maybe(0.5) else draw.between(1, plan.batch)
    laid, x, targ = network.data(draw, rows)
    wants_dx = draw.maybe(0.2)
    inp: Any = tensor(laid, requires_g=True) if wants_dx else given(draw, laid)
    accumulate = form == "accumulate" and definition.gradients is not None
    right = definition.loss(x, targ)[()]
    dx = definition.backward(accumulate, np.zeros_like(x) if accumulate else None)
    if form == "step":
        loss = _stepped(case, plan, definition, inp, given(draw, targ))
    else:
        loss = plan.grads(inp, given(draw, targ), accumulate=accumulate)
    if loss is not None:
        case.check.same(f"plan, {form}: loss", plan.dtype.type(loss), right)
    if wants_dx:
        case.check.same(f"plan, {form}: x.g", inp.g.data, dx)
    compare_gradients(case, f"plan, {form}", plan.model.parameters(), definition)


def _stepped(case: Case, plan: Plan, definition: Definition, x: Any, targ: Any) -> float | None:
    """A step of both; its loss, None where the norm of the gradients is not finite."""
    assert plan.optimizer is not None
    goes = definition.update(plan.optimizer, plan.clip_norm)
    try:
        loss: float | None = plan.step(x, targ)
    except DivergedError:
        loss = None
    case.check.true(f"plan, step: found the loss {loss}, though the norm is finite: {goes}", goes == (loss is not None))
    return loss


@kind("fit", 7)
def fit_case(case: Case) -> None:
    """Some epochs of fit against the definition's steps over the same order of rows."""
    draw, check = case.draw, case.check
    network = Network(draw, FINITE)
    model = Model(network.layers(), network.loss)
    optimizer, norm, schedule = optimizer_of(draw, model, SMALL_RATES), norm_of(draw), _schedule(draw)
    plan = compiled(draw, model, draw.size(1), optimizer, norm=norm)
    rows = 700 if draw.maybe(0.01) else draw.size(1)
    laid, x, targ = network.data(draw, rows, FINITE)
    epochs, seed = draw.between(1, 3), draw.between(0, 2**63)
    draw.note("fit", f"{rows} rows, {epochs} epochs, seed {seed}, {schedule}")
    like = copy.copy(optimizer)  # of which only the options are read
    steps = epochs * -(-rows // plan.batch)
    rates = [] if schedule is None else schedule.over(steps).rates(0, steps).tolist()
    expected = _losses(network.definition, x, targ, epochs, plan.batch, seed, Updates(like, norm, rates))
    try:
        history = plan.fit(laid, targ, epochs=epochs, seed=seed, schedule=schedule)
        found: list[float] | None = [epoch.loss for epoch in history]
    except DivergedError:
        found = None
    check.true(f"fit: found {found}, expected {expected} (None: it diverges)", found == expected)
    compare_parameters(case, "fit", model.parameters(), network.definition)
    if found is not None:
        compare_kept(case, "fit", model.parameters(), optimizer, network.definition)


def _schedule(draw: Draw) -> Schedule | None:
    """Any of them, told how many steps there are or not."""
    rate, few = draw.one_of(SMALL_RATES), draw.between(1, 9)
    steps = draw.one_of((None, None, few))
    return draw.one_of(
        (
            *(None, None, None),
            StepLR(rate, few, draw.one_of((0.1, 0.5, 2.0))),
            CosineLR(rate, steps, rate / 10),
            OneCycleLR(rate, steps, draw.one_of((0.3, 0.0, 0.9))),
            WarmupLR(rate, few, after=draw.one_of((None, 0.0, CosineLR(rate, steps)))),
        )
    )


class Updates(NamedTuple):
    """How fit updates: an optimizer's options, the norm to clip to, the rate of each step if they change."""

    like: Optimizer
    norm: float | None
    rates: list[float]

    def update(self, definition: Definition) -> bool:
        if self.rates:
            self.like.lr = self.rates[definition.steps]
        return definition.update(self.like, self.norm)


def _losses(
    definition: Definition, x: Array, targ: Array, epochs: int, batch: int, seed: int, updates: Updates
) -> list[float] | None:
    """The mean loss of each epoch; None if it diverges."""
    order, losses = native.indices(len(x)), []
    for epoch in range(1, epochs + 1):
        native.permute(order, len(x), seed, epoch)
        rows, total = np.array(list(order)), 0.0
        for start in range(0, len(x), batch):
            chosen = rows[start : start + batch]
            loss = float(definition.loss(x[chosen], targ[chosen]))
            if not np.isfinite(loss):
                return None
            total += loss * len(chosen)
            definition.backward()
            if not updates.update(definition):
                return None
        if not all(np.isfinite(p).all() for p in definition.parameters()):
            return None
        losses.append(total / len(x))
    return losses

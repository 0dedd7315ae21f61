"""Plans: steps, gradients, predictions and whole fits, by each strategy, with short batches and zeros left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import tensor
from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import DivergedError
from pybackprop.core.native import SEGMENT
from pybackprop.engine.compile import compile
from pybackprop.engine.model import Model
from pybackprop.engine.plan import Plan
from pybackprop.nn.optim import SGD
from pybackprop.selftest import machine
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import (
    RATES,
    Network,
    compare_gradients,
    compare_parameters,
    compare_velocities,
    given,
)
from pybackprop.selftest.definition import Definition
from pybackprop.selftest.draw import FINITE, Draw

STRATEGIES = (None, *native.STRATEGIES)
LARGE_STRATEGIES = (None, "fused", "fused", "split")
SEVERAL_SEGMENTS = (2 * SEGMENT + 1, 3 * SEGMENT, 3 * SEGMENT + 1, 2100, 2600)


def compiled(draw: Draw, model: Model, batch: int, sgd: SGD, strategies: Sequence[str | None] = STRATEGIES) -> Plan:
    """By a random strategy."""
    strategy, sparse = draw.one_of(strategies), draw.one_of((None, True, False))
    draw.note("plan", f"batch {batch}, strategy {strategy}, sparse {sparse}, {sgd!r}")
    try:
        return compile(model, batch=batch, optimizer=sgd, strategy=strategy, sparse=sparse)
    except ValueError:  # layers that this strategy cannot compute
        return compile(model, batch=batch, optimizer=sgd)


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
    sgd = SGD(model, lr=draw.one_of(RATES), momentum=draw.one_of((0.0, 0.9)))
    plan = compiled(draw, model, batch, sgd, strategies)
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
            compare_velocities(case, f"plan, {form}", model.parameters(), sgd, network.definition)


def _pass(case: Case, network: Network, plan: Plan, form: str) -> None:
    """A step, or the gradients of one."""
    draw, definition = case.draw, network.definition
    rows = plan.batch if draw.maybe(0.5) else draw.between(1, plan.batch)
    laid, x, targ = network.data(draw, rows)
    wants_dx = draw.maybe(0.2)
    inp: Any = tensor(laid, requires_g=True) if wants_dx else given(draw, laid)
    accumulate = form == "accumulate" and definition.gradients is not None
    if form == "step":
        loss = plan.step(inp, given(draw, targ))
    else:
        loss = plan.grads(inp, given(draw, targ), accumulate=accumulate)
    case.check.same(f"plan, {form}: loss", plan.dtype.type(loss), definition.loss(x, targ)[()])
    dx = definition.backward(accumulate, np.zeros_like(x) if accumulate else None)
    if wants_dx:
        case.check.same(f"plan, {form}: x.g", inp.g.data, dx)
    compare_gradients(case, f"plan, {form}", plan.model.parameters(), definition)
    if form == "step":
        assert plan.optimizer is not None
        definition.update(plan.optimizer.lr, plan.optimizer.momentum)


@kind("fit", 7)
def fit_case(case: Case) -> None:
    """Some epochs of fit against the definition's steps over the same order of rows."""
    draw, check = case.draw, case.check
    network = Network(draw, FINITE)
    model = Model(network.layers(), network.loss)
    sgd = SGD(model, lr=draw.one_of((0.0, 1e-4, 1e-3, 0.01)), momentum=draw.one_of((0.0, 0.9)))
    plan = compiled(draw, model, draw.size(1), sgd)
    rows = 700 if draw.maybe(0.01) else draw.size(1)
    laid, x, targ = network.data(draw, rows, FINITE)
    epochs, seed = draw.between(1, 3), draw.between(0, 2**63)
    draw.note("fit", f"{rows} rows, {epochs} epochs, seed {seed}")
    expected = _losses(network.definition, x, targ, epochs, plan.batch, seed, sgd)
    try:
        found: list[float] | None = [epoch.loss for epoch in plan.fit(laid, targ, epochs=epochs, seed=seed)]
    except DivergedError:
        found = None
    check.true(f"fit: found {found}, expected {expected} (None: it diverges)", found == expected)
    compare_parameters(case, "fit", model.parameters(), network.definition)


def _losses(
    definition: Definition, x: Array, targ: Array, epochs: int, batch: int, seed: int, sgd: SGD
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
            definition.update(sgd.lr, sgd.momentum)
        if not all(np.isfinite(p).all() for p in definition.parameters()):
            return None
        losses.append(total / len(x))
    return losses

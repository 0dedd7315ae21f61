"""Models: forward, backward, updates; in place, accumulating, again, with a gradient of the data."""

from __future__ import annotations

from typing import Any

from pybackprop.autograd.tensor import tensor
from pybackprop.core.errors import GradientError
from pybackprop.engine.model import Model
from pybackprop.nn.clip import clip_grad_norm
from pybackprop.nn.optimizer import Optimizer
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


@kind("model", 10)
def model_case(case: Case) -> None:
    draw, check = case.draw, case.check
    network = Network(draw)
    model = Model(network.layers(), network.loss, inplace=draw.note("inplace", draw.maybe(0.4)))
    optimizer, norm = optimizer_of(draw, model), norm_of(draw)
    wants_dx, parameters = draw.note("x.requires_g", draw.maybe(0.15)), model.parameters()
    rows = draw.rows(1)
    for step in range(draw.between(1, 3)):
        if draw.maybe(0.2):
            machine.choose(draw)
        rows = rows if draw.maybe(0.5) else draw.size(1)
        laid, x, targ = network.data(draw, rows)
        accumulate = bool(step) and draw.maybe(0.3)
        inp: Any = tensor(laid, requires_g=True) if wants_dx else given(draw, laid)
        loss = model(inp, given(draw, targ))
        model.backward(accumulate=accumulate)
        check.same("loss", loss.data, network.definition.loss(x, targ))
        dx = network.definition.backward(accumulate)
        if wants_dx:
            check.same("x.g", inp.g.data, dx)
        compare_gradients(case, f"step {step}", parameters, network.definition)
        if not model.inplace and draw.maybe(0.2):
            model.backward()
            network.definition.backward()
            compare_gradients(case, f"step {step}, backward again", parameters, network.definition)
        if draw.maybe(0.2):
            check.same("predict", model.predict(laid).data, network.definition.forward(x))
        if not _updated(case, network, optimizer, norm):
            return
        compare_gradients(case, f"update {step}", parameters, network.definition)
        compare_parameters(case, f"update {step}", parameters, network.definition)
        compare_kept(case, f"update {step}", parameters, optimizer, network.definition)


def _updated(case: Case, network: Network, optimizer: Optimizer, norm: float | None) -> bool:
    """Whether the parameters were updated: not if the norm of the gradients is not finite."""
    right = network.definition.update(optimizer, norm)
    try:
        if norm is not None:
            clip_grad_norm(optimizer.parameters, norm)
    except GradientError as error:
        case.check.true(f"clip_grad_norm refuses a finite norm: {error}", not right)
        return False
    case.check.true("clip_grad_norm takes a norm that is not finite", right)
    optimizer.step()
    return True

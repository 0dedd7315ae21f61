"""Optimizers, clipping and schedules in loops of one's own: parameters in arrays of their own, options that change."""

from __future__ import annotations

from collections.abc import Sequence

from pybackprop.autograd.tensor import Tensor, param
from pybackprop.core.arrays import Array
from pybackprop.core.errors import GradientError
from pybackprop.nn.clip import clip_grad_norm
from pybackprop.nn.optim import Optimizer
from pybackprop.selftest.case import Case, kind
from pybackprop.selftest.cases.common import RATES, norm_of, optimizer_of
from pybackprop.selftest.definition_optimizer import Kept, clipped, nothing_kept, updated
from pybackprop.selftest.draw import Draw

DECAYS = (0.0, 1e-3, 0.5)


def _size(draw: Draw) -> int:
    """Of a parameter; at times so large that threads share it, and that a norm has several segments."""
    return draw.between(8000, 40_000) if draw.maybe(0.02) else draw.size()


@kind("optimizers", 5)
def optimizers_case(case: Case) -> None:
    draw = case.draw
    dtype = draw.dtype()
    values = [draw.array(f"p{k}", (_size(draw),), dtype) for k in range(draw.one_of((1, 1, 2, 3)))]
    parameters = [param(p) for p in values]
    optimizer = optimizer_of(draw, parameters)
    kept = [nothing_kept(p, optimizer) for p in values]
    for t in range(1, draw.between(1, 4) + 1):
        if t > 1:
            _change(draw, optimizer)
        gradients = [draw.array(f"p{k}.g", p.shape, dtype) for k, p in enumerate(values)]
        for p, g in zip(parameters, gradients, strict=True):
            p.g = g
        right = _clipped(case, parameters, gradients)
        optimizer.step()
        after = [updated(p, state, g, optimizer, t) for p, state, g in zip(values, kept, right, strict=True)]
        values, kept = [p for p, _ in after], [state for _, state in after]
        _compare(case, parameters, values, optimizer, kept)


def _change(draw: Draw, optimizer: Optimizer) -> None:
    """Other numbers between two steps, as a schedule sets them."""
    if draw.maybe(0.4):
        optimizer.lr = draw.one_of(RATES)
    if draw.maybe(0.2):
        optimizer.weight_decay = draw.one_of(DECAYS)  # type: ignore[attr-defined]
    if draw.maybe(0.2) and optimizer.momentum:
        optimizer.momentum = draw.one_of((0.3, 0.99))


def _clipped(case: Case, parameters: Sequence[Tensor], gradients: list[Array]) -> list[Array]:
    """The gradients that an update takes: at times clipped, unless their norm is not finite."""
    norm = norm_of(case.draw)
    if norm is None:
        return gradients
    right = clipped(gradients, norm)
    try:
        clip_grad_norm(parameters, norm)
    except GradientError as error:
        case.check.true(f"clip_grad_norm refuses a finite norm: {error}", right is None)
    else:
        case.check.true("clip_grad_norm takes a norm that is not finite", right is not None)
    right = gradients if right is None else right
    for k, (p, g) in enumerate(zip(parameters, right, strict=True)):
        case.check.same(f"clip_grad_norm: p{k}.g", p.g.data, g)
    return right


def _compare(
    case: Case, parameters: Sequence[Tensor], values: Sequence[Array], optimizer: Optimizer, kept: Sequence[Kept]
) -> None:
    for k, (p, value, state) in enumerate(zip(parameters, values, kept, strict=True)):
        case.check.same(f"{optimizer.name}: p{k}", p.data, value)
        if optimizer.keeps:
            for name, found, expected in zip(optimizer.STATE, optimizer.kept(p), state, strict=True):
                case.check.same(f"{optimizer.name}: {name} of p{k}", found.data, expected)

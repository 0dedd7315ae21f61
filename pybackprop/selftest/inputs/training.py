"""Targets of a classification, and an optimizer's numbers, as they come from data and from scripts that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pybackprop.autograd.tensor import Tensor, tensor
from pybackprop.core.arrays import Array
from pybackprop.engine.compile import compile
from pybackprop.engine.model import Model
from pybackprop.nn import schedules
from pybackprop.nn.layers import CrossEntropy, Lin, Tanh
from pybackprop.nn.optim import SGD, Adam, AdamW
from pybackprop.ops import CROSS_ENTROPY, NLL, cross_entropy, reference
from pybackprop.selftest.case import INPUTS, Case, kind
from pybackprop.selftest.draw import Draw
from pybackprop.selftest.inputs.expect import ended

ERRORS = (ValueError, TypeError, RuntimeError)  # ShapeError, DTypeError and GradientError are some of these
ODD: tuple[Any, ...] = (
    None, True, "1", 0, 1, -1, 2**31, 2**63, 1.5, -0.0, 0.999999, 1e-400, 1e308, float("nan"), float("inf"), 3 + 0j,
    (), [], (0.9,), (0.9, 0.999), (0.9, 1.0), (-1, 0.9), ("a", "b"), np.float32(0.5), np.int8(1), np.array(0.1), {},
)  # fmt: skip
TYPES = ("f4", "f8", "f2", ">f4", "i1", "u1", "i4", "i8", "u8", "?", "c8", "O", "U3")
MADE: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "SGD": (SGD, ("lr", "momentum", "weight_decay", "nesterov")),
    "Adam": (Adam, ("lr", "betas", "eps", "weight_decay")),
    "AdamW": (AdamW, ("lr", "betas", "eps", "weight_decay")),
    "StepLR": (schedules.StepLR, ("lr", "step_size", "gamma")),
    "CosineLR": (schedules.CosineLR, ("lr", "steps", "min_lr")),
    "OneCycleLR": (schedules.OneCycleLR, ("max_lr", "steps", "pct_start", "div_factor", "final_div_factor")),
    "WarmupLR": (schedules.WarmupLR, ("lr", "warmup_steps", "start_factor", "after")),
}


def _targets(draw: Draw, n: int, h: int) -> Any:
    """Labels or probabilities, mostly whole, then changed in one place, in shape, in dtype, or in kind."""
    labels = draw.numbers.integers(0, h, n)
    targ: Any = labels if draw.maybe(0.6) else np.eye(h, dtype="f4")[labels]
    if draw.maybe(0.5):
        targ = targ.astype(draw.one_of(TYPES))
    if draw.maybe(0.5) and targ.dtype.kind in "iuf":
        at = draw.between(0, targ.size - 1)
        with np.errstate(all="ignore"):
            targ.flat[at] = np.asarray(draw.one_of((-1, h, 127, 0.5, np.nan, np.inf, 1.00002)), "f8").astype(targ.dtype)
    if draw.maybe(0.15):
        targ = draw.one_of((targ[:-1], targ[:, None], targ.T, targ[None], targ[::-1], np.asfortranarray(targ)))
    if draw.maybe(0.15):
        targ = draw.one_of((targ.tolist, lambda: draw.one_of(ODD)))()
    return tensor(targ) if draw.maybe(0.2) and isinstance(targ, np.ndarray) and targ.dtype.kind in "iuf" else targ


@kind("targets", 5, INPUTS)
def targets_case(case: Case) -> None:
    """Refused before anything is written, or the loss is the definition's."""
    draw = case.draw
    n, h = draw.between(1, 6), draw.between(1, 5)
    out, x = draw.numbers.standard_normal((n, h)).astype("f4"), draw.numbers.standard_normal((n, 3)).astype("f4")
    targ = _targets(draw, n, h)
    draw.note("out", (n, h))
    draw.note("targ", f"{type(targ).__name__} {getattr(targ, 'dtype', '')} {targ!r}"[:300])
    for op in (CROSS_ENTROPY, NLL):
        loss = ended(case, partial(op, out, targ), *ERRORS)
        inp = tensor(out)
        ended(case, partial(op.grad or op, inp, targ), *ERRORS)
        case.check.true(f"{op.lesson_grad} takes what {op.name} refuses", (loss is None) == (inp.g is None))
        if loss is not None:
            plain, (forward, backward) = _as_read(targ), (getattr(reference, name) for name in op.references)
            case.check.same(op.name, loss.data, forward(out, plain))
            case.check.same(op.lesson_grad, inp.g.data, backward(out, plain))
    _trained(case, x, h, targ)


def _as_read(targ: Any) -> Any:
    return targ.data if isinstance(targ, Tensor) else np.asarray(targ, "f4") if isinstance(targ, list) else targ


def _trained(case: Case, x: Array, h: int, targ: Any) -> None:
    """A Model, a plan's step and its fit take the same targets, or refuse them and change nothing."""
    model = Model([Lin(3, 2), Tanh(), Lin(2, h, seed=1)], loss=CrossEntropy())
    expected = ended(case, lambda: float(cross_entropy(model.predict(x), targ)), *ERRORS)
    found = ended(case, lambda: float(model(x, targ)), *ERRORS)
    if not isinstance(targ, (np.ndarray, Tensor)) or targ.dtype == np.float32 or targ.dtype.kind in "iu":
        case.check.true(f"a Model's loss is {found}, the function's {expected}", found == expected or targ is None)
    for inplace in (False, True):
        model.inplace = inplace
        again = ended(case, lambda: float(model(x, targ)), *ERRORS)
        case.check.true(f"the second loss is {again}, the first was {found}", again == found or targ is None)
    plan = compile(model, batch=len(x), optimizer=Adam(lr=0.1))
    before = [p.data.copy() for p in model.parameters()]
    for call in (lambda: plan.step(x, targ), lambda: plan.fit(x, targ, epochs=1)):
        taken = ended(case, call, *ERRORS)
        if taken is None:
            for k, (p, value) in enumerate(zip(model.parameters(), before, strict=True)):
                case.check.same(f"parameter {k}, of a refused step", p.data, value)
        before = [p.data.copy() for p in model.parameters()]


@kind("options", 3, INPUTS)
def options_case(case: Case) -> None:
    """An optimizer or a schedule with odd numbers: refused by name, or it works."""
    draw = case.draw
    name = draw.one_of(tuple(MADE))
    make, options = MADE[name]
    given = {option: _number(draw) for option in options if draw.maybe(0.6)}
    draw.note("call", f"{name}({given})")
    made = ended(case, partial(make, **given), ValueError, TypeError)
    if isinstance(made, schedules.Schedule):
        rates = ended(case, partial(made.over(7).rates, 0, 7), ValueError)
        case.check.true(f"rates {rates}", rates is None or not (rates < 0).any())
    elif made is not None:
        _used(case, made, draw.one_of(ODD))


def _number(draw: Draw) -> Any:
    return draw.one_of(ODD) if draw.maybe(0.4) else draw.one_of((0.0, 0.1, 0.9, 1e-8, 3))


def _used(case: Case, optimizer: Any, norm: Any) -> None:
    """An optimizer that was not refused trains a plan; it is written and read as it is."""
    model = Model([Lin(3, 2), Lin(2, 2, seed=1)])
    options = optimizer.options()
    case.check.true("its options make another", type(optimizer)(**options).options() == options)
    plan = ended(case, partial(compile, model, batch=4, optimizer=optimizer, clip_norm=norm), ValueError, TypeError)
    if plan is not None:
        plan.step(np.ones((4, 3), "f4"), np.ones((4, 2), "f4"))
        case.check.true(f"{optimizer.steps} steps after one", optimizer.steps == 1)

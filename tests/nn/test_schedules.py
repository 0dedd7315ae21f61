"""Schedules: PyTorch's rates, their ends, and the same bits however they are asked for."""

import math

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.nn.schedules import _cos_of_pi

STEPS = 50


def torchs(name, lr, count, **options):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


PAIRS = {
    "step": (bp.StepLR(0.3, 7, 0.5), ("StepLR", 0.3, STEPS, {"step_size": 7, "gamma": 0.5})),
    "cosine": (bp.CosineLR(0.3, STEPS, 0.01), ("CosineAnnealingLR", 0.3, STEPS, {"T_max": STEPS, "eta_min": 0.01})),
    "one-cycle": (bp.OneCycleLR(0.3, STEPS), ("OneCycleLR", 0.3, STEPS, {"max_lr": 0.3, "total_steps": STEPS})),
    "one-cycle, late": (
        bp.OneCycleLR(0.3, STEPS, 0.73, 10, 100),
        ("OneCycleLR", 0.3, STEPS,
         {"max_lr": 0.3, "total_steps": STEPS, "pct_start": 0.73, "div_factor": 10, "final_div_factor": 100}),
    ),
    "warm-up": (bp.WarmupLR(0.3, 13, 0.1), ("LinearLR", 0.3, STEPS, {"start_factor": 0.1, "total_iters": 13})),
}  # fmt: skip


@pytest.mark.parametrize("which", PAIRS)
def test_rates_are_pytorchs(which):
    schedule, (name, lr, count, options) = PAIRS[which]
    np.testing.assert_allclose(schedule.rates(0, STEPS), torchs(name, lr, count, **options), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_few_steps_are_pytorchs_too(steps):
    right = torchs("OneCycleLR", 0.3, 1, max_lr=0.3, total_steps=1) if steps == 1 else None
    if right is None:
        right = torchs("OneCycleLR", 0.3, steps, max_lr=0.3, total_steps=steps)
    np.testing.assert_allclose(bp.OneCycleLR(0.3, steps).rates(0, steps), right, rtol=1e-12)


ALL = {**{name: schedule for name, (schedule, _) in PAIRS.items()},
       "warm-up, then cosine": bp.WarmupLR(0.3, 13, 0.1, after=bp.CosineLR(0.3, 20))}  # fmt: skip


@pytest.mark.parametrize("which", ALL)
def test_one_rate_and_many_are_the_same_bits(which):
    schedule = ALL[which]
    rates = schedule.rates(0, 100)
    assert rates.dtype == np.float64
    assert [schedule(step) for step in range(100)] == rates.tolist()
    assert (schedule.rates(40, 30) == rates[40:70]).all()
    assert len(schedule.rates(5, 0)) == 0


def test_ends():
    cosine, cycle = bp.CosineLR(0.2, 10, 0.1), bp.OneCycleLR(0.5, 10)
    assert (cosine(0), cosine(10), cosine(999)) == (0.2, 0.1, 0.1)
    assert cycle(0) == pytest.approx(0.02)
    assert cycle(2) == 0.5
    assert cycle(9) == cycle(99) == pytest.approx(0.02 / 1e4)
    assert bp.StepLR(0.1, 1, 0.5)(10**9) == 0
    assert bp.StepLR(0.1, 3, 1.0)(10**9) == 0.1
    after = bp.WarmupLR(0.3, 5, 0, after=0.7)
    assert [after(0), after(5)] == [0, 0.7]


def test_the_cosine():
    part = np.linspace(0, 1, 10_001)
    right = [math.cos(math.pi * x) for x in part]
    np.testing.assert_allclose(_cos_of_pi(part), right, rtol=0, atol=5e-16)
    assert _cos_of_pi(np.array([0.0, 0.5, 1.0])).tolist() == [1, 0, -1]


def test_fit_says_how_many_steps_there_are():
    for schedule in (bp.CosineLR(0.1), bp.OneCycleLR(0.1), bp.WarmupLR(0.1, 3, after=bp.CosineLR(0.1))):
        with pytest.raises(ValueError, match="give steps, the number of all steps"):
            schedule(5)
        assert schedule.over(20).rates(0, 20).shape == (20,)
    assert bp.CosineLR(0.1).over(20)(20) == 0
    assert bp.CosineLR(0.1, 10).over(20)(10) == 0
    assert bp.WarmupLR(0.1, 5, after=bp.CosineLR(0.1)).over(20)(20) == 0


REFUSED = [
    (lambda: bp.StepLR(-1, 3), "StepLR: found lr=-1"),
    (lambda: bp.StepLR(0.1, 0), "StepLR: step_size: found 0"),
    (lambda: bp.CosineLR(0.1, 2.5), "CosineLR: steps: found 2.5"),
    (lambda: bp.OneCycleLR(0.1, 5, pct_start=1), "pct_start=1"),
    (lambda: bp.OneCycleLR(0.1, 5, div_factor=0), "above 0"),
    (lambda: bp.WarmupLR(0.1, 5, 1.5), "start_factor=1.5"),
    (lambda: bp.WarmupLR(0.1, 5, after="cosine"), "after='cosine'"),
    (lambda: bp.CosineLR(0.1, 5)(-1), "CosineLR: step: found -1"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()

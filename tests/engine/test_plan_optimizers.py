"""A plan with each optimizer, clipping and schedules: the bits of the same steps by hand."""

import gc

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.optimizers import KINDS
from helpers.plans import STRATEGIES, Pair, ordinary_fit, values
from pybackprop.core import native
from pybackprop.engine import fit


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def pair_of(rng, kind, strategy=None, **options):
    return Pair(rng, strategy=strategy, optimizer=KINDS[kind], **options)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("clip_norm", [None, 0.05, 1e6])
def test_steps(rng, kind, strategy, clip_norm, dtype, each_setting):
    pair = pair_of(rng, kind, strategy, dtype=dtype, clip_norm=clip_norm)
    for n in (6, 16, 1, 6, 6):
        pair.step(*pair.data(n))
    assert pair.optimizer.steps == pair.other.steps == 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_steps_with_threads(rng, kind, strategy):
    bp.set_threads(3)
    pair = pair_of(rng, kind, strategy, widths=(300, 200, 30), batch=700, clip_norm=0.01)
    for _ in range(3):
        pair.step(*pair.data(700))


def test_a_step_with_the_datas_gradient(rng, kind):
    pair = pair_of(rng, kind, clip_norm=0.05)
    x, targ = pair.data()
    for _ in range(3):
        watched = bp.tensor(x)
        watched.requires_g = True
        pair.plan.step(watched, targ)
        pair.ordinary_step(x, targ)
        pair.assert_same()
    assert pair.optimizer.steps == 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fit(rng, kind, strategy, monkeypatch):
    monkeypatch.setattr(fit, "SLICE", 0.0)
    pair = pair_of(rng, kind, strategy, clip_norm=0.5)
    x, targ = pair.data(70)
    history = pair.plan.fit(x, targ, epochs=3, seed=4)
    assert [e.loss for e in history] == ordinary_fit(pair, x, targ, (1, 2, 3), 16, 4)
    pair.assert_same()
    assert pair.optimizer.steps == 15


SCHEDULES = {
    "one-cycle": lambda steps: bp.OneCycleLR(0.01, steps),
    "cosine": lambda steps: bp.CosineLR(0.01, steps),
    "warm-up": lambda steps: bp.WarmupLR(0.01, 4, after=bp.StepLR(0.01, 3)),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("wide", [False, True])
def test_fit_with_a_schedule_of_steps(rng, schedule, told, wide, monkeypatch):
    monkeypatch.setattr(fit, "SLICE", 0.0)
    kind = "momentum" if wide else "adam"
    pair = pair_of(rng, kind, widths=(400, 40, 3) if wide else (4, 5, 2))
    assert bool(native.plan_run_bytes[pair.model.parameters()[0].dtype](pair.plan.c_plan)) is wide  # fit on copies
    x, targ = data_of(pair)
    make = SCHEDULES[schedule]
    rates = make(30)
    history = pair.plan.fit(x, targ, epochs=2, schedule=make(30 if told else None))
    history += pair.plan.fit(x, targ, epochs=3, done=2, schedule=rates)
    steps = iter(range(30))

    def next_rate():
        pair.other.lr = rates(next(steps))

    losses = ordinary_fit(pair, x, targ, (1, 2), 16, before=next_rate if told else only(make(20), pair))
    if not told:
        steps = iter(range(20, 30))
    losses += ordinary_fit(pair, x, targ, (3,), 16, before=next_rate)
    assert [e.loss for e in history] == losses
    pair.assert_same()
    assert history[-1].lr == pair.optimizer.lr == rates(29)


def data_of(pair):
    """So small that wide layers do not diverge."""
    x, targ = pair.data(150)
    return x / np.float32(32), targ


def only(schedule, pair):
    """Sets the rates of a schedule, step by step."""
    steps = iter(range(100))
    return lambda: setattr(pair.other, "lr", schedule(next(steps)))


def test_fit_on_copies_only_where_the_update_is_that_of_sgd(rng):
    for kind in KINDS:
        pair = pair_of(rng, kind, widths=(400, 40, 3))
        pays = native.plan_run_bytes[np.dtype("f")](pair.plan.c_plan) > 0
        assert pays is (kind in ("sgd", "momentum"))
        x, targ = data_of(pair)
        losses = [e.loss for e in pair.plan.fit(x, targ, epochs=2)]
        assert losses == ordinary_fit(pair, x, targ, (1, 2), 16)
        pair.assert_same()


def test_clip_norm_of_fit_is_for_that_call(rng):
    pair = pair_of(rng, "adam with decay")
    x, targ = pair.data(40)
    pair.plan.fit(x, targ, epochs=1, clip_norm=0.01)
    pair.clip_norm = 0.01
    ordinary_fit(pair, x, targ, (1,), 16)
    pair.assert_same()
    pair.clip_norm = None
    pair.step(*pair.data())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_loss_that_is_not_finite_changes_nothing(rng, kind, strategy):
    pair = pair_of(rng, kind, strategy, clip_norm=0.5)
    x, targ = pair.data(32)
    pair.plan.fit(x, targ, epochs=1)
    state = [pair.optimizer.kept(p) for p in pair.model.parameters()] if pair.optimizer.keeps else []
    before = values(pair.model), [t.data.copy() for kept in state for t in kept], pair.optimizer.steps
    with pytest.raises(bp.DivergedError, match="the loss became inf"):
        pair.plan.fit(np.full_like(x, 1e38), targ, epochs=1)
    for now, then in zip(values(pair.model), before[0], strict=True):
        assert_same_bits(now, then)
    for now, then in zip([t.data for kept in state for t in kept], before[1], strict=True):
        assert_same_bits(now, then)
    assert pair.optimizer.steps == before[2] == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_norm_that_is_not_finite_changes_nothing(rng, strategy):
    """The loss is finite, as the outputs are 0, and yet a gradient is not: 0 times infinity."""
    x, targ = np.full((4, 2), 3e38, np.float32), np.full((4, 1), 1e5, np.float32)
    model = bp.Model([bp.Lin(np.zeros((2, 1), np.float32), np.zeros(1, np.float32))], loss=bp.Mse())
    plan = bp.compile(model, batch=4, optimizer=bp.Adam(model), clip_norm=1.0, strategy=strategy)
    with pytest.raises(bp.DivergedError, match="norm of the gradients"):
        plan.step(x, targ)
    with pytest.raises(bp.DivergedError, match="the norm of the gradients became nan at step 1"):
        plan.fit(x, targ, epochs=1)
    assert not any(p.data.any() for p in model.parameters())
    assert plan.optimizer.steps == 0


def test_early_stopping_takes_back_the_count_of_steps_too(rng):
    pair = pair_of(rng, "adam", lr=0.05)
    (x, targ), validation = pair.data(64), pair.data(40)
    counts = {}
    history = pair.plan.fit(
        x, targ, epochs=300, validation=validation, patience=2,
        checkpoint=lambda epoch: counts.update({epoch.epoch: pair.optimizer.steps}),
    )  # fmt: skip
    assert len(history) < 300
    assert pair.optimizer.steps == counts[history.best.epoch] < counts[len(history)]


def test_memory_counts_both_moments(rng):
    pair = pair_of(rng, "adam")
    ledger = pair.plan.memory()
    assert ledger["momentum"] == 2 * pair.plan.arena.updated_values.nbytes
    assert {"exp_avg", "exp_avg_sq"} <= {buffer.name for buffer in ledger.buffers}
    assert ledger["total"] == sum(ledger[name] for name in ("parameters", "gradients", "momentum", "workspace"))


def test_a_step_allocates_nothing_new(rng, kind):
    pair = pair_of(rng, kind, clip_norm=0.1)
    x, targ = pair.data()
    pair.plan.step(x, targ)
    with bp.ledger() as ledger:
        pair.plan.step(x, targ)
    assert not [buffer for buffer in ledger.buffers if buffer.kind == "workspace"]


def test_a_frozen_layer_is_neither_updated_nor_in_the_norm(rng):
    pair = pair_of(rng, "adam", clip_norm=0.01)
    for model in (pair.model, pair.twin):
        model.layers[0].w.requires_g = False
    pair.plan = bp.compile(pair.model, batch=16, optimizer=pair.optimizer, clip_norm=0.01)
    x, targ = pair.data()
    before = pair.model.layers[0].w.data.copy()
    rest = [p for p in pair.twin.parameters() if p.requires_g]
    other = KINDS["adam"](rest)
    for _ in range(3):
        pair.plan.step(x, targ)
        pair.twin(x, targ)
        pair.twin.backward()
        bp.clip_grad_norm(rest, 0.01)
        other.step()
    assert_same_bits(pair.model.layers[0].w.data, before)
    for p, q in zip(pair.model.parameters(), pair.twin.parameters(), strict=True):
        assert_same_bits(p.data, q.data)
    pair.model.layers[0].w.requires_g = True
    with pytest.raises(ValueError, match=r"compile: Adam counts its steps.*was not among the parameters"):
        bp.compile(pair.model, batch=16, optimizer=pair.optimizer)


@pytest.mark.parametrize("clip_norm", [0, -1, "1", True, np.nan])
def test_limits_that_are_refused(rng, clip_norm):
    model = bp.mlp([3, 2])
    with pytest.raises(ValueError, match="compile: found clip_norm="):
        bp.compile(model, batch=4, optimizer=bp.Adam(model), clip_norm=clip_norm)
    plan = bp.compile(model, batch=4, optimizer=bp.Adam(model))
    with pytest.raises(ValueError, match=r"plan\.fit: found clip_norm="):
        plan.fit(np.ones((4, 3)), np.ones((4, 2)), epochs=1, clip_norm=clip_norm)


def test_an_option_changed_between_steps_reaches_c(rng):
    pair = pair_of(rng, "adam with decay")
    for _ in range(4):
        pair.step(*pair.data())
    for one in (pair.optimizer, pair.other):
        one.betas, one.eps, one.weight_decay, one.lr = (0.5, 0.9), 1e-3, 0.0, 0.1
    for _ in range(4):
        pair.step(*pair.data())


@pytest.mark.parametrize("other", [lambda: bp.Adam(lr=0.01), lambda: bp.SGD(lr=0.1, nesterov=True, momentum=0.9)])
def test_another_optimizer_takes_its_place(rng, other):
    x, targ = rng.standard_normal((8, 4)).astype("f"), rng.standard_normal((8, 2)).astype("f")
    plan = bp.compile(bp.mlp([4, 5, 2], seed=0), batch=8, optimizer=bp.SGD(lr=0.1))
    for _ in range(4):
        plan.step(x, targ)  # later ones are short calls
    twin = bp.mlp([4, 5, 2], seed=0)
    for p, q in zip(twin.parameters(), plan.model.parameters(), strict=True):
        p.data[...] = q.data
    plan.optimizer, usual = other(), other()
    gc.collect()
    for _ in range(4):
        plan.step(x, targ)
        twin(x, targ)
        twin.backward()
        usual.step(twin.parameters())
    for p, q in zip(twin.parameters(), plan.model.parameters(), strict=True):
        assert_same_bits(p.data, q.data)


def test_an_optimizer_that_does_not_go_with_the_plan(rng):
    model = bp.mlp([4, 5, 2])
    plan = bp.compile(model, batch=8)
    with pytest.raises(ValueError, match=r"found one that updates 4 parameters.* compile again"):
        plan.optimizer = bp.SGD(lr=0.1)
    plan = bp.compile(model, batch=8, optimizer=bp.SGD(lr=0.1))
    with pytest.raises(ValueError, match="compile again"):
        plan.optimizer = bp.Adam(model.parameters()[:2])
    with pytest.raises(TypeError, match=r"expected a bp.SGD"):
        plan.optimizer = 0.1
    assert isinstance(plan.optimizer, bp.SGD)

"""fit on copies of the parameters, unit by unit: the bits of ordinary steps, and what a run leaves."""

import copy
from itertools import pairwise

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.matrix import numbers
from helpers.plans import Pair, ordinary_fit, shuffled, values
from pybackprop.engine import fit

LONG = {np.float32: 400, np.float64: 200}  # features in a row that is long enough
WIDTHS = [(9, 3), (50, 1), (17, 16, 4), (33, 8, 8, 2)]


def long_widths(dtype, rest, more=0):
    return (LONG[dtype] + more, *rest)


def uses_copies(plan):
    return plan.layout.copies.nbytes > 0


def assert_fits(pair, x, targ, batch, epochs=2):
    history = pair.plan.fit(x, targ, epochs=epochs, seed=3, batch=batch)
    assert uses_copies(pair.plan)
    assert [e.loss for e in history] == ordinary_fit(pair, x, targ, range(1, epochs + 1), batch, 3)
    pair.assert_same()  # the gradients too, which are those of the last step


@pytest.mark.parametrize("rest", WIDTHS)
@pytest.mark.parametrize("batch", [8, 17, 32])
def test_it_is_as_many_steps(rng, dtype, rest, batch, each_setting):
    more = int(rng.integers(0, 20))  # rows that end within a cache line, too
    pair = Pair(rng, long_widths(dtype, rest, more), dtype, batch, 1e-4)
    assert_fits(pair, *pair.data(batch * 7 + 5), batch)


@pytest.mark.parametrize("options", [{"bias": False}, {"relu_last": True}])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_networks_of_other_kinds(rng, dtype, options, momentum):
    pair = Pair(rng, long_widths(dtype, (12, 5)), dtype, 16, 1e-4, momentum, **options)
    assert_fits(pair, *pair.data(200), 16)


def test_slopes_and_layers_without_an_activation(rng, dtype):
    widths = long_widths(dtype, (11, 7, 3))
    lins = [bp.Lin(*(bp.param(rng.standard_normal(s), dtype) for s in ((m, h), h))) for m, h in pairwise(widths)]
    model = bp.Model([lins[0], bp.LeakyRelu(0.1), lins[1], lins[2]])
    other = bp.Model(copy.deepcopy(model.layers))
    x, targ = (numbers(rng, (150, width), dtype, "plain") for width in (widths[0], widths[-1]))
    plan = bp.compile(model, batch=16, optimizer=bp.SGD(lr=1e-4, momentum=0.5))
    plan.fit(x, targ, epochs=2)
    assert uses_copies(plan)
    steps = bp.compile(other, batch=16, optimizer=bp.SGD(lr=1e-4, momentum=0.5))
    for rows in (*_batches(150, 1, 16), *_batches(150, 2, 16)):
        steps.step(x[rows], targ[rows])
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert_same_bits(p.data, q.data)


def _batches(n, epoch, batch):
    order = shuffled(n, 0, epoch)
    return [order[start : start + batch] for start in range(0, n, batch)]


@pytest.mark.parametrize("kind", ["small", "zeros"])
def test_small_numbers_and_zeros(rng, dtype, kind, each_setting):
    pair = Pair(rng, long_widths(dtype, (9, 3)), dtype, 16, 1e-3)
    x, targ = pair.data(150, "plain" if kind == "zeros" else kind)
    x[rng.random(x.shape) < 0.8] *= -0.0 if kind == "zeros" else 1
    assert_fits(pair, x, targ, 16)


def test_a_smaller_batch_after_a_larger_one(rng, dtype):
    pair = Pair(rng, long_widths(dtype, (9, 3)), dtype, 32, 1e-4)
    x, targ = pair.data(300)
    for batch in (32, 8, 31):
        losses = [e.loss for e in pair.plan.fit(x, targ, epochs=1, batch=batch)]
        assert losses == ordinary_fit(pair, x, targ, [1], batch)
    pair.assert_same()


def test_more_threads_after_the_first_fit(rng, dtype):
    pair = Pair(rng, long_widths(dtype, (9, 3)), dtype, 32, 1e-4)
    x, targ = pair.data(300)
    for threads in (1, 4, 2):
        bp.set_threads(threads)
        assert_fits(pair, x, targ, 32, epochs=1)


def test_frozen_parameters_and_large_batches_go_the_usual_way(rng):
    frozen = Pair(rng, (400, 9, 3), batch=16)
    frozen.model.layers[0].w.requires_g = False
    plans = [bp.compile(frozen.model, batch=16, optimizer=bp.SGD(lr=1e-4))]
    plans += [bp.compile(bp.mlp(widths), batch=batch, optimizer=bp.SGD(lr=1e-4)) for widths, batch in (
        ([400, 9, 3], 1024), ([40, 9, 3], 16), ([400, 3], 16), ([20_000, 200, 3], 16))]  # fmt: skip
    for plan in plans:
        widths = plan.layout.network.widths
        plan.fit(rng.normal(size=(60, widths[0])), rng.normal(size=(60, widths[-1])), epochs=1)
        assert not uses_copies(plan)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "targ"])
def test_what_is_not_finite_ends_it_before_that_step(rng, dtype, bad, where, each_setting):
    pair = Pair(rng, long_widths(dtype, (9, 3)), dtype, 16, 1e-4)
    x, targ = pair.data(160)
    changed = {"x": x, "targ": targ}[where]

    def spoil(_):  # after the data was checked
        changed[_batches(160, 2, 16)[5][3], -1] = bad

    with pytest.raises(bp.DivergedError, match=r"at step 16 \(epoch 2\)"):
        pair.plan.fit(x, targ, epochs=2, done=1, schedule=lambda epoch: spoil(epoch) or 1e-4)
    assert uses_copies(pair.plan)
    for rows in _batches(160, 2, 16)[:5]:
        pair.twin(x[rows], targ[rows])
        pair.twin.backward()
        pair.other.step()
    for p, q in zip(values(pair.model), values(pair.twin), strict=True):
        assert_same_bits(p, q)


def test_a_run_is_stopped_and_goes_on(rng, dtype, monkeypatch):
    monkeypatch.setattr(fit, "SLICE", 0.0)  # every run ends after its first step
    pair = Pair(rng, long_widths(dtype, (9, 3)), dtype, 16, 1e-4)
    assert_fits(pair, *pair.data(300), 16)


def test_a_batch_of_a_plan_is_gathered_as_bits(rng):
    """A row that is read where it lies is not written to."""
    pair = Pair(rng, (400, 9, 3), batch=16, lr=1e-4)
    x, targ = pair.data(300)
    kept = x.copy(), targ.copy()
    pair.plan.fit(x, targ, epochs=2)
    assert_same_bits(x, kept[0])
    assert_same_bits(targ, kept[1])

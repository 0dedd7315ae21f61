"""fit: many steps in C give the bits of as many from Python, and it can be watched, steered and stopped."""

import signal
import threading
import time

import numpy as np
import pytest

import pybackprop as bp
from helpers.allocations import allocated_by
from helpers.compare import assert_same_bits
from helpers.digests import TWO_EPOCHS, TWO_EPOCHS_DOUBLE
from helpers.plans import STRATEGIES, Pair, ordinary_fit, shuffled, values
from pybackprop.engine import fit
from pybackprop.train import checkpoint


@pytest.fixture(params=STRATEGIES)
def strategy(request):
    return request.param


@pytest.fixture
def pair(rng, strategy):
    return Pair(rng, strategy=strategy, lr=0.02)


@pytest.fixture
def slow(pair):
    """One that many steps do not change much."""
    pair.sgd.lr = 1e-6
    return pair


# ---- the same bits ----


@pytest.mark.parametrize("n", [1, 15, 16, 33])
def test_it_is_as_many_steps(rng, strategy, dtype, n, each_setting):
    for batch in (None, 1, 5, 16):
        pair = Pair(rng, (4, 7, 3), dtype, strategy=strategy)
        x, targ = pair.data(n)
        history = pair.plan.fit(x, targ, epochs=3, seed=7, batch=batch)
        assert [e.loss for e in history] == ordinary_fit(pair, x, targ, [1, 2, 3], batch or 16, 7)
        pair.assert_same()


def test_large_batches_around_a_segment(rng, strategy, dtype):
    for batch in (511, 512, 513, 1025):
        pair = Pair(rng, (70, 33, 1), dtype, batch, 0.001, strategy=strategy)
        x, targ = pair.data(1300)
        history = pair.plan.fit(x, targ, epochs=2)
        assert [e.loss for e in history] == ordinary_fit(pair, x, targ, [1, 2], batch)
        pair.assert_same()


@pytest.mark.parametrize("digest", [TWO_EPOCHS, TWO_EPOCHS_DOUBLE])
def test_the_digest_of_a_training(strategy, digest, each_setting):
    dtype = "float32" if digest == TWO_EPOCHS else "float64"
    digits, model = bp.data.digits(dtype), bp.mlp([64, 50, 10], 0, dtype)
    plan = bp.compile(model, batch=8, optimizer=bp.SGD(lr=0.05, momentum=0.9), strategy=strategy)
    plan.fit(digits.x_train, np.eye(10, dtype=dtype)[digits.y_train], epochs=2)
    assert checkpoint.digest({p.name: p.data for p in model.parameters()}) == digest


def test_slices_of_an_epoch_change_no_bit(pair, monkeypatch):
    monkeypatch.setattr(fit, "SLICE", 0.0)
    x, targ = pair.data(50)
    seen = []
    history = pair.plan.fit(x, targ, epochs=2, batch=8, callback=seen.append)
    assert [e.loss for e in history] == ordinary_fit(pair, x, targ, [1, 2], 8)
    pair.assert_same()
    assert [(m.epoch, m.step, m.steps) for m in seen] == [(epoch, k, 7) for epoch in (1, 2) for k in range(1, 8)]
    assert [m.done for m in seen if m.done] == history
    assert [m.loss for m in seen if m.done] == [e.loss for e in history]


def test_it_goes_on_where_it_stopped(rng, strategy):
    x, targ = Pair(rng).data(40)
    plans = [bp.compile(bp.mlp([4, 5, 2]), batch=8, optimizer=bp.SGD(lr=0.05, momentum=0.9)) for _ in range(2)]
    whole = plans[0].fit(x, targ, epochs=5, seed=3)
    parts = plans[1].fit(x, targ, epochs=2, seed=3) + plans[1].fit(x, targ, epochs=5, done=2, seed=3)
    assert [(e.epoch, e.loss) for e in whole] == [(e.epoch, e.loss) for e in parts]
    for a, b in zip(values(plans[0].model), values(plans[1].model), strict=True):
        assert_same_bits(a, b)
    assert plans[1].fit(x, targ, epochs=5, done=5) == []


def test_data_may_be_what_a_step_takes(pair):
    x, targ = pair.data(30)
    wide = np.zeros((30, 8), "f")
    wide[:, ::2] = x
    for given in (x, bp.tensor(x), wide[:, ::2], np.arange(120).reshape(30, 4) % 5, x.tolist()):
        pair.plan.fit(given, targ, epochs=1)
        ordinary_fit(pair, np.asarray(given, "f"), targ, [1], 16)
        pair.assert_same()


# ---- the record, and what steers it ----


def test_the_history(pair):
    (x, targ), (xv, tv) = pair.data(64), pair.data(40)
    history = pair.plan.fit(x, targ, epochs=3, validation=(xv, tv), schedule=lambda epoch: 0.1 / epoch)
    assert [e.epoch for e in history] == [1, 2, 3]
    assert [e.lr for e in history] == [0.1, 0.05, 0.1 / 3]
    assert history[-1].validation == float(bp.mse(pair.plan.predict(xv), tv))
    assert all(e.seconds > 0 for e in history)
    losses = ordinary_fit(pair, x, targ, [1, 2, 3], 16, lr=lambda epoch: 0.1 / epoch)
    assert [e.loss for e in history] == losses
    pair.assert_same()
    assert pair.plan.fit(x, targ, epochs=1)[0].validation is None


def test_early_stopping_keeps_the_best_parameters(pair):
    (x, targ), (xv, tv) = pair.data(64), pair.data(40)
    kept = {}

    def keep(epoch):
        kept[epoch.epoch] = [*values(pair.model), pair.plan.arena.kept["velocity"].copy()]

    history = pair.plan.fit(x, targ, epochs=200, validation=(xv, tv), patience=3, checkpoint=keep)
    best = min(history, key=lambda e: e.validation)
    assert len(history) == best.epoch + 3 < 200
    assert list(kept) == [e.epoch for e in history]
    for value, right in zip([*values(pair.model), pair.plan.arena.kept["velocity"]], kept[best.epoch], strict=True):
        assert_same_bits(value, right)
    assert float(bp.mse(pair.plan.predict(xv), tv)) == best.validation


def test_a_callback_may_stop_it(pair, monkeypatch):
    monkeypatch.setattr(fit, "SLICE", 0.0)
    x, targ = pair.data(64)
    seen = []

    def stop(moment):
        seen.append(moment)
        return (moment.epoch, moment.step) == (2, 3)

    history = pair.plan.fit(x, targ, epochs=5, batch=8, callback=stop)
    assert [e.epoch for e in history] == [1]
    assert (seen[-1].epoch, seen[-1].step) == (2, 3)
    assert len(seen) == 8 + 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_the_parameters_after_a_whole_step(pair, monkeypatch, error):
    monkeypatch.setattr(fit, "SLICE", 0.0)
    x, targ = pair.data(64)

    def interrupt(moment):
        if moment.step == 5:
            raise error

    with pytest.raises(error):
        pair.plan.fit(x, targ, epochs=1, batch=8, callback=interrupt)
    for rows in shuffled(64, 0, 1)[:40].reshape(5, 8):
        pair.ordinary_step(x[rows], targ[rows])
    pair.assert_same()
    pair.step(*pair.data())


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals as POSIX has them")
def test_ctrl_c_is_served_while_c_runs(slow):
    x, targ = slow.data(20000)
    sent, began = [], time.monotonic()

    def interrupt():
        sent.append((time.monotonic(), time.process_time()))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            slow.plan.fit(x, targ, epochs=10**9, batch=1)
    finally:
        timer.cancel()
    assert sent
    assert time.process_time() - sent[0][1] < 2  # 0.05 seconds are meant
    assert sent[0][0] - began > 0.2
    assert all(np.isfinite(array).all() for array in values(slow.model))


def test_callbacks_come_often(slow):
    x, targ = slow.data(20000)
    seen, began = [time.process_time()], time.monotonic()
    slow.plan.fit(x, targ, epochs=10**9, batch=1, callback=lambda _: seen.append(time.process_time()) or len(seen) > 10)
    slow.plan.fit(x, targ, epochs=10**9, batch=1, callback=lambda _: time.monotonic() - began > 0.4)
    assert max(np.diff(seen)) < 2  # 0.1 seconds are meant


def test_a_bar(pair, capsys):
    x, targ = pair.data(64)
    pair.plan.fit(x, targ, epochs=2, progress=True, validation=(x, targ))
    assert capsys.readouterr().out == ""


# ---- what it refuses ----


def test_a_loss_that_is_no_number_stops_it(pair):
    x, targ = pair.data(64)
    order = shuffled(64, 0, 2)

    def spoil(moment):
        if moment.done is not None:
            x[order[21], 2] = np.nan  # the third step of the second epoch, of eight

    words = rf"the loss became nan at step 11 \(epoch 2\): plan.fit: x: found nan at row {order[21]}, column 2"
    with pytest.raises(bp.DivergedError, match=words):
        pair.plan.fit(x, targ, epochs=5, batch=8, callback=spoil)
    assert all(np.isfinite(array).all() for array in values(pair.model))


def test_the_parameters_are_those_before_the_step_that_diverged(pair):
    x, targ = pair.data(64)
    order = shuffled(64, 0, 2)
    x[order[21], 2] = np.inf
    with pytest.raises(bp.DivergedError, match=r"step 11 \(epoch 2\)"):
        pair.plan.fit(x, targ, epochs=2, done=1, batch=8)
    for rows in order[:16].reshape(2, 8):
        pair.ordinary_step(x[rows], targ[rows])
    for p, q in zip(pair.model.parameters(), pair.twin.parameters(), strict=True):
        assert_same_bits(p.data, q.data)


def test_a_parameter_that_is_no_number_stops_it(rng, strategy):
    pair = Pair(rng, lr=1e38, momentum=0, strategy=strategy)
    x, targ = pair.data(16)
    words = r"the tensor 'w1' of shape \(4, 5\) \(layers\[0\]\.w\) became nan at step 1 \(epoch 1\)"
    with pytest.raises(bp.DivergedError, match=words):
        pair.plan.fit(x * 100, targ, epochs=2)


BAD = [
    ({"epochs": -1}, ValueError, "plan.fit: epochs: found -1"),
    ({"epochs": 1.5}, ValueError, "epochs: found 1.5"),
    ({"seed": -1}, ValueError, "seed: found -1"),
    ({"batch": 0}, ValueError, "batch: found 0"),
    ({"batch": 17}, ValueError, "found batch=17, expected at most 16"),
    ({"patience": 2}, ValueError, "give validation="),
    ({"patience": 0, "validation": ()}, ValueError, "patience: found 0"),
    ({"validation": 3}, ValueError, "expected a pair"),
    ({"validation": (np.ones((3, 3), "f"), np.ones((3, 2), "f"))}, bp.ShapeError, "validation: found x"),
    ({"validation": (np.ones((0, 4), "f"), np.ones((0, 2), "f"))}, bp.ShapeError, "validation: found no rows"),
    ({"schedule": lambda _: -1.0}, ValueError, "found lr=-1.0"),
]


@pytest.mark.parametrize(("options", "error", "words"), BAD)
def test_options_that_do_not_fit(pair, options, error, words):
    x, targ = pair.data(64)
    before = values(pair.model)
    with pytest.raises(error, match=words):
        pair.plan.fit(x, targ, **{"epochs": 1, **options})
    for value, right in zip(values(pair.model), before, strict=True):
        assert_same_bits(value, right)


def test_data_that_does_not_fit(pair):
    x, targ = pair.data(64)
    for given, words in [
        ((x[:, :3], targ), r"plan.fit: found x \(64, 3\), expected 4 features"),
        ((x, targ[:9]), "found out"),
        ((x[:0], targ[:0]), "plan.fit: found no rows"),
    ]:
        with pytest.raises(bp.ShapeError, match=words):
            pair.plan.fit(*given, epochs=1)
    with pytest.raises(bp.DTypeError, match="is float64"):
        pair.plan.fit(bp.tensor(x).double(), targ, epochs=1)
    with pytest.raises(ValueError, match="without an optimizer"):
        bp.compile(bp.mlp([4, 2]), batch=4).fit(x, targ, epochs=1)


@pytest.mark.parametrize("other", [0, 1])
def test_arrays_of_the_other_float_are_converted(dtype, other, rng):
    """Data of numpy's usual float64 is no reason to stop; it is as if it had been converted before."""
    x, targ = rng.standard_normal((20, 4)), rng.standard_normal((20, 2))
    wide = [np.float64, np.float32][other if dtype == np.float32 else 1 - other]
    found = []
    for kind in (wide, dtype):
        given = x.astype(np.float32).astype(kind), targ.astype(np.float32).astype(kind)
        model = bp.mlp([4, 5, 2], 1, dtype)
        plan = bp.compile(model, batch=8, optimizer=bp.SGD(lr=0.1))
        plan.fit(*given, epochs=2, validation=given)
        losses = plan.step(given[0][:8], given[1][:8]), plan.grads(given[0][:8], given[1][:8])
        loss = float(model(*given))
        model.backward()
        found.append((losses, loss, plan.predict(given[0]).data.tobytes(), model.predict(given[0]).data.tobytes()))
        found[-1] += (*(p.g.data.tobytes() for p in model.parameters()), *(v.tobytes() for v in values(model)))
    assert found[0] == found[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_is_not_finite_is_located_before_the_first_step(pair, bad):
    before = values(pair.model)
    for which, words in ((0, "plan.fit: x"), (1, "plan.fit: targ"), (2, "plan.fit: validation: x")):
        x, targ = pair.data(64)
        arrays = [x.copy(), targ.copy(), x.copy()]
        arrays[which][37, 1] = bad
        with pytest.raises(ValueError, match=rf"{words}: found {bad} at row 37, column 1 \(counted from 0\), 1 such"):
            pair.plan.fit(*arrays[:2], epochs=2, validation=(arrays[2], targ))
    for value, right in zip(values(pair.model), before, strict=True):
        assert_same_bits(value, right)


def test_data_that_becomes_not_finite_is_blamed_and_not_the_learning_rate(pair):
    x, targ = pair.data(64)
    pair.plan.fit(x, targ, epochs=1)
    targ[3, 0] = np.nan
    with pytest.raises(bp.DivergedError, match=r"plan.fit: targ: found nan at row 3, column 0") as caught:
        pair.plan.fit(x, targ, epochs=2, done=1)
    assert "learning rate" not in str(caught.value)


def test_a_rate_that_is_too_large_is_blamed_with_its_number(pair):
    x, targ = pair.data(64)
    pair.sgd.lr = 1e6
    with pytest.raises(bp.DivergedError, match=r"Try a smaller learning rate \(it is 1e\+06\)"):
        pair.plan.fit(x, targ, epochs=50)


def test_a_model_that_is_edited_by_a_hook(pair):
    x, targ = pair.data(64)
    with pytest.raises(RuntimeError, match="the model was edited after compile: it has 4 layers"):
        pair.plan.fit(x, targ, epochs=3, checkpoint=lambda _: pair.model.layers.append(bp.Relu()))


def test_fit_allocates_nothing_for_a_step(slow):
    x, targ = slow.data(4096)
    slow.plan.fit(x, targ, epochs=1)
    _, few = allocated_by(lambda: slow.plan.fit(x, targ, epochs=1))
    _, many = allocated_by(lambda: slow.plan.fit(x, targ, epochs=1, batch=1))
    assert many < few + 10000

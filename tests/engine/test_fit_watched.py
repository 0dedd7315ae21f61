"""Watching a training, and holding out rows for validation, changes none of its bits."""

import contextlib
import signal

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits


@pytest.fixture
def data(rng):
    x = rng.standard_normal((50, 4)).astype("f")
    return x, x[:, :1] * 2


def trained(x, targ, **options):
    plan = bp.compile(bp.mlp([4, 5, 1]), batch=16, optimizer=bp.SGD(lr=0.05, momentum=0.9))
    return plan.fit(x, targ, epochs=5, seed=3, **options), [p.data for p in plan.model.parameters()]


def assert_same(found, expected):
    for p, q in zip(found[1], expected[1], strict=True):
        assert_same_bits(p, q)


def test_on_epoch_sees_each_epoch(data):
    seen, plain = [], trained(*data)
    watched = trained(*data, on_epoch=seen.append)
    assert seen == watched[0]
    assert [e.loss for e in seen] == [e.loss for e in plain[0]]
    assert_same(watched, plain)


def test_returning_true_stops_after_the_epoch(data):
    others = []
    functions = [lambda epoch: epoch.epoch == 3, others.append, lambda _: 1]
    found = trained(*data, on_epoch=functions)
    assert len(found[0]) == 3
    assert len(others) == 3  # all are called, and only True itself stops


def test_on_epoch_takes_functions_only(data):
    for wrong in (5, ["print"], [print, None]):
        with pytest.raises(TypeError, match=r"plan\.fit: on_epoch: found .*, expected a function of an Epoch"):
            trained(*data, on_epoch=wrong)


def test_validation_data_is_validation(data):
    found, expected = trained(*data, validation_data=data), trained(*data, validation=data)
    assert [e.validation for e in found[0]] == [e.validation for e in expected[0]]
    assert_same(found, trained(*data))


@pytest.mark.parametrize(("share", "held"), [(0.2, 10), (0.001, 1), (0.999, 49), (0.5, 25)])
def test_a_split_is_the_fit_of_the_other_rows(data, share, held):
    x, targ = data
    x[:, 0] = np.arange(50) / 50  # tells rows apart
    found = trained(x, targ, validation_split=share)
    from pybackprop.engine.samples import Samples, split

    rest, out = split(Samples(x, targ), share, 3)
    assert len(out) == held
    assert sorted([*rest.x[:, 0], *out.x[:, 0]]) == sorted(x[:, 0])
    expected = trained(rest.x, rest.targ, validation=(out.x, out.targ))
    assert [(e.loss, e.validation) for e in found[0]] == [(e.loss, e.validation) for e in expected[0]]
    assert_same(found, expected)


def test_the_seed_chooses_the_rows(data):
    from pybackprop.engine.samples import Samples, split

    first, again, other = (split(Samples(*data), 0.2, seed)[1].x for seed in (0, 0, 1))
    assert_same_bits(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, data[0][-10:])


def test_a_split_wants_a_share_and_two_rows(data):
    for wrong in (0, 1, -0.1, True, "half", float("nan"), (0.2,)):
        with pytest.raises(ValueError, match=r"validation_split: found .*, expected a share of the rows"):
            trained(*data, validation_split=wrong)
    with pytest.raises(bp.ShapeError, match="validation_split: found 1 row"):
        trained(data[0][:1], data[1][:1], validation_split=0.5)
    with pytest.raises(ValueError, match="found validation and validation_split, expected one of them"):
        trained(*data, validation=data, validation_split=0.5)


def test_patience_goes_with_each_form_of_validation(data):
    for options in ({"validation_data": data}, {"validation_split": 0.2}):
        assert trained(*data, patience=1, **options)[0]


def test_ctrl_c_while_the_best_state_is_brought_back_waits_for_the_whole_of_it(data, monkeypatch):
    x, targ = data

    def state(strikes):
        plan = bp.compile(bp.mlp([4, 5, 1]), batch=16, optimizer=bp.Adam(lr=0.5))
        copy = np.copyto

        def strike_first(*arrays):
            np.copyto = copy
            signal.raise_signal(signal.SIGINT)
            copy(*arrays)

        with monkeypatch.context() as patch:
            patch.setattr(np, "copyto", strike_first if strikes else copy)
            with pytest.raises(KeyboardInterrupt) if strikes else contextlib.nullcontext():
                plan.fit(x, targ, epochs=100, seed=3, validation=(x[::-1], targ[:]), patience=2)
        arena = plan.arena
        return [arena.updated_values, *arena.kept.values(), plan.optimizer.steps]

    *found, steps = state(strikes=True)
    *expected, right = state(strikes=False)
    assert steps == right
    for array, other in zip(found, expected, strict=True):
        assert_same_bits(array, other)

"""Short calls of the lesson's operations: taken for usual operands, and in everything the same as the usual way."""

import gc
import random
import sys
import threading
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits, special
from helpers.short_programs import Program, outcome, seen, short_calls_taken, without_short_calls
from pybackprop.autograd.origins import DEPTH
from pybackprop.autograd.tape import paused
from pybackprop.core import observer, short_calls
from pybackprop.ops import LIN, MSE, RELU

pytestmark = pytest.mark.skipif(not short_calls.on, reason="a build without short calls, or they are switched off")

N, M, H = 4, 3, 5


@pytest.fixture
def taken(monkeypatch):
    return short_calls_taken(monkeypatch)


# ---- the same in everything ----


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_do_the_same(seed, monkeypatch, dtype):
    with monkeypatch.context() as patch:
        taken = short_calls_taken(patch)
        short = [outcome(Program(1000 * seed + k, dtype)) for k in range(12)]
    with monkeypatch.context() as patch:
        without_short_calls(patch)
        usual = [outcome(Program(1000 * seed + k, dtype)) for k in range(12)]
    for k, (one, other) in enumerate(zip(short, usual, strict=True)):
        for line, expected in zip(one, other, strict=True):
            assert line == expected, f"program {1000 * seed + k}"
    assert sum(taken.values()) > 20


def test_programs_take_every_short_call_and_leave_every_one(monkeypatch, dtype):
    taken = short_calls_taken(monkeypatch)
    for seed in range(300):
        outcome(Program(seed, dtype))
    for name in taken.names:
        assert taken[name] > 20, name
        assert taken.left[name] > 20, name


def operands(dtype, kind, make=special):
    rng = np.random.default_rng(3)
    shapes = (N, M), (M, H), (H,), (N, H)
    return [kind(make(rng, shape, dtype)) for shape in shapes]


@pytest.mark.parametrize(
    "kind", [np.array, bp.tensor, bp.param, bp.as_tensor], ids=["array", "tensor", "param", "shared"]
)
def test_the_bits_of_every_kernel_are_those_of_the_reference(taken, dtype, kind, each_setting):
    x, w, b, targ = operands(dtype, kind)
    z = bp.lin(x, w, b)
    a, loss = bp.relu(z), bp.mse(z, targ)
    arrays = [np.asarray(each) for each in (x, w, b, targ)]
    right = bp.reference.linear_forward(*arrays[:3])
    assert_same_bits(z.data, right)
    assert_same_bits(a.data, bp.reference.relu_forward(right))
    assert_same_bits(loss.data, bp.reference.mse_forward(right, arrays[3]))
    assert taken == {"lin": 1, "relu": 1, "mse": 1}


@pytest.mark.parametrize("kind", [bp.tensor, bp.param], ids=["tensor", "param"])
def test_the_bits_of_gradients_are_those_of_the_reference(taken, dtype, kind, each_setting):
    x, w, b, targ = operands(dtype, kind)
    targ.requires_g = False
    z = bp.lin(x, w, b)
    out = bp.relu(z)
    for _ in range(2):
        bp.mse_grad(out, targ)
        bp.relu_grad(z, out)
        bp.lin_grad(x, z, w, b)
    ref = bp.reference
    assert_same_bits(out.g.data, ref.mse_backward(out.data, targ.data))
    assert_same_bits(z.g.data, ref.relu_backward(z.data, out.g.data))
    assert_same_bits(x.g.data, ref.linear_backward_x(z.g.data, w.data))
    assert_same_bits(w.g.data, ref.linear_backward_w(x.data, z.g.data))
    assert_same_bits(b.g.data, ref.linear_backward_b(z.g.data))
    assert taken == {"lin": 1, "relu": 1, "mse_grad": 2, "relu_grad": 2, "lin_grad": 2}


def test_a_tensor_that_is_both_factors_gets_both_gradients(taken):
    square = bp.tensor(np.arange(9, dtype="f").reshape(3, 3))
    out = bp.lin(square, square)
    out.g = np.ones((3, 3), "f")
    bp.lin_grad(square, out, square)
    np.testing.assert_array_equal(square.g.data, out.g.data @ square.data.T + square.data.T @ out.g.data)
    with pytest.raises(bp.GradientError, match="out is one of the operands"):
        bp.lin_grad(square, square, bp.tensor(square))
    assert taken == {"lin": 1}


def test_what_a_value_came_from_is_followed_no_further_than_usual(monkeypatch):
    def origins():
        value = bp.tensor(np.ones(2, "f"))
        depths = []
        for _ in range(3 * DEPTH):
            value = bp.relu(value)
            depths.append(value._origin.depth)
        return depths, seen(value, {})

    short = origins()
    without_short_calls(monkeypatch)
    assert short == origins()


def test_targets_without_a_second_axis(taken, dtype):
    out, targ = np.arange(4, dtype=dtype).reshape(4, 1), np.ones(4, dtype)
    tensor = bp.tensor(out)
    assert float(bp.mse(tensor, targ)) == np.mean((out[:, 0] - targ) ** 2)
    bp.mse_grad(tensor, targ)
    np.testing.assert_array_equal(tensor.g.data, (out - targ[:, None]) / 2)
    assert taken == {"mse": 1, "mse_grad": 1}


def test_large_operands_keep_to_the_usual_way_which_lets_other_threads_run(taken):
    x, w = bp.tensor(np.ones((64, 64), "f")), bp.tensor(np.ones((64, 8), "f"))
    out = bp.lin(x, w)
    assert bp.relu(x).shape == (64, 64)
    bp.mse_grad(out, np.ones((64, 8), "f"))
    assert taken == {"lin": 1, "mse_grad": 1}
    bp.lin_grad(x, out, w)
    assert taken["lin_grad"] == 0


# ---- who is told ----


def test_debug_observers_and_pauses_see_every_operation(taken, monkeypatch):
    x, w, b, targ = operands(np.float32, bp.tensor)
    with bp.debug():
        bp.lin(x, w, b)
    ledger = type("Ledger", (), {"allocated": lambda *_: None, "ran": lambda *_, **__: None})()
    with monkeypatch.context() as patch:
        patch.setattr(observer, "active", ledger)
        bp.mse(targ, targ)
    assert not taken


def test_a_paused_tape_records_nothing(taken):
    x, w, b, _ = operands(np.float32, bp.param)
    with paused():
        out = bp.lin(x, w, b)
    assert (out._node, out._origin, out.requires_g) == (None, None, False)
    assert taken == {"lin": 1}


# ---- life and death ----


def test_calls_leak_nothing(dtype):
    x, w, b, targ = operands(dtype, bp.tensor)
    p = bp.param(w)

    def lesson():
        z = bp.lin(x, w, b)
        out = bp.relu(z)
        bp.mse(bp.lin(x.data, p, None), targ)
        bp.mse_grad(out, targ)
        bp.relu_grad(z, out)
        bp.lin_grad(x, z, w, b)

    objects = [x, w, b, p, targ, x.data, x.data.dtype, x._version, LIN, RELU, MSE, None, True, (), ""]
    lesson()
    before = [sys.getrefcount(each) for each in objects]
    for _ in range(1000):
        lesson()
    after = [sys.getrefcount(each) for each in objects]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 100
    gc.collect()
    count = len(gc.get_objects())
    for _ in range(1000):
        lesson()
    gc.collect()
    assert len(gc.get_objects()) < count + 100


def test_results_die_with_their_last_name():
    x, w, b, _ = operands(np.float32, bp.tensor)
    out = bp.lin(x, w, b)
    gone = weakref.ref(out), weakref.ref(out.data)
    later = bp.relu(out)
    del out
    assert [each() for each in gone] == [None, None]
    assert later._origin.operands[0].tensor() is None


@pytest.mark.parametrize("setting", [True, False])
def test_the_garbage_collector_is_left_as_it_was(setting):
    before = gc.isenabled()
    (gc.enable if setting else gc.disable)()
    try:
        x, w, b, _ = operands(np.float32, bp.tensor)
        bp.lin(x, w, b)
        with pytest.raises(bp.ShapeError):
            bp.lin(w, x, b)
        assert gc.isenabled() is setting
    finally:
        (gc.enable if before else gc.disable)()


def test_memory_that_was_read_stays_where_it_is():
    x, w, b, targ = operands(np.float32, bp.tensor)
    z = bp.lin(x, w, b)
    bp.mse_grad(z, targ)
    for tensor in (x, w, b, z, z.g, targ):
        with pytest.raises(ValueError, match="resize"):
            tensor.data.resize((100, 100), refcheck=False)


def test_threads(dtype):
    right = operands(dtype, bp.tensor)
    right.append(bp.lin(*right[:3]))
    wrong = []

    def train(seed):
        order = random.Random(seed)
        for _ in range(300):
            x, w, b, targ = operands(dtype, bp.tensor)
            out = bp.lin(x, w, b)
            if order.random() < 0.5:
                bp.mse_grad(out, targ)
                bp.lin_grad(x, out, w, b)
            if not np.array_equal(out.data, right[4].data, equal_nan=True):
                wrong.append(seed)

    threads = [threading.Thread(target=train, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_it_refuses_what_it_cannot_read(monkeypatch):
    with pytest.raises(TypeError):
        short_calls.Eager()
    classes = (int,) * 6, (int,) * 2
    given = classes, (1, 1, 1), LIN, "lin_grad", ({}, {}), None, None
    assert short_calls.eager(*given) is None
    monkeypatch.setattr(short_calls, "FUNCTIONS", ("bp_linear_forward",))
    with pytest.raises(IndexError):
        short_calls.eager(*given)

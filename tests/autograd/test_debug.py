"""bp.debug(): writes past the library are noticed, and stories tell file and line."""

import re
import sys

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.twins import assert_same_gradients, data, is_short, step, twins
from pybackprop.autograd import versions


def line():
    return sys._getframe(1).f_lineno


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 4)).astype(np.float32)


@pytest.fixture
def w(rng):
    return bp.param(rng.standard_normal((4, 2)).astype(np.float32), name="w")


@pytest.fixture
def targ():
    return np.zeros((6, 2), np.float32)


PAST = "by a write past this library"


WRITES = {
    "the data of x": lambda x, t, w, targ, out: t.data.__setitem__((0, 0), 7),
    "the array that x shares": lambda x, t, w, targ, out: x.__imul__(2),
    "one bit of the array": lambda x, t, w, targ, out: x.view(np.uint32).__ixor__(1),
    "the array of the targets": lambda x, t, w, targ, out: targ.__iadd__(1),
    "the output": lambda x, t, w, targ, out: out.data.__iadd__(1),
    "another tensor around the array": lambda x, t, w, targ, out: bp.as_tensor(x).zero_(),
    "memory through a buffer": lambda x, t, w, targ, out: np.frombuffer(memoryview(t.data).cast("B"), "u1").__ixor__(1),
    "a sort": lambda x, t, w, targ, out: x.sort(0),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_write_past_the_library_is_noticed_in_debug_mode_only(x, w, targ, how):
    for debug in (True, False):
        shared, goal = x.copy(), targ.copy()
        with bp.debug(debug):
            t = bp.as_tensor(shared, name="x")
            out, called = bp.lin(t, w), line()
            loss = bp.mse(out, goal)
            WRITES[how](shared, t, w, goal, out)
            if not debug:
                loss.backward()
                continue
            with pytest.raises(bp.GradientError, match=PAST) as caught:
                loss.backward()
        assert w.g is None
        if "'lin'" in str(caught.value):
            assert f"'lin' (called at test_debug.py:{called}) read it" in str(caught.value)


def test_a_write_to_a_parameter_past_the_library(x, w, targ):
    with bp.debug():
        loss = bp.mse(bp.lin(bp.param(x), w), targ)
        w.data[0] = 0
        with pytest.raises(bp.GradientError, match=rf"'w' of shape \(4, 2\) was overwritten.*{PAST}.*out.g @ w.T"):
            loss.backward()


def test_a_grad_function_notices_it_too(x, w, targ):
    with bp.debug():
        t = bp.as_tensor(x, name="x")
        out = bp.lin(t, w)
        bp.mse_grad(out, targ)
        x[...] = 0
        with pytest.raises(bp.GradientError, match=f"lin_grad: the tensor 'x' .*{PAST}"):
            bp.lin_grad(t, out, w)
    assert w.g is None


def test_file_and_line_of_the_first_overwrite(x, w, targ):
    with bp.debug():
        t = bp.tensor(x, name="x")
        t *= 1  # before it was read
        loss = bp.mse(bp.lin(t, w), targ)
        t *= 2
        first = line() - 1
        t += 1
        with pytest.raises(bp.GradientError, match=rf"by \*= at test_debug\.py:{first}\. "):
            loss.backward()


def test_every_way_of_writing_tells_its_line(x, w, targ):
    square = np.eye(4, dtype="f")
    sgd = bp.SGD([w], lr=0.1)
    w.g = w.data
    sgd.step()
    known = bp.tensor(x)
    bp.matmul(x, square, out=known)
    for write in (
        lambda t: t.__iadd__(1),
        lambda t: t.__setitem__(0, 1),
        lambda t: t.zero_(),
        lambda t: bp.relu_(t),
        lambda t: bp.lin(x, square, out=t),
        lambda t: bp.matmul(x, square, out=t),
        lambda t: bp.matmul(bp.tensor(x), bp.tensor(square), out=t),
        lambda t: bp.mse_grad(t, x, inplace=True),
        lambda t: sgd.step(),
    ):
        with bp.debug():
            t, goal = bp.tensor(x), np.zeros((6, 2), "f")
            loss = bp.mse(bp.lin(t, w) @ w.T @ w, goal)
            write(t)
            with pytest.raises(bp.GradientError, match=rf"at test_debug\.py:{write.__code__.co_firstlineno}\. "):
                loss.backward()


def test_a_model_notices_it_and_gives_the_same_bits(rng):
    model, twin = twins(rng)
    x, targ = data(rng)
    for inplace in (False, True):
        model.inplace = inplace
        with bp.debug():
            assert not is_short(step(model, x, targ))
            model.backward()
            model(x, targ)
            kept = x.copy()
            x[0, 0] += 1
            with pytest.raises(bp.GradientError, match=PAST):
                model.backward()
            x[...] = kept
        step(twin, x, targ)
        assert_same_gradients(model, twin)
        assert is_short(step(model, x, targ))


def test_switched_on_and_off():
    assert not versions.on
    with bp.debug():
        assert versions.on
        with bp.debug(False):
            assert not versions.on
        assert versions.on
    assert not versions.on
    bp.debug()
    assert versions.on
    bp.debug(False)
    assert not versions.on


def test_what_was_recorded_before_debug_is_judged_by_versions_alone(x, w, targ):
    t = bp.as_tensor(x)
    loss = bp.mse(bp.lin(t, w), targ)
    with bp.debug():
        x *= 2
        loss.backward()
        t *= 2
        with pytest.raises(bp.GradientError, match=r"by \*= at test_debug"):
            loss.backward()


def test_a_long_training_remembers_only_the_last_overwrites(x, w, targ):
    with bp.debug():
        for _ in range(50):
            bp.mse(bp.lin(x, w), targ).backward()
            w -= 0.1 * w.g
    assert len(w._version.log) <= versions.REMEMBERED
    assert w._version.log[-1][0] == 50


def test_nothing_is_remembered_while_it_is_off(x, w, targ):
    out = bp.lin(x, w)
    bp.mse(out, targ).backward()
    w -= 0.1 * w.g
    assert out._node.checksums is None
    assert (w._version.count, w._version.by, w._version.log) == (1, "-=", ())


def test_results_are_the_same_bits(rng):
    for _ in range(2):
        model, twin = twins(rng)
        x, targ = data(rng)
        with bp.debug():
            loss = step(twin, x, targ)
        assert_same_bits(loss.data, step(model, x, targ).data)
        assert_same_gradients(model, twin)


def test_the_line_is_the_callers_not_ours(x, w, targ):
    model = bp.Model([bp.Lin(w)])
    with bp.debug():
        t = bp.tensor(x, name="x")
        model(t, targ)
        t.zero_()
        with pytest.raises(bp.GradientError) as caught:
            model.backward()
    assert set(re.findall(r"(\w+\.py):\d+", str(caught.value))) == {"test_debug.py"}

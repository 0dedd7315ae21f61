"""The short forward of a Model: what it refuses, what it keeps alive and what it does not."""

import gc
import sys
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.short_training import Taken
from pybackprop.autograd import tape
from pybackprop.core import observer, short_calls
from pybackprop.engine import shortcut
from pybackprop.nn.module import Module

pytestmark = pytest.mark.skipif(not short_calls.on, reason="a build without short calls, or they are switched off")


class Loop:
    """A Model whose next forward is a short call."""

    def __init__(self, sizes=(3, 4, 2), n=4, dtype=np.float32):
        rng = np.random.default_rng(0)
        self.model = bp.mlp(sizes, dtype=dtype)
        self.sgd = bp.SGD(self.model, lr=0.1)
        self.x = rng.standard_normal((n, sizes[0])).astype(dtype)
        self.targ = rng.standard_normal((n, sizes[-1])).astype(dtype)
        for _ in range(3):
            self.step()

    def step(self):
        loss = self.model(self.x, self.targ)
        self.model.backward()
        self.sgd.step()
        return loss


@pytest.fixture
def taken(monkeypatch):
    return Taken(monkeypatch)


@pytest.fixture
def loop(taken):
    return Loop()


def forwards(taken, loop, x=None, targ=None):
    """How many short forwards a call of the Model takes: 0 or 1."""
    before = taken.taken["forward"]
    loop.model(loop.x if x is None else x, loop.targ if targ is None else targ)
    return taken.taken["forward"] - before


# ---- what it takes and what it leaves ----


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a,
        lambda a: a.copy(),
        bp.tensor,
        bp.as_tensor,
        lambda a: np.concatenate([a, a])[len(a) :],
        lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
    ],
    ids=["the same", "another", "tensor", "shared", "rows", "read-only"],
)
@pytest.mark.parametrize("which", ["x", "targ"])
def test_taken_for_all_data_that_c_reads_as_they_are(taken, loop, which, make):
    assert forwards(taken, loop, **{which: make(getattr(loop, which))}) == 1


def paused(loop):
    with tape.paused():
        return loop.model(loop.x, loop.targ)


LEFT = {
    "observed": lambda loop, patch: patch.setattr(observer, "active", Ignore()),
    "debug": lambda loop, patch: patch.setattr("pybackprop.autograd.versions.on", True),
    "not recorded": lambda loop, patch: patch.setattr(tape.switch, "recording", False),
    "another loss": lambda loop, patch: setattr(loop.model, "loss", bp.Mse()),
    "in place": lambda loop, patch: setattr(loop.model, "inplace", True),
    "another layer": lambda loop, patch: loop.model.layers.__setitem__(1, bp.Relu()),
    "one layer less": lambda loop, patch: loop.model.layers.__delitem__(slice(1, 2)),
    "a Model's forward": lambda loop, patch: setattr(loop.model, "forward", loop.model.forward),
    "the class's forward of a Model": lambda loop, patch: patch.setattr(
        bp.Model, "forward", lambda self, x, usual=bp.Model.forward: bp.relu(usual(self, x))
    ),
    "a layer's forward": lambda loop, patch: setattr(loop.model.layers[1], "forward", bp.relu),
    "a class's forward": lambda loop, patch: patch.setattr(bp.Lin, "forward", lambda self, x: bp.lin(x, self.w)),
    "a class's call": lambda loop, patch: patch.setattr(Module, "__call__", lambda self, *given: self.forward(*given)),
    "another class": lambda loop, patch: setattr(loop.model.layers[1], "__class__", bp.LeakyRelu),
    "another weight": lambda loop, patch: setattr(loop.model.layers[0], "w", bp.param(loop.model.layers[0].w)),
    "another bias": lambda loop, patch: setattr(loop.model.layers[2], "b", bp.param(loop.model.layers[2].b)),
    "no bias": lambda loop, patch: setattr(loop.model.layers[2], "b", None),
    "new memory": lambda loop, patch: loop.model.layers[2].w._become(loop.model.layers[2].w.data.copy()),
    "a constant": lambda loop, patch: setattr(loop.model.layers[0].w, "requires_g", False),
    "no backward yet": lambda loop, patch: loop.model(loop.x, loop.targ),
    "forgotten": lambda loop, patch: loop.model._forget(),
}


class Ignore:
    """An observer."""

    def ran(self, *_, **__):
        """Ignores it."""

    allocated = named = ran_pass = ran


@pytest.mark.parametrize("why", LEFT)
def test_left_if_anything_has_changed(taken, loop, why, monkeypatch):
    with monkeypatch.context() as patch:
        LEFT[why](loop, patch)
        assert forwards(taken, loop) == 0
        out = loop.model.predict(loop.x).data.astype(np.float64)
        found = float(loop.model(loop.x, loop.targ))
        assert found == pytest.approx(((out - loop.targ) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_left_for_another_number_of_rows_and_taken_again(taken, loop, n):
    loop.x, loop.targ = (np.resize(a, (n, a.shape[1])) for a in (loop.x, loop.targ))
    before = taken.taken["forward"]
    for count in (0, 1, 2):
        loop.step()
        assert taken.taken["forward"] - before == count


def test_targets_in_a_row_and_in_a_column_differ(taken):
    loop = Loop((3, 4, 1))
    row = loop.targ[:, 0].copy()
    for targ, count in [(loop.targ, 1), (row, 0), (row, 1), (loop.targ, 0)]:
        assert forwards(taken, loop, targ=targ) == count
        loop.model.backward()


# ---- its result ----


def test_losses_layers_and_gradients_are_those_of_the_usual_way(taken, dtype, monkeypatch):
    loops = [Loop(dtype=dtype), Loop(dtype=dtype)]
    for _ in range(4):
        losses = [loops[0].step()]
        with monkeypatch.context() as patch:
            for name in ("again", "backward"):
                patch.setattr(loops[1].model._shortcut, name, lambda *_: None)
            losses.append(loops[1].step())
        assert_same_bits(*(loss.data for loss in losses))
        for p, q in zip(*(loop.model.parameters() for loop in loops), strict=True):
            assert_same_bits(p.data, q.data)
            assert_same_bits(p.g.data, q.g.data)
    assert taken.taken["forward"] == 6
    for loop in loops:
        loop.model(loop.x, loop.targ)
    for one, other in zip(*(loop.model.layers for loop in loops), strict=True):
        assert_same_bits(one.out.data, other.out.data)
        assert_same_bits(one.args[0].data, other.args[0].data)
    assert loops[0].model.loss.out is loops[0].model._result


def test_a_loss_keeps_its_number(loop):
    loss = loop.step()
    before = loss.data.copy()
    loop.step()
    assert_same_bits(loss.data, before)
    with pytest.raises(bp.GradientError):
        loss.backward()


@pytest.mark.parametrize("name", ["x", "targ"])
def test_data_written_to_before_backward_are_noticed(taken, loop, name):
    value = bp.tensor(getattr(loop, name))
    assert forwards(taken, loop, **{name: value}) == 1
    value[0] = 0.0
    with pytest.raises(bp.GradientError, match="overwritten"):
        loop.model.backward()


@pytest.mark.parametrize("name", ["x", "targ"])
def test_data_that_want_a_gradient_before_backward_get_it(taken, loop, name):
    value = bp.tensor(getattr(loop, name))
    assert forwards(taken, loop, **{name: value}) == 1
    value.requires_g = True
    loop.model.backward()
    out = loop.model.predict(loop.x).data.astype(np.float64)
    if name == "targ":
        assert value.g.data == pytest.approx(2 * (loop.targ - out) / out.size, rel=1e-4, abs=1e-6)
    assert value.g.shape == value.shape


def test_a_weight_written_to_before_backward_is_noticed(taken, loop):
    assert forwards(taken, loop) == 1
    loop.model.layers[2].w[0] = 0.0
    with pytest.raises(bp.GradientError, match="overwritten"):
        loop.model.backward()


def test_an_optimizer_notices_a_backward_that_missed_it(taken):
    one, other = Loop(), Loop()
    sgd = bp.SGD([*one.model.parameters(), *other.model.parameters()], lr=0.1)
    for loops in [(one, other)] * 4 + [(one,)]:
        for loop in loops:
            loop.model(loop.x, loop.targ)
            loop.model.backward()
        if len(loops) == 2:
            sgd.step()
    with pytest.raises(bp.GradientError, match="did not reach it"):
        sgd.step()


# ---- memory ----


def test_data_are_kept_until_backward_has_read_them_and_no_longer_than_to_the_next_pass(taken, loop):
    twin = Loop()
    x, targ = loop.x.copy(), loop.targ.copy()
    owner = weakref.ref(x)
    for one in (loop, twin):
        one.model(one.x, one.targ)
        one.model.backward()
    assert forwards(taken, loop, x, targ) == 1
    with pytest.raises(ValueError, match="resize"):
        x.resize((1, 3), refcheck=False)
    del x, targ
    gc.collect()
    rubbish = [np.full((4, 3), np.nan, np.float32) for _ in range(100)]
    twin.model(twin.x, twin.targ)
    for one in (loop, twin):
        one.model.backward()
    for p, q in zip(loop.model.parameters(), twin.model.parameters(), strict=True):
        assert_same_bits(p.g.data, q.g.data)
    assert owner() is not None
    assert forwards(taken, loop) == 1
    assert owner() is None
    assert len(rubbish) == 100


def test_parameters_replaced_before_backward_keep_the_memory_that_c_reads(loop):
    loop = Loop((3, 2))  # no inner weight, whose version would tell
    loss = loop.model(loop.x, loop.targ)
    w = loop.model.layers[0].w
    old = weakref.ref(w._array)
    w._become(w.data.copy())
    loop.model(loop.x, loop.targ)
    gc.collect()
    assert old() is not None
    loss.backward()


def counted(*objects):
    return [sys.getrefcount(each) for each in objects]


def test_ten_thousand_steps_leave_no_references(dtype):
    loop = Loop(dtype=dtype)
    model, fast = loop.model, loop.model._shortcut
    tensors = bp.tensor(loop.x), bp.tensor(loop.targ)
    objects = [
        *(loop.x, loop.targ, loop.x.dtype, loop.sgd, model, fast, type(fast.last), fast.last.workspace, *tensors),
        *(model.layers, *model.layers, model.loss, *(vars(layer) for layer in model.layers)),
        *((p := model.parameters()), *p, *(each._version for each in p), *(each.g for each in p), fast.prepared),
        *(bp.Tensor, type(p[0]._version), shortcut.Held, np.empty, (), "backward", "_last_call"),
    ]

    def run(steps):
        for k in range(steps):
            loss = model(*(tensors if k % 2 else (loop.x, loop.targ)))
            model.backward()
            loop.sgd.step()
        del loss
        gc.collect()

    run(100)
    before, living, blocks = counted(*objects), len(gc.get_objects()), sys.getallocatedblocks()
    run(10_000)
    after = counted(*objects)
    assert after == before
    assert len(gc.get_objects()) <= living + 10
    assert sys.getallocatedblocks() <= blocks + 1000  # numbers, which gc does not know


def test_a_model_in_a_cycle_is_collected():
    loop = Loop()
    loop.model.layers[0].model = loop.model
    for _ in range(3):
        loop.step()
    gone = weakref.ref(loop.model), weakref.ref(loop.model.layers[0].w), weakref.ref(loop.x)
    del loop
    gc.collect()
    assert [each() for each in gone] == [None] * 3


def test_it_refuses_what_it_cannot_read(monkeypatch):
    with pytest.raises(TypeError):
        short_calls.Passes()
    monkeypatch.setattr(shortcut, "CLASSES", ((int,) * 6, (int,) * 2))  # types without slots
    loop = Loop()
    assert loop.model._shortcut.again is None
    assert np.isfinite(loop.step())


def test_it_leaves_calls_with_other_arguments(loop):
    fast, model = loop.model._shortcut, loop.model
    usual = fast, model, model.layers, model.loss, model.inplace, loop.x, loop.targ
    for k, other in [(0, None), (1, 7), (2, None), (2, 7), (3, None), (4, True), (5, None), (6, 1.0)]:
        given = [*usual]
        given[k] = other
        assert fast.again(*given) is None, k
    assert fast.again() is None
    for given in [(), (None, False, False), (1, False, False), (bp.tensor(1.0), False, False)]:
        assert fast.backward(*given) is None
    assert fast.again(*usual) is not None

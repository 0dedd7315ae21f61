"""Copies and pickles of models, parameters and optimizers continue with the same bits, or are refused."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import pybackprop as bp
from helpers.optimizers import KINDS

SIZES = [8, 16, 16, 16, 4]
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda pair: pickle.loads(pickle.dumps(pair))}
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


@pytest.fixture
def batch(rng):
    return rng.standard_normal((16, 8)).astype(np.float32), rng.standard_normal((16, 4)).astype(np.float32)


def fresh(kind="momentum"):
    model = bp.mlp(SIZES, seed=2)
    return model, KINDS[kind](model)


def train(pair, batch, steps):
    model, sgd = pair
    for _ in range(steps):
        model(*batch)
        model.backward()
        sgd.step()
    return [p.data.tobytes() for p in model.parameters()]


def train_compiled(pair, batch, steps, strategy=None):
    plan = bp.compile(pair[0], batch=16, optimizer=pair[1], strategy=strategy)
    for _ in range(steps):
        plan.step(*batch)
    return [p.data.tobytes() for p in pair[0].parameters()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", [train, train_compiled])
@pytest.mark.parametrize("after", [train, train_compiled])
def test_a_copy_continues_with_the_same_bits(batch, way, kind, before, after):
    expected = train(fresh(kind), batch, 10)
    pair = fresh(kind)
    before(pair, batch, 5)
    twin = WAYS[way](pair)
    assert after(twin, batch, 5) == expected
    assert after(pair, batch, 5) == expected  # and the copy took nothing from the original


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_parameter_keeps_its_own_momentum(batch, protocol):
    pair = fresh()
    train(pair, batch, 2)
    model, sgd = pickle.loads(pickle.dumps(pair, protocol))
    for mine, theirs in zip(model.parameters(), pair[0].parameters(), strict=True):
        assert np.array_equal(sgd.velocity(mine), pair[1].velocity(theirs))
        assert sgd.velocity(mine) is not pair[1].velocity(theirs)


MANY_LIVES = """
import pickle, numpy as np, pybackprop as bp
x, t = np.ones((4, 8), np.float32), np.ones((4, 4), np.float32)
def session():
    m = bp.mlp([8, 16, 16, 16, 4], seed=0); s = bp.SGD(m, lr=1e-6, momentum=.9)
    for _ in range(2): m(x, t); m.backward(); s.step()
    return pickle.dumps((m, s))
for k in range(12):
    m, s = pickle.loads(session())
    for _ in range(3): m(x, t); m.backward(); s.step()
    for p in m.parameters(): assert s.velocity(p).shape == p.shape
    junk = [np.ones(q) for q in range(1, 400)]
    del m, s, junk
"""


def test_many_loaded_optimizers_write_only_to_their_own_memory():
    done = subprocess.run([sys.executable, "-c", MANY_LIVES], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_id_that_belongs_to_another_parameter_now_is_not_believed():
    p, other = bp.param(np.ones(2)), bp.param(np.ones(50))
    sgd = bp.SGD([p], lr=0.1, momentum=0.9)
    sgd.velocity(p)
    sgd._kept[id(other)] = sgd._kept[id(p)]
    assert sgd.velocity(other).shape == (50,)


def test_momentum_that_does_not_fit_is_refused_before_anything_is_written(batch):
    model, sgd = fresh()
    train((model, sgd), batch, 1)
    w = model.layers[0].w
    before = w.data.copy()
    sgd._kept[id(w)] = (w, bp.tensor(np.zeros(3, np.float32)))
    sgd._bound = None
    with pytest.raises(bp.ShapeError, match=r"momentum of the tensor 'w1' .* has the shape \(3,\)"):
        sgd.step()
    assert np.array_equal(w.data, before)


def test_a_shallow_copy_is_a_tensor_of_its_own(rng):
    x, w = bp.param(rng.standard_normal((4, 3))), bp.param(rng.standard_normal((3, 2)), name="w")
    targ = rng.standard_normal((4, 2))
    loss = bp.mse(x @ w, targ)
    expected = 2 * (x.data @ w.data - targ) / 8 @ w.data.T
    old = copy.copy(w)
    assert (old.name, old.requires_g, np.shares_memory(old.data, w.data)) == ("w", True, False)
    old -= 1.0
    loss.backward()
    assert np.allclose(x.g, expected, rtol=1e-12)
    assert np.array_equal(copy.copy(w).g, w.g)
    assert not np.shares_memory(copy.copy(w).g.data, w.g.data)


def test_a_shallow_copy_of_a_result_passes_its_gradient_on(rng):
    w = bp.param(rng.standard_normal((3, 2)))
    loss = bp.mse(copy.copy(rng.standard_normal((4, 3)) @ w), np.zeros((4, 2)))
    loss.backward()
    assert w.g is not None


@pytest.mark.parametrize("way", WAYS)
def test_a_result_on_the_tape_is_not_copied_without_its_operands(rng, way):
    out = rng.standard_normal((4, 3)) @ bp.param(rng.standard_normal((3, 2)))
    with pytest.raises(bp.GradientError, match=r"result of '@'.*no gradient from a copy.*bp\.tensor\(t\)"):
        WAYS[way](out)
    assert np.array_equal(WAYS[way](bp.tensor(out)), out.data)


@pytest.mark.parametrize("way", WAYS)
def test_a_loss_is_copied_as_the_number_that_it_is(batch, way):
    model, _ = fresh()
    loss = model(*batch)
    number = WAYS[way](loss)
    assert float(number) == float(loss)
    assert not number.requires_g
    with pytest.raises(bp.GradientError, match="not on a tape"):
        number.backward()


def test_a_plan_is_refused(batch):
    pair = fresh()
    plan = bp.compile(pair[0], batch=16, optimizer=pair[1])
    for act in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="copy the model and compile that"):
            act(plan)

"""SGD remembers what it has checked, and notices when it changes."""

import copy
import pickle

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from pybackprop.autograd import tape
from pybackprop.ops import RELU


@pytest.fixture
def parameters(rng):
    """Three parameters, one of them float64, with gradients."""
    made = [bp.param(rng.standard_normal((3, 2)).astype(kind)) for kind in ("f", "d", "f")]
    for p in made:
        p.g = rng.standard_normal(p.shape).astype(p.dtype)
    return made


def stepped(p, lr, v=None, momentum=0.0):
    """What one step makes of p (and v), by the definition."""
    if v is None:
        return bp.reference.sgd_update(p.data, p.g.data, lr), None
    return bp.reference.sgd_momentum_update(p.data, v, p.g.data, lr, momentum)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_those_of_the_definition(parameters, momentum):
    sgd = bp.SGD(parameters, lr=0.1, momentum=momentum)
    velocities = [np.zeros(p.shape, p.dtype) if momentum else None for p in parameters]
    for lr in (0.1, 0.1, 0.05):
        sgd.lr = lr
        expected = [stepped(p, lr, v, momentum) for p, v in zip(parameters, velocities, strict=True)]
        sgd.step()
        for p, (right, _) in zip(parameters, expected, strict=True):
            assert_same_bits(p.data, right)
        velocities = [v for _, v in expected]
        for p, v in zip(parameters, velocities, strict=True):
            if momentum:
                assert_same_bits(sgd.velocity(p).data, v)


CHANGES = {
    "momentum from now on": lambda sgd, p: setattr(sgd, "momentum", 0.5),
    "other gradients": lambda sgd, p: [(setattr(q, "g", None), setattr(q, "g", q.data * 3)) for q in p],
    "other memory": lambda sgd, p: [become(q, q.data + 1) for q in p],
    "another order": lambda sgd, p: sgd.parameters.reverse(),
    "one less": lambda sgd, p: sgd.parameters.pop(),
    "one more": lambda sgd, p: sgd.parameters.append(with_gradient()),
    "another": lambda sgd, p: sgd.parameters.__setitem__(0, with_gradient()),
}


def become(p, array):
    p._become(array)
    p.g = array * 2


def with_gradient():
    p = bp.param([1.0, 2.0])
    p.g = [3.0, 4.0]
    return p


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_steps_is_noticed(parameters, change):
    sgd = bp.SGD(parameters, lr=0.1)
    sgd.step()
    CHANGES[change](sgd, parameters)
    given, left_out = sgd.parameters, [p for p in parameters if all(p is not q for q in sgd.parameters)]
    before = [p.data.copy() for p in left_out]
    expected = [stepped(p, 0.1, *([np.zeros(p.shape, p.dtype), 0.5] if sgd.momentum else []))[0] for p in given]
    sgd.step()
    for p, right in zip(given, expected, strict=True):
        assert_same_bits(p.data, right)
    for p, right in zip(left_out, before, strict=True):
        assert_same_bits(p.data, right)


REFUSED = {
    "no gradient": (lambda p: setattr(p, "g", None), bp.GradientError, "run backward first"),
    "read-only": (lambda p: setattr(p.data.flags, "writeable", False), ValueError, "read-only"),
    "a result": (lambda p: tape.record(p, RELU, [p]), bp.GradientError, "a result"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_later_step_is_refused_like_the_first(parameters, why):
    change, kind, words = REFUSED[why]
    sgd = bp.SGD(parameters, lr=0.1)
    sgd.step()
    change(parameters[-1])
    before = [p.data.copy() for p in parameters]
    with pytest.raises(kind, match=words):
        sgd.step()
    for p, data in zip(parameters, before, strict=True):
        assert_same_bits(p.data, data)


def test_a_step_is_a_write(rng):
    w = bp.param(rng.standard_normal((3, 3)))
    sgd = bp.SGD([w], lr=0.1)
    for _ in range(2):
        loss = bp.mse(bp.relu(np.ones((2, 3)) @ w) @ w, np.ones((2, 3)))
        loss.backward()
        sgd.step()
        with pytest.raises(bp.GradientError, match="overwritten"):
            loss.backward()


def test_an_optimizer_can_be_copied_after_a_step(parameters):
    sgd = bp.SGD(parameters, lr=0.1, momentum=0.5)
    sgd.step()
    for twin in (copy.deepcopy(sgd), pickle.loads(pickle.dumps(sgd))):
        twin.step()
        assert twin.parameters[0] is not parameters[0]
    sgd.step()

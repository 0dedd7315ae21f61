"""gradcheck of softmax, its logarithm, cross_entropy and nll: right gradients pass, the usual wrong ones do not."""

import numpy as np
import pytest

import pybackprop as bp

N, H = 5, 4


@pytest.fixture
def out(rng, dtype):
    return bp.param((3 * rng.standard_normal((N, H))).astype(dtype), name="out")


@pytest.fixture
def labels(rng):
    return rng.integers(H, size=N)


@pytest.fixture
def chances(rng, dtype):
    values = rng.random((N, H)) + 0.01
    return (values / values.sum(1, keepdims=True)).astype(dtype)


FUNCTIONS = {
    "cross_entropy": bp.cross_entropy,
    "nll of log_softmax": lambda out, targ: bp.nll(bp.log_softmax(out), targ),
    "nll": bp.nll,
    "cross_entropy of tanh": lambda out, targ: bp.cross_entropy(bp.tanh(out / 4), targ),
    "cross_entropy, scaled": lambda out, targ: bp.cross_entropy(out, targ) * 3,
}
TARGETS = {
    "integers": lambda labels, chances: labels,
    "numbers": lambda labels, chances: labels.astype(chances.dtype),
    "a tensor": lambda labels, chances: bp.tensor(labels, chances.dtype),
    "one-hot": lambda labels, chances: np.eye(H, dtype=chances.dtype)[labels],
    "probabilities": lambda labels, chances: chances,
}


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_right_gradients_pass(out, labels, chances, f, targets):
    targ = targets(labels, chances)
    before = np.array(targ, copy=True)
    outcome = bp.gradcheck(f, out, targ)
    assert outcome
    assert outcome.count == N * H
    assert outcome.unresolved == 0
    assert np.array_equal(np.asarray(targ), before)


@pytest.mark.parametrize("f", [bp.softmax, bp.log_softmax])
def test_softmax_and_its_logarithm(rng, dtype, out, f):
    weights = bp.tensor(rng.standard_normal((N, H)), dtype)
    outcome = bp.gradcheck(lambda out, weights: (f(out) * weights).sum(), out, weights)
    assert outcome
    assert (outcome.count, outcome.unresolved) == (N * H, 0)


@pytest.mark.parametrize("activation", [bp.Tanh, bp.Sigmoid, bp.LeakyRelu, bp.Relu])
@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_a_model_of_classes(rng, dtype, labels, chances, activation, targets):
    layers = [bp.Lin(3, 6, dtype=dtype), activation(), bp.Lin(6, H, seed=1, dtype=dtype)]
    model = bp.Model(layers, loss=bp.CrossEntropy())
    outcome = bp.gradcheck(model, rng.standard_normal((N, 3)).astype(dtype), targets(labels, chances))
    assert outcome
    assert outcome.count == sum(p.size for p in model.parameters())


def softmax(out):
    e = np.exp(out - out.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


WRONG = {
    "the sum, not the mean": lambda out, y: softmax(out) - y,
    "divided by all elements": lambda out, y: (softmax(out) - y) / out.size,
    "turned around": lambda out, y: (y - softmax(out)) / N,
    "softmax alone": lambda out, y: softmax(out) / N,
    "of nll": lambda out, y: -y / N,
    "without softmax": lambda out, y: (out - y) / N,
    "softmax over the rows": lambda out, y: (softmax(out.T).T - y) / N,
    "of mse of the softmax": lambda out, y: 2 * (softmax(out) - y) / out.size,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("kind", ["integers", "probabilities"])
def test_the_usual_wrong_gradients_fail(out, labels, chances, wrong, kind):
    targ = TARGETS[kind](labels, chances)
    y = np.eye(H)[labels] if kind == "integers" else chances
    exact = out.data.astype(np.float64)
    assert bp.gradcheck(bp.cross_entropy, out, targ, grads=[(softmax(exact) - y) / N, None])
    with pytest.raises(bp.GradientError, match=r"the worst element is out\["):
        bp.gradcheck(bp.cross_entropy, out, targ, grads=[wrong(exact, y), None])


def test_whole_numbers_that_are_checked_are_moved(rng):
    """Only data stays as it is."""
    x, w = bp.tensor(np.array([[1.0, 2.0], [3.0, -4.0]])), bp.param(np.array([[2.0], [1.0]]), name="w")
    targ = bp.tensor(np.array([[1.0], [0.0]]))
    assert bp.gradcheck(lambda x, w, targ: bp.mse(x @ w, targ), x, w, targ)
    with pytest.raises(bp.GradientError):
        bp.gradcheck(lambda x, w, targ: bp.mse(x @ w, targ), x, w, targ, grads=[None, np.ones((2, 1)), None])

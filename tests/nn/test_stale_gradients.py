"""An optimizer does not use a gradient again that the last backward should have renewed."""

import numpy as np
import pytest

import pybackprop as bp


@pytest.fixture
def two(rng):
    """Two layers' parameters, and data."""
    w1, w2 = bp.param(rng.standard_normal((3, 4)), name="w1"), bp.param(rng.standard_normal((4, 2)), name="w2")
    return w1, w2, rng.standard_normal((5, 3)), rng.standard_normal((5, 2))


def test_a_parameter_that_a_backward_does_not_reach(two):
    w1, w2, x, targ = two
    sgd = bp.SGD([w1, w2], lr=0.1)
    bp.mse(bp.relu(x @ w1) @ w2, targ).backward()
    sgd.step()
    before = w1.data.copy(), w2.data.copy()
    hidden = np.maximum((x @ w1).data, 0)  # past the tape
    bp.mse(hidden @ w2, targ).backward()
    with pytest.raises(bp.GradientError, match=r"'w1'.*earlier backward.*did not reach it, for the loss was not"):
        sgd.step()
    assert np.array_equal(w1, before[0])
    assert np.array_equal(w2, before[1])


def test_the_only_parameter(two):
    w1, _, x, _ = two
    other = bp.param(np.ones((3, 4)))
    sgd = bp.SGD([w1], lr=0.1)
    bp.mse(x @ w1, np.ones((5, 4))).backward()
    sgd.step()
    bp.mse(x @ other, np.ones((5, 4))).backward()
    with pytest.raises(bp.GradientError, match="did not reach it"):
        sgd.step()


def test_a_frozen_one_says_that_it_is(two):
    w1, w2, x, targ = two
    sgd = bp.SGD([w1, w2], lr=0.1)
    bp.mse(bp.relu(x @ w1) @ w2, targ).backward()
    sgd.step()
    w1.requires_g = False
    bp.mse(bp.relu(x @ w1) @ w2, targ).backward()
    with pytest.raises(bp.GradientError, match="requires_g is False"):
        sgd.step()


@pytest.mark.parametrize("renew", ["assign", "in place", "by hand", "None"])
def test_what_renews_a_gradient(two, renew):
    w1, w2, x, targ = two
    sgd = bp.SGD([w1, w2], lr=0.1)
    bp.mse(bp.relu(x @ w1) @ w2, targ).backward()
    sgd.step()
    bp.mse(np.ones((5, 4)) @ w2, targ).backward()
    if renew == "assign":
        w1.g = np.zeros(w1.shape)
    elif renew == "in place":
        w1.g *= 0
    elif renew == "by hand":
        l1 = bp.lin(x, w1)
        l1.g = np.ones(l1.shape)
        bp.lin_grad(x, l1, w1)
    else:
        w1.g = None
        with pytest.raises(bp.GradientError, match=r"has no \.g"):
            sgd.step()
        return
    sgd.step()


def test_a_step_may_be_repeated_while_no_backward_runs(two):
    w1, w2, x, targ = two
    sgd = bp.SGD([w1, w2], lr=0.1)
    bp.mse(bp.relu(x @ w1) @ w2, targ).backward()
    before, g = w1.data.copy(), w1.g.data.copy()
    for _ in range(3):
        sgd.step()
    assert np.allclose(w1, before - 0.3 * g)


def test_two_optimizers_in_turns(two):
    w1, w2, x, targ = two
    first, second = bp.SGD([w1], lr=0.1), bp.SGD([w2], lr=0.1)
    for _ in range(3):
        bp.mse(bp.relu(x @ w1) @ w2, targ).backward()
        first.step()
        bp.mse(bp.relu((x @ w1).data) @ w2, targ).backward()
        second.step()


# ---- a model that changes after SGD(model) ----


def trained(rng):
    model = bp.mlp([3, 4, 2], seed=0)
    sgd = bp.SGD(model, lr=0.1)
    x, targ = rng.standard_normal((5, 3)).astype("f"), rng.standard_normal((5, 2)).astype("f")

    def step():
        model(x, targ)
        model.backward()
        sgd.step()

    step()
    return model, step


@pytest.mark.parametrize("value", [np.ones((3, 4), np.float32), bp.tensor(np.ones((3, 4), np.float32))])
def test_a_weight_replaced_by_what_is_no_parameter(rng, value):
    model, step = trained(rng)
    model.layers[0].w = value
    with pytest.raises(bp.GradientError, match=r"'w1'.*did not reach it"):
        step()


def test_a_weight_replaced_by_another_parameter(rng):
    model, step = trained(rng)
    model.layers[0].w = bp.param(np.ones((3, 4), np.float32), name="other")
    with pytest.raises(bp.GradientError, match=r"'other'.*put into the model after SGD\(model\)"):
        step()


def test_a_layer_put_in_later(rng):
    model, step = trained(rng)
    model.layers.append(bp.Lin(np.ones((2, 2), np.float32)))
    with pytest.raises(bp.GradientError, match=r"layers\[3\]\.w.*after SGD\(model\).*new SGD"):
        step()


def test_layers_of_ones_own_are_looked_at_too(rng):
    class Scale(bp.Module):
        def __init__(self):
            self.s = bp.param(np.ones(4, np.float32))

        def forward(self, inp):
            return inp + self.s

    model = bp.mlp([3, 4, 2], seed=0)
    model.layers.insert(1, Scale())
    sgd = bp.SGD(model, lr=0.1)
    x, targ = rng.standard_normal((5, 3)).astype("f"), rng.standard_normal((5, 2)).astype("f")
    for _ in range(2):
        model(x, targ)
        model.backward()
        sgd.step()
    model.layers[1].extra = bp.param(np.ones(4, np.float32), name="extra")
    model(x, targ)
    model.backward()
    with pytest.raises(bp.GradientError, match="'extra'"):
        sgd.step()

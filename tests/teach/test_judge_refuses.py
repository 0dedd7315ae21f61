"""judge: what it says where there is nothing to judge, and of layers of one's own."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.judging import judged, numbers
from helpers.twins import ScaleByHand


def test_a_tensor_that_took_no_part():
    with pytest.raises(bp.GradientError, match=r"not used by any operation.*keep the loss .*\.backward\(keep=True\)"):
        bp.judge(bp.param(np.ones((2, 2))), "x")
    with pytest.raises(bp.GradientError, match=r"make the weights with bp\.param"):
        bp.judge(bp.tensor(np.ones((2, 2))), "x")
    with pytest.raises(TypeError, match="found int, expected a tensor"):
        bp.judge(3, "x")


def test_the_loss_itself():
    with pytest.raises(bp.GradientError, match="the end of the network"):
        judged("loss", "1")


def test_no_gradient_has_arrived():
    w = bp.param(np.ones((3, 2)))
    z = bp.lin(np.ones((4, 3)), w)
    with pytest.raises(bp.GradientError, match=r"no gradient has arrived.*backward\(keep=True\)"):
        bp.judge(w, "x.T @ dz")
    z.g = np.full((4, 2), 0.5)
    assert bp.judge(w, "x.T @ dz")
    assert bp.judge(w, "x.T @ z").mistake == "value-for-gradient"


def test_values_overwritten_since():
    model = bp.mlp([3, 4, 2])
    loss = model(np.ones((5, 3), np.float32), np.zeros((5, 2), np.float32))
    model.backward()
    bp.SGD(model, lr=0.1).step()
    with pytest.raises(bp.GradientError, match="Run forward again"):
        bp.judge(model.layers[0].w, "x.T @ dz")
    assert float(loss) > 0


def test_a_tensor_read_twice():
    rng = np.random.default_rng(0)
    x, w = bp.tensor(numbers(rng, 4, 3)), bp.param(numbers(rng, 3, 3))
    l1 = bp.lin(x, w)
    l2 = bp.lin(l1, w)
    loss = bp.mse(l2, numbers(rng, 4, 3))
    with pytest.raises(bp.GradientError, match=r"was used 2 times.*Name the result.*z=l1"):
        bp.judge(w, "x.T @ dz")
    assert bp.judge(w, "x.T @ dz", z=l1)
    assert bp.judge(w, "x.T @ dz", z=l2)
    assert float(loss) > 0


def test_of_a_tensor_read_twice_it_says_that_each_use_has_a_share():
    rng = np.random.default_rng(0)
    x, w = bp.tensor(numbers(rng, 4, 3)), bp.param(numbers(rng, 3, 3), name="w")
    l1 = bp.lin(x, w)
    l2 = bp.lin(l1, w)
    loss = bp.mse(l2, numbers(rng, 4, 3))
    loss.backward(keep=True)
    assert "share of one use; w.g is the sum over both uses" in bp.judge(w, "x.T @ dz", z=l1).summary
    for z in (l1, l2):
        verdict = bp.judge(w, w.g, z=z)
        assert (verdict.ok, verdict.mistake) == (False, "all-uses")
        assert "the sum over all uses of the tensor" in str(verdict).replace("\n     ", " ")
    once = bp.param(numbers(rng, 3, 2))
    loss = bp.mse(bp.lin(x, once), numbers(rng, 4, 2))
    loss.backward()
    assert "share of one use" not in bp.judge(once, "x.T @ dz").summary


def test_a_tensor_that_one_operation_reads_twice_has_the_sum_of_both():
    w = bp.param(numbers(np.random.default_rng(0), 3, 3))
    loss = bp.mse(w @ w, np.zeros((3, 3), w.dtype))
    loss.backward()
    assert bp.judge(w, "dz @ x.T + x.T @ dz")
    assert bp.judge(w, w.g)
    assert not bp.judge(w, "x.T @ dz")


def test_two_passes_on_the_same_numbers_are_one():
    rng = np.random.default_rng(0)
    x, w, t = numbers(rng, 4, 3), bp.param(numbers(rng, 3, 3)), numbers(rng, 4, 3)
    losses = [bp.mse(bp.lin(x, w), t) for _ in range(2)]
    assert bp.judge(w, "x.T @ dz")
    assert len(losses) == 2


def test_an_operation_without_derivative():
    w = bp.param(np.ones((3, 2)))
    kept = abs(w)
    with pytest.raises(bp.GradientError, match="not used by any operation"):
        bp.judge(w, "dz")
    assert kept.shape == (3, 2)


def test_a_layer_of_ones_own_is_judged_by_its_own_backward():
    rng = np.random.default_rng(0)
    layer = ScaleByHand(rng.standard_normal(2))
    model = bp.Model([bp.Lin(rng.standard_normal((3, 2))), layer])
    model(rng.standard_normal((4, 3)), rng.standard_normal((4, 2)))
    verdict = bp.judge(layer.s, "(x * dz).sum(0)")
    assert verdict, str(verdict)
    assert bp.judge(layer.s, "0.1 * (x * dz).sum(0)").mistake == "constant-factor"

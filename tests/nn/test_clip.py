"""clip_grad_norm: the norm, the scaled gradients, and what it refuses."""

import math

import numpy as np
import pytest

import pybackprop as bp
from helpers import optimizers
from helpers.compare import assert_same_bits


def with_gradients(rng, dtype="f"):
    parameters = [bp.param(rng.standard_normal((k, 30)).astype(dtype)) for k in (300, 1, 5)]
    for p in parameters:
        p.g = rng.standard_normal(p.shape).astype(dtype)
    return parameters


def squares_of(parameters):
    total = 0.0
    for p in parameters:
        total += optimizers.sum_squares(p.g.data)
    return total


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 1e3])
def test_norm_and_gradients(rng, dtype, max_norm, each_setting):
    parameters = with_gradients(rng, dtype)
    total, before = squares_of(parameters), [p.g.data.copy() for p in parameters]
    found = bp.clip_grad_norm(parameters, max_norm)
    assert found == math.sqrt(total)
    factor = max_norm / (math.sqrt(total) + 1e-6)
    for p, g in zip(parameters, before, strict=True):
        assert_same_bits(p.g.data, g * np.dtype(dtype).type(factor) if factor < 1 else g)


def test_values_are_pytorchs(rng, dtype):
    torch = pytest.importorskip("torch")
    parameters = with_gradients(rng, dtype)
    tensors = [torch.zeros(p.shape, dtype=getattr(torch, np.dtype(dtype).name), requires_grad=True) for p in parameters]
    for p, tensor in zip(parameters, tensors, strict=True):
        tensor.grad = torch.tensor(p.g.data.copy())
    eps = float(np.finfo(dtype).eps)
    norm = bp.clip_grad_norm(parameters, 0.5)
    assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(tensors, 0.5)), rel=8 * eps)
    for p, tensor in zip(parameters, tensors, strict=True):
        np.testing.assert_allclose(p.g.data, tensor.grad.numpy(), rtol=16 * eps)


def test_gradients_of_zero_stay(rng):
    p = bp.param(np.ones(3))
    p.g = np.zeros(3)
    assert bp.clip_grad_norm([p], 1e-9) == 0
    assert not p.g.data.any()


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_refused(rng, odd):
    parameters = with_gradients(rng)
    parameters[1].name = "odd"
    parameters[1].g.data[0, 3] = odd
    before = [p.g.data.copy() for p in parameters]
    with pytest.raises(bp.GradientError, match=r"'odd'.*not finite.*Nothing was scaled"):
        bp.clip_grad_norm(parameters, 0.1)
    for p, g in zip(parameters, before, strict=True):
        assert_same_bits(p.g.data, g)


@pytest.mark.parametrize("max_norm", [0, -1, math.nan, math.inf, "1", True])
def test_limits_that_are_refused(rng, max_norm):
    with pytest.raises(ValueError, match="clip_grad_norm: found max_norm="):
        bp.clip_grad_norm(with_gradients(rng), max_norm)


def test_a_gradient_that_is_missing_or_read_only(rng):
    parameters = with_gradients(rng)
    parameters[2].g.data.flags.writeable = False
    before = parameters[0].g.data.copy()
    with pytest.raises(ValueError, match="read-only"):
        bp.clip_grad_norm(parameters, 0.1)
    parameters[2].g = None
    with pytest.raises(bp.GradientError, match=r"has no \.g"):
        bp.clip_grad_norm(parameters, 0.1)
    assert_same_bits(parameters[0].g.data, before)


def test_clipping_does_not_renew_a_stale_gradient(rng):
    used, left_out = bp.param(np.ones((2, 1))), bp.param(np.ones((2, 1)))
    sgd = bp.SGD([used, left_out], lr=0.1)
    left_out.g = np.ones((2, 1))
    x, targ = np.ones((3, 2)), np.zeros((3, 1))
    bp.mse(x @ used, targ).backward()
    sgd.step()
    bp.mse(x @ used, targ).backward()
    bp.clip_grad_norm([used, left_out], 0.1)
    with pytest.raises(bp.GradientError, match="used already"):
        sgd.step()

"""The optimizers' updates and the norm of gradients: the definition by exact fractions; kernels by the definition."""

import numpy as np
import pytest

import pybackprop as bp
from helpers import optimizers
from helpers.compare import assert_same_bits, special
from pybackprop.core import native

SIZES = [0, 1, 7, 8, 16, 31, 64, 65]
DECAYS = [0.0, 0.01]


def arrays(rng, size, dtype):
    """p, m, v, dp; v is not negative."""
    p, m, v, dp = (rng.standard_normal(size).astype(dtype) for _ in range(4))
    return p, m, v * v, dp


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_the_definition_of_sgd(rng, dtype, momentum, nesterov, decay):
    p, v, _, dp = arrays(rng, 40, dtype)
    found = bp.reference.sgd_decay_update(p, v if momentum else None, dp, 0.1, momentum, decay, nesterov)
    right = optimizers.sgd(p, v, dp, 0.1, momentum, decay, nesterov)
    assert_same_bits(found[0], right[0])
    if momentum:
        assert_same_bits(found[1], right[1])
    if not decay and not nesterov and momentum:
        for mine, usual in zip(found, bp.reference.sgd_momentum_update(p, v, dp, 0.1, momentum), strict=True):
            assert_same_bits(mine, usual)


@pytest.mark.parametrize("t", [1, 2, 3, 1000, 10**7])
@pytest.mark.parametrize(("decay", "decoupled"), [(0.0, False), (0.01, False), (0.01, True)])
def test_the_definition_of_adam(rng, dtype, t, decay, decoupled):
    p, m, v, dp = arrays(rng, 40, dtype)
    options = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": decay, "decoupled": decoupled}
    found = bp.reference.adam_update(p, m, v, dp, t, **options)
    for mine, right in zip(found, optimizers.adam(p, m, v, dp, t, **options), strict=True):
        assert_same_bits(mine, right)


def test_the_powers_of_the_correction_are_right():
    """Against Python's, which rounds once."""
    for t in (1, 2, 3, 10, 999, 12345):
        assert optimizers.power(0.999, t) == pytest.approx(0.999**t, rel=t * 2e-16)


@pytest.mark.parametrize("kind", [np.random.Generator.standard_normal, special])
@pytest.mark.parametrize("size", [*SIZES, 300_001])
@pytest.mark.parametrize("decay", DECAYS)
def test_each_kernel_of_adam(rng, dtype, size, kind, decay, each_setting):
    p, m, v, dp = (draw(rng, kind, size, dtype) for _ in range(4))
    v = np.abs(v)
    for decoupled in (False, True):
        numbers = {"rule": native.ADAM, "decoupled": decoupled, "beta2": 0.99, "eps": 1e-8, "steps": 6}
        struct = native.optimizer({**numbers, "weight_decay": decay})
        found = [array.copy() for array in (p, m, v)]
        native.adam_update[np.dtype(dtype)](*map(native.pointer, (*found, dp)), struct, 0.01, 0.9, size)
        right = bp.reference.adam_update(p, m, v, dp, 7, 0.01, (0.9, 0.99), 1e-8, decay, decoupled)
        for mine, theirs in zip(found, right, strict=True):
            assert_same_bits(mine, theirs)


@pytest.mark.parametrize("kind", [np.random.Generator.standard_normal, special])
@pytest.mark.parametrize("size", [*SIZES, 300_001])
@pytest.mark.parametrize("decay", DECAYS)
def test_each_kernel_of_sgd_with_decay(rng, dtype, size, kind, decay, each_setting):
    p, v, dp = (draw(rng, kind, size, dtype) for _ in range(3))
    for nesterov in (False, True):
        struct = native.optimizer({"weight_decay": decay, "nesterov": nesterov})
        for moves in (False, True):
            found = [p.copy(), v.copy()]
            at = native.pointer(found[1]) if moves else native.NULL
            native.sgd_decay_update[np.dtype(dtype)](
                native.pointer(found[0]), at, native.pointer(dp), struct, 0.01, 0.9, size
            )
            right = bp.reference.sgd_decay_update(p, v if moves else None, dp, 0.01, 0.9, decay, nesterov)
            assert_same_bits(found[0], right[0])
            assert_same_bits(found[1], right[1] if moves else v)


def draw(rng, kind, size, dtype):
    return kind(rng, size, dtype) if kind is special else rng.standard_normal(size).astype(dtype)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 8191, 8192, 8193, 20_000])
def test_the_sum_of_squares(rng, dtype, size):
    dp = (100 * rng.standard_normal(size)).astype(dtype)
    found = bp.reference.sum_squares(dp)
    assert found == optimizers.sum_squares(dp)
    assert found == pytest.approx(float((dp.astype(np.float64) ** 2).sum()), rel=1e-12)


@pytest.mark.parametrize("size", [0, 1, 17, 8193, 500_001, 2_500_001])
def test_each_kernel_of_the_sum_and_of_scaling(rng, dtype, size, each_setting):
    dp = rng.standard_normal(size).astype(dtype)
    assert native.sum_squares[np.dtype(dtype)](native.pointer(dp), size) == bp.reference.sum_squares(dp)
    found = dp.copy()
    native.scale[np.dtype(dtype)](native.pointer(found), 1 / 3, size)
    assert_same_bits(found, dp * np.dtype(dtype).type(1 / 3))
    assert_same_bits(bp.reference.scale(dp, 1 / 3), found)

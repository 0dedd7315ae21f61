"""Momentum that has shrunk to a few of the smallest number: the update leaves alone what the definition would too."""

import numpy as np
import pytest

from helpers.compare import assert_same_bits
from pybackprop.core import native

RATES = [0.0, 1e-3, 0.05, 0.4, 1.0, 3.0, -0.2]
KEEPS = [0.0, 0.3, 0.5, 0.51, 0.9, 0.95, 0.99, 0.9995, 1.0, 1.5]


def updated(name, p, v, dp, lr, mu):
    p, v = p.copy(), v.copy()
    call = getattr(native, name)[p.dtype]
    call(native.pointer(p), native.pointer(v), native.pointer(dp), lr, mu, p.size)
    return p, v


def every(dtype):
    """w, v and dw in all combinations of small, ordinary and special numbers."""
    info = np.finfo(dtype)
    least, tiny = info.smallest_subnormal, info.tiny
    steps = [k * least for k in (*range(8), 49, 50, 98, 1023, 1024, 1025, 5000)]
    v = [sign * k for k in (*steps, tiny, 1e-3) for sign in (1, -1)]
    w = [0.0, -0.0, least, -3 * least, tiny - least, tiny, -tiny, 2 * tiny, 1.0, -2.5, np.inf, np.nan]
    dw = [0.0, -0.0, least, -least, 1e-6]
    return (np.array(a, dtype).ravel() for a in np.meshgrid(w, v, dw, indexing="ij"))


@pytest.mark.parametrize("mu", KEEPS)
@pytest.mark.parametrize("lr", RATES)
def test_the_update_is_the_definitions(dtype, lr, mu, each_setting):
    p, v, dp = every(dtype)
    for size in (p.size, 7):
        found, right = (
            updated(name, p[:size], v[:size], dp[:size], lr, mu)
            for name in ("sgd_momentum_update", "ref_sgd_momentum_update")
        )
        for a, b in zip(found, right, strict=True):
            assert_same_bits(a, b)


def test_it_stays_for_ever(dtype):
    """The reason: 0.9 times the smallest number rounds to the smallest number."""
    least = np.finfo(dtype).smallest_subnormal
    p, v = np.ones(1, dtype), np.full(1, least, dtype)
    for name in ("sgd_momentum_update", "ref_sgd_momentum_update"):
        assert updated(name, p, v, np.zeros(1, dtype), 0.1, 0.9)[1][0] == least

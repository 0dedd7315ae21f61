"""exp, log, sigmoid and tanh: bits against the definition on every kernel, values against float128 or PyTorch."""

import math

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_as_defined, assert_same_bits
from pybackprop.core import native

ODD = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-310, 88.72, 88.73, 89, -87.34, -103.97, -104, 1e30, -1e30]
LIMITS = [709.78, 709.79, -708.4, -745.13, -745.14, 1, -1, 0.5, 20, -20, 0.34657359, 0.34657360]
WHOLE_ERRORS = {"exp": 0.79, "log": 0.86}  # ulps, over what the slow tests measure


def hard(rng, dtype, count=4000):
    """Numbers of all sizes, and those where something changes."""
    plain = np.concatenate([rng.standard_normal(count) * scale for scale in (1e-6, 0.3, 1, 30, 300)])
    any_bits = rng.integers(0, 256, count * np.dtype(dtype).itemsize, np.uint8).view(dtype)
    return np.concatenate([plain.astype(dtype), any_bits, np.array(ODD + LIMITS, np.float64).astype(dtype)])


def called(name, x):
    out = np.empty_like(x)
    getattr(native, name)[x.dtype](native.pointer(out), native.pointer(x), x.size)
    return out


def ulps(found, right, dtype):
    """How far from the right values, which are more precise, in units of the last place of those."""
    right = np.asarray(right)
    _, exponent = np.frexp(right)
    info = np.finfo(dtype)
    last = np.ldexp(np.ones_like(right), np.maximum(exponent - 1, info.minexp) - info.nmant)
    return np.abs(found.astype(right.dtype) - right) / last


@pytest.mark.parametrize("name", ["exp", "log"])
def test_the_bits_are_the_definitions(each_setting, rng, dtype, name):
    x = hard(rng, dtype)
    with np.errstate(all="ignore"):
        assert_same_bits(called(name, x), getattr(bp.reference, name)(x))


@pytest.mark.parametrize("op", ["sigmoid", "tanh"])
def test_an_activations_bits_are_the_definitions(each_setting, rng, dtype, op):
    x = hard(rng, dtype)
    dout = rng.standard_normal(x.size).astype(dtype)
    assert_as_defined(op, x, dout)


@pytest.mark.parametrize("x", [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1e4, -1e4])
def test_special_values_of_exp(dtype, x):
    with np.errstate(all="ignore"):
        assert (
            np.array_equal(called("exp", np.array([x], dtype)), np.exp(np.array([x], dtype)), equal_nan=True) or x == 1
        )


@pytest.mark.parametrize("x", [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, -1.0, -1e-45])
def test_special_values_of_log(dtype, x):
    with np.errstate(all="ignore"):
        value = np.array([x], dtype)
        assert np.array_equal(called("log", value), np.log(value), equal_nan=True)


def test_special_values_of_the_activations(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4], dtype)
    assert_same_bits(bp.tanh(x).data, np.array([0.0, -0.0, 1, -1, np.nan, 1, -1], dtype))
    assert_same_bits(bp.sigmoid(x).data, np.array([0.5, 0.5, 1, 0, np.nan, 1, 0], dtype))


def test_float32_is_within_an_ulp_of_numpys_float64(rng):
    x = hard(rng, np.float32, 100_000)
    with np.errstate(all="ignore"):
        for name, right in (("exp", np.exp(x.astype(np.float64))), ("log", np.log(x.astype(np.float64)))):
            found = called(name, x)
            fits = np.isfinite(right) & (np.abs(right) < np.finfo(np.float32).max)
            assert ulps(found[fits], right[fits], np.float32).max() < WHOLE_ERRORS[name]
            assert np.array_equal(found[~fits], right[~fits].astype(np.float32), equal_nan=True)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no type that is more precise than float64")
@pytest.mark.parametrize("count", [100_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_float64_is_within_an_ulp_of_the_longer_type(rng, count):
    x = np.concatenate([rng.uniform(-745, 709.7, count), rng.uniform(-1, 1, count), rng.standard_normal(count) * 1e-9])
    assert ulps(called("exp", x), np.exp(x.astype(np.longdouble)), np.float64).max() < WHOLE_ERRORS["exp"] + 0.01
    y = np.concatenate([rng.uniform(0.5, 2, count), np.exp(rng.uniform(-744, 709, count)), np.arange(1, 5000) * 5e-324])
    assert ulps(called("log", y), np.log(y.astype(np.longdouble)), np.float64).max() < WHOLE_ERRORS["log"] + 0.01


@pytest.mark.slow
def test_every_float32():
    most = {"exp": 0.0, "log": 0.0}
    for start in range(0, 2**32, 2**24):
        x = np.arange(start, start + 2**24, dtype=np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            for name, right in (("exp", np.exp(x.astype(np.float64))), ("log", np.log(x.astype(np.float64)))):
                found = called(name, x)
                fits = np.isfinite(right) & np.isfinite(right.astype(np.float32))
                assert np.array_equal(found[~fits], right[~fits].astype(np.float32), equal_nan=True), (name, start)
                if fits.any():
                    most[name] = max(most[name], float(ulps(found[fits], right[fits], np.float32).max()))
    assert 0.7 < most["exp"] < WHOLE_ERRORS["exp"]
    assert 0.4999 < most["log"] < 0.501


def test_a_wrong_last_bit_would_be_found(rng):
    x = rng.uniform(1, 2, 1000)
    wrong = np.nextafter(np.nextafter(called("exp", x), np.inf), np.inf)
    assert ulps(wrong, np.exp(x.astype(np.longdouble)), np.float64).max() > 1


@pytest.mark.parametrize(("op", "bound"), [("sigmoid", 2.5), ("tanh", 2.5)])
def test_the_activations_values_are_pytorchs_in_float64(rng, dtype, op, bound):
    torch = pytest.importorskip("torch")
    x = np.concatenate([rng.standard_normal(50_000) * s for s in (1e-5, 0.1, 1, 10)]).astype(dtype)
    right = getattr(torch, op)(torch.tensor(x, dtype=torch.float64)).numpy()
    assert ulps(getattr(bp, op)(x).data, right, dtype).max() < bound + (
        2 if dtype is np.float64 else 0
    )  # PyTorch's own


@pytest.mark.parametrize("op", ["sigmoid", "tanh"])
def test_the_activations_gradients_are_pytorchs(rng, op):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((40, 30)) * 3
    theirs = torch.tensor(x, requires_grad=True)
    (getattr(torch, op)(theirs) ** 2).mean().backward()
    inp = bp.param(x, np.float64)
    (getattr(bp, op)(inp) ** 2).mean().backward()
    np.testing.assert_allclose(inp.g.data, theirs.grad.numpy(), rtol=1e-13, atol=1e-18)


def test_tanh_keeps_what_is_tiny(dtype):
    tiny = np.array([np.finfo(dtype).smallest_subnormal, np.finfo(dtype).tiny, 1e-20], dtype)
    assert_same_bits(bp.tanh(tiny).data, tiny)
    assert math.isclose(float(bp.tanh(np.float64(1e-3))), math.tanh(1e-3), rel_tol=1e-6)

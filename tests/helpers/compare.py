"""What tests compare by: bits, and float64 with a bound on rounding."""

import numpy as np

import pybackprop as bp

INTEGER = {4: np.uint32, 8: np.uint64}


def bits(value):
    """An array's bits as integers, every NaN as the same one."""
    array = np.array(value, order="C")
    array[np.isnan(array)] = np.nan
    return array.view(INTEGER[array.itemsize])


def assert_same_bits(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(bits(found), bits(expected))


def assert_close(found, exact, terms, dtype):
    """found against the float64 result; terms: a bound on the sum of the absolute values that were added."""
    allowed = 16 * np.finfo(dtype).eps * np.asarray(terms, np.float64) + np.finfo(dtype).tiny
    difference = np.abs(np.asarray(found, np.float64) - exact)
    assert (difference <= allowed).all(), f"off by {difference.max()}"


def special(rng, shape, dtype):
    """Random numbers with NaN, infinities, zeros of both signs, denormals, and very large ones among them."""
    info = np.finfo(dtype)
    values = rng.standard_normal(shape).astype(dtype)
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, info.tiny / 4, -info.tiny / 4, info.max, -info.max], dtype)
    places = rng.random(shape) < 0.05
    values[places] = rng.choice(odd, places.sum())
    return values


def assert_as_defined(op, x, dout):
    """An operation of one operand, and the lesson's function for its gradient, with the definition's bits."""
    inp = bp.tensor(x)
    out = getattr(bp, op)(inp)
    out.g = dout
    getattr(bp, f"{op}_grad")(inp, out)
    assert_same_bits(out.data, getattr(bp.reference, f"{op}_forward")(x))
    assert_same_bits(inp.g.data, getattr(bp.reference, f"{op}_backward")(x, dout))

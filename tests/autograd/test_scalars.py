"""Scalars beside tensors, and tensors that hold one number."""

import numpy as np
import pytest

import pybackprop as bp

SCALARS = [
    np.float64(0.1),
    np.longdouble(0.1),
    np.float32(0.1),
    np.float16(0.5),
    np.int64(2),
    np.uint8(3),
    np.bool_(True),
]
SCALARS += [0.1, 2, True]
FORMS = {
    "s * t": lambda s, t: s * t,
    "t * s": lambda s, t: t * s,
    "t + s": lambda s, t: t + s,
    "s + t": lambda s, t: s + t,
    "t - s": lambda s, t: t - s,
    "s - t": lambda s, t: s - t,
    "t / s": lambda s, t: t / s,
    "s / t": lambda s, t: s / t,
    "t ** s": lambda s, t: t**s,
}


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("form", FORMS)
def test_a_scalar_never_changes_the_dtype(scalar, form, dtype):
    found = FORMS[form](scalar, bp.tensor([1.0, 2.0], dtype))
    assert isinstance(found, bp.Tensor)
    assert found.dtype == dtype
    plain = bool(scalar) if isinstance(scalar, np.bool_) else scalar
    assert np.array_equal(found, FORMS[form](dtype(plain), np.array([1, 2], dtype)))


def test_an_update_by_a_numpy_rate(dtype):
    w = bp.param([1.0, 2.0], dtype)
    bp.mse(w, np.zeros(2, dtype)).backward()
    w -= np.linspace(0.1, 0.01, 3)[0] * w.g
    assert w.dtype == dtype
    assert np.array_equal(w, np.array([1, 2], dtype) - dtype(0.1) * np.array([1, 2], dtype))


@pytest.mark.parametrize("scalar", [np.complex64(1), np.complex128(1j), 1j])
@pytest.mark.parametrize("form", FORMS)
def test_a_complex_scalar_is_refused_at_once(scalar, form):
    with pytest.raises((bp.DTypeError, TypeError)):
        FORMS[form](scalar, bp.tensor([1.0, 2.0]))


def test_a_single_number_is_formatted_and_rounded_as_one():
    loss = bp.mse(bp.param([[1.0]]), [[0.25]])
    assert f"{loss:.4f}" == "0.5625"
    assert f"{loss:>8.2f}|" == "    0.56|"
    assert f"{loss}" == repr(loss)
    assert (round(loss, 3), round(loss), int(loss)) == (0.562, 1, 0)
    assert type(round(loss, 3)) is float
    with pytest.raises(bp.ShapeError, match="expected a single number"):
        f"{bp.tensor([1.0, 2.0]):.2f}"


def test_losses_add_up(rng):
    model = bp.mlp([3, 2], seed=0)
    x, targ = rng.standard_normal((4, 3)).astype("f"), rng.standard_normal((4, 2)).astype("f")
    total, plain = 0.0, 0.0
    for _ in range(3):
        loss = model(x, targ)
        total += loss
        plain += float(loss)
    assert float(total) == pytest.approx(plain, rel=1e-6)
    total.backward()
    w = model.layers[0].w
    thrice = w.g.data.copy()
    model(x, targ)
    model.backward()
    assert np.allclose(thrice, 3 * w.g.data, rtol=1e-5)


def test_adding_to_a_result_leaves_its_other_names_alone(rng):
    w = bp.param(rng.standard_normal((3, 2)))
    z = out = rng.standard_normal((4, 3)) @ w
    before = out.data.copy()
    z += 1.0
    assert np.array_equal(out, before)
    assert np.array_equal(z, before + 1)
    with pytest.raises(bp.GradientError, match="on the tape"):
        z *= 2.0

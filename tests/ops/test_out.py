"""out= on lin and relu: the bits of the version that makes its result, or a refusal before anything is written."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits


def lin_into(out, dtype, rng):
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((3, 4), (4, 5), (5,)))
    return bp.lin(x, w, b, out=out), bp.reference.linear_forward(x, w, b)


def relu_into(out, dtype, rng):
    x = rng.standard_normal((3, 5)).astype(dtype)
    return bp.relu(x, out=out), bp.reference.relu_forward(x)


@pytest.fixture(params=[lin_into, relu_into], ids=["lin", "relu"])
def into(request):
    return request.param


def test_a_tensor_is_written_to_and_returned(into, dtype, rng):
    out = bp.tensor(np.full((3, 5), np.nan), dtype)
    found, right = into(out, dtype, rng)
    assert found is out
    assert_same_bits(out.data, right)
    again, right = into(out, dtype, rng)
    assert again is out
    assert_same_bits(out.data, right)


def test_an_array_is_written_to_and_shared(into, dtype, rng):
    whole = np.full((5, 5), np.nan, dtype)
    found, right = into(whole[1:4], dtype, rng)
    assert isinstance(found, bp.Tensor)
    assert np.shares_memory(found.data, whole)
    assert_same_bits(whole[1:4], right)
    assert np.isnan(whole[[0, 4]]).all()


WRONG = {
    "transposed": (lambda dtype: np.zeros((5, 3), dtype), bp.ShapeError, "expected (3, 5)"),
    "one row": (lambda dtype: np.zeros(5, dtype), bp.ShapeError, "found out of shape (5,)"),
    "the other type": (
        lambda dtype: np.zeros((3, 5), "f4" if dtype == np.float64 else "f8"),
        bp.DTypeError,
        "expected",
    ),
    "whole numbers": (lambda dtype: np.zeros((3, 5), "i4"), bp.DTypeError, "int32"),
    "another byte order": (lambda d: np.zeros((3, 5), np.dtype(d).newbyteorder()), bp.DTypeError, "expected"),
    "columns": (lambda dtype: np.zeros((5, 3), dtype).T, ValueError, "not contiguous"),
    "every other column": (lambda dtype: np.zeros((3, 10), dtype)[:, ::2], ValueError, "not contiguous"),
    "backwards": (lambda dtype: np.zeros((3, 5), dtype)[::-1], ValueError, "not contiguous"),
    "one row for all": (lambda dtype: np.broadcast_to(np.zeros(5, dtype), (3, 5)), ValueError, "not contiguous"),
    "unaligned": (
        lambda d: np.zeros(15 * np.dtype(d).itemsize + 1, "u1")[1:].view(d).reshape(3, 5),
        ValueError,
        "align",
    ),
    "a list": (lambda dtype: [[0.0] * 5] * 3, bp.DTypeError, "out is a list"),
    "read-only": (lambda dtype: frozen(np.zeros((3, 5), dtype)), ValueError, "read-only"),
}


def frozen(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("how", WRONG)
def test_what_does_not_fit_is_refused_unwritten(into, dtype, rng, how):
    make, error, words = WRONG[how]
    out = make(dtype)
    with pytest.raises(error) as caught:
        into(out, dtype, rng)
    assert words in str(caught.value)
    assert not np.any(out)


def test_a_training_loop_in_buffers_of_its_own(rng):
    """The lesson, over and over in the same memory, and its twin that makes new results: the same bits."""
    x, targ = rng.standard_normal((20, 6)).astype("f"), rng.standard_normal((20, 2)).astype("f")
    start = [rng.standard_normal(shape).astype("f") for shape in ((6, 5), (5,), (5, 2), (2,))]
    results = []
    for reuse in (True, False):
        w1, b1, w2, b2 = params = [bp.param(p) for p in start]
        l1, l2, out = ((bp.tensor(np.empty((20, h), "f")) if reuse else None) for h in (5, 5, 2))
        losses = []
        for _ in range(5):
            l1 = bp.lin(x, w1, b1, out=l1 if reuse else None)
            l2 = bp.relu(l1, out=l2 if reuse else None)
            out = bp.lin(l2, w2, b2, out=out if reuse else None)
            losses.append(float(bp.mse(out, targ)))
            bp.mse_grad(out, targ, inplace=reuse)
            bp.lin_grad(l2, out, w2, b2)
            bp.relu_grad(l1, l2, inplace=reuse)
            bp.lin_grad(x, l1, w1, b1)
            for p in params:
                p -= 0.1 * p.g
        results.append((losses, [p.data for p in params]))
    assert results[0][0] == results[1][0]
    for found, right in zip(results[0][1], results[1][1], strict=True):
        assert_same_bits(found, right)


def test_the_tape_through_buffers(rng):
    x, targ = rng.standard_normal((7, 3)).astype("f"), rng.standard_normal((7, 2)).astype("f")
    w = bp.param(rng.standard_normal((3, 2)).astype("f"))
    z, a = bp.tensor(np.empty((7, 2), "f")), bp.tensor(np.empty((7, 2), "f"))
    for _ in range(3):
        bp.mse(bp.relu(bp.lin(x, w, out=z), out=a), targ).backward()
        once = w.g.data.copy()
        bp.mse(bp.relu(x @ w), targ).backward()
        assert_same_bits(w.g.data, once)


def test_a_result_that_nobody_wants_a_gradient_of_leaves_the_tape(rng):
    x, w = rng.standard_normal((7, 3)).astype("f"), bp.param(rng.standard_normal((3, 2)).astype("f"))
    out = bp.lin(x, w)
    assert out.requires_g
    bp.lin(x, w.data, out=out)
    assert not out.requires_g
    with pytest.raises(bp.GradientError, match="not on a tape"):
        bp.mse(out, np.zeros((7, 2), "f")).backward()

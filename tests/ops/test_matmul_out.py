"""Where a product may be written: overlaps, read-only memory, wrong shapes and types, and no numbers at all."""

from itertools import product

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits, special
from helpers.matrix import shifted

TRANSPOSES = list(product((False, True), repeat=2))
FIRST, MIDDLE, LAST = slice(0, 4), slice(4, 8), slice(8, 12)
EVEN, ODD, BACK = slice(0, 8, 2), slice(1, 9, 2), slice(3, None, -1)
# Rows and columns of a, b and out in one buffer (12,12); each is (4,4).
OVERLAPPING = {
    "a itself": ((FIRST, FIRST), (LAST, LAST), (FIRST, FIRST)),
    "b itself": ((LAST, LAST), (FIRST, FIRST), (FIRST, FIRST)),
    "a and b": ((FIRST, FIRST), (FIRST, FIRST), (FIRST, FIRST)),
    "one number of a": ((FIRST, FIRST), (LAST, LAST), (slice(3, 7), slice(3, 7))),
    "one number of b": ((LAST, LAST), (slice(3, 7), slice(3, 7)), (FIRST, FIRST)),
    "a, a row further": ((FIRST, FIRST), (LAST, LAST), (slice(1, 5), FIRST)),
    "b, a column further": ((LAST, LAST), (FIRST, FIRST), (FIRST, slice(1, 5))),
    "a, a column before": ((FIRST, slice(1, 5)), (LAST, LAST), (FIRST, FIRST)),
    "a backwards": ((BACK, FIRST), (LAST, LAST), (FIRST, FIRST)),
    "b, its columns backwards": ((LAST, LAST), (FIRST, BACK), (FIRST, FIRST)),
    "every other row of a": ((EVEN, FIRST), (LAST, LAST), (FIRST, FIRST)),
    "every other column of b": ((LAST, LAST), (FIRST, EVEN), (FIRST, FIRST)),
    "a, in every other row": ((FIRST, FIRST), (LAST, LAST), (EVEN, FIRST)),
    # disjoint, but out's rows are not contiguous
    "columns between those of a": ((FIRST, EVEN), (LAST, LAST), (FIRST, ODD)),
    "columns between those of b": ((LAST, LAST), (FIRST, ODD), (FIRST, EVEN)),
}
DISJOINT = {
    "beside a and b": ((FIRST, MIDDLE), (FIRST, LAST), (FIRST, FIRST)),
    "between a and b": ((FIRST, FIRST), (FIRST, LAST), (FIRST, MIDDLE)),
    "below a": ((FIRST, FIRST), (LAST, LAST), (MIDDLE, FIRST)),
    "rows between those of a": ((EVEN, FIRST), (LAST, LAST), (ODD, FIRST)),
    "rows between those of b": ((LAST, LAST), (ODD, FIRST), (EVEN, FIRST)),
    "beside every other column": ((FIRST, EVEN), (LAST, LAST), (FIRST, LAST)),
}


def as_arrays(*arrays):
    return arrays


def as_tensors(*arrays):
    return [bp.as_tensor(array) for array in arrays]


def as_known_tensors(*arrays):
    """Tensors that C has seen before, each in another product."""
    tensors = as_tensors(*arrays)
    for tensor in tensors:
        if tensor.ndim == 2:
            identity = bp.tensor(np.eye(tensor.shape[1]), tensor.dtype)
            bp.matmul(tensor, identity, out=tensor.new_like())
    return tensors


@pytest.fixture(params=[as_arrays, as_tensors, as_known_tensors], ids=lambda made: made.__name__)
def made(request):
    return request.param


@pytest.mark.parametrize("accumulate", [False, True], ids=["overwriting", "adding"])
@pytest.mark.parametrize("case", [*OVERLAPPING, *DISJOINT])
def test_an_output_that_overlaps_is_refused_and_one_that_does_not_is_right(made, case, accumulate, dtype, rng):
    places = {**OVERLAPPING, **DISJOINT}[case]
    for ta, tb in TRANSPOSES:
        buffer = rng.standard_normal((12, 12)).astype(dtype)
        a, b, out = (buffer[place].copy() for place in places)
        expected = buffer.copy()
        x, y, target = made(*(buffer[place] for place in places))
        assert was_written(x, y, ta, tb, target, accumulate) == (case in DISJOINT)
        if case in DISJOINT:
            expected[places[2]] = bp.reference.matmul(a, b, ta, tb, out if accumulate else None)
        assert_same_bits(buffer, expected)


def was_written(*arguments):
    try:
        bp.matmul(*arguments)
    except ValueError:
        return False
    return True


def test_read_only_memory_is_never_written(made, dtype):
    """Whoever froze it meant it, even if C has seen the tensor before."""
    a, b, out = np.ones((4, 4), dtype), np.ones((4, 4), dtype), np.zeros((4, 4), dtype)
    a, b, target = made(a, b, out)
    (out if target is out else target.data).flags.writeable = False
    for accumulate in (False, True):
        with pytest.raises(ValueError, match="read-only"):
            bp.matmul(a, b, out=target, accumulate=accumulate)
    assert not out.any()


WRONG = {
    "its shape transposed": (lambda dtype: np.zeros((5, 3), dtype), bp.ShapeError),
    "a row more": (lambda dtype: np.zeros((4, 5), dtype), bp.ShapeError),
    "a column less": (lambda dtype: np.zeros((3, 4), dtype), bp.ShapeError),
    "one dimension": (lambda dtype: np.zeros(15, dtype), bp.ShapeError),
    "three dimensions": (lambda dtype: np.zeros((1, 3, 5), dtype), bp.ShapeError),
    "the other type": (lambda dtype: np.zeros((3, 5), "f4" if dtype == np.float64 else "f8"), bp.DTypeError),
    "column-major order": (lambda dtype: np.zeros((5, 3), dtype).T, ValueError),
    "every other column": (lambda dtype: np.zeros((3, 10), dtype)[:, ::2], ValueError),
    "rows backwards": (lambda dtype: np.zeros((3, 5), dtype)[::-1], ValueError),
    "columns backwards": (lambda dtype: np.zeros((3, 5), dtype)[:, ::-1], ValueError),
    "one row three times": (lambda dtype: np.lib.stride_tricks.as_strided(*strides(dtype, 0)), ValueError),
    "rows that overlap": (lambda dtype: np.lib.stride_tricks.as_strided(*strides(dtype, 2)), ValueError),
    "real parts": (lambda dtype: np.zeros((3, 5), "c8" if dtype == np.float32 else "c16").real, ValueError),
}
WRONG_ARRAYS = {  # which bp.as_tensor would copy
    "half its size": (lambda dtype: np.zeros((3, 5), "f2"), bp.DTypeError),
    "whole numbers": (lambda dtype: np.zeros((3, 5), f"i{np.dtype(dtype).itemsize}"), bp.DTypeError),
    "complex numbers": (lambda dtype: np.zeros((3, 5), complex), bp.DTypeError),
    "another byte order": (lambda dtype: np.zeros((3, 5), np.dtype(dtype).newbyteorder()), bp.DTypeError),
    "unaligned": (lambda dtype: shifted(np.zeros((3, 5), dtype)), ValueError),
}


def strides(dtype, down):
    size = np.dtype(dtype).itemsize
    return np.zeros(15, dtype), (3, 5), (down * size, size)


def check_refusal(make, error, made, dtype):
    out = make(dtype)
    a, b, target = made(np.ones((3, 4), dtype), np.ones((4, 5), dtype), out)
    for accumulate in (False, True):
        with pytest.raises(error, match="matmul"):
            bp.matmul(a, b, out=target, accumulate=accumulate)
        assert not out.any()


@pytest.mark.parametrize("case", WRONG)
def test_an_output_that_does_not_fit_is_refused(made, case, dtype):
    check_refusal(*WRONG[case], made, dtype)


@pytest.mark.parametrize("case", WRONG_ARRAYS)
def test_an_array_that_does_not_fit_is_refused(case, dtype):
    check_refusal(*WRONG_ARRAYS[case], as_arrays, dtype)


@pytest.mark.parametrize("accumulate", [False, True], ids=["overwriting", "adding"])
@pytest.mark.parametrize("sizes", list(product((0, 3), repeat=3)), ids=str)
def test_products_of_nothing(made, sizes, accumulate, dtype, rng):
    """No rows or no columns: no result. A sum of nothing: 0, or what was there."""
    rows, inner, cols = sizes
    for ta, tb in TRANSPOSES:
        a = special(rng, (inner, rows) if ta else (rows, inner), dtype)
        b = special(rng, (cols, inner) if tb else (inner, cols), dtype)
        start = np.array([[np.nan, -0.0, -1], [np.inf, 0, 7], [2, 3, 4]], dtype)[:rows, :cols]
        out = start.copy()
        x, y, target = made(a, b, out)
        bp.matmul(x, y, ta, tb, target, accumulate)
        assert_same_bits(out, bp.reference.matmul(a, b, ta, tb, start if accumulate else None))
        if inner == 0:
            np.testing.assert_array_equal(out, start if accumulate else np.zeros((rows, cols)))
        assert_same_bits(bp.matmul(x, y, ta, tb).data, bp.reference.matmul(a, b, ta, tb))

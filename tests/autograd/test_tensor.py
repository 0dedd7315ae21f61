"""Tensor: what goes in, what comes out, and what a lesson's cell types."""

import copy
import pickle

import numpy as np
import pytest

import pybackprop as bp

A = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]], np.float32)


@pytest.fixture
def t():
    return bp.tensor(A)


# ---- what goes in ----


@pytest.mark.parametrize("given", [1, 1.5, True, [1, 2], [[1.5], [2]], np.arange(3), np.ones(2, bool), range(4)])
def test_other_real_numbers_become_float32(given):
    made = bp.tensor(given)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made.data, np.asarray(given, np.float32))


@pytest.mark.parametrize("kind", ["i1", "u1", "i8", "u8", "?", "f2", "g"])
def test_other_real_arrays_become_float32(kind):
    assert bp.tensor(np.ones((2, 2), kind)).dtype == np.float32
    assert bp.as_tensor(np.ones((2, 2), kind)).dtype == np.float32


def test_floats_keep_their_dtype(dtype):
    assert bp.tensor(np.ones(2, dtype)).dtype == dtype
    assert bp.tensor(np.float64(2)).dtype == np.float64
    assert bp.tensor([1.0], dtype=np.float64).dtype == np.float64
    assert bp.tensor(A, dtype="float64").dtype == np.float64


def test_big_endian_becomes_native(dtype):
    made = bp.tensor(np.arange(3, dtype=dtype).astype(np.dtype(dtype).newbyteorder(">")))
    assert made.dtype.isnative
    assert made.tolist() == [0, 1, 2]


@pytest.mark.parametrize("given", [1j, np.ones(2, complex), ["a"], "abc", None, np.array([None]), {"a": 1}, object()])
def test_what_is_no_real_number_is_refused(given):
    with pytest.raises(bp.DTypeError):
        bp.tensor(given)


def test_dates_structures_and_masks_are_refused():
    for given in (
        np.array(["2020-01-01"], "datetime64[D]"),
        np.zeros(2, [("a", "f4")]),
        np.ma.masked_array([1.0, 2.0], [0, 1]),
    ):
        with pytest.raises(bp.DTypeError):
            bp.tensor(given)


def test_ragged_lists_are_refused():
    with pytest.raises(bp.ShapeError, match="differ in length"):
        bp.tensor([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("dtype", [np.int32, np.float16, complex, "nonsense", ">f4"])
def test_a_dtype_that_is_neither_float32_nor_float64_is_refused(dtype):
    if dtype == ">f4":
        with pytest.raises(bp.DTypeError):
            bp.tensor([1.0], dtype=dtype)
        return
    with pytest.raises(bp.DTypeError, match="float32 or float64"):
        bp.tensor([1.0], dtype=dtype)


def test_tensor_copies_and_as_tensor_shares(dtype):
    array = np.ones((2, 3), dtype)
    shared, copied = bp.as_tensor(array), bp.tensor(array)
    array[0, 0] = 7
    assert float(shared[0, 0]) == 7
    assert float(copied[0, 0]) == 1
    assert bp.as_tensor(shared) is shared
    assert np.shares_memory(bp.as_tensor(array[::2, ::-1]).data, array)


def test_any_shape_is_kept():
    for shape in [(), (0,), (0, 3), (2, 0), (1,), (2, 3, 4), (1, 2, 1, 2)]:
        made = bp.tensor(np.ones(shape))
        assert (made.shape, made.ndim, made.size) == (shape, len(shape), np.ones(shape).size)


def test_param_wants_a_gradient_and_tensor_does_not():
    assert bp.param([1.0]).requires_g
    assert not bp.tensor([1.0]).requires_g
    assert bp.param([1.0], name="w1").name == "w1"


# ---- what comes out ----


def test_numpy_sees_the_same_memory(t):
    assert np.shares_memory(t.data, np.asarray(t))
    t.data[0, 0] = 9
    assert t.tolist()[0][0] == 9
    assert np.array(t, copy=True) is not t.data
    assert np.asarray(t, np.float64).dtype == np.float64


def test_dlpack_both_ways(t):
    shared = np.from_dlpack(t)
    assert np.shares_memory(shared, t.data)

    class Foreign:
        def __dlpack__(self, **options):
            return A.__dlpack__(**options)

        def __dlpack_device__(self):
            return A.__dlpack_device__()

    assert bp.as_tensor(Foreign()).tolist() == A.tolist()


def test_pickle_and_copy_keep_everything(t):
    t.g = A * 2
    t.name, t.requires_g = "w", True
    for twin in (pickle.loads(pickle.dumps(t)), copy.deepcopy(t), copy.copy(t)):
        assert (twin.tolist(), twin.g.tolist(), twin.name, twin.requires_g) == (t.tolist(), t.g.tolist(), "w", True)
    copy.deepcopy(t).data[0, 0] = 99
    assert t.tolist()[0][0] == 1


def test_numbers():
    assert float(bp.tensor(2.5)) == 2.5
    assert bp.tensor([[2.5]]).item() == 2.5
    assert int(bp.tensor(2.5)) == 2
    assert bool(bp.tensor(1.0))
    assert f"{float(bp.tensor(2.5)):.1f}" == "2.5"
    with pytest.raises(bp.ShapeError, match="single number"):
        float(bp.tensor([1.0, 2.0]))
    with pytest.raises(bp.ShapeError, match="ambiguous"):
        bool(bp.tensor([1.0, 2.0]))


def test_length_iteration_and_repr(t):
    assert len(t) == 2
    assert [row.tolist() for row in t] == A.tolist()
    assert repr(bp.param([1.0], name="b")) == "tensor([1.], dtype=float32, requires_g=True, name='b')"
    with pytest.raises(TypeError, match="no length"):
        len(bp.tensor(1.0))


def test_names_from_elsewhere_are_explained(t):
    for name, words in {"grad": ".g", "zero_grad": "overwrites", "requires_grad": ".requires_g"}.items():
        with pytest.raises(AttributeError, match=words):
            getattr(t, name)
    assert not hasattr(t, "nonsense")


# ---- the gradient ----


def test_a_gradient_has_its_tensors_shape_and_dtype(t):
    t.g = A
    buffer = t.g
    t.g = (A * 2).tolist()
    assert t.g is buffer
    assert t.g.tolist() == (A * 2).tolist()
    t.g = None
    assert t.g is None


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (np.ones((3, 2), np.float32), bp.ShapeError, "transpose"),
        (np.ones((5, 2, 3), np.float32), bp.ShapeError, r"\.sum\(0\)"),
        (np.ones(3, np.float32), bp.ShapeError, r"\(3,\).*\(2, 3\)"),
        (1.0, bp.ShapeError, r"\(\)"),
        (np.ones((2, 3)), bp.DTypeError, "float64"),
        (np.ones((2, 3), complex), bp.DTypeError, "complex"),
    ],
)
def test_a_wrong_gradient_is_refused_and_nothing_changed(t, wrong, error, words):
    t.g = A
    with pytest.raises(error, match=words):
        t.g = wrong
    assert t.g.tolist() == A.tolist()


# ---- arithmetic, as numpy does it ----


BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
OTHERS = {"number": 2.5, "whole": 3, "tensor": A + 1, "row": A[0] + 1, "column": A[:, :1] + 1, "scalar": np.float32(2)}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("sign", BINARY)
def test_arithmetic_is_numpys_on_either_side(t, sign, other):
    f, right = BINARY[sign], OTHERS[other]
    for operand in (right, bp.tensor(right) if isinstance(right, np.ndarray) else right):
        for found, expected in ((f(t, operand), f(A, right)), (f(operand, t), f(right, A))):
            assert isinstance(found, bp.Tensor)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found.data, expected)


def test_powers_signs_and_functions(t):
    np.testing.assert_array_equal((t**2).data, A**2)
    np.testing.assert_array_equal(t.pow(2).data, A**2)
    np.testing.assert_array_equal((-t).data, -A)
    np.testing.assert_array_equal(abs(t).data, abs(A))
    np.testing.assert_array_equal(t.abs().sqrt().data, np.sqrt(abs(A)))
    np.testing.assert_array_equal(t.exp().data, np.exp(A))
    np.testing.assert_array_equal(t.abs().log().data, np.log(abs(A)))
    np.testing.assert_array_equal(t.clamp_min(0.0).data, np.maximum(A, 0))


def test_dividing_by_zero_propagates_quietly(t):
    assert np.isinf((t / 0).data).all()


def test_in_place_arithmetic_keeps_the_memory(t):
    data = t.data
    t += 1
    t -= A
    t *= 2
    t /= 4
    assert t.data is data
    np.testing.assert_array_equal(data, np.full((2, 3), 0.5, np.float32))
    with pytest.raises(bp.ShapeError, match="broadcast"):
        t += np.ones((4, 2, 3), np.float32)
    t[0, 1] = 5
    t[1] = A[0]
    t[t > 4] = -1
    np.testing.assert_array_equal(data, [[0.5, -1, 0.5], A[0]])
    assert t.zero_().tolist() == np.zeros((2, 3)).tolist()


def test_comparisons_make_masks(t):
    mask = t > 0
    assert mask.float().dtype == np.float32
    np.testing.assert_array_equal(mask.float().data, (A > 0).astype(np.float32))
    np.testing.assert_array_equal((mask * t).data, (A > 0) * A)
    np.testing.assert_array_equal((t * mask).data, (A > 0) * A)
    assert (t == A).all()
    assert not (t != A).any()
    assert ((t >= 1) & (t <= 4)).sum() == 3
    assert (t < 0).mean() == pytest.approx(1 / 3)
    np.testing.assert_array_equal((~mask).double().data, (A <= 0).astype(float))
    np.testing.assert_array_equal(t[t > 0].data, A[A > 0])
    assert (bp.tensor(A.astype(float)) > 0).float().dtype == np.float64


def test_shapes(t):
    assert t.T.shape == t.t().shape == (3, 2)
    assert t[:, None].shape == (2, 1, 3)
    assert t.unsqueeze(-1).shape == (2, 3, 1)
    assert t.unsqueeze(1).squeeze(1).shape == (2, 3)
    assert t.unsqueeze(0).squeeze().shape == (2, 3)
    assert t.squeeze(0).shape == (2, 3)
    assert t.reshape(3, 2).shape == t.view((3, 2)).shape == (3, 2)
    assert t.flatten().shape == t.reshape(-1).shape == (6,)
    np.testing.assert_array_equal(t[1, ::-1].data, A[1, ::-1])
    np.testing.assert_array_equal(t[[1, 0]].data, A[[1, 0]])
    assert np.shares_memory(t[0].data, t.data)
    with pytest.raises(bp.ShapeError):
        bp.tensor(np.ones((2, 2, 2))).t()


def test_sums_and_means(t):
    for axis in (None, 0, 1, -1):
        for keep in (False, True):
            np.testing.assert_array_equal(t.sum(axis, keep).data, A.sum(axis, keepdims=keep))
            np.testing.assert_array_equal(t.mean(dim=axis, keepdim=keep).data, A.mean(axis, keepdims=keep))
    assert float(t.max()) == 5
    np.testing.assert_array_equal(t.min(0).data, A.min(0))
    np.testing.assert_array_equal(t.argmax(dim=1), [2, 1])
    with pytest.raises(bp.ShapeError, match="no elements"):
        bp.tensor(np.ones((0, 3))).mean()


def test_matrix_products(t):
    B = np.arange(12, dtype=np.float32).reshape(3, 4)
    for left in (t, A):
        for right in (bp.tensor(B), B):
            if isinstance(left, bp.Tensor) or isinstance(right, bp.Tensor):
                np.testing.assert_array_equal((left @ right).data, A @ B)
    np.testing.assert_array_equal((t @ A[0]).data, A @ A[0])
    np.testing.assert_array_equal((A[:, 0] @ t).data, A[:, 0] @ A)
    np.testing.assert_array_equal((t.T @ t).data, A.T @ A)
    assert float(bp.tensor(A[0]) @ A[1]) == A[0] @ A[1]


def test_conversions(t):
    assert t.float() is t
    assert t.double().dtype == np.float64
    assert t.double().float().tolist() == A.tolist()
    clone = t.clone()
    clone += 1
    assert t.tolist() == A.tolist()

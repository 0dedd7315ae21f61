"""Bad input: a clear error that names what was found and what to do, and nothing changed."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits

ONES = lambda *shape: np.ones(shape, np.float32)  # noqa: E731


# ---- shapes that do not fit: both shapes, the axis, the fix ----

SHAPES = [
    (lambda: bp.lin(ONES(4, 3), ONES(2, 5)), r"lin: x \(4, 3\) @ w \(2, 5\).*axis 1 of x has 3, axis 0 of w has 2"),
    (lambda: bp.lin(ONES(4, 3), ONES(5, 3)), r"w\.T would fit"),
    (lambda: bp.lin(ONES(3, 4), ONES(3, 5)), r"x\.T would fit"),
    (lambda: bp.lin(ONES(3), ONES(3, 5)), r"x has 1 dimensions, expected 2.*x\[None\]"),
    (lambda: bp.lin(ONES(2, 4, 3), ONES(3, 5)), r"x has 3 dimensions"),
    (lambda: bp.lin(ONES(4, 3), ONES(3)), r"w has 1 dimensions.*w\[:,None\]"),
    (lambda: bp.lin(np.float32(1), ONES(1, 1)), r"x has 0 dimensions"),
    (lambda: bp.lin(ONES(4, 3), ONES(3, 5), ONES(4)), r"found b of shape \(4,\), expected \(5,\)"),
    (lambda: bp.lin(ONES(4, 3), ONES(3, 5), ONES(1, 5)), r"b\.squeeze\(0\)"),
    (lambda: bp.lin(ONES(4, 3), ONES(3, 5), np.float32(1)), r"found b of shape \(\)"),
    (lambda: bp.mse(ONES(4, 1), ONES(5)), r"4 outputs for 5 targets"),
    (lambda: bp.mse(ONES(4), ONES(4, 1)), r"broadcast to \(4, 4\).*out\[:,None\]"),
    (lambda: bp.mse(ONES(4, 10), ONES(4)), r"np\.eye\(10\)\[targ\]"),
    (lambda: bp.mse(ONES(4, 3), ONES(3, 4)), r"targ\.T would fit"),
    (lambda: bp.mse(ONES(4, 3), ONES(1, 3)), r"would broadcast to \(4, 3\)"),
    (lambda: bp.mse(ONES(4, 3), ONES(5, 3)), r"must be equal"),
    (lambda: bp.mse(ONES(0, 3), ONES(0, 3)), r"mean of no elements"),
    (lambda: bp.mse(ONES(3, 0), ONES(3, 0)), r"mean of no elements"),
    (lambda: bp.matmul(ONES(4, 3), ONES(4, 3)), r"matmul: found \(4, 3\) @ \(4, 3\).*\.T\) would fit"),
    (lambda: bp.matmul(ONES(3), ONES(3, 4)), r"expected two dimensions"),
    (lambda: bp.matmul(ONES(4, 3), ONES(3, 2), out=ONES(2, 4)), r"found out of shape \(2, 4\), expected \(4, 2\)"),
    (lambda: bp.tensor(ONES(4, 3)) @ ONES(2, 5), r"@: found \(4, 3\) @ \(2, 5\)"),
    (lambda: bp.tensor(ONES(2, 4, 3)) @ ONES(3, 5), r"one or two dimensions"),
    (lambda: bp.tensor(np.float32(1)) @ ONES(3, 5), r"one or two dimensions"),
    (lambda: bp.tensor(ONES(4, 3)) + ONES(4), r"axis 1 of the first"),
    (lambda: bp.tensor(ONES(4, 1)) - ONES(4), r"broadcast to \(4, 4\).*\[:,0\].*\[:,None\]"),
    (lambda: ONES(4) - bp.tensor(ONES(4, 1)), r"broadcast to \(4, 4\)"),
    (lambda: bp.tensor(ONES(4)) > ONES(4, 1), r"broadcast to \(4, 4\)"),
    (lambda: bp.mlp([3, 2])(ONES(4, 5), ONES(4, 2)), r"lin: x \(4, 5\) @ w \(3, 2\)"),
    (lambda: bp.mlp([3, 2])(ONES(4, 3), ONES(4)), r"np\.eye\(2\)\[targ\]"),
]


@pytest.mark.parametrize(("call", "words"), SHAPES, ids=range(len(SHAPES)))
def test_shapes_that_do_not_fit(call, words):
    with pytest.raises(bp.ShapeError, match=words):
        call()


def test_gradient_functions_check_before_they_write():
    x, w, b = bp.tensor(ONES(4, 3)), bp.tensor(ONES(3, 5)), bp.tensor(ONES(5))
    out = bp.lin(x, w, b)
    with pytest.raises(bp.GradientError, match=r"lin_grad: out\.g is None.*mse_grad"):
        bp.lin_grad(x, out, w, b)
    out.g = ONES(4, 5)
    with pytest.raises(bp.ShapeError):
        bp.lin_grad(x, out, w, bp.tensor(ONES(4)))
    with pytest.raises(bp.ShapeError, match=r"found out of shape \(4, 5\), expected \(2, 5\)"):
        bp.lin_grad(ONES(2, 3), out, w, b)
    with pytest.raises(bp.GradientError, match=r"relu_grad: out\.g is None"):
        bp.relu_grad(x, bp.relu(x))
    with pytest.raises(bp.ShapeError, match="relu_grad"):
        bp.relu_grad(x, out)
    with pytest.raises(bp.GradientError, match=r"relu_grad: inp is a ndarray, which has no \.g"):
        bp.relu_grad(ONES(4, 5), out)
    with pytest.raises(bp.GradientError, match=r"ndarray, which has no \.g"):
        bp.mse_grad(ONES(4, 5), ONES(4, 5))
    with pytest.raises(bp.GradientError, match=r"ndarray, which has no \.g"):
        bp.lin_grad(x, ONES(4, 5), w, b)
    with pytest.raises(bp.ShapeError, match=r"broadcast to"):
        bp.mse_grad(bp.tensor(ONES(4)), ONES(4, 1))
    assert (x.g, w.g, b.g) == (None, None, None)


# ---- dtypes ----


@pytest.mark.parametrize(
    "call",
    [
        lambda: bp.lin(bp.tensor(ONES(2, 2)), np.ones((2, 2))),
        lambda: bp.lin(np.ones((2, 2)), bp.param(ONES(2, 2))),
        lambda: bp.mse(bp.tensor(ONES(2, 2)), bp.tensor(np.ones((2, 2)))),
        lambda: bp.matmul(ONES(2, 2), np.ones((2, 2))),
        lambda: bp.matmul(ONES(2, 2), ONES(2, 2), out=np.ones((2, 2))),
        lambda: bp.matmul(ONES(2, 2), ONES(2, 2), out=np.ones((2, 2), ">f4")),
        lambda: bp.matmul(ONES(2, 2), ONES(2, 2), out=[[0, 0], [0, 0]]),
        lambda: bp.tensor(ONES(2)) + np.ones(2),
        lambda: bp.tensor(ONES(2)) * bp.tensor(np.ones(2)),
        lambda: bp.mlp([2, 2])(bp.tensor(np.ones((2, 2))), ONES(2, 2)),
        lambda: bp.mlp([2, 2])(np.ones((2, 2)) * 1e300, ONES(2, 2)),
        lambda: bp.lin(ONES(2, 2) * 1j, ONES(2, 2)),
        lambda: bp.lin(np.array([[None]]), ONES(1, 1)),
        lambda: bp.relu("abc"),
        lambda: bp.relu_(np.ones(3, int)),
        lambda: bp.relu_([1.0]),
    ],
    ids=range(16),
)
def test_dtypes_that_would_have_to_be_guessed_at(call):
    with pytest.raises(bp.DTypeError):
        call()


@pytest.mark.parametrize("kind", ["i4", "u1", "?", "f2", ">f4", ">i2"])
def test_harmless_types_are_converted(kind):
    x = np.arange(6).reshape(2, 3).astype(kind)
    w = bp.tensor(ONES(3, 2))
    assert_same_bits(bp.lin(x, w).data, bp.reference.linear_forward(x.astype(np.float32), w))
    assert_same_bits(bp.relu(x).data, x.astype(np.float32))


def test_whole_numbers_follow_the_tensor_beside_them():
    assert bp.lin([[1, 2]], bp.tensor(np.ones((2, 1)))).dtype == np.float64
    assert bp.mse(bp.tensor(np.ones((2, 1))), [0, 1]).dtype == np.float64


# ---- memory ----


def test_layouts_are_read_as_they_are(dtype, rng):
    x, w = rng.standard_normal((8, 12)).astype(dtype), rng.standard_normal((6, 5)).astype(dtype)
    for view in (x[:, ::2], x[:, 5::-1], np.asfortranarray(x[:, :6]), np.broadcast_to(x[0, :6], (4, 6))):
        whole = np.ascontiguousarray(view)
        assert_same_bits(bp.lin(view, w).data, bp.reference.linear_forward(whole, w))
        assert_same_bits(bp.relu(view).data, bp.reference.relu_forward(whole))
        assert_same_bits(bp.mse(view, -view).data, bp.reference.mse_forward(whole, -whole))
        inp, out = bp.as_tensor(view), bp.tensor(rng.standard_normal((len(view), 5)).astype(dtype))
        out.g = out.data[::-1]
        bp.lin_grad(inp, out, w, None)
        assert_same_bits(inp.g.data, bp.reference.linear_backward_x(out.data[::-1], w))


def test_unaligned_memory_is_copied(dtype):
    bytes_ = np.zeros(4 * np.dtype(dtype).itemsize + 1, np.uint8)
    odd = bytes_[1:].view(dtype).reshape(2, 2)
    assert not odd.flags.aligned
    assert bp.as_tensor(odd).data.flags.aligned
    assert bp.lin(odd, np.eye(2, dtype=dtype)).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="aligned"):
        bp.matmul(np.eye(2, dtype=dtype), np.eye(2, dtype=dtype), out=odd)


def test_unaligned_memory_is_overwritten_through_a_copy(dtype, monkeypatch):
    """What C is handed is aligned: other processors than x86 stop at a number that is not."""
    bytes_, pointer = np.zeros(4 * np.dtype(dtype).itemsize + 1, np.uint8), bp.Tensor.pointer

    def aligned(tensor):
        assert tensor.data.flags.aligned
        return pointer(tensor)

    monkeypatch.setattr(bp.Tensor, "pointer", aligned)
    odd = bytes_[1:].view(dtype).reshape(2, 2)
    odd[...] = [[-1, 2], [3, -4]]
    shared = bp.relu_(odd)
    assert odd.tolist() == shared.tolist() == [[0, 2], [3, 0]]
    assert bp.relu(shared).tolist() == odd.tolist()
    assert bp.lin(shared, np.eye(2, dtype=dtype)).tolist() == odd.tolist()
    assert float(bp.mse(shared, odd)) == 0
    shared += 1
    bp.mse_grad(shared, np.zeros((2, 2), dtype))
    assert shared.g.tolist() == [[0.5, 1.5], [2, 0.5]]
    with pytest.raises(ValueError, match="not contiguous and aligned"):
        bp.mse_grad(shared, np.zeros((2, 2), dtype), inplace=True)
    with pytest.raises(ValueError, match="make it with"):
        bp.SGD([shared], lr=0.1).step()


def test_read_only_memory_is_read_and_never_written(dtype):
    frozen = np.full((2, 2), -1, dtype)
    frozen.flags.writeable = False
    t = bp.as_tensor(frozen)
    assert bp.relu(frozen).tolist() == [[0, 0], [0, 0]]
    assert bp.tensor(frozen).data.flags.writeable
    for write in (
        lambda: bp.relu_(frozen),
        lambda: bp.relu_(t),
        lambda: bp.matmul(np.eye(2, dtype=dtype), np.eye(2, dtype=dtype), out=frozen),
        lambda: bp.mse_grad(t, np.zeros((2, 2), dtype), inplace=True),
        lambda: t.__iadd__(1),
        lambda: t.__setitem__(0, 1),
        t.zero_,
    ):
        with pytest.raises(ValueError, match="read-only"):
            write()
    assert (frozen == -1).all()
    assert t.g is None


def test_an_output_that_overlaps_an_input_is_refused(dtype):
    a = np.eye(4, dtype=dtype)
    with pytest.raises(ValueError, match="overlaps a"):
        bp.matmul(a, np.eye(4, dtype=dtype), out=a)
    with pytest.raises(ValueError, match="overlaps b"):
        bp.matmul(np.eye(4, dtype=dtype), a[::-1], out=a)
    out = bp.tensor(a)
    with pytest.raises(ValueError, match="overlaps targ"):
        bp.mse_grad(out, out.data, inplace=True)
    with pytest.raises(ValueError, match="not contiguous"):
        bp.matmul(a, a, out=np.empty((4, 8), dtype)[:, ::2])
    with pytest.raises(ValueError, match="no out was given"):
        bp.matmul(a, a, accumulate=True)


def test_sizes_whose_product_overflows():
    empty = np.empty((2**40, 0), np.float32)
    with pytest.raises(bp.ShapeError, match="too large to be addressed"):
        bp.lin(empty, np.empty((0, 2**40), np.float32))
    with pytest.raises(bp.ShapeError, match="too large to be addressed"):
        bp.matmul(empty, empty, transpose_b=True)
    with pytest.raises(bp.ShapeError, match="too large to be addressed"):
        bp.tensor(empty) @ empty.T


def test_nothing_at_all_has_defined_results(dtype):
    x, w, b = np.ones((0, 3), dtype), np.ones((3, 2), dtype), np.ones(2, dtype)
    assert bp.lin(x, w, b).shape == (0, 2)
    np.testing.assert_array_equal(bp.lin(np.ones((4, 0), dtype), np.ones((0, 2), dtype), b).data, np.ones((4, 2)))
    out, weights, bias = bp.lin(x, w, b), bp.tensor(w), bp.tensor(b)
    out.g = np.ones((0, 2), dtype)
    bp.lin_grad(x, out, weights, bias)
    assert not weights.g.data.any()
    assert not bias.g.data.any()
    assert bp.relu(np.ones((0, 5), dtype)).shape == (0, 5)


def test_the_library_propagates_not_a_number():
    x = ONES(3, 2)
    x[1, 0] = np.nan
    w = bp.param(ONES(2, 2))
    loss = bp.mse(bp.relu(bp.lin(x, w)), ONES(3, 2))
    loss.backward()
    assert np.isnan(float(loss))
    assert np.isnan(w.g.data).any()

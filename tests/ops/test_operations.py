"""Each operation, each direction: the reference's bits, NumPy's numbers in float64, and what the sums mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pybackprop as bp
from helpers.compare import assert_close, assert_same_bits, special
from pybackprop.core import native

SEGMENT = native.SEGMENT
# rows, inputs, outputs: nothing, one, the edges of a tile, primes, rows that cut segments
SIZES = [
    (0, 3, 2),
    (3, 0, 2),
    (3, 2, 0),
    (1, 1, 1),
    (4, 8, 16),
    (5, 9, 17),
    (3, 7, 15),
    (13, 31, 33),
    (64, 65, 63),
    (97, 101, 1),
    (1, 1, 97),
    (SEGMENT - 1, 5, 3),
    (SEGMENT, 3, 5),
    (SEGMENT + 1, 17, 2),
    (2 * SEGMENT + 7, 4, 3),
]


@pytest.fixture(params=SIZES, ids=lambda sizes: "x".join(map(str, sizes)))
def sizes(request):
    return request.param


def arrays(rng, sizes, dtype, make=None):
    n, m, h = sizes
    make = make or (lambda rng, shape, dtype: rng.standard_normal(shape).astype(dtype))
    return make(rng, (n, m), dtype), make(rng, (m, h), dtype), make(rng, (h,), dtype), make(rng, (n, h), dtype)


def linear_gradients(x, w, b, dout):
    """x.g, w.g, b.g by the lesson's function."""
    x, w, b, out = map(bp.tensor, (x, w, b, dout))
    out.g = dout
    bp.lin_grad(x, out, w, b)
    return x.g.data, w.g.data, b.g.data


def check_linear(x, w, b, dout):
    ref = bp.reference
    assert_same_bits(bp.lin(x, w, b).data, ref.linear_forward(x, w, b))
    dx, dw, db = linear_gradients(x, w, b, dout)
    assert_same_bits(dx, ref.linear_backward_x(dout, w))
    assert_same_bits(dw, ref.linear_backward_w(x, dout))
    assert_same_bits(db, ref.linear_backward_b(dout))


def test_linear_equals_the_reference(sizes, dtype, rng, each_setting):
    check_linear(*arrays(rng, sizes, dtype))


def test_linear_equals_the_reference_with_special_values(sizes, dtype, rng, each_setting):
    check_linear(*arrays(rng, sizes, dtype, special))


def test_linear_is_what_numpy_computes_in_float64(sizes, dtype, rng):
    x, w, b, dout = arrays(rng, sizes, dtype)
    x8, w8, b8, d8 = (a.astype(np.float64) for a in (x, w, b, dout))
    assert_close(bp.lin(x, w, b).data, x8 @ w8 + b8, abs(x8) @ abs(w8) + abs(b8), dtype)
    dx, dw, db = linear_gradients(x, w, b, dout)
    assert_close(dx, d8 @ w8.T, abs(d8) @ abs(w8).T, dtype)
    assert_close(dw, x8.T @ d8, abs(x8).T @ abs(d8), dtype)
    assert_close(db, d8.sum(0), abs(d8).sum(0), dtype)


def test_one_weight_moves_one_column_in_every_row(rng):
    """Why w.g = x.T @ out.g: w[0,0] reaches column 0 of every row, and its gradient adds those parts up."""
    x, w, b, dout = arrays(rng, (6, 3, 4), np.float64)
    moved = w.copy()
    moved[0, 0] += 1
    difference = bp.lin(x, moved, b).data - bp.lin(x, w, b).data
    np.testing.assert_allclose(difference[:, 0], x[:, 0])
    assert not difference[:, 1:].any()
    by_hand = sum(dout[i, 0] * x[i, 0] for i in range(6))
    np.testing.assert_allclose(linear_gradients(x, w, b, dout)[1][0, 0], by_hand)


def test_linear_without_bias(dtype, rng):
    x, w, _, _ = arrays(rng, (5, 4, 3), dtype)
    assert_same_bits(bp.lin(x, w).data, bp.reference.linear_forward(x, w))


def test_matmul_equals_the_reference(sizes, dtype, rng, each_setting):
    rows, inner, cols = sizes
    for ta in (False, True):
        for tb in (False, True):
            a = special(rng, (inner, rows) if ta else (rows, inner), dtype)
            b = special(rng, (cols, inner) if tb else (inner, cols), dtype)
            c = special(rng, (rows, cols), dtype)
            assert_same_bits(bp.matmul(a, b, ta, tb).data, bp.reference.matmul(a, b, ta, tb))
            added = c.copy()
            assert bp.matmul(a, b, ta, tb, out=added, accumulate=True) is added
            assert_same_bits(added, bp.reference.matmul(a, b, ta, tb, add_to=c))


LAYOUTS = {
    "part of the columns": lambda big: big[:15, :12],
    "every other row": lambda big: big[::2, :12],
    "every other column": lambda big: big[:15, ::2],
    "rows backwards": lambda big: big[::-1, :12],
    "columns backwards": lambda big: big[:15, ::-1],
    "transpose of a part": lambda big: big[:15, :12].T,
    "column-major": lambda big: np.asfortranarray(big),
    "one column repeated": lambda big: np.broadcast_to(big[:, :1], big.shape),
    "one row": lambda big: big[3:4],
    "one column": lambda big: big[:, 3:4],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_matmul_takes_any_layout(layout, dtype, rng):
    view = LAYOUTS[layout](rng.standard_normal((30, 24)).astype(dtype))
    whole = view.copy()
    for transpose in (False, True):
        rows, inner = view.shape[::-1] if transpose else view.shape
        right, left = rng.standard_normal((inner, 5)).astype(dtype), rng.standard_normal((5, rows)).astype(dtype)
        assert_same_bits(bp.matmul(view, right, transpose).data, bp.reference.matmul(whole, right, transpose))
        assert_same_bits(
            bp.matmul(left, view, False, transpose).data, bp.reference.matmul(left, whole, False, transpose)
        )


def test_matmul_writes_into_part_of_an_array(dtype, rng):
    a, b = rng.standard_normal((4, 5)).astype(dtype), rng.standard_normal((5, 3)).astype(dtype)
    whole = np.full((6, 8), np.nan, dtype)
    bp.matmul(a, b, out=whole[1:5, 2:5])
    assert_same_bits(whole[1:5, 2:5], bp.reference.matmul(a, b))
    outside = np.ones_like(whole, bool)
    outside[1:5, 2:5] = False
    assert np.isnan(whole[outside]).all()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (17,), (3, 5), (2, 3, 4), (1000, 500)])
def test_relu_equals_the_reference(shape, dtype, rng, each_setting):
    x, dout = special(rng, shape, dtype) if shape else np.array(-0.0, dtype), rng.standard_normal(shape).astype(dtype)
    out = bp.relu(x)
    assert_same_bits(out.data, bp.reference.relu_forward(x))
    inp = bp.tensor(x)
    out.g = dout
    bp.relu_grad(inp, out)
    assert_same_bits(inp.g.data, bp.reference.relu_backward(x, dout))
    overwritten = bp.tensor(x)
    assert bp.relu_(overwritten) is overwritten
    assert_same_bits(overwritten.data, out.data)
    buffer = out.g
    bp.relu_grad(inp, out, inplace=True)
    assert_same_bits(buffer.data, bp.reference.relu_backward(x, dout))
    assert out.g is None
    assert inp.g is buffer


def test_relu_at_its_kink_and_at_nothing(dtype):
    x = np.array([-1, -0.0, 0, np.nan, 2], dtype)
    assert_same_bits(bp.relu(x).data, np.array([0, 0, 0, np.nan, 2], dtype))
    inp, out = bp.tensor(x), bp.relu(x)
    out.g = np.ones(5, dtype)
    bp.relu_grad(inp, out)
    assert_same_bits(inp.g.data, np.array([0, 0, 0, 0, 1], dtype))


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 5])
@pytest.mark.parametrize("h", [1, 3, 16])
def test_mse_equals_the_reference(n, h, dtype, rng, each_setting):
    out, targ = (rng.standard_normal((n, h)).astype(dtype) for _ in range(2))
    check_mse(out, targ)
    check_mse(special(rng, (n, h), dtype), targ)


def check_mse(out, targ):
    with np.errstate(all="ignore"):
        assert_same_bits(bp.mse(out, targ).data, bp.reference.mse_forward(out, targ))
        t = bp.tensor(out)
        bp.mse_grad(t, targ)
        assert_same_bits(t.g.data, bp.reference.mse_backward(out, targ))
        bp.mse_grad(t, targ, inplace=True)
        assert_same_bits(t.g.data, bp.reference.mse_backward(out, targ))
        assert np.shares_memory(t.g.data, t.data)


def test_mse_is_what_numpy_computes(dtype, rng):
    out, targ = (rng.standard_normal((1300, 3)).astype(dtype) for _ in range(2))
    o8, t8 = out.astype(np.float64), targ.astype(np.float64)
    np.testing.assert_allclose(float(bp.mse(out, targ)), ((o8 - t8) ** 2).mean(), rtol=4 * np.finfo(dtype).eps)
    t = bp.tensor(out)
    bp.mse_grad(t, targ)
    np.testing.assert_allclose(t.g.data, 2 * (o8 - t8) / o8.size, rtol=8 * np.finfo(dtype).eps, atol=1e-12)


def test_mse_of_a_column_against_a_row_of_targets(dtype, rng):
    out, targ = rng.standard_normal((9, 1)).astype(dtype), rng.standard_normal(9).astype(dtype)
    assert_same_bits(bp.mse(out, targ).data, bp.mse(out, targ[:, None]).data)
    t = bp.tensor(out)
    bp.mse_grad(t, targ)
    assert t.g.shape == (9, 1)
    assert_same_bits(t.g.data, bp.reference.mse_backward(out, targ[:, None]))


def test_mse_gradient_of_the_targets_is_the_negative(dtype, rng):
    out, targ = bp.param(rng.standard_normal((4, 2)).astype(dtype)), bp.param(rng.standard_normal((4, 2)).astype(dtype))
    bp.mse(out, targ).backward()
    assert_same_bits(targ.g.data, -out.g.data)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("size", [0, 1, 31, 64, 500_000])
def test_sgd_equals_the_reference(size, momentum, dtype, rng, each_setting):
    p, dp, v = (rng.standard_normal(size).astype(dtype) for _ in range(3))
    parameter = bp.param(p)
    sgd = bp.SGD([parameter], lr=0.1, momentum=momentum)
    sgd.velocity(parameter).data[...] = v
    parameter.g = dp
    sgd.step()
    if momentum:
        expected, velocity = bp.reference.sgd_momentum_update(p, v, dp, 0.1, momentum)
        assert_same_bits(sgd.velocity(parameter).data, velocity)
    else:
        expected = bp.reference.sgd_update(p, dp, 0.1)
    assert_same_bits(parameter.data, expected)
    if dtype == np.float64 and not momentum:
        np.testing.assert_allclose(expected, p - 0.1 * dp)


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.integers(0, 70), st.integers(0, 70), st.integers(0, 70)), st.integers(0, 10**6), st.booleans())
def test_any_size_equals_the_reference(sizes, seed, wide):
    rng = np.random.default_rng(seed)
    check_linear(*arrays(rng, sizes, np.float64 if wide else np.float32, special))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.integers(1, 3))
def test_any_value_equals_the_reference(values, columns):
    x = np.resize(np.array(values, np.float32), (len(values), columns))
    check_linear(x, x.T.copy(), np.resize(x, len(values)), np.resize(x, (len(values), len(values))))
    assert_same_bits(bp.relu(x).data, bp.reference.relu_forward(x))
    assert_same_bits(bp.mse(x, x[::-1].copy()).data, bp.reference.mse_forward(x, x[::-1].copy()))


def weighted(out):
    """Any output as one number, whose gradient differs from element to element."""
    return bp.mse(out, np.arange(out.size, dtype=out.dtype).reshape(out.shape) / 4)


OPERATIONS = {
    "lin": (lambda x, w, b: weighted(bp.lin(x, w, b)), [(4, 3), (3, 5), (5,)]),
    "lin without bias": (lambda x, w: weighted(bp.lin(x, w)), [(4, 3), (3, 5)]),
    "lin of two segments": (lambda x, w, b: weighted(bp.lin(x, w, b)), [(SEGMENT + 3, 2), (2, 1), (1,)]),
    "@": (lambda x, w: weighted(x @ w), [(4, 3), (3, 5)]),
    "+": (lambda x, b: weighted(x + b), [(4, 3), (3,)]),
    "relu": (lambda x: weighted(bp.relu(x)), [(5, 4)]),
    "relu_": (lambda x: weighted(bp.relu_(x + 0)), [(5, 4)]),
    "mse": (bp.mse, [(6, 3), (6, 3)]),
    "mse of a column": (bp.mse, [(6, 1), (6,)]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_gradient_is_the_slope_that_one_measures(operation, dtype, rng):
    f, shapes = OPERATIONS[operation]
    tensors = [bp.tensor(rng.standard_normal(shape).astype(dtype)) for shape in shapes]
    outcome = bp.gradcheck(f, *tensors)
    assert outcome.count == sum(t.size for t in tensors)


def test_overwriting_never_reads_what_was_there(dtype, rng):
    """0 * NaN is NaN: a product that starts from the old content would show it."""
    x, w, b, dout = arrays(rng, (40, 20, 10), dtype)
    tensors = [bp.tensor(a) for a in (x, w, b)]
    for t in tensors:
        t.g = np.full(t.shape, np.nan, dtype)
    out = bp.tensor(dout)
    out.g = dout
    bp.lin_grad(tensors[0], out, tensors[1], tensors[2])
    for t in tensors:
        assert np.isfinite(t.g.data).all()

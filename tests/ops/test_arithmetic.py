"""+ - * / ** .sum .mean .T [...] and the like: the reference's bits; derivatives against float64 and PyTorch."""

import itertools
import operator

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.lesson_classes import Lin, Mse, Relu
from helpers.typed import TYPED
from pybackprop import reference
from pybackprop.core import arithmetic

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
CODES = {"+": arithmetic.ADD, "-": arithmetic.SUBTRACT, "*": arithmetic.MULTIPLY, "/": arithmetic.DIVIDE}
SHAPES = [
    ((4, 3), (4, 3)),
    ((4, 3), (3,)),
    ((3,), (4, 3)),
    ((4, 3), (4, 1)),
    ((4, 1), (1, 3)),
    ((4, 3), (1, 1)),
    ((4, 3), ()),
    ((), ()),
    ((5,), (5,)),
    ((2, 4, 3), (4, 3)),
    ((2, 4, 3), (2, 1, 3)),
    ((2, 1, 3), (4, 1)),
    ((0, 3), (3,)),
    ((1, 1), (1, 1)),
]
EXPONENTS = [0, 1, 2, 3, 7, 64, -1, -2, -5, -64, 0.5]


def values(rng, shape, dtype, low=0.3):
    """Not near 0, so that quotients and powers are tame, of both signs."""
    return (rng.uniform(low, 1.5, shape) * rng.choice([-1, 1], shape)).astype(dtype)


# ---- bits ----


@pytest.mark.parametrize(("left", "right"), SHAPES)
@pytest.mark.parametrize("symbol", OPERATORS)
def test_arithmetic_is_the_references(rng, dtype, symbol, left, right):
    a, b = rng.standard_normal(left).astype(dtype), rng.standard_normal(right).astype(dtype)
    expected = reference.arithmetic(CODES[symbol], a, b)
    with np.errstate(all="ignore"):
        assert_same_bits(expected, np.asarray(OPERATORS[symbol](a, b)))  # IEEE 754 has one answer
    for one, other in ((bp.tensor(a), bp.tensor(b)), (bp.tensor(a), b), (a, bp.tensor(b))):
        assert_same_bits(OPERATORS[symbol](one, other).data, expected)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *SHAPES,
        ((7, 3, 1), (7, 1, 5)),
        ((1, 3, 1), (7, 1, 5)),
        ((3, 1), (7, 1, 5)),
        ((2, 7, 3, 1), (7, 1, 5)),
        ((2, 1, 3), (1, 4, 1)),
        ((5, 1, 1), (1, 4, 3)),
    ],
)
@pytest.mark.parametrize("part", [1, 6, 40])
def test_what_c_cannot_broadcast_is_computed_in_parts(rng, monkeypatch, part, left, right):
    monkeypatch.setattr(arithmetic, "PART", part)
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    assert_same_bits((bp.tensor(a) - bp.tensor(b)).data, np.asarray(a - b))


@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("number", [0.1, 3, -2.5, 0, np.float64(0.1), np.int8(7), True])
def test_arithmetic_with_a_number(rng, dtype, symbol, number):
    a = rng.standard_normal((4, 3)).astype(dtype)
    exact = np.asarray(float(number)).astype(dtype)
    assert_same_bits(OPERATORS[symbol](bp.tensor(a), number).data, reference.arithmetic(CODES[symbol], a, exact))
    assert_same_bits(OPERATORS[symbol](number, bp.tensor(a)).data, reference.arithmetic(CODES[symbol], exact, a))


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operands_in_any_layout(rng, dtype, symbol):
    a, b = rng.standard_normal((6, 4)).astype(dtype), rng.standard_normal((4, 6)).astype(dtype)
    raw = np.zeros(6 * 4 * a.itemsize + 1, np.uint8)
    unaligned = raw[1:].view(dtype).reshape(6, 4)
    unaligned[...] = a
    for one, other in ((a, b.T), (a[::-1], a), (a[:, ::2], b.T[:, 1::2]), (a, unaligned), (a, b[0, :1])):
        found = OPERATORS[symbol](bp.as_tensor(one), bp.as_tensor(other))
        assert_same_bits(found.data, reference.arithmetic(CODES[symbol], one, other))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers_are_the_references(rng, dtype, exponent):
    a = values(rng, (7, 11), dtype, 0.9)
    found = (abs(bp.tensor(a)) if exponent == 0.5 else bp.tensor(a)) ** exponent
    assert_same_bits(found.data, reference.square_root(abs(a)) if exponent == 0.5 else reference.power(a, exponent))
    exact = (abs(a) if exponent == 0.5 else a).astype(np.longdouble) ** exponent
    assert np.allclose(found, exact.astype(np.float64), rtol=70 * np.finfo(dtype).eps)


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 1), (0, 2), (1, 2), (2, 0), (0, 1, 2), ()])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 1), (0, 2, 3), (2, 1100, 3), (1500, 2, 1), (2, 3, 1030)])
def test_sums(rng, dtype, shape, axis):
    x = rng.standard_normal(shape).astype(dtype)
    axes = tuple(range(3)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for keepdims in (False, True):
        found = bp.tensor(x).sum(axis, keepdims)
        exact = x.astype(np.float64).sum(axes, keepdims=keepdims)
        assert found.shape == exact.shape
        assert found.dtype == dtype
        assert np.allclose(found, exact, rtol=1e-5, atol=1e-5 * max(1, x.size))
        if x.size:
            count = x.size / max(1, exact.size)
            assert_same_bits(bp.tensor(x).mean(axis, keepdims).data, (found / count).data)
    if len(axes) == 1:
        assert_same_bits(bp.tensor(x).sum(axis).data, reference.sum(x, axes[0] % 3))


def test_the_bias_gradient_is_the_sum_over_rows(rng, dtype):
    out = bp.tensor(rng.standard_normal((5000, 7)), dtype)
    assert_same_bits(out.sum(0).data, reference.linear_backward_b(out))
    b = bp.param(np.zeros(7), dtype)
    ((np.zeros((5000, 7), dtype) + b) * out).sum().backward()
    assert_same_bits(b.g.data, reference.linear_backward_b(out))


def test_clamp_min_is_the_references(rng, dtype):
    x = np.concatenate([rng.standard_normal(50), [np.nan, np.inf, -np.inf, 0.0, -0.0, 0.25]]).astype(dtype)
    assert_same_bits(bp.tensor(x).clamp_min(0.25).data, reference.clamp_min_forward(x, 0.25))
    assert_same_bits(bp.tensor(x).clamp_min(0).data, reference.relu_forward(x))
    t = bp.param(x, dtype)
    (t.clamp_min(0.25) * x).sum().backward()
    assert_same_bits(t.g.data, reference.clamp_min_backward(x, x, 0.25))


# ---- derivatives ----


def squares(function, x, y):
    out = function(x, y)
    return (out * out).sum()


def measured(function, arrays, which, at, h=1e-6):
    ends = []
    for move in (-h, h):
        moved = [array.copy() for array in arrays]
        moved[which][at] += move
        ends.append(float(squares(function, *map(bp.tensor, moved))))
    return (ends[1] - ends[0]) / (2 * h)


@pytest.mark.parametrize("name", TYPED)
def test_a_derivative_is_the_measured_slope(rng, name):
    if name == "other precision":
        pytest.skip("float32 in between: its rounding hides the slope")
    arrays = [values(rng, (6, 4), np.float64) for _ in range(2)]
    params = [bp.param(array) for array in arrays]
    squares(TYPED[name], *params).backward()
    for which, param in enumerate(params):
        for at in itertools.product(range(6), range(4)):
            slope = measured(TYPED[name], arrays, which, at)
            assert abs(param.g.data[at] - slope) <= 1e-5 * max(1, abs(slope)), (which, at)


@pytest.mark.parametrize("name", TYPED)
def test_derivatives_are_pytorchs(rng, dtype, name):
    torch = pytest.importorskip("torch")
    if name.startswith("numpy"):
        pytest.skip("PyTorch's tensors have no derivative through numpy")
    arrays = [values(rng, (6, 4), dtype) for _ in range(2)]
    ours = [bp.param(array) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    function = TYPED[name]
    squares(function, *ours).backward()
    torch_words = torch_of(function, name)
    squares(torch_words, *theirs).backward()
    rtol = 2e-4 if dtype is np.float32 or name == "other precision" else 1e-11
    for mine, other in zip(ours, theirs, strict=True):
        right = other.grad.numpy()
        np.testing.assert_allclose(mine.g, right, rtol=rtol, atol=rtol * abs(right).max())


def torch_of(function, name):
    """The same function for PyTorch, where a word differs."""
    if name == "where positive":
        return lambda x, y: x[x > 0].sum() * y
    if name == "rows twice":
        return lambda x, y: x[[0, 2, 0, 0]] * y[[1, 1, 5, 2]]
    if name == "sums":
        return lambda x, y: x.sum(0) + y.sum(1, keepdim=True)
    if name == "means":
        return lambda x, y: x.mean(0) + y.mean(-1, keepdim=True) * x.mean()
    if name == "the same tensor everywhere":
        return lambda x, y: x * x - x / (x * x + 1) + x.sum() * y
    if name == "rows and columns":
        return lambda x, y: x[1:4, ::2] * y[None, 2, 0:2] + x[-1, 3]
    return function


@pytest.mark.parametrize(("left", "right"), SHAPES)
@pytest.mark.parametrize("symbol", OPERATORS)
def test_what_was_broadcast_is_summed(rng, symbol, left, right):
    a, b = bp.param(values(rng, left, np.float64)), bp.param(values(rng, right, np.float64))
    out = OPERATORS[symbol](a, b)
    up = rng.standard_normal(out.shape)
    (out * up).sum().backward()
    local = {
        "+": (1, 1),
        "-": (1, -1),
        "*": (b.data, a.data),
        "/": (1 / b.data, -a.data / b.data**2),
    }[symbol]
    for operand, slope in zip((a, b), local, strict=True):
        full = up * slope
        added = full.ndim - operand.ndim
        stretched = [k + added for k, n in enumerate(operand.shape) if n == 1 != full.shape[k + added]]
        summed = full.sum((*range(added), *stretched)).reshape(operand.shape)
        assert operand.g.shape == operand.shape
        np.testing.assert_allclose(operand.g, summed, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_the_derivative_of_a_power(rng, exponent):
    x = bp.param(rng.uniform(0.95, 1.05, (5, 3)))
    (x**exponent).sum().backward()
    np.testing.assert_allclose(x.g, exponent * x.data ** (exponent - 1), rtol=1e-12)


def test_the_derivative_of_a_power_at_zero():
    x = bp.param([0.0, 0.0])
    for exponent, slope in ((0, 0), (1, 1), (2, 0), (3, 0)):
        (x**exponent).sum().backward()
        assert x.g.tolist() == [slope, slope]


# ---- the lesson ----


def test_the_lesson_typed_by_hand_equals_the_fused_operations(rng, dtype):
    x, targ = rng.standard_normal((40, 6)).astype(dtype), rng.standard_normal((40, 1)).astype(dtype)
    start = [rng.standard_normal(shape).astype(dtype) for shape in ((6, 5), (5,), (5, 1), (1,))]
    typed, fused = ([bp.param(array) for array in start] for _ in range(2))
    w1, b1, w2, b2 = typed
    out = (x @ w1 + b1).clamp_min(0.0) @ w2 + b2
    loss = ((out - targ) ** 2).mean()
    loss.backward()
    w1, b1, w2, b2 = fused
    right = bp.mse(bp.lin(bp.relu(bp.lin(x, w1, b1)), w2, b2), targ)
    right.backward()
    rtol = 1e-5 if dtype is np.float32 else 1e-13
    assert np.isclose(float(loss), float(right), rtol=rtol)
    for mine, theirs in zip(typed, fused, strict=True):
        np.testing.assert_allclose(mine.g, theirs.g, rtol=rtol, atol=rtol * abs(theirs.g.data).max())


def test_the_lessons_classes_word_for_word(rng):
    x, y = bp.tensor(rng.standard_normal((30, 4))), bp.tensor(rng.standard_normal(30))
    x.requires_g = True
    params = [bp.param(rng.standard_normal(shape)) for shape in ((4, 3), (3,), (3, 1), (1,))]
    layers = [Lin(*params[:2]), Relu(), Lin(*params[2:])]
    out, loss = x, Mse()
    for layer in layers:
        out = layer(out)
    value = loss(out, y)
    loss.backward()
    for layer in reversed(layers):
        layer.backward()
    by_hand = [t.g.data.copy() for t in (x, *params)]
    value.backward()
    for t, right in zip((x, *params), by_hand, strict=True):
        np.testing.assert_allclose(t.g, right, rtol=1e-12, atol=1e-14)


def test_training_by_the_typed_lesson(rng):
    x = rng.standard_normal((64, 3))
    targ = x @ [[1.0], [-2.0], [0.5]] + 0.7
    w, b = bp.param(np.zeros((3, 1))), bp.param(np.zeros(1))
    for _ in range(200):
        loss = ((x @ w + b - targ) ** 2).mean()
        loss.backward()
        w -= 0.1 * w.g
        b -= 0.1 * b.g
    assert np.allclose(w.data.ravel(), [1, -2, 0.5], atol=1e-6)
    assert np.allclose(b.data, 0.7, atol=1e-6)


def test_gradcheck_and_explain_know_them(rng):
    x, w = rng.standard_normal((5, 3)), bp.param(rng.standard_normal((3, 2)), name="w")
    targ = rng.standard_normal((5, 2))
    bp.gradcheck(lambda w: (((x @ w).clamp_min(0.1) / 3 - targ) ** 2).mean(), w)
    loss = (((x @ w).clamp_min(0.1) / 3 - targ) ** 2).mean()
    loss.backward()
    assert "w" in str(bp.explain(w, at=(1, 1)))


# ---- hazards ----


@pytest.mark.parametrize("view", ["T", "reshape", "slice", "unsqueeze"])
def test_what_was_overwritten_through_a_view_is_noticed(rng, view):
    x = bp.tensor(rng.standard_normal((4, 3)))
    x.requires_g = True
    w = bp.param(rng.standard_normal((3, 2)))
    shown = {
        "T": lambda: x.T.T,
        "reshape": lambda: x.reshape(4, 3),
        "slice": lambda: x[0:4],
        "unsqueeze": lambda: x.unsqueeze(0)[0],
    }[view]()
    loss = (shown @ w).sum()
    x += 1
    with pytest.raises(bp.GradientError, match="overwritten"):
        loss.backward()


@pytest.mark.parametrize("view", [lambda t: t.T, lambda t: t[1:], lambda t: t.reshape(-1), lambda t: t.squeeze()])
def test_a_view_of_a_result_is_not_written_to(rng, view):
    l1 = rng.standard_normal((4, 3)) @ bp.param(rng.standard_normal((3, 3)))
    shown = view(l1)
    with pytest.raises(bp.GradientError):
        bp.relu_(shown)
    if shown.data.flags.c_contiguous:
        with pytest.raises(bp.GradientError):
            bp.relu(np.zeros(shown.shape), out=shown)
    with pytest.raises(bp.GradientError):
        shown *= 2


@pytest.mark.parametrize("symbol", OPERATORS)
def test_in_place_with_an_operand_in_the_same_memory(dtype, symbol):
    name = {"+": "__iadd__", "-": "__isub__", "*": "__imul__", "/": "__itruediv__"}[symbol]
    for left, right in (
        (lambda t: t[1:], lambda t: t[:-1]),
        (lambda t: t[:-1], lambda t: t[1:]),
        (lambda t: t, lambda t: t[::-1]),
        (lambda t: t, lambda t: t[0]),
        (lambda t: t, lambda t: t),
        (lambda t: t.T, lambda t: t),
        (lambda t: t[:, ::2], lambda t: t[:, 1::2]),
    ):
        start = np.arange(1, 17, dtype=dtype).reshape(4, 4)
        ours, expected = bp.tensor(start), start.copy()
        getattr(left(ours), name)(right(ours))
        part = left(expected)
        part[...] = OPERATORS[symbol](part.copy(), right(expected).copy())
        assert_same_bits(ours.data, expected)


def test_indices_are_remembered_as_they_were(rng):
    w, rows = bp.param(rng.standard_normal((4, 2))), np.array([0, 1])
    loss = w[rows].sum()
    rows[:] = 3
    loss.backward()
    assert w.g.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_what_is_wrong_is_said(rng):
    t = bp.tensor(rng.standard_normal((4, 3)))
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        t.sum(2)
    with pytest.raises(ValueError, match="twice"):
        t.sum((0, 0))
    with pytest.raises(bp.ShapeError, match="one number"):
        t.clamp_min(np.zeros(3))
    with pytest.raises(ValueError, match="NaN"):
        t.clamp_min(float("nan"))
    with pytest.raises(bp.ShapeError, match="fit"):
        t * np.ones(4)
    with pytest.raises(bp.ShapeError, match="broadcast"):
        t[:, :1] - np.ones(4)
    with pytest.raises(bp.DTypeError):
        t - np.ones((4, 3), np.float32)
    with pytest.raises(bp.DTypeError):
        t * 1j

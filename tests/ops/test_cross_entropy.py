"""cross_entropy, nll, softmax and log_softmax: bits against the definition, values against PyTorch, and bad targets."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_as_defined, assert_same_bits

SHAPES = [
    (1, 1),
    (3, 2),
    (7, 10),
    (16, 16),
    (17, 15),
    (513, 3),
    (40, 255),
    (9, 257),
    (1030, 33),
    (2, 2100),
    (66_100, 2),
]
SPECIAL = [np.inf, -np.inf, np.nan, 0.0, -0.0]


def drawn(rng, shape, dtype, special=False):
    out = (rng.standard_normal(shape) * 5).astype(dtype)
    if special:
        for value in SPECIAL:
            out[rng.integers(shape[0]), rng.integers(shape[1])] = value
    return out


def targets(rng, n, h, dtype):
    """Labels as integers, as floats, as rows of the identity matrix; and probabilities."""
    labels = rng.integers(h, size=n)
    chances = rng.random((n, h)) + 0.01
    chances /= chances.sum(1, keepdims=True)
    return labels, labels.astype(dtype), np.eye(h, dtype=dtype)[labels], chances.astype(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("special", [False, True])
def test_the_bits_are_the_definitions(each_setting, rng, dtype, shape, special):
    out = drawn(rng, shape, dtype, special)
    for op in ("cross_entropy", "nll"):
        for targ in targets(rng, *shape, dtype):
            inp = bp.tensor(out)
            getattr(bp, f"{op}_grad")(inp, targ)
            assert_same_bits(getattr(bp, op)(out, targ).data, getattr(bp.reference, f"{op}_forward")(out, targ))
            assert_same_bits(inp.g.data, getattr(bp.reference, f"{op}_backward")(out, targ))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmaxes_bits_are_the_definitions(each_setting, rng, dtype, shape):
    x, dout = drawn(rng, shape, dtype, special=shape[0] > 5), drawn(rng, shape, dtype)
    for op in ("softmax", "log_softmax"):
        assert_as_defined(op, x, dout)


def test_one_pass_gives_the_bits_of_two(each_setting, rng, dtype):
    from pybackprop.core import native

    out = drawn(rng, (1030, 10), dtype)
    labels = rng.integers(10, size=1030).astype(dtype)
    loss, both = np.empty(1, dtype), out.copy()
    pointers = (native.pointer(both), native.pointer(both), native.pointer(labels))  # dout may be out
    native.check(native.cross_entropy[out.dtype](native.pointer(loss), *pointers, *out.shape, True))
    assert_same_bits(loss[0], bp.reference.cross_entropy_forward(out, labels)[()])
    assert_same_bits(both, bp.reference.cross_entropy_backward(out, labels))


def test_labels_and_rows_of_the_identity_give_the_same_bits(rng, dtype):
    out = drawn(rng, (600, 7), dtype)
    integers, floats, one_hot, _ = targets(rng, 600, 7, dtype)
    results = []
    for targ in (integers, floats, one_hot, bp.tensor(floats), integers.tolist()):
        inp = bp.param(out)
        loss = bp.cross_entropy(inp, targ)
        loss.backward()
        results.append((loss.data, inp.g.data))
    for loss, g in results[1:]:
        assert_same_bits(loss, results[0][0])
        assert_same_bits(g, results[0][1])


@pytest.mark.parametrize("shape", [(5, 3), (600, 10), (20, 1000)], ids=str)
def test_the_values_are_pytorchs_in_float64(rng, dtype, shape):
    """Within 16 ulps of 1 or of the loss, and 32 of 1/n: the difference that exp is taken of is about 20 here, so its
    own rounding is that much larger than an ulp of 1.
    """
    torch = pytest.importorskip("torch")
    out, eps = drawn(rng, shape, dtype), np.finfo(dtype).eps
    integers, _, _, chances = targets(rng, *shape, dtype)
    for targ in (integers, chances):
        theirs = torch.tensor(out, dtype=torch.float64, requires_grad=True)
        wanted = torch.tensor(targ if targ.ndim == 1 else targ.astype(np.float64))
        right = torch.nn.functional.cross_entropy(theirs, wanted)
        right.backward()
        inp = bp.param(out)
        loss = bp.cross_entropy(inp, targ)
        loss.backward()
        assert abs(float(loss) - right.item()) <= 16 * eps * max(1, right.item())
        np.testing.assert_allclose(inp.g.data, theirs.grad.numpy(), rtol=0, atol=32 * eps / shape[0])


def test_nll_of_log_softmax_is_cross_entropy(rng):
    out, labels = drawn(rng, (50, 6), np.float64), rng.integers(6, size=50)
    one, other = bp.param(out, np.float64), bp.param(out, np.float64)
    loss, same = bp.cross_entropy(one, labels), bp.nll(bp.log_softmax(other), labels)
    loss.backward()
    same.backward()
    assert float(loss) == pytest.approx(float(same), rel=1e-14)
    np.testing.assert_allclose(one.g.data, other.g.data, atol=1e-16)


def test_softmax_through_the_tape_is_pytorchs(rng):
    torch = pytest.importorskip("torch")
    x, w = drawn(rng, (8, 5), np.float64), rng.standard_normal((8, 5))
    for op in ("softmax", "log_softmax"):
        theirs = torch.tensor(x, requires_grad=True)
        (getattr(torch, op)(theirs, -1) * torch.tensor(w)).sum().backward()
        inp = bp.param(x, np.float64)
        (getattr(bp, op)(inp) * w).sum().backward()
        np.testing.assert_allclose(inp.g.data, theirs.grad.numpy(), atol=1e-14)


def test_large_scores_do_not_overflow(dtype):
    out = np.array([[1e4, 0, -1e4]], dtype)
    assert float(bp.cross_entropy(out, [0])) == 0
    assert float(bp.cross_entropy(out, [2])) == 2e4
    assert float(bp.cross_entropy(np.array([[0.0, -np.inf]], dtype), [0])) == 0
    assert float(bp.cross_entropy(np.array([[0.0, -np.inf]], dtype), np.array([[1.0, 0.0]], dtype))) == 0
    assert np.array_equal(bp.softmax(out).data, [[1, 0, 0]])


def test_a_loss_may_be_part_of_another(rng):
    out, labels = drawn(rng, (9, 4), np.float64), rng.integers(4, size=9)
    inp = bp.param(out, np.float64)
    (bp.cross_entropy(inp, labels) * 3).backward()
    np.testing.assert_allclose(inp.g.data, 3 * bp.reference.cross_entropy_backward(out, labels), rtol=1e-15)


def test_a_label_that_was_overwritten_in_c_makes_a_nan_and_reads_nothing(dtype):
    from pybackprop.core import native

    out = np.zeros((4, 3), dtype)
    for wrong in (3, -1, 0.5, np.nan, np.inf, 1e30):
        labels, loss, dout = np.array([0, wrong, 2, 1], dtype), np.empty(1, dtype), np.empty_like(out)
        pointers = native.pointer(loss), native.pointer(dout), native.pointer(out), native.pointer(labels)
        native.check(native.cross_entropy[out.dtype](*pointers, 4, 3, True))
        assert np.isnan(loss[0])
        assert np.array_equal(np.isnan(dout).all(1), [False, True, False, False])
        assert np.isfinite(dout[[0, 2, 3]]).all()


EYE = np.eye(3)[[0, 1, 2, 0]]
BAD = {
    "too large": ([0, 1, 3, 0], ValueError, r"targ\[2\] is 3, but out \(4, 3\) has the classes 0 to 2.*np.unique"),
    "negative": ([0, 1, -1, 0], ValueError, r"targ\[2\] is -1"),
    "NaN": ([0, np.nan, 1, 0], ValueError, r"targ\[1\] is nan"),
    "infinite": ([0, np.inf, 1, 0], ValueError, r"targ\[1\] is inf"),
    "not whole": ([0, 1, 0.5, 0], ValueError, r"targ\[2\] is 0\.5, no whole number.*shape of out"),
    "too few": ([0, 1], bp.ShapeError, r"out \(4, 3\) and targ \(2,\).*expected 4 labels"),
    "a column": ([[0], [1], [2], [0]], bp.ShapeError, r"targ\[:,0\]"),
    "transposed": (EYE.T, bp.ShapeError, r"targ\.T would fit"),
    "not a sum of 1": (EYE * 2, ValueError, r"row 0 of targ adds up to 2, expected 1.*targ\.sum"),
    "a negative chance": (np.where(EYE == 1, 1.5, -0.25), ValueError, r"targ\[0,1\] is -0\.25"),
    "a chance that is NaN": (np.where(EYE == 1, np.nan, 0.5), ValueError, r"targ\[0,0\] is nan"),
    "words": (["a", "b", "c", "a"], bp.DTypeError, "expected real numbers"),
}


@pytest.mark.parametrize(("targ", "error", "says"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("form", ["cross_entropy", "nll", "cross_entropy_grad", "layer", "plan", "fit"])
def test_bad_targets_are_refused_before_anything_is_written(targ, error, says, form):
    out = bp.param(np.zeros((4, 3)), np.float64)
    out.g = np.full((4, 3), 7.0)
    model = bp.Model([bp.Lin(2, 3, dtype=np.float64)], loss=bp.CrossEntropy())
    before = [p.data.copy() for p in model.parameters()]
    x = np.ones((4, 2))
    plan = bp.compile(model, batch=4, optimizer=bp.SGD(lr=0.1))
    calls = {
        "layer": lambda: model(x, targ),
        "plan": lambda: plan.step(x, targ),
        "fit": lambda: plan.fit(x, targ, epochs=1),
    }
    with pytest.raises(error, match=says):
        calls.get(form, lambda: getattr(bp, form)(out, targ))()
    assert (out.g.data == 7).all()
    assert all((p.data == then).all() for p, then in zip(model.parameters(), before, strict=True))


def test_targets_with_requires_g_and_scores_of_other_shapes_are_refused(rng):
    out = bp.param(np.zeros((4, 3), np.float32))
    with pytest.raises(bp.GradientError, match=r"targets, has requires_g.*targ\.data"):
        bp.cross_entropy(out, bp.param(EYE, np.float32))
    with pytest.raises(bp.ShapeError, match=r"out has shape \(3,\), expected \(n,h\).*out\[None\]"):
        bp.cross_entropy(np.zeros(3), [0])
    with pytest.raises(bp.ShapeError, match="mean of no rows"):
        bp.cross_entropy(np.zeros((0, 3)), np.zeros(0))
    with pytest.raises(bp.DTypeError, match="dtypes differ"):
        bp.cross_entropy(out, bp.tensor(EYE, np.float64))
    with pytest.raises(bp.GradientError, match=r"has no \.g"):
        bp.cross_entropy_grad(np.zeros((4, 3)), [0, 1, 2, 0])
    with pytest.raises(bp.ShapeError, match="one number"):
        bp.softmax(np.float32(1))

"""binary_cross_entropy_with_logits: bits against the definition, values against PyTorch, and bad targets."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits

SHAPES = [(1,), (7,), (1, 1), (3, 2), (17, 15), (513, 3), (1030, 33), (2, 2100), (66_100, 2), (2, 3, 4)]
SPECIAL = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e30, -1e30, 88.8, -103.9]
NAME = "binary_cross_entropy_with_logits"


def drawn(rng, shape, dtype, special=False):
    out = (rng.standard_normal(shape) * 5).astype(dtype)
    if special:
        out.flat[rng.integers(out.size, size=len(SPECIAL))] = SPECIAL
    return out


def targets(rng, shape, dtype):
    """Zeros and ones as dtype, as integers and as bools; and shares."""
    yes = rng.random(shape) < 0.5
    return yes.astype(dtype), yes.astype(int), yes, rng.random(shape).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("special", [False, True])
def test_the_bits_are_the_definitions(each_setting, rng, dtype, shape, special):
    out = drawn(rng, shape, dtype, special)
    for targ in targets(rng, shape, dtype):
        inp = bp.tensor(out)
        bp.binary_cross_entropy_with_logits_grad(inp, targ)
        found = bp.binary_cross_entropy_with_logits(out, targ).data
        assert_same_bits(found, bp.reference.binary_cross_entropy_forward(out, targ))
        assert_same_bits(inp.g.data, bp.reference.binary_cross_entropy_backward(out, targ))


@pytest.mark.parametrize("shape", [(5,), (6, 3), (600, 10)], ids=str)
def test_the_values_are_pytorchs_in_float64(rng, dtype, shape):
    torch = pytest.importorskip("torch")
    out, eps = drawn(rng, shape, dtype), np.finfo(dtype).eps
    for targ in targets(rng, shape, dtype):
        theirs = torch.tensor(out, dtype=torch.float64, requires_grad=True)
        right = torch.nn.functional.binary_cross_entropy_with_logits(theirs, torch.tensor(targ.astype(np.float64)))
        right.backward()
        inp = bp.param(out)
        loss = bp.binary_cross_entropy_with_logits(inp, targ)
        loss.backward()
        assert abs(float(loss) - right.item()) <= 4 * eps * max(1, right.item())
        np.testing.assert_allclose(inp.g.data, theirs.grad.numpy(), rtol=0, atol=4 * eps / out.size)


def test_the_definition_is_the_formula(rng):
    """The naive formula, in float64, where neither of its logarithms is of 0."""
    out, targ = rng.standard_normal((50, 4)) * 2, rng.random((50, 4))
    s = 1 / (1 + np.exp(-out))
    right = -(targ * np.log(s) + (1 - targ) * np.log(1 - s)).mean()
    assert float(bp.binary_cross_entropy_with_logits(out, targ)) == pytest.approx(right, rel=1e-13)
    g = bp.reference.binary_cross_entropy_backward(out, targ)
    np.testing.assert_allclose(g, (s - targ) / 200, rtol=1e-12)


@pytest.mark.parametrize(
    ("out", "targ", "loss"), [(200.0, 1, 0.0), (-200.0, 0, 0.0), (200.0, 0, 200.0), (-1e4, 1, 1e4)]
)
def test_large_scores_neither_overflow_nor_lose_the_loss(dtype, out, targ, loss):
    assert float(bp.binary_cross_entropy_with_logits(np.array([out], dtype), [targ])) == pytest.approx(loss, abs=1e-80)


def test_a_tiny_loss_keeps_its_digits():
    assert float(bp.binary_cross_entropy_with_logits(np.array([60.0]), [1])) == pytest.approx(np.exp(-60.0), rel=1e-15)


def test_of_two_classes_it_is_cross_entropy(rng):
    """Scores 0 and z of two classes are the score z of one question."""
    z, labels = rng.standard_normal((40, 1)), rng.integers(2, size=40)
    pair = np.concatenate([np.zeros((40, 1)), z], axis=1)
    one = float(bp.binary_cross_entropy_with_logits(z, labels))  # targ (n) for out (n,1)
    assert one == pytest.approx(float(bp.cross_entropy(pair, labels)), rel=1e-14)


def test_on_the_tape_and_in_a_model(rng, dtype):
    x, targ = rng.standard_normal((6, 4)).astype(dtype), (rng.random((6, 3)) < 0.5).astype(dtype)
    model = bp.Model([bp.Lin(4, 3, seed=1, dtype=dtype)], loss=bp.BinaryCrossEntropy())
    loss = model(x, targ)
    model.backward()
    w, b = model.parameters()
    same_w, same_b = bp.param(w.data), bp.param(b.data)
    same = bp.binary_cross_entropy_with_logits(bp.lin(bp.tensor(x), same_w, same_b), targ)
    same.backward()
    assert_same_bits(loss.data, same.data)
    assert_same_bits(w.g.data, same_w.g.data)
    assert_same_bits(b.g.data, same_b.g.data)
    (2 * bp.binary_cross_entropy_with_logits(bp.lin(bp.tensor(x), same_w, same_b), targ)).backward()
    np.testing.assert_allclose(same_w.g.data, 2 * w.g.data, rtol=1e-6)
    shares = rng.random((3, 2))
    assert bp.gradcheck(lambda out: bp.binary_cross_entropy_with_logits(out, shares), rng.standard_normal((3, 2)))


@pytest.mark.parametrize("strategy", ["layers", "split", "fused"])
def test_plans_give_the_bits_of_the_model(each_setting, rng, dtype, strategy):
    x, targ = rng.standard_normal((40, 4)).astype(dtype), (rng.random((40, 3)) < 0.5).astype(dtype)
    model = bp.Model([bp.Lin(4, 8, seed=1, dtype=dtype), bp.Relu(), bp.Lin(8, 3, seed=2, dtype=dtype)],
                     loss=bp.BinaryCrossEntropy())  # fmt: skip
    loss = model(x, targ)
    model.backward()
    right = [p.g.data.copy() for p in model.parameters()]
    plan = bp.compile(model, batch=40, strategy=strategy)
    assert_same_bits(dtype(plan.grads(x, targ)), loss.data)
    for p, g in zip(model.parameters(), right, strict=True):
        assert_same_bits(p.g.data, g)


@pytest.mark.parametrize(
    ("targ", "error", "message"),
    [
        (np.full((3, 2), 1.5), ValueError, r"targ\[0,0\] is 1.5, expected numbers from 0 to 1"),
        (np.full((3, 2), -1.0), ValueError, r"targ\[0,0\] is -1"),
        (np.full((3, 2), np.nan), ValueError, r"targ\[0,0\] is nan"),
        (np.zeros((2, 3)), bp.ShapeError, r"targ \(2, 3\): targ.T would fit"),
        (np.zeros(3), bp.ShapeError, r"found out \(3, 2\) and targ \(3,\)"),
        (np.zeros((3, 1)), bp.ShapeError, r"targ \(3, 1\)"),
        (bp.param(np.zeros((3, 2))), bp.GradientError, "requires_g"),
    ],
    ids=range(7),
)
def test_bad_targets_are_refused_before_anything_is_written(targ, error, message):
    out = bp.tensor(np.zeros((3, 2)))
    out.g = np.ones((3, 2))
    for call in (bp.binary_cross_entropy_with_logits, bp.binary_cross_entropy_with_logits_grad):
        with pytest.raises(error, match=message):
            call(out, targ)
    assert (out.g.data == 1).all()
    with pytest.raises(bp.ShapeError, match="no elements"):
        bp.binary_cross_entropy_with_logits(np.zeros((0, 2)), np.zeros((0, 2)))
    with pytest.raises(bp.GradientError, match=r"has no \.g"):
        bp.binary_cross_entropy_with_logits_grad(np.zeros((3, 2)), np.zeros((3, 2)))

"""The sentences of the exercises, and those about NaN and infinity, are true of the numbers they are printed for."""

from types import SimpleNamespace

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.judge import judge_question
from pybackprop.teach.learn.steps import STEPS, question_for


def numbers(name):
    """The exercise's numbers in double, the gradients computed by numpy."""
    arrays = {**question_for("network").samples[0].roles, **question_for("network").samples[0].arrays}
    c = SimpleNamespace(**{key: np.asarray(value, float) for key, value in arrays.items() if key.isidentifier()})
    c.n, c.size = len(c.x), c.out.size
    c.z = c.x @ c.w1 + c.b1
    c.a = np.maximum(c.z, 0)
    c.dout = 2 * (c.out - c.targ) / c.size
    c.da = c.dout @ c.w2.T
    c.dz = (c.z > 0) * c.da
    c.right = np.asarray(question_for(name).samples[0].right, float)
    return c


def slope(c, k, j):
    """How z moves with w[k,j]."""
    moved = c.w1.copy()
    moved[k, j] += 1
    return c.x @ moved + c.b1 - c.z


def terms(c):
    return c.x[:, 0] * c.dz[:, 0]


# What each text says, by its beginning; p is what the wrong answer gives.
TRUTHS = {
    "That is the factor you move": lambda c, p: p == c.w1[0, 0] and slope(c, 0, 0)[1, 0] == pytest.approx(c.x[1, 0]),
    "That is the term itself. Its slope": lambda c, p: p == pytest.approx(c.x[1, 0] * c.w1[0, 0]),
    "Row and column are swapped": lambda c, p: p == pytest.approx(c.x[0, 1]) and depends_on_row(c, 1),
    "That is what moves z[0,0]": lambda c, p: p == pytest.approx(slope(c, 0, 0)[0, 0]),
    "1 is the slope along b[0]": lambda c, p: p == 1 == pytest.approx((c.x @ c.w1 + c.b1 + [1, 0] - c.z)[1, 0]),
    "That is the value of z[1,0]": lambda c, p: p == pytest.approx(c.z[1, 0], rel=1e-5),
    "x[1,0] is the slope of z[1,0]": lambda c, p: (
        p == pytest.approx(slope(c, 0, 0)[1, 0]) and not slope(c, 0, 0)[:, 1].any() and slope(c, 0, 0)[:, 0].all()
    ),
    "z[1,1] = x[1,0]*w[0,1] + x[1,1]*w[1,1]": lambda c, p: (
        c.z[1, 1] == pytest.approx(c.x[1] @ c.w1[:, 1] + c.b1[1]) and slope(c, 0, 0)[1, 1] == 0 != p
    ),
    "That is the path through one row": lambda c, p: min(abs(terms(c) - p)) < 1e-6 and slope(c, 0, 0)[:, 0].all(),
    "The paths are added, not averaged": lambda c, p: p * c.n == pytest.approx(terms(c).sum(), rel=1e-5),
    "Each row's x must be multiplied by the same": lambda c, p: (
        p == pytest.approx(c.x[:, 0].sum() * c.dz[:, 0].sum(), rel=1e-5)
    ),
    "That is how far z moves. dz says": lambda c, p: p == pytest.approx(slope(c, 0, 0)[:, 0].sum(), rel=1e-5),
    "This has one number for each row": lambda c, p: p.shape == (c.n,) and np.allclose(p, terms(c), atol=1e-6),
    # x @ dz[:,0] pairs a row of x, over its columns, with a column of dz, over its rows
    "@ takes the rows of x, but": lambda c, p: p is None and c.x.shape[1] != len(c.dz) == len(c.x),
    "A row of dz belongs to all columns": lambda c, p: (
        (p is None or not np.allclose(p, c.right))
        and [slope(c, 0, j).any(0).tolist() for j in range(2)] == [[True, False], [False, True]]
    ),
    "That is all of w.g": lambda c, p: np.allclose(p, c.x.T @ c.dz, atol=1e-6) and np.allclose(p[:, 0], c.right),
    "relu is missing: where z is not positive": lambda c, p: (
        np.allclose(p, c.x.T @ c.da, atol=1e-5) and not c.dz[c.z <= 0].any()
    ),
    "The mask comes from z, not from": lambda c, p: np.allclose(p, c.x.T @ ((c.da > 0) * c.da), atol=1e-5),
    "The mask has the shape of z, and belongs": lambda c, p: (
        p is None and c.z.shape == c.da.shape != (c.x.T @ c.da).shape
    ),
    "The slope of relu is 1 where z > 0": lambda c, p: (
        np.allclose(p, c.x.T @ (c.a * c.da), atol=1e-5)
        and np.allclose(((c.z + 1e-6 > 0) * (c.z + 1e-6) - c.a)[c.z > 0] / 1e-6, 1)
    ),
    "relu is missing: l1.g is l2.g where": lambda c, p: np.allclose(p, c.x.T @ c.da, atol=1e-5),
    "The mean in mse gives a factor 1/size": lambda c, p: np.allclose(p / c.size, c.right, atol=1e-4),
    "The square in mse gives a factor 2": lambda c, p: np.allclose(2 * p, c.right, atol=1e-4),
    "The mean in mse is over all elements": lambda c, p: (
        c.size != c.n and np.allclose(p * c.n / c.size, c.right, atol=1e-4)
    ),
    "out.g is 2/size times out - targ": lambda c, p: np.allclose(p * 2 / c.size, c.right, atol=1e-4),
    "The sign is wrong: where out is above targ": lambda c, p: (
        np.allclose(-p, c.right, atol=1e-4) and (c.dout[c.out > c.targ] > 0).all()
    ),
    "That is w2.g. w1 is one layer": lambda c, p: np.allclose(p, c.a.T @ c.dout, atol=1e-4),
}


def depends_on_row(c, i):
    """z[i] depends on row i of x, and on no other."""
    moved = c.x.copy()
    moved[i] += 1
    return (moved @ c.w1 + c.b1 != c.z).any(1).tolist() == [k == i for k in range(c.n)]


CASES = [(s.name, m, text) for s in STEPS for m in s.mistakes for text in m.formulas["step"]]


@pytest.mark.parametrize(("name", "mistake", "text"), CASES, ids=lambda p: p if isinstance(p, str) else "")
def test_what_is_said_of_a_typical_mistake_is_true(name, mistake, text):
    verdict = judge_question(question_for(name), text)
    assert any(mistake.says == hint for hint in verdict.hints), verdict
    (check,) = [check for begin, check in TRUTHS.items() if mistake.says.startswith(begin)]
    p = value_of(name, text)
    assert (p is not None) == verdict.runs
    assert check(numbers(name), p), f"{text}: {mistake.says}"


def value_of(name, text):
    """What a formula gives on the exercise's numbers; None where it does not run."""
    try:
        return np.asarray(evaluate(parse(text), question_for(name).samples[0].arrays).array, float)
    except ValueError:
        return None


def test_a_truth_can_fail():
    """Each check is false of other numbers than the wrong answer's, or where that does not run, of its running."""
    for name, mistake, text in CASES:
        (check,) = [check for begin, check in TRUTHS.items() if mistake.says.startswith(begin)]
        c, p = numbers(name), value_of(name, text)
        right = 0 if mistake.name == "rows-for-columns" and name == "other-column" else c.right
        other = (
            right
            if p is None or mistake.name == "rows-for-columns"
            else p + 0.37 * (1 + np.arange(p.size).reshape(p.shape))
        )
        assert not check(c, other), mistake.says


def test_the_first_hints_and_the_texts_are_true():
    c = numbers("weights")
    assert c.z[1, 0] == pytest.approx(c.x[1] @ c.w1[:, 0] + c.b1[0])  # one-slope
    moved = slope(c, 0, 0)
    assert moved[:, 0].all()  # "w[0,0] moves column 0 of z, in every row"
    assert not moved[:, 1:].any()
    np.testing.assert_allclose((moved * c.dz).sum(), (c.x.T @ c.dz)[0, 0])  # "the slope of z[i,0], times dz[i,0]"
    x = c.x.copy()
    x[2, 1] += 1
    assert (x @ c.w1 + c.b1 != c.z).any(1).tolist() == [False, False, True, False]  # "x[i,k] moves row i of z"
    assert float(bp.mse(c.out, c.targ)) == pytest.approx(((c.out - c.targ) ** 2).mean())
    for step in STEPS:
        if step.right:
            right = np.asarray(evaluate(parse(step.right), question_for(step.name).samples[0].arrays).array, float)
            g = c.x.T @ c.dz
            by_numpy = {"one-slope": c.x[1, 0], "other-column": 0.0, "one-gradient": g[0, 0], "one-column": g[:, 0],
                        "two-steps": g, "network": g}  # fmt: skip
            np.testing.assert_allclose(right, by_numpy[step.name], atol=1e-5)


# ---- NaN and infinity, in explanations ----


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_said_of_the_first_value_that_is_not_finite(value):
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.5, 1, shape) for shape in ((4, 3), (3, 2), (2, 1), (4, 1))]
    arrays[0][2, 1] = value
    x, w1, w2 = (bp.param(array) for array in arrays[:3])
    out = bp.lin(bp.relu(bp.lin(x, w1)), w2)
    loss = bp.mse(out, arrays[3])
    loss.backward(keep=True)
    note = bp.explain(w1, at=(0, 0), loss=loss).notes[0]
    assert note.startswith(f"x[2,1] is {value}: it was there before anything was computed.")
    with np.errstate(all="ignore"):
        l1 = arrays[0] @ arrays[1]
        l2 = np.where(np.isnan(l1), l1, np.maximum(l1, 0))
        result = ((l2 @ arrays[2] - arrays[3]) ** 2).mean()
    if np.isnan(value):
        assert note.endswith("A NaN passes through every layer, relu and mse.")
        assert np.isnan(l1[2]).all()
        assert np.isnan(l2[2]).all()
        assert np.isnan(result)
        assert np.isnan(float(loss))
    else:
        assert note.endswith("It goes on as infinities and NaN, unless it is -inf and a relu turns it into 0.")
        assert (l2[2] == (np.inf if value > 0 else 0)).all()
        assert np.isfinite(result) == (value < 0) == np.isfinite(float(loss))


def test_what_is_said_of_a_value_that_overflows():
    w = bp.param(np.full((1, 1), 1e30), "float32")
    out = bp.lin(bp.tensor(np.full((1, 1), 1e30), "float32"), w)
    loss = bp.mse(out, np.zeros((1, 1), np.float32))
    loss.backward(keep=True)
    note = bp.explain(w, at=(0, 0), loss=loss).notes[0]
    assert "out is inf" in note or "out[0,0] is inf" in note
    assert "'lin' computed it from finite numbers" in note
    assert np.isinf(np.asarray(out)).all()
    assert np.isfinite(np.float32(1e30))

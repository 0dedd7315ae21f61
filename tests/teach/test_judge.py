"""judge: right answers in every spelling, right by accident, and answers that are no known mistake."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.judging import hidden_layer, judged, numbers
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.kinds import RIGHT
from pybackprop.teach.judge.mistakes_patterns import close
from pybackprop.teach.judge.question import question_of
from pybackprop.teach.trace.use import use_of

# ---- right ----


SPELLINGS = {
    "w": [
        "x.T @ dz", "x.t() @ z.g", "inp.t() @ out.g", "x.T @ dout", "inp.T.dot(dz)", "(dz.T @ x).T", "w.g = x.T @ dz",
        "w1.g = x.T @ dz", "dw = x.T @ dz", "(x[:,:,None] * dz[:,None,:]).sum(0)", "x.T @ ((z > 0) * da)",
        "(inp.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0)", "x.T @ l1.g", "x.T @ ((l1 > 0).float() * l2.g)",
        "x.T @ dz * n / x.shape[0]", "x.T @ ((l1 > 0) * (2 * (out - targ) / size @ w2.T))",
        "x.T @ ((l1 > 0) * (out.g @ w2.T))", "x.T @ dz + 0 * w1",
    ],
    "x": ["dz @ w.T", "dz @ w1.T", "out.g @ w.t()", "(w @ dz.T).T", "(dz[:,None,:] * w).sum(2)", "l1.g @ w1.T"],
    "b": [
        "dz.sum(0)",
        "self.out.g.sum(axis=0)", "l1.g.sum(axis=0)", "dz.mean(0) * n",
        "dz.sum(dim=0)", "dz.T.sum(1)", "((z > 0) * da).sum(0)",
        "(x[:,0] * 0 + 1) @ dz",
    ],
    "relu": [
        "(z > 0) * da", "(x > 0) * dout", "(inp > 0).float() * out.g", "da * (a > 0)", "(z > 0) * l2.g",
        "da - (z <= 0) * da", "(l1 > 0) * l2.g",
    ],
    "mse": [
        "2 * (out - targ) / size", "(out - targ) * 2 / out.size", "2 * (inp - y) / (n * h)", "-2 * (targ - out) / size",
        "2 * (out - targ) / (len(out) * out.shape[1])", "(out - targ) / (size / 2)", "2 * (out - targ) / out.numel()",
    ],
    "targ": ["-2 * (out - targ) / size", "2 * (targ - out) / size", "-out.g"],
}  # fmt: skip


@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 3, 3), (1, 1, 1), (1, 3, 2), (7, 1, 4)], ids=str)
@pytest.mark.parametrize("kind", SPELLINGS)
def test_right_formulas_in_many_spellings(kind, shape):
    layer = hidden_layer(shape)
    for text in SPELLINGS[kind]:
        verdict = bp.judge(layer[kind], text)
        assert verdict, f"{text}: {verdict}"
        assert verdict.ok is verdict.runs is verdict.shape_ok is True
        assert (verdict.wrong, verdict.mistake, verdict.hints, verdict.solution) == (0, None, (), None)
        assert "Right" in str(verdict)
        assert "4 other networks" in str(verdict)


@pytest.mark.parametrize("kind", RIGHT)
def test_the_table_of_right_answers_is_what_the_library_computes(kind):
    layer = hidden_layer((4, 3, 2))
    question = question_of(use_of(layer[kind]), {})
    np.testing.assert_array_equal(question.samples[0].right, layer[kind].g.data)
    for sample in question.samples:
        assert close(evaluate(parse(RIGHT[kind]), sample.roles).array, sample.right)


def test_right_on_real_data_without_keeping_gradients():
    digits = bp.data.digits()
    model = bp.mlp([64, 50, 10], seed=0)
    loss = model(digits.x_train, np.eye(10, dtype=np.float32)[digits.y_train])
    model.backward()
    w, b = model.layers[0].w, model.layers[0].b
    assert bp.judge(w, "x.T @ dz")
    assert bp.judge(b, "db1 = dz.sum(0)")
    assert bp.judge(digits.x_train, "dz @ w1.T")
    verdict = bp.judge(w, "x.T @ dz / n")
    assert verdict.mistake == "mean-over-rows"
    assert 0 < verdict.wrong < w.size, "pixels that are always 0 have a gradient of 0, whatever the factor"
    assert "divided by 1438" in str(verdict)
    assert float(loss) > 0


def test_the_lesson_by_hand_after_an_update():
    layer = hidden_layer((4, 3, 2))
    x, l1, w = bp.tensor(layer["x"].data), None, bp.param(layer["w"].data)
    l1 = bp.lin(x, w)
    l2 = bp.relu(l1)
    bp.mse_grad(l2, np.zeros((4, 2), np.float32))
    bp.relu_grad(l1, l2)
    bp.lin_grad(x, l1, w)
    w -= 0.1 * w.g
    assert bp.judge(w, "x.T @ dz")
    assert bp.judge(w, "x @ dz").mistake == "transpose-missing"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_expression_on_the_tape(dtype):
    rng = np.random.default_rng(1)
    x, t = bp.tensor(rng.standard_normal((5, 3)), dtype), bp.tensor(rng.standard_normal(5), dtype)
    w, b, w2, b2 = (bp.param(rng.standard_normal(s), dtype) for s in ((3, 4), 4, (4, 1), 1))
    loss = bp.mse(bp.relu(x @ w + b) @ w2 + b2, t)
    assert bp.judge(w, "x.T @ dz")
    assert bp.judge(w, "inp.T @ out.g")
    assert bp.judge(b, "dz.sum(0)")
    assert bp.judge(b2, "(2 * (out - targ[:,None]) / n).sum(0)")
    assert bp.judge(w2, "x.T @ dz")
    assert bp.judge(w, "x.T @ ((l1 > 0) * (out.g @ w2.T))")
    assert bp.judge(w, "x.T @ da").mistake == "gradient-after-relu"
    assert bp.judge(b, "dz").mistake == "sum-missing"
    assert w.g is None, "judging leaves no gradient behind"
    assert float(loss) > 0


# ---- right by accident ----


def test_one_column_makes_rows_and_size_the_same():
    rng = np.random.default_rng(0)
    out = bp.lin(bp.tensor(numbers(rng, 5, 3)), bp.param(numbers(rng, 3, 1)))
    loss = bp.mse(out, bp.tensor(numbers(rng, 5, 1)))
    verdict = bp.judge(out, "2 * (out - targ) / n")
    assert (verdict.ok, verdict.by_accident, verdict.wrong) == (False, True, 0)
    assert verdict.mistake == "rows-for-size"
    assert "Right only here, by accident" in str(verdict)
    assert float(loss) > 0


ACCIDENTS = [
    ("dz @ x.T", np.eye(3), np.eye(3), "rows-for-columns"),
    ("x @ dz", np.diag([1.0, 2, 3]), np.eye(3), "transpose-missing"),
    ("x.T * dz", np.eye(3), np.eye(3), "elementwise"),
    ("dz.T @ x", np.ones((3, 3)), np.ones((3, 3)), "answer-transposed"),
    ("x.T @ dz / n", np.ones((1, 3)), np.ones((3, 3)), "mean-over-rows"),
    ("x.T @ dz * 2", np.zeros((3, 3)), np.ones((3, 3)), "doubled"),
    ("x.T @ z", np.zeros((3, 3)), np.ones((3, 3)), "value-for-gradient"),
    ("x.T @ relu(dz)", np.ones((3, 3)), np.ones((3, 3)), None),
]


@pytest.mark.parametrize(("text", "x", "w", "mistake"), ACCIDENTS, ids=lambda p: p if isinstance(p, str) else "")
def test_right_by_accident(text, x, w, mistake):
    x, w = bp.tensor(x, np.float64), bp.param(w, np.float64)
    out = bp.lin(x, w)
    loss = bp.mse(out, np.zeros(out.shape))
    verdict = bp.judge(w, text)
    assert verdict.wrong == 0
    assert verdict.by_accident
    assert not verdict.ok
    assert mistake is None or verdict.mistake == mistake
    assert float(loss) >= 0


def test_a_number_in_place_of_a_size_is_right_for_one_shape():
    verdict = judged("mse", "2 * (out - targ) / 8")
    assert (verdict.by_accident, verdict.mistake) == (True, "number-for-size")
    assert judged("mse", "2 * (out - targ) / 9").mistake == "number-for-size"


# ---- accumulated, circular ----


def test_the_answer_itself_is_no_answer():
    layer = hidden_layer((4, 3, 2))
    assert bp.judge(layer["w"], "w1.g").mistake == "circular"
    assert bp.judge(layer["w"], "w.g + 0 * x.T @ dz").mistake == "circular"
    assert bp.judge(layer["relu"], "(z > 0) * dz").mistake == "circular"
    accumulated = bp.judge(layer["w"], "w.g + x.T @ dz")
    assert accumulated.mistake == "accumulated"
    assert not accumulated.ok


# ---- what no mistake in the table is ----


def test_where_it_is_wrong_when_nothing_is_recognised():
    layer = hidden_layer((4, 3, 2))
    right = layer["w"].g.data.copy()
    changed = right.copy()
    changed[1] += [3, 4]
    verdict = bp.judge(layer["w"], changed)
    assert (verdict.mistake, verdict.wrong) == (None, 2)
    assert "Only row 1 is wrong." in verdict.hints
    changed = right.copy()
    changed[:, 1] *= -1
    verdict = bp.judge(layer["w"], changed)
    assert "Only column 1 is wrong." in verdict.hints
    assert "The wrong elements have the right size and the wrong sign." in verdict.hints
    changed[0, 0] = np.nan
    assert any("NaN" in hint for hint in bp.judge(layer["w"], changed).hints)


@pytest.mark.parametrize("factor", [-0.3, 0.01, 7.0])
def test_a_constant_factor_is_found(factor):
    verdict = judged("w", f"{factor} * x.T @ dz")
    assert verdict.mistake == ("step-for-gradient" if factor < 0 else "constant-factor")
    assert f"{abs(factor):g}" in verdict.hints[1]


@pytest.mark.parametrize("rate", [0.001, 0.1, 3])
def test_an_update_with_any_rate(rate):
    layer = hidden_layer((4, 3, 2))
    assert bp.judge(layer["w"], f"w - {rate} * (x.T @ dz)").mistake == "updated-value"
    assert bp.judge(layer["w"], f"w1 + {rate} * x.T @ dz").mistake == "updated-uphill"
    assert bp.judge(layer["w"], f"x.T @ dz + {rate} * w").mistake == "weight-decay-added"
    assert bp.judge(layer["x"], f"dz @ (w - {rate} * w.g).T").mistake == "weights-already-updated"


# ---- numbers that are hard to compare ----


def test_sums_of_many_terms_may_round_in_another_order():
    rng = np.random.default_rng(3)
    x = bp.tensor(rng.standard_normal((20000, 3)).astype(np.float32))
    w = bp.param(rng.standard_normal((3, 2)).astype(np.float32))
    z = bp.lin(x, w)
    z.g = rng.standard_normal((20000, 2)).astype(np.float32)
    assert bp.judge(w, "x.T @ dz")
    assert bp.judge(w, (x.data[::-1].T @ z.g.data[::-1]))
    assert bp.judge(w, "(x[:,:,None] * dz[:,None,:]).sum(0)")
    wrong = bp.judge(w, x.data.T @ z.g.data * np.float32(1.01))
    assert wrong.mistake == "constant-factor"


def test_infinities_in_a_proposal_warn_nobody():
    """The terms that are written out are products of them, too."""
    verdict = judged("relu", "(relu(da) / (a > 0)) @ (da - relu(da))", (3, 3, 3))
    assert verdict.runs
    assert not verdict.ok


def test_nan_and_infinity():
    x, w = bp.tensor(np.array([[1.0, np.nan], [2, 3]])), bp.param(np.ones((2, 2)))
    z = bp.lin(x, w)
    z.g = np.ones((2, 2))
    assert bp.judge(w, "x.T @ dz")
    assert not bp.judge(w, "x @ dz")


def test_a_large_gradient_is_judged_in_few_words():
    rng = np.random.default_rng(0)
    w = bp.param(rng.standard_normal((1000, 1000)).astype(np.float32))
    z = bp.lin(rng.standard_normal((50, 1000)).astype(np.float32), w)
    z.g = rng.standard_normal((50, 1000)).astype(np.float32)
    verdict = bp.judge(w, "2 * x.T @ dz")
    assert verdict.mistake == "doubled"
    assert verdict.size == 10**6
    assert len(str(verdict)) < 2000
    with pytest.raises(FormulaError, match=r"50 x 1000 x 1000 = 50,000,000 numbers"):
        bp.judge(w, "(x[:,:,None] * dz[:,None,:]).sum(0)")


# ---- other forms of the network ----


def test_relu_in_place():
    rng = np.random.default_rng(2)
    x, w, w2 = bp.tensor(numbers(rng, 6, 3)), bp.param(numbers(rng, 3, 4)), bp.param(numbers(rng, 4, 2))
    z = bp.lin(x, w)
    loss = bp.mse(bp.lin(bp.relu_(z), w2), numbers(rng, 6, 2))
    loss.backward(keep=True)
    assert bp.judge(w, "x.T @ dz")
    assert bp.judge(w, "x.T @ ((z > 0) * da)")
    assert bp.judge(w, "x.T @ da").mistake == "gradient-after-relu"
    assert bp.judge(w2, "x.T @ dz")


def test_a_deep_network():
    model = bp.mlp([3, *[4] * 12, 2])
    loss = model(np.ones((5, 3), np.float32), np.zeros((5, 2), np.float32))
    assert bp.judge(model.layers[0].w, "x.T @ dz")
    assert bp.judge(model.layers[0].w, "x.T @ ((l1 > 0) * l2.g)")
    assert bp.judge(model.layers[4].w, "x.T @ da").mistake == "gradient-after-relu"
    assert float(loss) >= 0


def test_a_batch_without_rows():
    w = bp.param(np.ones((3, 2)))
    z = bp.lin(np.ones((0, 3)), w)
    z.g = np.ones((0, 2))
    assert bp.judge(w, "x.T @ dz")
    assert not bp.judge(w, "w")

"""judge: right formulas in many spellings, every mistake by its name, and what it says when it cannot judge."""

import functools
import inspect
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pybackprop as bp
from pybackprop.cli import main
from pybackprop.teach.evaluate import evaluate
from pybackprop.teach.formula_error import FormulaError
from pybackprop.teach.grammar import parse
from pybackprop.teach.judge import judge_question
from pybackprop.teach.mistakes import RIGHT, table
from pybackprop.teach.patterns import close
from pybackprop.teach.question import question_of
from pybackprop.teach.use import use_of

SHAPES = [(4, 3, 2), (3, 3, 3), (2, 5, 3), (6, 4, 4)]
OUTPUTS = 2
COMMAND = [sys.executable, "-m", "pybackprop", "judge"]


def numbers(rng, *shape):
    return (rng.uniform(0.2, 1.2, shape) * rng.choice([-1, 1], shape)).astype(np.float32)


def hidden_layer(shape, seed=0, keep=True):
    """By kind of question: x, w, b before a relu, the relu, and mse behind another layer."""
    n, m, h = shape
    rng = np.random.default_rng(seed)
    x, w, b = bp.param(numbers(rng, n, m)), bp.param(numbers(rng, m, h), name="w1"), bp.param(numbers(rng, h))
    w2, b2 = bp.param(numbers(rng, h, OUTPUTS)), bp.param(numbers(rng, OUTPUTS))
    targ = bp.param(numbers(rng, n, OUTPUTS))
    l1 = bp.lin(x, w, b)
    l2 = bp.relu(l1)
    out = bp.lin(l2, w2, b2)
    loss = bp.mse(out, targ)
    loss.backward(keep=keep)
    return {"x": x, "w": w, "b": b, "relu": l1, "mse": out, "targ": targ, "l2": l2, "w2": w2, "b2": b2, "loss": loss}


def last_layer(shape, seed=0):
    """The same kinds where mse stands right behind a linear layer, and x came out of a relu."""
    n, m, h = shape
    rng = np.random.default_rng(seed)
    before, w, b = bp.param(numbers(rng, n, m)), bp.param(numbers(rng, m, h)), bp.param(numbers(rng, h))
    x, targ = bp.relu(before), bp.param(numbers(rng, n, h))
    out = bp.lin(x, w, b)
    loss = bp.mse(out, targ)
    loss.backward(keep=True)
    return {"x": x, "w": w, "b": b, "relu": before, "mse": out, "targ": targ, "loss": loss}


def judged(kind, proposal, shape=(4, 3, 2), **options):
    layer = hidden_layer(shape)  # alive while it is judged
    return bp.judge(layer[kind], proposal, **options)


@functools.cache
def question(make, shape, seed, kind):
    layer = make(shape, seed)
    return question_of(use_of(layer[kind]), {})


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
        "dz.sum(0)", "out.g.sum(axis=0)", "dz.mean(0) * n", "dz.sum(dim=0)", "dz.T.sum(1)", "((z > 0) * da).sum(0)",
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


# ---- mistakes ----


def instances():
    return [(m, kind, text) for m in table() for kind, texts in m.formulas.items() for text in texts]


SPECIAL = {"broadcast-by-accident"}  # only where a column meets a row: below
NETWORK_OF = {"mask-too-many": last_layer, "raw-error": last_layer, "one-step-too-far": last_layer}


def test_there_are_many_mistakes():
    names = {mistake.name for mistake in table()}
    assert len(names) >= 50
    assert len({(m.name, kind) for m, kind, _ in instances()}) == len(
        {(m.name, kind) for m in table() for kind in m.formulas}
    )
    for mistake in table():
        assert mistake.name == mistake.name.lower()
        assert len(mistake.says) > 40
        assert mistake.formulas.keys() <= RIGHT.keys()


@pytest.mark.parametrize(("mistake", "kind", "text"), instances(), ids=lambda p: getattr(p, "name", p))
def test_every_mistake_is_recognised_on_every_shape(mistake, kind, text):
    if mistake.name in SPECIAL:
        return
    make = NETWORK_OF.get(mistake.name, hidden_layer)
    ran = 0
    for seed, shape in enumerate(SHAPES):
        asked = question(make, shape, seed, kind)
        verdict = judge_question(asked, text)
        assert not verdict
        assert verdict.mistake == mistake.name, f"{shape}: {verdict}"
        ran += verdict.runs
        if verdict.shape_ok and not verdict.by_accident:
            assert 0 < verdict.wrong <= verdict.size == asked.samples[0].right.size
        assert len(verdict.hints) >= 2 or verdict.mistake == "constant-added"
        assert "{" not in " ".join(verdict.hints)
        assert all(len(line) <= 100 for line in str(verdict).splitlines() if "^" not in line)
    assert ran, "it runs on a square network at least"


@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 3, 3)], ids=str)
def test_every_mistake_is_recognised_in_a_function_and_an_array(shape):
    for mistake, kind, text in instances():
        if mistake.name in SPECIAL:
            continue
        asked = question(NETWORK_OF.get(mistake.name, hidden_layer), shape, 0, kind)
        by_function = judge_question(asked, as_function(text))
        assert by_function.mistake in twins_of(asked, text), f"{text}: {by_function}"
        try:
            array = evaluate(parse(text), asked.samples[0].roles).array
        except FormulaError:
            continue
        by_array = judge_question(asked, array)
        if by_array.ok:
            assert judge_question(asked, text).by_accident
        else:
            assert by_array.mistake in twins_of(asked, text, only_own=True), f"{text}: {by_array}"


def as_function(text):
    formula = parse(text)

    def proposal(**arguments):
        return evaluate(formula, {name: np.asarray(value) for name, value in arguments.items()}).array

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in formula.names]
    proposal.__signature__ = inspect.Signature(parameters)
    return proposal


def twins_of(question, text, only_own=False):
    """Names of the mistakes whose numbers are the same as text's, so that only the spelling tells them apart."""
    samples = question.samples[:1] if only_own else question.samples

    def value(formula, sample):
        try:
            return evaluate(formula, sample.roles).array
        except FormulaError:
            return None

    wanted = [value(parse(text), sample) for sample in samples]
    names = set()
    for mistake in table():
        for other in mistake.parsed(question.kind):
            found = [value(other, sample) for sample in samples]
            pairs = [(a, b) for a, b in zip(found, wanted, strict=True) if b is not None]
            if all(a is not None and close(a, b) for a, b in pairs):
                names.add(mistake.name)
        if mistake.fits is not None:
            names |= {mistake.name} if text in mistake.formulas.get(question.kind, ()) else set()
    return names | ({"constant-factor"} if only_own else set())


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 99))
def test_the_popular_wrong_answer_on_random_shapes(shape, seed):
    layer = hidden_layer(shape, seed)
    verdict = bp.judge(layer["w"], "dz @ x.T")
    assert verdict.mistake == "rows-for-columns"
    assert verdict.runs == (shape[1] == shape[2])
    assert bp.judge(layer["w"], "x.T @ dz")


def test_the_popular_wrong_answer_is_explained_with_the_actual_numbers():
    layer = hidden_layer((3, 3, 3), seed=4)
    x, dz = layer["x"].data, layer["relu"].g.data
    verdict = bp.judge(layer["w"], "dz @ x.T")
    assert (verdict.runs, verdict.shape_ok, verdict.wrong, verdict.mistake) == (True, True, 9, "rows-for-columns")
    assert "moves column 0 of z, in every row i, by x[i,0] each, and not row 0" in verdict.hints[1]
    k, j = 0, int(verdict.hints[2].split("w1.g[0,")[1][0])
    assert f"w1[0,{j}] moves column {j} of z" in verdict.hints[2]
    assert " + ".join(f"x[{i},{k}]*dz[{i},{j}]" for i in range(3)) in verdict.hints[2]
    assert f"= {(x[:, k] * dz[:, j]).sum():.4g}." in verdict.hints[2]
    assert " + ".join(f"dz[{k},{c}]*x[{j},{c}]" for c in range(3)) in verdict.hints[2]
    assert f"= {(dz[k] * x[j]).sum():.4g}." in verdict.hints[2]
    assert "x.T @ dz" not in str(verdict)


def test_the_clash_of_inner_dimensions_is_said_in_letters():
    verdict = judged("w", "dz @ x.T")
    assert not verdict.runs
    assert not verdict.shape_ok
    assert verdict.wrong is None
    assert "dz (4,2) [i,j] @ x.T (3,4) [k,i]" in verdict.error
    assert "the one counts j, the other k" in verdict.error
    assert "of another network, where it runs" in verdict.hints[2]


def test_the_solution_is_said_only_when_asked_for():
    layer = hidden_layer((4, 3, 2))
    for kind, right in RIGHT.items():
        wrong = f"3.3 * ({right})"
        assert right not in str(bp.judge(layer[kind], "relu(loss)"))
        revealed = bp.judge(layer[kind], wrong, reveal=True)
        assert revealed.solution.startswith("Solution: ")
        assert bp.judge(layer[kind], revealed.solution.split(" = ")[1].split(": ")[0].rstrip(".")), revealed.solution


def test_broadcast_by_accident():
    rng = np.random.default_rng(0)
    x, w = bp.tensor(numbers(rng, 5, 3)), bp.param(numbers(rng, 3, 1))
    out = bp.lin(x, w)
    loss = bp.mse(out, bp.tensor(numbers(rng, 5)))
    verdict = bp.judge(out, "2 * (out - targ) / size")
    assert (verdict.mistake, verdict.shape_ok, verdict.size) == ("broadcast-by-accident", False, 5)
    assert bp.judge(out, "2 * (out - targ[:,None]) / size")
    assert bp.judge(out, "2 * (out - targ[:,None]) / n"), "out has one column: rows and size are the same, always"
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
    assert "Only in row 1 is anything wrong." in verdict.hints
    changed = right.copy()
    changed[:, 1] *= -1
    verdict = bp.judge(layer["w"], changed)
    assert "Only in column 1 is anything wrong." in verdict.hints
    assert "What is wrong has the right size and the wrong sign." in verdict.hints
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


# ---- functions ----


def lin_grad(inp, out, w, b):
    inp.g = out.g @ w.t()
    w.g = inp.t() @ out.g
    b.g = out.g.sum(0)


def wrong_lin_grad(inp, out, w, b):
    inp.g = out.g @ w.t()
    w.g = (inp.t() @ out.g) / len(inp)
    b.g = out.g.mean(0)


def relu_grad(inp, out):
    inp.g = (inp > 0).float() * out.g


def mse_grad(inp, targ):
    inp.g = 2 * (inp - targ) / inp.shape[0]


def test_the_functions_of_the_lesson():
    layer = hidden_layer((4, 3, 2))
    for kind in ("x", "w", "b"):
        assert bp.judge(layer[kind], lin_grad)
    assert bp.judge(layer["x"], wrong_lin_grad)
    assert bp.judge(layer["w"], wrong_lin_grad).mistake == "mean-over-rows"
    assert bp.judge(layer["b"], wrong_lin_grad).mistake == "mean-over-rows"
    assert bp.judge(layer["relu"], relu_grad)
    assert bp.judge(layer["mse"], mse_grad).mistake == "rows-for-size"
    np.testing.assert_array_equal(layer["w"].data, hidden_layer((4, 3, 2))["w"].data)


def test_functions_with_numpy_inside():
    layer = hidden_layer((4, 3, 2))
    assert bp.judge(layer["w"], lambda x, dz: np.asarray(x).T @ np.asarray(dz))
    assert bp.judge(layer["b"], lambda dz: np.sum(dz.data, axis=0).tolist())
    assert bp.judge(layer["w"], lambda x, dz, scale=1.0: scale * x.T @ dz)
    verdict = bp.judge(layer["w"], lambda x, dz: x.T * dz)
    assert not verdict.runs
    assert "ShapeError" in verdict.error
    assert verdict.mistake == "elementwise"


def test_a_function_that_reads_arrays_around_it_is_judged_on_these_numbers_only():
    layer = hidden_layer((4, 3, 2))
    x, l1 = layer["x"], layer["relu"]
    verdict = bp.judge(layer["w"], lambda: x.T @ l1.g)
    assert verdict
    assert "the only numbers" in verdict.summary
    assert "the only numbers" in bp.judge(layer["w"], lambda dz: x.T @ dz).summary


def test_a_function_that_fails():
    layer = hidden_layer((4, 3, 2))
    verdict = bp.judge(layer["w"], lambda x: x / 0 if False else 1 / 0)
    assert not verdict.runs
    assert "ZeroDivisionError" in verdict.error
    assert "left no .g" in bp.judge(layer["w"], lambda x: None).error
    with pytest.raises(FormulaError, match=r"argument 'nonsense' is not in play; in play are .*w1"):
        bp.judge(layer["w"], lambda nonsense: nonsense)
    with pytest.raises(KeyboardInterrupt):
        bp.judge(layer["w"], interrupted)


def interrupted(x):
    raise KeyboardInterrupt


# ---- arrays ----


def test_arrays_and_tensors():
    layer = hidden_layer((4, 3, 2))
    g = layer["w"].g
    for proposal in (g, g.data, g.tolist(), g.data.astype(np.float64) * (1 + 1e-7)):
        verdict = bp.judge(layer["w"], proposal)
        assert verdict
        assert "the only numbers" in verdict.summary
    assert bp.judge(layer["w"], 2 * g.data).mistake == "doubled"
    assert bp.judge(layer["w"], g.data.T).mistake == "answer-transposed"
    assert bp.judge(layer["w"], g.data * np.nan).wrong == 6
    assert bp.judge(layer["b"], 3.0).shape_ok is False
    for nothing in (None, {}, [[1], [2, 3]], object(), 1j):
        with pytest.raises(TypeError, match="expected a formula, a function or an array"):
            bp.judge(layer["w"], nothing)


# ---- names ----


def test_names_of_the_callers_own():
    layer = hidden_layer((4, 3, 2))
    x, l1, w = layer["x"], layer["relu"], layer["w"]
    for given_names in (
        {"data": x, "delta": l1.g},
        {"data": x.data, "delta": l1.g.data},
        {"data": x.data.copy(), "delta": l1.g.data.copy()},
    ):
        verdict = bp.judge(w, "data.T @ delta", **given_names)
        assert verdict
        assert "4 other networks" in verdict.summary, "the names are tensors of the network, so others have them, too"
    assert bp.judge(w, "data.T @ hidden.g", data=x, hidden=l1)
    assert bp.judge(w, "data.T @ dhidden * lr * 2", data=x, hidden=l1, lr=0.5)
    verdict = bp.judge(w, "delta @ data.T", data=x, delta=l1.g)
    assert verdict.mistake == "rows-for-columns"
    assert "data[0,0]*delta[0," in verdict.hints[2] or "data[1,0]*delta[1," in verdict.hints[2]


def test_arrays_of_the_callers_own():
    layer = hidden_layer((4, 3, 2))
    verdict = bp.judge(layer["w"], "x.T @ dz + 0 * q", q=np.ones((3, 2)))
    assert verdict
    assert "the only numbers" in verdict.summary
    with pytest.raises(TypeError, match="expected a tensor, an array or a number"):
        bp.judge(layer["w"], "q", q="text")


def test_own_names_come_before_those_of_the_operation():
    rng = np.random.default_rng(0)
    x = bp.tensor(numbers(rng, 4, 3), name="x")
    w1, w2 = bp.param(numbers(rng, 3, 3)), bp.param(numbers(rng, 3, 2), name="w")
    loss = bp.mse(bp.lin(bp.relu(bp.lin(x, w1)), w2), numbers(rng, 4, 2))
    assert bp.judge(w2, "inp.T @ dz")
    assert not bp.judge(w2, "x.T @ dz"), "x is the data here, not what came into this layer"
    assert float(loss) > 0


def test_out_is_of_the_operation_or_of_the_network():
    layer = hidden_layer((4, 3, 2))
    assert bp.judge(layer["w"], "inp.T @ out.g"), "as in lin_grad(inp, out, w, b)"
    assert bp.judge(layer["w"], "x.T @ ((l1 > 0) * (out.g @ w2.T))"), "as in the forward pass"
    assert bp.judge(layer["relu"], "(inp > 0) * out.g")
    assert bp.judge(layer["w2"], "l2.T @ out.g")


def test_an_unknown_name_lists_those_in_play():
    with pytest.raises(FormulaError, match=r"'dq' .* in play are w1, x, w?.*z, dz, a, da, n, h, m, size"):
        judged("w", "x.T @ dq")


# ---- when there is nothing to judge ----


def test_a_tensor_that_took_no_part():
    with pytest.raises(bp.GradientError, match=r"read by no operation.*keep the loss.*loss\.backward\(keep=True\)"):
        bp.judge(bp.param(np.ones((2, 2))), "x")
    with pytest.raises(bp.GradientError, match=r"make the weights with bp\.param"):
        bp.judge(bp.tensor(np.ones((2, 2))), "x")
    with pytest.raises(TypeError, match="found int, expected a tensor"):
        bp.judge(3, "x")


def test_the_loss_itself():
    with pytest.raises(bp.GradientError, match="the end of the network"):
        judged("loss", "1")


def test_no_gradient_has_arrived():
    w = bp.param(np.ones((3, 2)))
    z = bp.lin(np.ones((4, 3)), w)
    with pytest.raises(bp.GradientError, match=r"no gradient has arrived.*backward\(keep=True\)"):
        bp.judge(w, "x.T @ dz")
    z.g = np.full((4, 2), 0.5)
    assert bp.judge(w, "x.T @ dz")
    assert bp.judge(w, "x.T @ z").mistake == "value-for-gradient"


def test_values_overwritten_since():
    model = bp.mlp([3, 4, 2])
    loss = model(np.ones((5, 3), np.float32), np.zeros((5, 2), np.float32))
    model.backward()
    bp.SGD(model, lr=0.1).step()
    with pytest.raises(bp.GradientError, match="Run forward again"):
        bp.judge(model.layers[0].w, "x.T @ dz")
    assert float(loss) > 0


def test_a_tensor_read_twice():
    rng = np.random.default_rng(0)
    x, w = bp.tensor(numbers(rng, 4, 3)), bp.param(numbers(rng, 3, 3))
    l1 = bp.lin(x, w)
    l2 = bp.lin(l1, w)
    loss = bp.mse(l2, numbers(rng, 4, 3))
    with pytest.raises(bp.GradientError, match=r"was read 2 times.*Name the result.*z=l1"):
        bp.judge(w, "x.T @ dz")
    assert bp.judge(w, "x.T @ dz", z=l1)
    assert bp.judge(w, "x.T @ dz", z=l2)
    assert float(loss) > 0


def test_two_passes_on_the_same_numbers_are_one():
    rng = np.random.default_rng(0)
    x, w, t = numbers(rng, 4, 3), bp.param(numbers(rng, 3, 3)), numbers(rng, 4, 3)
    losses = [bp.mse(bp.lin(x, w), t) for _ in range(2)]
    assert bp.judge(w, "x.T @ dz")
    assert len(losses) == 2


def test_an_operation_without_derivative():
    w = bp.param(np.ones((3, 2)))
    kept = w * 2
    with pytest.raises(bp.GradientError, match="read by no operation"):
        bp.judge(w, "2 * dz")
    assert kept.shape == (3, 2)


def test_a_layer_of_ones_own_is_judged_by_its_own_backward():
    class Scale(bp.Module):
        def __init__(self, s):
            self.s = bp.param(s, name="s")

        def forward(self, inp):
            return inp * self.s

        def bwd(self, out, inp):
            inp.g = out.g * self.s
            self.s.g = (inp * out.g).sum(0)

    rng = np.random.default_rng(0)
    layer = Scale(rng.standard_normal(2))
    model = bp.Model([bp.Lin(rng.standard_normal((3, 2))), layer])
    model(rng.standard_normal((4, 3)), rng.standard_normal((4, 2)))
    verdict = bp.judge(layer.s, "(x * dz).sum(0)")
    assert verdict, str(verdict)
    assert bp.judge(layer.s, "0.1 * (x * dz).sum(0)").mistake == "constant-factor"


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


# ---- how a verdict looks ----


def test_a_verdict_as_dict_json_and_html():
    verdict = judged("w", shape=(3, 3, 3), proposal="x.T @ (dz <= 0)")
    assert isinstance(verdict, bp.Verdict)
    assert json.loads(verdict.to_json()) == verdict.to_dict()
    page = verdict._repr_html_()
    assert "(dz &lt;= 0)" in page
    assert "<li>" in page
    assert "<script" not in page


# ---- the command line ----


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)


def test_the_command_on_the_popular_wrong_answer():
    done = run("dz @ x.T")
    assert (done.returncode, done.stderr) == (1, "")
    assert "rows-for-columns" in done.stdout
    assert "does not run on these shapes" in done.stdout
    assert "moves column 0 of z" in done.stdout
    assert "x.T @ dz" not in done.stdout
    done = run("dz @ x.T", "--shape", "3,3,3", "--reveal")
    assert done.returncode == 1
    assert "its shape (3, 3) is right, and 9 of 9 values are wrong" in done.stdout
    assert "Solution: w.g = x.T @ dz" in done.stdout


def test_the_command_on_a_right_answer():
    assert run("x.T @ dz").returncode == 0


@pytest.mark.parametrize(("of", "formula"), [(kind if kind in "wbx" else {"relu": "z", "mse": "out"}.get(kind, kind), f)
                                             for kind, f in RIGHT.items()])  # fmt: skip
def test_the_command_knows_every_gradient(of, formula, capsys):
    assert main(["judge", "--of", of, "--json", "--seed", "3", "--shape", "5,4,3", "--", formula]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["asked"], found["mistake"]) == (True, f"{of}.g", None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.T @ dq"], "'dq' is no name"),
        (["(" * 1000], "brackets"),
        (["x.__class__"], "not known here"),
        (["x.T @"], "cannot be read"),
        ([""], "nothing is there"),
        ([], "a formula is missing"),
        (["x", "--of", "q"], "invalid choice"),
        (["x", "--shape", "3,3"], "expected three sizes"),
        (["x", "--shape", "0,3,3"], "expected three sizes"),
        (["x", "--shape", "9999999999,3,3"], "expected three sizes"),
        (["x", "--seed", "-1"], "seed"),
    ],
    ids=str,
)
def test_wrong_usage(arguments, words):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_of_mistakes(capsys):
    assert main(["judge", "--list"]) == 0
    listed = capsys.readouterr().out
    for mistake in table():
        assert f"\n{mistake.name}  (" in listed
    assert "{" not in listed
    assert "x.T @ dz" in listed


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

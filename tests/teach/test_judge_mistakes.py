"""judge: every typical mistake is recognised, on every shape, in formulas, functions and arrays."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pybackprop as bp
from helpers.judging import SHAPES, hidden_layer, judged, last_layer, numbers, question
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.judge import judge_question
from pybackprop.teach.judge.kinds import RIGHT
from pybackprop.teach.judge.mistakes import table
from pybackprop.teach.judge.mistakes_patterns import close


def instances():
    mistakes = [mistake for mistake in table() if not mistake.by_repair]
    return [(m, kind, text) for m in mistakes for kind, texts in m.formulas.items() for text in texts]


SPECIAL = {"broadcast-by-accident"}  # only where a column meets a row: below
NETWORK_OF = {
    "x.T @ ((z > 0) * dz)": last_layer, "((z > 0) * dz) @ w.T": last_layer, "((z > 0) * dz).sum(0)": last_layer,
}  # fmt: skip
LAST = {"raw-error", "one-step-too-far"}


def network_of(mistake, text):
    return last_layer if mistake.name in LAST else NETWORK_OF.get(text, hidden_layer)


def test_there_are_many_mistakes():
    names = {mistake.name for mistake in table()}
    assert len(names) >= 50
    for mistake in table():
        assert mistake.name == mistake.name.lower()
        assert len(mistake.says) > 40
        assert mistake.formulas.keys() <= RIGHT.keys()


@pytest.mark.parametrize(("mistake", "kind", "text"), instances(), ids=lambda p: getattr(p, "name", p))
def test_every_mistake_is_recognised_on_every_shape(mistake, kind, text):
    if mistake.name in SPECIAL:
        return
    make = network_of(mistake, text)
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
        asked = question(network_of(mistake, text), shape, 0, kind)
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
        for other in mistake.parsed(question.kind.name):
            found = [value(other, sample) for sample in samples]
            pairs = [(a, b) for a, b in zip(found, wanted, strict=True) if b is not None]
            if all(a is not None and close(a, b) for a, b in pairs):
                names.add(mistake.name)
        if mistake.fits is not None:
            names |= {mistake.name} if text in mistake.formulas.get(question.kind.name, ()) else set()
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
    assert "moves column 0 of l1, in every row i, by x[i,0] each, and not row 0" in verdict.hints[1]
    k, j = 0, int(verdict.hints[2].split("w1.g[0,")[1][0])
    assert f"w1[0,{j}] moves column {j} of l1" in verdict.hints[2]
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
    assert "one counts j, the other k" in verdict.error
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

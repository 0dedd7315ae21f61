"""judge: every sentence is true of the numbers that it is printed for, on networks of all kinds of shapes."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import pybackprop as bp
from helpers.judge_truth import TRUTHS, eq, holds, truth_of
from helpers.judging import hidden_layer, last_layer, question
from pybackprop.teach.example import decimals
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.judge import judge_question
from pybackprop.teach.judge.kinds import RIGHT
from pybackprop.teach.judge.mistakes import table
from pybackprop.teach.judge.repairs import REPAIRED
from pybackprop.teach.judge.substitutions import SUBSTITUTIONS

SHAPES = [(4, 3, 2), (3, 3, 3), (1, 3, 2), (1, 1, 1), (5, 1, 1), (2, 2, 2), (6, 4, 2)]
FUNCTIONS = {"relu": lambda a: np.maximum(a, 0), "abs": np.abs, "len": len}
NUMBER = r"\(?-?[\d.]+(?:e[-+]?\d+)?\)?|nan|inf|-inf"


def test_every_text_of_the_table_has_its_truth():
    for mistake in table():
        if mistake not in (*REPAIRED, *SUBSTITUTIONS):  # these are true if the repair is right: below
            assert len(truth_of(mistake.says)) == 1, mistake.says


def test_a_truth_can_fail():
    """Each of them is false of numbers that have nothing to do with it."""
    rng = np.random.default_rng(0)
    roles = {"x": (4, 3), "w": (3, 2), "b": (2,), **dict.fromkeys(("z", "dz", "a", "da", "out", "targ"), (4, 2))}
    c = SimpleNamespace(**{name: rng.uniform(-1, 1, shape) for name, shape in roles.items()})
    c.n, c.m, c.h, c.size, c.negative_slope = 4, 3, 2, 8, 0.2
    c.g = c.own = rng.uniform(-1, 1, (4, 2))
    c.p = rng.uniform(-1, 1, (4, 2))
    for begin, check in TRUTHS:
        assert not holds(check, c), begin


# ---- many wrong answers ----


def proposals(kind, rng):
    """Wrong formulas: those of all kinds that can be written here, and the right one with something done to it."""
    texts = [text for m in table() for texts in m.formulas.values() for text in texts if "{" not in text]
    right = RIGHT[kind]
    changed = ["({}) * 3", "({}) / 4", "({}) * 2 / n", "({}) + 1", "({}).sum()", "({}).mean(0)", "({})[0]", "({}).T"]
    changed += ["({}) * h", "-({}) / n", "({}) * n / 3", "({}) * size / n", "({}) * 1.001", "0 * ({}) / 0", "({}) / 2"]
    chosen = rng.choice(len(texts), 25, replace=False)
    return [pattern.format(right) for pattern in changed] + [texts[k] for k in chosen]


def by_numpy(text, sample):
    """A formula's numbers by Python itself; None if numpy cannot do it."""
    names = {**{name.replace(".g", "_g"): np.asarray(a, float) for name, a in sample.arrays.items()}, **FUNCTIONS}
    try:
        with np.errstate(all="ignore"):
            value = eval(
                text.replace(".g", "_g"), {"__builtins__": {"__import__": __import__}}, names
            )  # our own texts only
        return np.asarray(value, float)
    except (TypeError, ValueError, AttributeError, NameError, IndexError):
        return None


def case(asked, sample, p):
    numbers = {name: np.asarray(a, float) for name, a in sample.roles.items() if name.isidentifier()}
    sizes = {name: int(numbers[name]) for name in ("n", "m", "h", "size") if name in numbers}
    return SimpleNamespace(**{**numbers, **sizes, "p": p, "g": np.asarray(sample.right, float),
                              "own": numbers.get(asked.kind.role)})  # fmt: skip


def check(asked, text, verdict):
    """Asserts that what a verdict says is true."""
    asked = asked.read_as(parse(text).names)
    own = by_numpy(text, asked.samples[0])
    if verdict.mistake in ("circular", "accumulated"):
        assert any(asked.circular(name) for name in parse(text).names)
        return
    mistake = next((m for m in table() if m.name == verdict.mistake and told(m, verdict)), None)
    assert (mistake is None) == (verdict.mistake is None), verdict
    if mistake in (*REPAIRED, *SUBSTITUTIONS):
        check_repair(asked, text, verdict, mistake)
    elif mistake is not None:
        (true,) = truth_of(mistake.says)
        for sample in asked.samples:
            p = by_numpy(text, sample)
            if p is not None and (sample.right.any() or p.any()):  # else it agrees with everything
                assert holds(true, case(asked, sample, p)), f"{text}: {verdict}"
    if own is not None:
        check_numbers(asked, own, verdict)


def told(mistake, verdict):
    pattern = re.sub(r"\\\{\w+(?::[^}]*)?\\\}", ".*?", re.escape(mistake.says))
    return any(re.fullmatch(pattern, hint, re.DOTALL) for hint in verdict.hints)


def check_repair(asked, text, verdict, mistake):
    """What is said to make it right does so."""
    hint = next(hint for hint in verdict.hints if told(mistake, verdict) and hint != verdict.hints[0])
    if found := re.match(r"It would be right with ([*@]) in place of ([*@]) between (.*) and (.*): ", hint):
        new, old, left, right = found.groups()
        assert left in text
        assert right in text
        places = [m.start() for m in re.finditer(re.escape(old), text)]
        assert any(is_right(asked, f"{text[:k]}{new}{text[k + 1 :]}") for k in places), f"{text}: {hint}"
    elif found := re.match(
        r"It would be right with (\S+?),? (?:.*?)in place of (.+?)(?:\.|, (?:the|which|a) .*)$", hint
    ):
        belongs, other = found.groups()
        places = [m.start() for m in re.finditer(rf"(?<![\w.]){re.escape(other)}(?!\w|\.g\b)", text)]
        repaired = [f"{text[:k]}{belongs}{text[k + len(other) :]}" for k in places]
        assert any(judge_question(asked, new).ok for new in repaired), f"{text}: {hint} {repaired}"
    if found := re.match(r"Without '(.*)' every", hint):
        part = found[1]
        assert part in text, hint
        assert any(judge_question(asked, text[: m.start()] + text[m.end() :]).ok
                   for m in re.finditer(re.escape(part), text)), f"{text}: {hint}"  # fmt: skip
    if found := re.match(r"The (\S+) in it is right for one shape at most", hint):
        sizes = ("n", "m", "h", "size", "(n * h)", "(n * m)", "(m * h)")
        new = [text[: m.start()] + size + text[m.end() :] for m in re.finditer(re.escape(found[1]), text)
               for size in sizes]  # fmt: skip
        assert any(is_right(asked, repaired) for repaired in new), f"{text}: {hint}"


def is_right(asked, text):
    try:
        return judge_question(asked, text).ok
    except FormulaError:
        return False


def check_numbers(asked, own, verdict):
    """The summary counts right, and the element that is shown is wrong and has these numbers."""
    right = np.asarray(asked.samples[0].right, float)
    if own.shape == right.shape and (found := re.search(r"(\d+) of (\d+) values", verdict.summary)):
        assert int(found[1]) == (~np.isclose(own, right, rtol=3e-5, atol=1e-6 * np.abs(right).max())).sum(), verdict
    for hint in verdict.hints:
        found = re.match(rf"On the numbers: .* So [\w.]+\.g(\[[\d,]+\]) is .*?({NUMBER})\. There your answer is (.*)\.",
                         hint, re.DOTALL)  # fmt: skip
        if found:
            at = tuple(map(int, found[1].strip("[]").split(",")))
            shown = re.search(rf"({NUMBER})$", found[3])[1]
            assert eq(float(found[2].strip("()")), right[at]), hint
            assert eq(float(shown), own[at]) or np.isnan(own[at]), hint
            assert shown != found[2], hint
        if found := re.match(r"Only (row|column)s? ([\d, ]+) (?:is|are) wrong", hint):
            wrong = ~np.isclose(own, right, rtol=3e-5, atol=1e-6 * np.abs(right).max())
            lines = np.flatnonzero(wrong.any(1 if found[1] == "row" else 0))
            assert [int(k) for k in found[2].split(", ")] == list(lines), hint


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_said_of_many_wrong_answers_is_true(kind, shape):
    rng = np.random.default_rng([*shape, len(kind)])
    told_of = 0
    for make in (hidden_layer, last_layer):
        if kind == "leaky_relu" and make is last_layer:
            continue
        asked = question(make, shape, 1, kind)
        for text in proposals(kind, rng):
            try:
                verdict = judge_question(asked, text)
            except FormulaError:
                continue
            if not verdict.ok and not verdict.undecided:
                check(asked, text, verdict)
                told_of += verdict.mistake is not None
    assert told_of > 3


# ---- reasons that were false ----


def said(tensor, proposal, **options):
    verdict = bp.judge(tensor, proposal, **options)
    return verdict, " ".join(verdict.hints)


def test_any_single_number_has_a_ratio_and_no_reason_is_made_of_it():
    x, w, b = (bp.param(np.full(shape, 0.7)) for shape in ((1, 1), (1, 1), (1,)))
    loss = bp.mse(bp.lin(x, w, b), np.zeros((1, 1)))
    loss.backward(keep=True)
    for wrong in (0.123, np.full((1, 1), 5.0), lambda x, dz: 3 + x * dz):
        verdict, hints = said(w, np.asarray(wrong).reshape(1, 1) if not callable(wrong) else wrong)
        assert not verdict
        assert verdict.mistake is None, verdict
        assert "depends on the shapes" not in hints


def test_a_two_that_is_there_is_not_called_missing():
    layer = hidden_layer((4, 3, 2))
    verdict, hints = said(layer["mse"], "2 * (out - targ) / size / 2")
    assert verdict.mistake == "factor-too-many"
    assert "Without '/ 2' every number would be right" in hints
    assert "has a factor 2" not in hints
    assert said(layer["mse"], "2 * (out - targ) / size * size")[0].mistake == "factor-too-many"


def test_rows_are_not_said_to_be_added_where_they_are_not():
    layer = hidden_layer((4, 3, 2))
    for kind, right in (("x", "dz @ w1.T"), ("relu", "(z > 0) * da")):
        verdict, hints = said(layer[kind], f"{right} / n")
        assert verdict.mistake == "mean-over-rows"
        assert "shares are added" not in hints


def test_a_relu_is_spoken_of_only_where_there_is_one():
    text = "(x > 0) * (dz @ w.T)"
    for make, mistake in ((hidden_layer, "mask-too-many"), (last_layer, "one-step-too-far")):
        layer = make((4, 3, 2))
        assert said(layer["x"], text)[0].mistake == mistake


def test_zero_by_zero_has_no_number_for_a_size():
    layer = hidden_layer((4, 3, 2))
    verdict, hints = said(layer["mse"], "0 * out / 0")
    assert verdict.mistake is None
    assert "a size belongs in its place" not in hints


def test_letters_of_a_transposed_answer():
    layer = hidden_layer((4, 3, 2))
    assert "at [j,k] instead of [k,j]" in said(layer["w"], "dz.T @ x")[1]
    assert "at [k,i] instead of [i,k]" in said(layer["x"], "w1 @ dz.T")[1]


def test_other_networks_of_the_same_shape_are_called_so():
    x, w = bp.param(np.full((4, 4), 0.5)), bp.param(np.full((4, 4), 0.25))
    loss = bp.mse(bp.lin(x, w), np.zeros((4, 4)))
    loss.backward(keep=True)
    verdict = bp.judge(w, "x.T @ dz")
    assert "4 other networks, 3 of them of other shapes" in verdict.summary


# ---- mistakes that only a repair shows ----


def three_layers():
    rng = np.random.default_rng(5)
    x, targ = bp.param(rng.uniform(-1, 1, (6, 4))), bp.param(rng.uniform(-1, 1, (6, 3)))
    w1, w2 = bp.param(rng.uniform(-1, 1, (4, 5))), bp.param(rng.uniform(-1, 1, (5, 3)))
    b1, b2 = bp.param(rng.uniform(-1, 1, 5)), bp.param(rng.uniform(-1, 1, 3))
    l1 = bp.lin(x, w1, b1)
    l2 = bp.relu(l1)
    out = bp.lin(l2, w2, b2)
    loss = bp.mse(out, targ)
    loss.backward(keep=True)
    return SimpleNamespace(x=x, w1=w1, w2=w2, b1=b1, b2=b2, l1=l1, l2=l2, out=out, targ=targ, loss=loss)


@pytest.mark.parametrize(
    ("tensor", "text", "mistake", "words"),
    [
        ("l1", "(l1 > 0) * out.g @ w2.T", "operator-order", "(l1 > 0) * out.g is computed first"),
        ("l1", "((l1 > 0) * out.g) @ w2.T", "misplaced-brackets", "around the wrong ones"),
        ("w1", "x.T @ (l1 > 0) * (out.g @ w2.T)", "operator-order", "x.T @ (l1 > 0) is computed first"),
        ("w1", "x.T @ ((l1 > 0) * (2 * (out - targ) / size) @ w2.T)", "operator-order", "same precedence"),
        ("w2", "l1.T @ out.g", "value-before-relu", "right with l2, the value after relu, in place of l1"),
        ("w1", "x.T @ out.g", "skipped-step", "right with l1.g in place of out.g"),
        ("b1", "out.g.sum(0)", "skipped-step", "right with l1.g in place of out.g"),
        ("w1", "(x.T @ l1.g).sum(0)", "summed-after-product", "added up once more"),
        ("x", "l1.g @ w2.T", "other-tensor", "right with w1 in place of w2"),
        ("w1", "x.T @ ((l1 > 0) * (out.g @ w2))", "wrong-transpose", "w2"),
        ("out", "2 * (out - targ) / 1000", "number-for-size", "The 1000 in it"),
    ],
)
def test_one_thing_replaced_makes_it_right(tensor, text, mistake, words):
    net = three_layers()
    verdict = bp.judge(getattr(net, tensor), text)
    assert (verdict.ok, verdict.mistake) == (False, mistake), verdict
    assert words in " ".join(verdict.hints)


@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 3, 3), (9, 5, 1), (64, 20, 10)], ids=str)
def test_an_example_has_no_zeros_where_a_mistake_could_hide(shape):
    for seed in range(20):
        t = decimals(shape, seed).tensors
        x, w1, b1, w2, out, targ = (np.asarray(t[k], float) for k in ("x", "w1", "b1", "w2", "out", "targ"))
        l1 = x @ w1 + b1
        dz = (l1 > 0) * (2 * (out - targ) / out.size @ w2.T)
        np.testing.assert_allclose(np.asarray(t["l1"].g)[:, 0], dz[:, 0], atol=1e-5)
        assert np.count_nonzero(np.abs(dz[:, 0]) > 1e-6) >= len(dz) - 1, "but for an output that meets its target"
        assert all(array.all() for array in (x, w1, b1, w2, targ))


def test_no_forgotten_term_passes():
    from pybackprop.teach.learn.steps import question_for

    asked = question_for("one-gradient")
    dz = np.asarray(asked.samples[0].arrays["dz"])[:, 0]
    terms = [f"x[{i},0]*dz[{i},0]" for i in range(len(dz))]
    assert judge_question(asked, " + ".join(terms)).ok
    assert dz.all()
    for left_out in range(len(terms)):
        assert not judge_question(asked, " + ".join(terms[:left_out] + terms[left_out + 1 :])).ok


# ---- a skipped layer ----


def four_layers():
    """x -> l1 -> l2 (relu) -> l3 -> l4 (relu) -> out, with every gradient by numpy."""
    rng = np.random.default_rng(8)
    a = {"x": (6, 4), "w1": (4, 5), "b1": (5,), "w2": (5, 3), "b2": (3,), "w3": (3, 2), "b3": (2,), "targ": (6, 2)}
    t = SimpleNamespace(**{name: bp.param(rng.uniform(-1, 1, shape)) for name, shape in a.items()})
    t.l1 = t.x @ t.w1 + t.b1
    t.l2 = bp.relu(t.l1)
    t.l3 = bp.lin(t.l2, t.w2, t.b2)
    t.l4 = bp.relu(t.l3)
    t.out = t.l4 @ t.w3 + t.b3
    t.loss = bp.mse(t.out, t.targ)
    t.loss.backward(keep=True)
    return t


@pytest.mark.parametrize(
    ("tensor", "text", "right", "later", "earlier"),
    [
        ("w1", "x.T @ out.g", "l1.g", "out", "l1"),
        ("w1", "x.T @ l3.g", "l1.g", "l3", "l1"),
        ("w1", "x.T @ l4.g", "l1.g", "l4", "l1"),
        ("w2", "l2.T @ out.g", "l3.g", "out", "l3"),
        ("b1", "l3.g.sum(0)", "l1.g", "l3", "l1"),
        ("b1", "out.g.sum(0)", "l1.g", "out", "l1"),
        ("b2", "out.g.sum(0)", "l3.g", "out", "l3"),
        ("l1", "(l1 > 0) * l4.g", "l2.g", "l4", "l2"),
        ("l2", "out.g @ w2.T", "l3.g", "out", "l3"),
        ("x", "l3.g @ w1.T", "l1.g", "l3", "l1"),
        ("w1", "x.T @ (2 * (out - targ) / size)", "l1.g", "out", "l1"),
    ],
)
def test_a_skipped_layer_has_its_name(tensor, text, right, later, earlier):
    t = four_layers()
    verdict = bp.judge(getattr(t, tensor), text)
    assert (verdict.ok, verdict.mistake) == (False, "skipped-step"), verdict
    hint = " ".join(verdict.hints)
    assert f"right with {right} in place of" in hint
    assert f"{later} is computed from {earlier} further on" in hint
    other = f"{later}.g"
    if other in text:
        assert bp.judge(getattr(t, tensor), text.replace(other, right))


# ---- hints before, and reasons after: true of the numbers ----


def gradients(t):
    """Every gradient of four_layers, by float64 numpy."""
    a = SimpleNamespace(**{name: np.asarray(tensor) for name, tensor in vars(t).items()})
    g = SimpleNamespace(out=2 * (a.out - a.targ) / a.out.size)
    g.w3, g.b3, g.l4 = a.l4.T @ g.out, g.out.sum(0), g.out @ a.w3.T
    g.l3 = (a.l3 > 0) * g.l4
    g.w2, g.b2, g.l2 = a.l2.T @ g.l3, g.l3.sum(0), g.l3 @ a.w2.T
    g.l1 = (a.l1 > 0) * g.l2
    g.w1, g.b1, g.x = a.x.T @ g.l1, g.l1.sum(0), g.l1 @ a.w1.T
    g.targ = -g.out
    return g


@pytest.mark.parametrize("name", ["x", "w1", "b1", "l1", "l2", "w2", "b2", "l3", "l4", "w3", "b3", "out", "targ"])
def test_the_solution_is_the_gradient_and_its_reason_is_true(name):
    t = four_layers()
    verdict = bp.judge(getattr(t, name), "0 * 1", reveal=True)
    formula, _, why = verdict.solution.partition(" = ")[2].partition(": ")
    names = {f"{key}_g": value for key, value in vars(gradients(t)).items()}
    names |= {key: np.asarray(value) for key, value in vars(t).items()} | {"size": t.out.size}
    found = eval(formula.replace(".g", "_g"), {}, names)
    np.testing.assert_allclose(found, names[f"{name}_g"], rtol=1e-6, atol=1e-9)
    a = SimpleNamespace(**names)
    if match := re.match(r"every row i of (\w+) adds its share (\w+)\[i,k\] \* (\w+)\.g\[i,j\]; the sum over i", why):
        left, right = names[match[2]], names[f"{match[3]}_g"]
        np.testing.assert_allclose(sum(np.outer(left[i], right[i]) for i in range(6)), names[f"{name}_g"], rtol=1e-6)
        assert match[1] == match[3]
    elif match := re.match(r"every column j of (\w+) adds its share (\w+)\.g\[i,j\] \* (\w+)\[k,j\]; the sum", why):
        dz, w = names[f"{match[2]}_g"], names[match[3]]
        shares = [np.outer(dz[:, j], w[:, j]) for j in range(w.shape[1])]
        np.testing.assert_allclose(sum(shares), names[f"{name}_g"], rtol=1e-6, atol=1e-9)
    elif match := re.match(r"(\w+)\[j\] moves column j of (\w+) by 1 in every row; the rows' shares are added", why):
        assert match[1] == name
        np.testing.assert_allclose(names[f"{match[2]}_g"].sum(0), names[f"{name}_g"], rtol=1e-6)
    elif why.startswith("each element passes on its own gradient where it was positive"):
        following = {"l1": a.l2_g, "l3": a.l4_g}[name]
        np.testing.assert_allclose(np.where(names[name] > 0, following, 0), names[f"{name}_g"])
    elif why.startswith("the 2 comes from the square, the 1/size from the mean"):
        np.testing.assert_allclose(names["out_g"] * a.size / 2, a.out - a.targ, rtol=1e-6)
    else:
        assert why.startswith("as for out; the minus comes from the minus before targ"), why
        np.testing.assert_allclose(names["targ_g"], -names["out_g"])


@pytest.mark.parametrize("name", ["x", "w1", "b1", "l1", "w2", "out", "targ"])
def test_the_first_hint_asks_what_the_numbers_answer(name):
    """Which elements move with one element, as the hint asks: those that numpy finds."""
    t = four_layers()
    hint = bp.judge(getattr(t, name), "0 * 1").hints[0]
    a = {key: np.asarray(value) for key, value in vars(t).items()}
    moved, result = {key: value.copy() for key, value in a.items()}, {"w2": "l3", "out": "loss", "targ": "loss"}
    result = result.get(name, {"l1": "l2"}.get(name, "l1"))
    moved[name].flat[0] += 0.5
    if result == "loss":
        assert re.fullmatch(rf"Write the loss down for two numbers, (.*), and move {name}0\.", hint)
        two = {"out0": 0.3, "targ0": -0.2, "out1": 1.5, "targ1": 0.25}
        written = eval(re.search(r"\(\(.*/ 2", hint)[0], {}, two)
        right = float(bp.mse(np.array([0.3, 1.5]), np.array([-0.2, 0.25])))
        assert written == pytest.approx(right)
        return
    computed = {
        "l1": lambda v: v["x"] @ v["w1"] + v["b1"],
        "l2": lambda v: np.maximum(v["l1"], 0),
        "l3": lambda v: v["l2"] @ v["w2"] + v["b2"],
    }[result]
    changed = computed(moved) != computed(a)
    wanted = np.zeros_like(changed)
    wanted[{"x": (0, slice(None)), "l1": (0, 0)}.get(name, (slice(None), 0))] = True
    assert np.array_equal(changed & wanted, changed)
    assert name in hint
    assert result in hint
    if name == "b1":
        assert "b1 has one number for each column, and was broadcast over the rows" in hint
        assert a["b1"].shape == (a["l1"].shape[1],)


def test_the_answer_itself_and_twice_the_answer():
    t = four_layers()
    g = gradients(t)
    np.testing.assert_allclose(np.asarray(t.w1.g), g.w1, rtol=1e-6)
    circular = bp.judge(t.w1, "w1.g * 1")
    assert (circular.mistake, bool(circular)) == ("circular", False)
    assert circular.hints[1].startswith("This uses w1.g, the gradient you are asked for.")
    twice = bp.judge(t.w1, "w1.g + x.T @ l1.g")
    assert twice.mistake == "accumulated"
    assert "gives twice the gradient once backward has run" in twice.hints[1]
    np.testing.assert_allclose(np.asarray(t.w1.g) + np.asarray(t.x).T @ g.l1, 2 * g.w1, rtol=1e-6)
    assert bp.judge(t.w1, "w1.g + 0.5 * (x.T @ l1.g)").mistake == "circular", "that is not twice the gradient"


def test_the_sum_over_all_uses_is_told_from_the_share_of_one():
    rng = np.random.default_rng(2)
    x, w = bp.param(rng.uniform(-1, 1, (5, 3))), bp.param(rng.uniform(-1, 1, (3, 3)))
    l1 = x @ w
    out = l1 @ w
    targ = rng.uniform(-1, 1, (5, 3))
    loss = bp.mse(out, targ)
    loss.backward(keep=True)
    dout = 2 * (np.asarray(out) - targ) / 15
    shares = np.asarray(x).T @ (dout @ np.asarray(w).T), np.asarray(l1).T @ dout
    verdict = bp.judge(w, sum(shares), z=l1)
    assert verdict.mistake == "all-uses"
    assert "the sum over all uses of the tensor" in verdict.hints[1]
    np.testing.assert_allclose(np.asarray(w.g), sum(shares), rtol=1e-6)
    for share, result in zip(shares, (l1, out), strict=True):
        right = bp.judge(w, share, z=result)
        assert right
        assert "It is the share of one use; w1.g is the sum over both uses" in right.summary

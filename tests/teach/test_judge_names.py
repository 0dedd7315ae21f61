"""judge: which tensor a name means, that the verdict says so, and that a wrong reading is never called right."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.judging import numbers
from helpers.lesson_classes import Lin
from pybackprop.teach.formula.errors import FormulaError

SHAPES = [(4, 3, 2, 5), (3, 3, 3, 3), (6, 2, 4, 2), (5, 4, 4, 4), (2, 2, 2, 2), (7, 3, 3, 3)]


def network(shape, seed=0):
    """Two layers, with the lesson's names as keys; no tensor has a name of its own."""
    n, m, h, k = shape
    rng = np.random.default_rng([seed, *shape])
    x, y = bp.tensor(numbers(rng, n, m)), bp.tensor(numbers(rng, n, k))
    w1, b1, w2, b2 = (bp.param(numbers(rng, *s)) for s in ((m, h), (h,), (h, k), (k,)))
    l1 = bp.lin(x, w1, b1)
    l2 = bp.relu(l1)
    out = bp.lin(l2, w2, b2)
    loss = bp.mse(out, y)
    loss.backward(keep=True)
    return {"x": x, "w1": w1, "b1": b1, "l1": l1, "l2": l2, "w2": w2, "b2": b2, "out": out, "y": y, "loss": loss}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_skipped_layer_is_not_right(shape, seed):
    t = network(shape, seed)
    for tensor, formula in (
        ("w1", "x.T @ out.g"),
        ("b1", "out.g.sum(0)"),
        ("w2", "x.T @ out.g"),
        ("x", "out.g @ w1.T"),
        ("l1", "(x > 0) * out.g"),
        ("w1", lambda x, out: x.T @ out.g),
        ("b1", lambda out: np.sum(out.g, axis=0)),
    ):
        assert not bp.judge(t[tensor], formula), (tensor, formula)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_right_answers_in_the_names_of_the_network_and_of_the_operation(shape):
    t = network(shape)
    right = {
        "w1": ["x.T @ l1.g", "inp.T @ out.g", "self.inp.T @ self.out.g", "x.T @ dz",
               "x.t() @ ((l1 > 0) * (out.g @ w2.T))"],
        "w2": ["l2.T @ out.g", "inp.T @ out.g", "x.T @ dz", "l2.T @ (2 * (out - y) / out.size)",
               "self.x.T @ self.out.g"],
        "b1": ["l1.g.sum(0)", "self.out.g.sum(0)", "dz.sum(0)", "dout.sum(0)"],
        "b2": ["out.g.sum(0)", "dz.sum(0)"],
        "x": ["l1.g @ w1.T", "out.g @ w.T", "dz @ w1.T"],
        "l2": ["out.g @ w2.T", "dz @ w.T", "dz @ w2.T"],
        "l1": ["(l1 > 0) * l2.g", "(inp > 0) * out.g", "(x > 0) * dout", "(l1 > 0) * (out.g @ w2.T)"],
        "out": ["2 * (out - y) / out.size", "2 * (out - targ) / size"],
    }  # fmt: skip
    for name, formulas in right.items():
        for formula in formulas:
            assert bp.judge(t[name], formula), (name, formula, str(bp.judge(t[name], formula)))


def test_the_verdict_says_how_a_name_with_two_meanings_was_read():
    t = network((4, 3, 2, 5))
    wrong = bp.judge(t["w1"], "x.T @ out.g")
    assert wrong.reading == (
        "Read here: out as the network's out, not as what this step calls out, l1. If yours is another tensor, give "
        "it: out=out."
    )
    assert wrong.reading in " ".join(str(wrong).split())
    assert "not as what this step calls out, l1" in wrong._repr_html_()
    right = bp.judge(t["w2"], "x.T @ dz")
    assert right.reading == "Read here: x as what this step calls x, l2, not as the network's x."
    assert "x as what this step calls x, l2; out" not in str(right)
    both = bp.judge(t["l1"], "(x > 0) * out.g")
    assert "x as the network's x, not as what this step calls x, l1; out as the network's out" in both.reading
    for tensor, formula in (("w1", "x.T @ l1.g"), ("w1", "x.T @ dz"), ("w2", "l2.T @ out.g"), ("out", "out - targ")):
        assert bp.judge(t[tensor], formula).reading is None


def test_own_names_have_one_meaning_only():
    t = network((3, 3, 3, 3))
    assert bp.judge(t["w2"], "x.T @ dz")
    assert bp.judge(t["w1"], "x.T @ out.g", out=t["l1"])
    assert bp.judge(t["w1"], "x.T @ out.g", out=t["l1"]).reading is None
    t["x"].name = "x"
    assert not bp.judge(t["w2"], "x.T @ dz"), "x is the data"
    t["w1"].name = "w"
    assert not bp.judge(t["x"], "out.g @ w.T"), "w is the learner's own name, so out is the network's"


def test_texts_speak_of_the_tensors_of_the_network():
    t = network((4, 3, 2, 5))
    for formula in ("l2 @ out.g", "l2.T @ out", "2 * l2.T @ out.g", "out.g.T @ l2", "l2.T * out.g"):
        verdict = bp.judge(t["w2"], formula, reveal=True)
        assert verdict.asked == "w2.g"
        assert verdict.solution.startswith("Solution: w2.g = l2.T @ out.g: every row i of out adds its share l2[i,k]")
        text = " ".join(verdict.hints)
        assert "w2" in text
        assert "out" in text
        words = set(text.replace("[", " ").replace(".", " ").replace(",", " ").split())
        assert not words & {"w", "x", "z", "dz", "inp"}, text
    assert bp.judge(t["l2"], "out.g").asked == "l2.g"
    assert bp.judge(t["l1"], "l2.g", reveal=True).solution.startswith("Solution: l1.g = (l1 > 0) * l2.g")


# ---- the lesson's classes, word for word ----


class Relu:
    def __call__(self, inp):
        self.inp = inp
        self.out = bp.relu(inp)
        return self.out

    def backward(self):
        self.inp.g = (self.inp > 0).float() * self.out.g


class Mse:
    def __call__(self, inp, targ):
        self.inp, self.targ = inp, targ
        self.out = bp.mse(inp, targ)
        return self.out

    def backward(self):
        self.inp.g = 2.0 * (self.inp.squeeze() - self.targ).unsqueeze(-1) / self.targ.shape[0]


def test_a_skipped_layer_is_not_right_where_the_loss_is_written_out():
    rng = np.random.default_rng(1)
    x, targ = bp.tensor(numbers(rng, 5, 4)), bp.tensor(numbers(rng, 5))
    w1, b1, w2, b2 = (bp.param(numbers(rng, *s)) for s in ((4, 4), (4,), (4, 1), (1,)))
    first, second = Lin(w1, b1), Lin(w2, b2)
    loss = ((second(bp.relu(first(x))).squeeze() - targ) ** 2).mean()
    loss.backward(keep=True)
    for w in (w1, w2):
        assert bp.judge(w, "inp.T @ out.g")
        assert not bp.judge(w, "x.T @ out.g")
    assert not bp.judge(b1, "out.g.sum(0)")
    assert bp.judge(b2, "out.g.sum(0)")
    assert bp.judge(w2, "l2.T @ out.g")


class Model:
    def __init__(self, w1, b1, w2, b2):
        self.layers = [Lin(w1, b1), Relu(), Lin(w2, b2)]
        self.loss = Mse()

    def __call__(self, x, targ):
        for layer in self.layers:
            x = layer(x)
        return self.loss(x, targ)

    def backward(self):
        self.loss.backward()
        for layer in reversed(self.layers):
            layer.backward()


@pytest.mark.parametrize("keeps_loss", [True, False])
def test_the_classes_of_the_lesson(keeps_loss):
    rng = np.random.default_rng(0)
    x, targ = bp.tensor(numbers(rng, 5, 3)), bp.tensor(numbers(rng, 5))
    w1, b1, w2, b2 = (bp.param(numbers(rng, *s)) for s in ((3, 4), (4,), (4, 1), (1,)))
    model = Model(w1, b1, w2, b2)
    loss = model(x, targ)
    model.backward()
    if not keeps_loss:
        model.loss.out = loss = None
    for w in (w1, w2):
        np.testing.assert_allclose(w.g, bp.as_tensor(w.g))
        for formula in (
            "inp.T @ out.g",
            "self.inp.t() @ self.out.g",
            "self.w.g = self.inp.t() @ self.out.g",
            "x.T @ dz",
        ):
            verdict = bp.judge(w, formula)
            assert verdict, (formula, str(verdict))
            assert "4 other networks" in verdict.summary
        assert bp.judge(w, "inp.T @ out.g / len(inp)").mistake is not None
        assert not bp.judge(w, "inp.T @ out")
    assert not bp.judge(w1, "x.T @ out.g"), "a skipped layer"
    assert bp.judge(w1, "inp.T @ ((out > 0) * da)"), "out is the sum with the bias, which relu's mask is about"
    assert bp.judge(x, "self.out.g @ self.w.t()")
    for b in (b1, b2):
        assert bp.judge(b, "self.out.g.sum(0)")
        assert bp.judge(b, "dz.sum(0)")
    assert (loss is None) is not keeps_loss


# ---- networks in the learner's own words ----


def own_network():
    """z = X @ W + B, a = relu(z), y = a @ V, as variables of the learner's: no tensor has a name."""
    rng = np.random.default_rng(5)
    X, W, B, V = (bp.param(numbers(rng, *s)) for s in ((4, 3), (3, 2), (2,), (2, 2)))
    z = bp.lin(X, W, B)
    a = bp.relu(z)
    y = bp.lin(a, V)
    loss = bp.mse(y, numbers(rng, 4, 2))
    loss.backward(keep=True)
    return {"X": X, "W": W, "B": B, "V": V, "z": z, "a": a, "y": y, "loss": loss}


OWN_NAMES = r"A tensor that you call by another name is given by it: bp.judge\(w, ..., pred=pred\)$"


@pytest.mark.parametrize(
    ("tensor", "formula", "said"),
    [
        ("W", "X.T @ z.g", "'X' is not a name you can use here; .*; did you mean x\\?"),
        ("W", "inputs.T @ z.g", "'inputs' is not a name"),
        ("W", "x.T @ outg", "'outg' is not a name you can use here; .*; did you mean out.g\\?"),
        ("V", "inp.T @ pred.g", "'pred.g' is not a name you can use here"),
        ("V", "hidden.T @ out.g", "'hidden' is not a name you can use here"),
        ("a", "h.g @ w2.T", "'h.g' is not available: h = 2 is a number here; available are x \\(4,3\\), w1 \\(3,2\\)"),
        ("W", lambda X, dz: X.T @ dz, "argument 'X' is not available; available are .*; did you mean x\\?"),
        ("W", lambda g: g, "argument 'g' is not available; available are x \\(4,3\\), w1 \\(3,2\\)"),
    ],
)  # fmt: skip
def test_an_unknown_name_says_which_there_are_and_how_to_give_an_own_one(tensor, formula, said):
    t = own_network()
    with pytest.raises(FormulaError, match=f"(?s){said}.*{OWN_NAMES}"):
        bp.judge(t[tensor], formula)


def test_names_that_are_given_mean_the_learners_tensors():
    t = own_network()
    X, z, a, y = (t[name] for name in "Xzay")
    assert bp.judge(t["W"], "X.T @ z.g", X=X, z=z)
    assert bp.judge(t["V"], "h.T @ pred.g", h=a, pred=y)
    assert bp.judge(t["V"], "a.T @ y.g", a=a, y=y)
    assert bp.judge(a, "y.g @ V.T", y=y, V=t["V"])
    assert bp.judge(t["W"], lambda X, dz: X.T @ dz, X=X)


def test_where_all_tensors_have_names_none_is_asked_for():
    t = own_network()
    for name, tensor in t.items():
        tensor.name = name
    t["loss"]._node.inputs[1].name = "targ"
    with pytest.raises(FormulaError, match=r"did you mean X\?") as caught:
        bp.judge(t["W"], "XT @ z.g")
    assert "another name" not in str(caught.value)


def test_a_size_taken_for_a_tensor_is_said():
    t = own_network()
    verdict = bp.judge(t["V"], "h.T @ out.g")
    assert verdict.reading == "Read here: h as the number 2, a size. If it is a tensor of yours, give it: h=h."
    assert "one operand is a single number, h.T = 2; write *" in verdict.error
    assert bp.judge(t["y"], "2 * (out - targ) / (n * h)").reading is None


@pytest.mark.parametrize(("tensor", "formula"), [("V", "inp.T @ y.g"), ("V", "inp.T @ dy"), ("y", "y - targ")])
def test_y_read_as_the_target_is_said(tensor, formula):
    t = own_network()
    verdict = bp.judge(t[tensor], formula)
    assert not verdict
    assert verdict.reading.endswith("Read here: y as targ, the target. If it is a result of yours, give it: y=y.")
    right = "2 * (y - targ) / y.size" if tensor == "y" else formula
    assert bp.judge(t[tensor], right, y=t["y"]).reading is None
    assert bp.judge(t["y"], "out - y").reading is None

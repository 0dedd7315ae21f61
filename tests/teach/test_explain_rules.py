"""What explain knows of an operation: the rules registered for it, and, without one, what it measures."""

import inspect
import pydoc

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.networks import numbers
from pybackprop import ops
from pybackprop.nn import handwritten
from pybackprop.teach.explain.rules import Rule, activation, rule, rule_for
from pybackprop.teach.trace.graph import networks_of


def words(explanation):
    return " ".join(str(explanation).split())


@pytest.fixture
def defined(monkeypatch):
    """define_op, whose operations are forgotten after the test."""
    monkeypatch.setattr(ops.op, "registry", dict(ops.op.registry))
    return bp.define_op


def bent(defined, **facts):
    """leaky_relu once more, in Python alone."""
    return defined(
        "bent",
        forward=lambda x, slope=0.01: np.where(x > 0, x, slope * x),
        backward=lambda dout, x, slope=0.01: np.where(x > 0, dout, slope * dout),
        elementwise=True,
        kink=0.0,
        **facts,
    )


def scaled(defined, **facts):
    """x * alpha, with a factor for each column."""
    return defined(
        "scaled",
        forward=lambda x, alpha: x * alpha,
        backward=lambda dout, x, alpha: (dout * alpha, (dout * x).sum(0)),
        operands=("inp", "alpha"),
        **facts,
    )


def network(dtype, activation, **params):
    """(tensors, loss) of mse(activation(x @ w1 + b1) @ w2, targ) after a backward that keeps every gradient."""
    arrays = numbers(dtype)
    t = {name: bp.param(arrays[name]) for name in ("w1", "b1", "w2")}
    t["l1"] = bp.lin(arrays["x"], t["w1"], t["b1"])
    t["l2"] = activation(t["l1"], **params)
    t["out"] = bp.lin(t["l2"], t["w2"])
    t["loss"] = bp.mse(t["out"], arrays["targ"])
    t["loss"].backward(keep=True)
    return t


# ---- without a rule ----


def test_an_elementwise_operation_of_ones_own(defined, dtype):
    t = network(dtype, bent(defined), slope=0.25)
    for at in np.ndindex(t["l1"].shape):
        e = bp.explain(t["l1"], at=at)
        assert e.is_measured
        assert e.agrees
        assert [term.at for term in e.terms] == [at]
        assert e.terms[0].local == pytest.approx(1 if t["l1"].data[at] > 0 else 0.25, rel=1e-6)
        assert abs(e.check) < (1e-4 if dtype == np.float32 else 1e-7)
    assert "No rule is registered for 'bent': what moves, and by how much, was measured by nudging." in words(e)
    assert "as closely as slopes can be measured" in words(e)
    assert "bit for bit" not in words(e)


def test_what_lies_before_it_has_the_bits_of_its_gradient(defined, dtype):
    t = network(dtype, bent(defined))
    for at in np.ndindex(t["w1"].shape):
        e = bp.explain(t["w1"], at=at)
        assert not e.is_measured
        assert_same_bits(dtype(e.total), t["w1"].g.data[at])


def test_what_the_record_says_of_it_is_said_with_the_names_at_hand(defined):
    formula = "(inp > 0) * out.g + slope * (inp <= 0) * out.g"
    op = bent(defined, equation="out = inp where inp > 0, else slope inp", gradients=(formula,))
    t = network(np.float64, op, slope=0.5)
    e = bp.explain(t["l1"])
    assert e.matmul == "(l1 > 0) * l2.g + 0.5 * (l1 <= 0) * l2.g"
    assert "It computes out = inp where inp > 0, else slope inp." in words(e)
    chain = words(bp.explain(t["loss"]))
    assert "v = bent(u1)" in chain
    assert "v is what bent passes on" in chain
    assert "after bent.grad(l1, l2, slope=0.5)" in chain
    assert "l1.g (6,5) = (l1 > 0) * l2.g + 0.5 * (l1 <= 0) * l2.g" in chain


def test_at_its_corner_the_slope_that_its_backward_takes_is_said(defined):
    w = bp.param([[0.0]], np.float64)
    loss = bp.mse(bent(defined)(bp.lin(np.ones((1, 1)), w), slope=0.25), np.full((1, 1), 3.0))
    loss.backward(keep=True)
    (network,) = networks_of(w)
    e = bp.explain(network.operations[0].output)
    assert e.agrees
    assert "l1[0,0] is at the corner of 'bent', where there are two slopes; its backward uses 0.25" in words(e)
    e = bp.explain(w)
    assert (e.measured.left, e.measured.right) == (pytest.approx(-1.5, rel=1e-3), pytest.approx(-6, rel=1e-3))
    assert "0, the corner of bent, where there are two slopes" in words(e)
    assert "bent'(0) = 0.25" in words(e)


def test_an_operation_whose_elements_move_several(defined, dtype):
    arrays = numbers(dtype)
    alpha, w1 = bp.param(np.linspace(1, 2, 5), dtype), bp.param(arrays["w1"])
    l1 = bp.lin(arrays["x"], w1)
    loss = bp.mse(scaled(defined)(l1, alpha), np.zeros((6, 5), dtype))
    loss.backward(keep=True)
    for at in range(5):
        e = bp.explain(alpha, at=at)
        assert e.agrees
        assert e.name == "alpha"
        assert [term.at for term in e.terms] == [(i, at) for i in range(6)]
        assert [term.local for term in e.terms] == pytest.approx(list(l1.data[:, at]), rel=1e-5)
    assert "alpha[4] is used in out = scaled(l1, alpha). In out it moves 6 elements, and nothing else." in words(e)
    assert bp.explain(l1, at=(2, 3)).agrees
    assert e.latex()
    assert e.mathml()
    assert e.plot()


def test_a_loss_of_ones_own(defined):
    mae = defined(
        "mae",
        forward=lambda out, targ: np.abs(out - targ).mean(),
        backward=lambda dout, out, targ: (
            np.sign(out - targ) * dout / out.size,
            -np.sign(out - targ) * dout / out.size,
        ),
        operands=("out", "targ"),
    )
    arrays = numbers(np.float64)
    w = bp.param(arrays["w1"])
    out = bp.lin(arrays["x"], w)
    loss = mae(out, np.zeros((6, 5)))
    loss.backward(keep=True)
    e = bp.explain(out, at=(1, 2))
    assert e.agrees
    assert e.moves == "out[1,2] is used in loss = mae(out, targ). It moves loss directly."
    assert "∂loss/∂loss = 1" in str(e)
    assert bp.explain(w).agrees
    assert "z is the mae" in str(bp.explain(loss))
    with pytest.raises(bp.GradientError, match="the page needs a loss at the end, such as mse"):
        bp.explain(loss).to_html()


def test_a_layer_of_ones_own_with_two_arguments():
    class Gate(bp.Module):
        def forward(self, a, b):
            return a * b

        def bwd(self, out, a, b):
            a.g, b.g = out.g * b, out.g * a

    a, b = (bp.param(np.random.default_rng(k).standard_normal((3, 2)), np.float64) for k in range(2))
    loss = bp.mse(handwritten.run(Gate(), (a, b)), np.zeros((3, 2)))
    loss.backward()
    for t in (a, b):
        e = bp.explain(t, at=(1, 1))
        assert e.agrees
        assert "No rule is registered for 'Gate'" in words(e)


def test_a_network_with_it_is_not_on_the_page(defined):
    t = network(np.float32, bent(defined))
    with pytest.raises(bp.GradientError, match="the page supports lin, relu and mse, but this network has 'bent'"):
        bp.explain(t["w1"]).to_html()


# ---- leaky_relu ----


@pytest.mark.parametrize("slope", [0.01, 0.3])
def test_leaky_relu(dtype, slope):
    t = network(dtype, bp.leaky_relu, negative_slope=slope)
    for name in ("l1", "w1", "b1"):
        for at in np.ndindex(t[name].shape):
            e = bp.explain(t[name], at=at)
            assert not e.is_measured
            assert_same_bits(dtype(e.total), t[name].g.data[at])
            assert abs(e.check) < (1e-4 if dtype == np.float32 else 1e-7)
    off = tuple(np.argwhere(t["l1"].data < 0)[0])
    e = bp.explain(t["l1"], at=off)
    i, j = off
    assert e.terms[0].local == dtype(slope)
    assert e.moves == f"l1[{i},{j}] is used in l2 = leaky_relu(l1). In l2 it moves l2[{i},{j}], and nothing else."
    assert f"l1[{i},{j}] is not above 0: the factor is {slope}." in words(e)
    assert f"its own factor, 1 or {slope}. Hence * and not @" in words(e)
    assert e.matmul == f"(l1 > 0) * l2.g + {slope} * (l1 <= 0) * l2.g"
    assert f"after bp.leaky_relu_grad(l1, l2, negative_slope={slope})" in str(bp.explain(t["loss"]))


def test_leaky_relu_at_its_corner():
    w = bp.param([[0.0]], np.float64)
    loss = bp.mse(bp.leaky_relu(bp.lin(np.ones((1, 1)), w)), np.full((1, 1), 3.0))
    loss.backward()
    assert "crosses 0, the corner of leaky_relu" in words(bp.explain(w))
    assert "leaky_relu'(0) = 0.01" in words(bp.explain(w))


# ---- rules ----


def test_a_rule_registered_from_outside_is_used(defined):
    op = bent(defined)

    @rule(op)
    class Bent(activation.LeakyRelu):
        def below(self, operation):
            return operation.params.get("slope", 0.01)

        def computed(self, operation, slot, network):
            return "as I say"

    t = network(np.float64, op, slope=0.5)
    e = bp.explain(t["l1"])
    assert not e.is_measured
    assert e.agrees
    assert e.matmul == "as I say"
    assert "No rule" not in str(e)


def test_every_operand_of_every_operation_of_the_library_has_a_rule():
    arrays = numbers(np.float32)
    t = {name: bp.param(array) for name, array in arrays.items()}
    hidden = bp.leaky_relu(bp.relu(bp.relu_(bp.lin(t["x"], t["w1"], t["b1"])).clone() + 1.0))
    hidden = bp.sigmoid(bp.tanh(hidden))
    out = hidden @ t["w2"] + t["b2"]
    turned = (1 / (2 - (-out.T).reshape(out.shape)) * 2.0 / out).double().float().clamp_min(0.5)[:, :]
    loss = bp.mse(out, t["targ"]) + ((turned.sqrt() - t["targ"]) ** 2).sum(0).mean()
    loss.backward()
    (network,) = networks_of(t["x"])
    of_rows = {ops.SOFTMAX, ops.LOG_SOFTMAX, ops.NLL}  # explained by measuring
    known = {op for op in vars(ops).values() if isinstance(op, ops.Op)} - of_rows
    known -= {ops.CROSS_ENTROPY, ops.BINARY_CROSS_ENTROPY}  # tests of their own
    assert {op.op for op in network} == known
    for op in network:
        for slot in range(len(op.inputs)):
            assert not rule_for(op, slot).measured, op.name
            assert type(rule_for(op, slot)).words is not Rule.words


def test_the_number_that_was_added_is_said():
    w = bp.param(np.ones((2, 2)), np.float32)
    loss = bp.mse(w + 1.5, np.zeros((2, 2), np.float32))
    loss.backward()
    assert "u = x + 1.5" in str(bp.explain(loss))


def test_of_several_losses_the_sum_is_what_the_chain_begins_at():
    w, x = bp.param(np.ones((2, 2)), np.float32), np.ones((3, 2), np.float32)
    loss = bp.mse(bp.lin(x, w), np.zeros((3, 2), np.float32)) + bp.mse(bp.lin(2 * x, w), np.zeros((3, 2), np.float32))
    loss.backward()
    said = words(bp.explain(loss))
    assert "one factor for each step on the way to u3, and adds the ways:" in said
    assert "∂u3/∂w1 = ∂u3/∂z1 · ∂z1/∂u1 · ∂u1/∂w1 + …" in said


# ---- bp.explain itself ----


def test_explain_is_a_function_that_help_describes():
    assert inspect.isfunction(bp.explain)
    assert bp.explain.__name__ == "explain"
    said = pydoc.render_doc(bp.explain, renderer=pydoc.plaintext)
    assert "explain(t: 'Tensor', at: 'Any' = None, *, loss: 'Tensor | None' = None) -> 'Explanation'" in said
    assert "Why t.g[at] is what it is" in said
    assert bp.explain.compare(size=(4, 3, 2)).same_terms


@pytest.mark.parametrize("kind", [bp.Explanation, type(bp.explain.compare(size=(2, 2, 2)))])
def test_everything_that_an_explanation_offers_has_a_docstring(kind):
    public = [name for name in dir(kind) if not name.startswith("_")]
    assert public
    for name in public:
        assert inspect.getdoc(getattr(kind, name)), name


@pytest.mark.parametrize(
    "targ", [[0, 2, 1, 1], np.full((4, 3), 1 / 3), np.eye(3)[[0, 2, 1, 1]]], ids=["labels", "even", "one-hot"]
)
def test_the_gradient_of_cross_entropy_is_softmax_less_target(rng, targ):
    out = bp.param(rng.standard_normal((4, 3)), np.float64, name="out")
    loss = bp.cross_entropy(out, bp.tensor(np.asarray(targ), np.float64))
    loss.backward()
    shares = np.eye(3)[targ] if np.ndim(targ) == 1 else targ
    for i, j in np.ndindex(4, 3):
        e = bp.explain(out, at=(i, j))
        assert e.agrees
        assert not e.is_measured
        assert e.total == out.g.data[i, j]
        assert e.total == pytest.approx((bp.softmax(out).data[i, j] - shares[i][j]) / 4, abs=1e-15)
        assert abs(e.measured.slope - e.total) < 1e-8
        text = " ".join(str(e).split())
        assert f"through the loss of row {i}, and no other row's" in text
        assert f"which is softmax(out)[{i},{j}] = {bp.softmax(out).data[i, j]:.6g}" in text
        assert "-0;" not in text
    written = "targ" if np.ndim(targ) == 2 else "one_hot(targ, 3)"
    assert e.matmul == f"(softmax(out) - {written}) / 4"
    assert bp.judge(out, e.matmul.replace("3", "h").replace("4", "n"))


@pytest.mark.parametrize(("out", "targ"), [((4, 2), (4, 2)), ((5, 1), (5,)), ((5, 1), (5, 1)), ((3,), (3,))], ids=str)
def test_a_yes_or_no_question(dtype, out, targ):
    """Every score is explained bit for bit, whatever the shapes, also through a layer and behind a factor."""
    rng = np.random.default_rng(0)
    scores, answers = bp.param(rng.standard_normal(out).astype(dtype)), rng.random(targ).astype(dtype)
    loss = bp.binary_cross_entropy_with_logits(scores, answers)
    loss.backward(keep=True)
    for at in np.ndindex(out):
        e = bp.explain(scores, at=at)
        assert not e.is_measured
        assert e.agrees
        assert "bit for bit" in words(e)
        assert abs(e.check) < (1e-3 if dtype == np.float32 else 1e-7)
    assert f"/ {scores.size}" in e.matmul
    doubled = 2 * bp.binary_cross_entropy_with_logits(scores, answers)
    doubled.backward(keep=True)
    assert bp.explain(scores).agrees

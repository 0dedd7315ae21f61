"""explain: what moves, by how much, how much the loss cares, the sum in the definition's bits, and the check."""

import json
import math
import time

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.networks import NETWORKS, by_hand, layers, numbers, right_gradients, tape, tensors_of
from pybackprop.teach.explain import chain_facts
from pybackprop.teach.explain.rules import linear

MATMUL = {
    "w1": "x.T @ l1.g",
    "b1": "l1.g.sum(0)",
    "x": "l1.g @ w1.T",
    "l1": "(l1 > 0) * l2.g",
    "l2": "out.g @ w2.T",
    "w2": "l2.T @ out.g",
    "b2": "out.g.sum(0)",
    "out": "2 * (out - targ) / 18",
    "targ": "2 * (targ - out) / 18",
}


# ---- the sum is the gradient, bit for bit ----


@pytest.mark.parametrize("network", NETWORKS)
def test_every_element_of_every_tensor(network, dtype):
    arrays = numbers(dtype)
    right = right_gradients(arrays)
    t = network(arrays)
    checked = 0
    for name in right.keys() & t.keys():
        for at in np.ndindex(t[name].shape):
            e = bp.explain(t[name], at=at)
            assert_same_bits(t[name].dtype.type(e.total), right[name][at])
            assert e.agrees, (name, at)
            assert e.notes == ()
            assert abs(e.check) < (1e-4 if dtype == np.float32 else 1e-7), (name, at, e.check)
            assert sum(term.product for term in e.terms) == pytest.approx(e.total, rel=1e-4, abs=1e-6)
            checked += 1
    assert checked >= 70


@pytest.mark.parametrize("network", NETWORKS[:3])
def test_the_matrix_formula_gives_the_gradient(network):
    t = network(numbers(np.float64))
    for name, formula in MATMUL.items():
        e = bp.explain(t[name])
        assert e.matmul == formula
        read = {key: value.data for key, value in t.items() if isinstance(value, bp.Tensor)}
        for key in ("l1", "l2", "out"):
            formula = formula.replace(f"{key}.g", f"{key}_g")
            read[f"{key}_g"] = bp.explain(t[key], at=(0, 0)).walk.of(t[key])
        found = eval(formula, {}, read)
        np.testing.assert_allclose(found, e.walk.of(t[name]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thousands_of_rows_in_segments_on_real_digits(dtype):
    """More rows than a segment has: the definition cuts the sum there, and a plain chain has other bits."""
    digits = bp.data.digits()
    x, targ = digits.x_train.astype(dtype), np.eye(10, dtype=dtype)[digits.y_train]
    model = bp.mlp([64, 50, 10], seed=0, dtype=dtype)
    model(x, targ)
    model.backward()
    w, b = model.layers[0].w, model.layers[0].b
    differs = 0
    for at in [(20, 0), (36, 7), (43, 49), (10, 30)]:
        e = bp.explain(w, at=at)
        assert len(e.terms) == len(x) > 2 * 512
        assert_same_bits(dtype(e.total), w.g.data[at])
        column, arriving = (np.array([getattr(t, name) for t in e.terms], dtype) for name in ("local", "upstream"))
        assert_same_bits(column, x[:, at[0]])
        differs += bp.reference.matmul(column[None], arriving[:, None])[0, 0] != w.g.data[at]
        assert_same_bits(dtype(bp.explain(b, at=at[1]).total), b.g.data[at[1]])
        assert "segments of 512" in str(e)
    assert differs


def test_a_tensor_used_twice_gets_the_sum_of_its_paths(rng, dtype):
    w = bp.param(rng.standard_normal((4, 4)), dtype, name="w")
    x, targ = (rng.standard_normal((6, 4)).astype(dtype) for _ in range(2))
    hidden = bp.relu(bp.lin(x, w))
    loss = bp.mse(bp.lin(hidden, w) + hidden, targ)
    loss.backward()
    for at in np.ndindex(4, 4):
        e = bp.explain(w, at=at)
        assert e.matmul == "l2.T @ l3.g + x.T @ l1.g"
        assert_same_bits(dtype(e.total), w.g.data[at])
        assert len(e.terms) == 12
        assert {term.through for term in e.terms} == {"l1", "l3"}
        assert abs(e.check) < 1e-3
    assert "Path 2 of 2, through l1" in str(e)
    e = bp.explain(hidden, at=(2, 3))  # used by lin and by +
    assert len(e.paths) == 2
    assert e.agrees


def test_a_tensor_that_is_both_operands(rng):
    w = bp.param(rng.standard_normal((3, 3)), np.float32)
    loss = bp.mse(bp.lin(w, w), np.eye(3, dtype=np.float32))
    loss.backward()
    for at in np.ndindex(3, 3):
        e = bp.explain(w, at=at)
        assert_same_bits(np.float32(e.total), w.g.data[at])
        assert abs(e.check) < 1e-4


@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (1, 4), (1, 1)])
def test_what_was_broadcast_by_plus(rng, shape):
    c = bp.param(rng.standard_normal(shape), np.float32, name="c")
    w = bp.param(rng.standard_normal((5, 4)), np.float32)
    loss = bp.mse(bp.tensor(rng.standard_normal((3, 5)).astype("f")) @ w + c, np.ones((3, 4), "f"))
    loss.backward()
    for at in np.ndindex(shape):
        e = bp.explain(c, at=at)
        assert e.agrees
        assert len(e.terms) == 12 // c.size
        assert abs(e.check) < 1e-5


def test_a_column_plus_a_row(rng):
    column, row = bp.param(rng.standard_normal((3, 1)), np.float32), bp.param(rng.standard_normal((1, 4)), np.float32)
    loss = bp.mse(column + row, np.ones((3, 4), "f"))
    loss.backward()
    for c, count in ((column, 4), (row, 3)):
        for at in np.ndindex(c.shape):
            e = bp.explain(c, at=at)
            assert e.agrees
            assert len(e.terms) == count
            assert abs(e.check) < 1e-4


def test_plus_a_number_and_a_clone(rng):
    w = bp.param(rng.standard_normal((5, 4)), np.float32)
    loss = bp.mse((w + 1.5).clone(), np.zeros((5, 4), "f"))
    loss.backward()
    e = bp.explain(w, at=(2, 1))
    assert e.agrees
    assert abs(e.check) < 1e-5


# ---- what it says ----


def test_which_values_move():
    t = by_hand(numbers(np.float32))
    assert bp.explain(t["w1"], at=(3, 2)).moves.startswith(
        "w1[3,2] is used in l1 = x @ w1 + b1. In l1 it moves column 2, in every row, and nothing else: l1[i,2] for"
    )
    assert "In l1 it moves column 4, in every row, and nothing else" in bp.explain(t["b1"], at=4).moves
    assert bp.explain(t["x"], at=(1, 2)).moves.startswith(
        "x[1,2] is used in l1 = x @ w1 + b1. In l1 it moves row 1, in every column, and nothing else: l1[1,j] for"
    )
    on, off = np.argwhere(t["l1"].data > 0)[0], np.argwhere(t["l1"].data <= 0)[0]
    assert "In l2 it moves l2[" in bp.explain(t["l1"], at=tuple(on)).moves
    said = bp.explain(t["l1"], at=tuple(off))
    assert "moves nothing" in said.moves
    assert "not above 0" in said.moves
    assert said.total == 0
    assert bp.explain(t["out"], at=(0, 0)).moves == (
        "out[0,0] is used in loss = mse(out, targ). It moves loss directly, through its own square."
    )


def test_the_terms_say_where_how_far_and_how_much(dtype):
    t = by_hand(numbers(dtype))
    e = bp.explain(t["w1"], at=(3, 2))
    assert [term.at for term in e.terms] == [(i, 2) for i in range(6)]
    for term in e.terms:
        i, j = term.at
        assert term.through == "l1"
        assert term.local == t["x"].data[i, 3]
        assert term.upstream == t["l1"].g.data[i, j]
        assert term.product == term.local * term.upstream
    assert e.terms[-1] == e.terms[5]
    assert e.terms[1:3] == [e.terms[1], e.terms[2]]
    with pytest.raises(IndexError):
        e.terms[6]


def test_the_text_has_six_steps_the_table_and_the_transpose_s_reason():
    t = by_hand(numbers(np.float32))
    e = bp.explain(t["w1"], at=(3, 2))
    said = " ".join(str(e).split())
    for words in (
        "1. What moves",
        "2. By how much",
        "3. How much the loss cares",
        "4. The sum over all paths",
        "5. From one element to all: w1.g = x.T @ l1.g",
        "6. An independent check: nudge it and measure",
        "That is w1.g[3,2], bit for bit",
        "the index summed over is the inner one",
        "x is the one to transpose",
        "(4,6) @ (6,5) -> (4,5)",
        "but w1[3,2] moves a column",
    ):
        assert words in said
    assert "w1 is the one to transpose" in " ".join(str(bp.explain(t["x"], at=(1, 2))).split())
    assert "broadcast" in str(bp.explain(t["b1"], at=2))
    assert "Hence * and not @" in " ".join(str(bp.explain(t["l1"])).split())


def test_partial_sums_grow_to_the_total():
    t = by_hand(numbers(np.float32))
    path = bp.explain(t["w1"], at=(3, 2)).paths[0]
    sums = [path.added(count) for count in range(7)]
    assert sums[0] == 0
    assert sums[6] == float(t["w1"].g.data[3, 2])
    for k in range(6):
        assert sums[k + 1] == pytest.approx(sums[k] + path.products[k], rel=1e-5, abs=1e-6)


def test_the_largest_terms_come_first_where_there_are_many():
    t = by_hand(numbers(np.float32, n=300))
    lines = str(bp.explain(t["w1"], at=(3, 2))).splitlines()
    start = next(k for k, line in enumerate(lines) if "product" in line)
    shown = [abs(float(line.split()[-1])) for line in lines[start + 1 : start + 7]]
    assert shown == sorted(shown, reverse=True)
    largest = max(abs(term.product) for term in bp.explain(t["w1"], at=(3, 2)).terms)
    assert shown[0] == pytest.approx(largest, rel=1e-4)
    assert "… 294 smaller ones" in " ".join(" ".join(lines).split())
    assert any("i=298" in line and "i=299" in line and "…" in line for line in lines)


def test_without_at_it_takes_the_largest_gradient():
    t = by_hand(numbers(np.float32))
    e = bp.explain(t["w1"])
    assert abs(e.total) == np.abs(t["w1"].g.data).max()
    assert bp.explain(t["w1"], at=(-1, -2)).at == (3, 3)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", [None, "a_rather_long_name_for_the_weights_of_the_first_layer_of_all"])
def test_it_fits_a_hundred_columns(network, name):
    t = network(numbers(np.float32, n=40))
    t["w1"].name = t["x"].name = name
    for tensor in t.values():
        if isinstance(tensor, bp.Tensor):
            for line in str(bp.explain(tensor)).splitlines():
                assert len(line) <= 100, line


def test_own_names_are_used_and_two_of_one_name_are_told_apart():
    t = tensors_of(numbers(np.float32))
    t["w1"].name = t["w2"].name = "weights"
    loss = bp.mse(bp.lin(bp.relu(bp.lin(t["x"], t["w1"])), t["w2"]), t["targ"])
    loss.backward()
    assert bp.explain(t["w1"]).matmul == "x.T @ l1.g"
    assert bp.explain(t["w2"]).name == "weights_2"


# ---- it touches nothing ----


@pytest.mark.parametrize("network", NETWORKS)
def test_no_gradient_and_no_value_is_touched(network):
    t = network(numbers(np.float32))
    tensors = {name: value for name, value in t.items() if isinstance(value, bp.Tensor)}
    before = {
        n: (v.data.copy(), v.g, None if v.g is None else v.g.data.copy(), v._version.count) for n, v in tensors.items()
    }
    for value in tensors.values():
        str(bp.explain(value))
    for name, (data, g, numbers_of_g, version) in before.items():
        assert_same_bits(tensors[name].data, data)
        assert tensors[name].g is g
        assert tensors[name]._version.count == version
        if g is not None:
            assert_same_bits(g.data, numbers_of_g)


def test_a_training_with_explanations_in_between_has_the_same_bits(rng):
    arrays = [rng.standard_normal((32, 6)).astype("f"), rng.standard_normal((32, 2)).astype("f")]
    models = [bp.mlp([6, 8, 2], seed=3) for _ in range(2)]
    for model, asks in zip(models, (False, True), strict=True):
        sgd = bp.SGD(model, lr=0.1, momentum=0.9)
        for _ in range(5):
            model(*arrays)
            model.backward()
            if asks:
                assert bp.explain(model.layers[0].w, at=(3, 7)).agrees
            sgd.step()
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert_same_bits(p.data, q.data)


# ---- the measured check ----


@pytest.mark.parametrize(("name", "rule"), [("w1", linear.Weight), ("x", linear.Input)])
def test_the_check_sees_a_wrong_derivative(monkeypatch, name, rule):
    t = by_hand(numbers(np.float64))
    right = rule.find
    monkeypatch.setattr(rule, "find", lambda *given: (right(*given)[0], 2 * right(*given)[1]))
    e = bp.explain(t[name])
    assert e.check == pytest.approx(1)
    assert not e.agrees


def test_the_check_is_signed(monkeypatch):
    t = by_hand(numbers(np.float64))
    right = linear.Weight.find
    monkeypatch.setattr(linear.Weight, "find", lambda *given: (right(*given)[0], -right(*given)[1]))
    found = [bp.explain(t["w1"], at=at).check * np.sign(t["w1"].g.data[at]) for at in np.ndindex(4, 5)]
    assert np.allclose([value for value in found if value], -2)


def test_a_step_that_would_cross_a_kink_is_made_smaller():
    w, b = bp.param([[1.0]], np.float64), bp.param([-0.999999], np.float64)
    loss = bp.mse(bp.relu(bp.lin(np.ones((1, 1)), w, b)), np.full((1, 1), 3.0))
    loss.backward()
    e = bp.explain(w, at=(0, 0))
    assert e.measured.shrunk
    assert e.measured.h < 1e-6
    assert abs(e.check) < 1e-4
    assert "smaller until no relu crossed" in str(e)


def test_an_element_at_the_kink_itself_is_explained():
    w = bp.param([[0.0]], np.float32)
    loss = bp.mse(bp.relu(bp.lin(np.ones((1, 1), "f"), w)), np.full((1, 1), 3, "f"))
    loss.backward()
    e = bp.explain(w, at=(0, 0))
    assert e.measured.kink == "l1[0,0]"
    assert e.measured.left == 0
    assert e.measured.right == pytest.approx(-6, rel=1e-4)
    assert "relu'(0) = 0" in str(e)


def test_a_dead_relu_has_gradient_and_slope_0():
    t = by_hand(numbers(np.float32))
    off = tuple(np.argwhere(t["l1"].data <= 0)[0])
    e = bp.explain(t["l1"], at=off)
    assert (e.total, e.check, e.measured.slope) == (0, 0, 0)


# ---- sizes ----


def test_a_matrix_of_a_million_elements():
    rng = np.random.default_rng(0)
    model = bp.mlp([1000, 1000, 10])
    model(rng.standard_normal((64, 1000)).astype("f"), np.zeros((64, 10), "f"))
    model.backward()
    seconds = []
    for _ in range(3):
        start = time.process_time()
        e = bp.explain(model.layers[0].w, at=(500, 500))
        said = str(e)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1  # of this process alone, however busy the machine is
    assert len(said.splitlines()) < 60
    assert e.agrees


def test_the_chain_through_a_million_elements(monkeypatch):
    """One forward pass in double serves the checks of all parameters."""
    passes = []
    again = chain_facts.in_double
    monkeypatch.setattr(chain_facts, "in_double", lambda network: passes.append(1) or again(network))
    model = bp.mlp([1000, 1000, 10])
    loss = model(np.random.default_rng(0).standard_normal((64, 1000)).astype("f"), np.zeros((64, 10), "f"))
    model.backward()
    seconds = []
    for _ in range(3):
        start = time.process_time()
        said = str(bp.explain(loss))
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1
    assert len(said.splitlines()) < 60
    assert len(passes) == 3


@pytest.mark.parametrize("n", [0, 1])
def test_no_row_and_one_row(n):
    w = bp.param(np.ones((3, 2), "f"))
    out = bp.lin(np.ones((n, 3), "f"), w)
    if n == 0:
        out.g = np.ones((0, 2), "f")
        bp.lin_grad(np.ones((0, 3), "f"), out, w)
    else:
        loss = bp.mse(out, np.zeros((1, 2), "f"))
        loss.backward()
    e = bp.explain(w, at=(0, 0))
    assert len(e.terms) == n
    assert e.total == (0 if n == 0 else 3)
    assert str(e)


# ---- NaN and infinity ----


def test_the_first_nan_is_named_and_the_rest_explained():
    arrays = numbers(np.float32)
    arrays["x"][4, 1] = np.nan
    t = by_hand(arrays)
    e = bp.explain(t["w1"], at=(1, 2))
    assert e.notes[0].startswith("x[4,1] is nan: it was there before")
    assert math.isnan(e.total)
    assert e.agrees
    assert math.isnan(e.check)
    assert "no change can be measured" in str(e)
    assert json.loads(e.to_json())["total"] == "nan"


def test_an_overflow_is_named_where_it_arose():
    arrays = numbers(np.float32)
    arrays["w2"][:] = 1e38
    t = tape(arrays)
    e = bp.explain(t["w1"])
    assert "out[" in e.notes[0]
    assert "'lin' computed it from finite numbers" in e.notes[0]


def test_a_gradient_that_overflows_alone():
    x, w = np.full((1, 1), 1e10, "f"), bp.param([[1e9]], np.float32)
    out = bp.lin(x, w)
    out.g = np.full((1, 1), 3e38, "f")
    bp.lin_grad(x, out, w)
    e = bp.explain(w, at=(0, 0))
    assert e.notes[0].startswith("the forward pass is all finite; w1.g[0,0] is inf")
    assert math.isinf(e.total)
    assert e.agrees


# ---- without a loss, several losses ----


def test_a_gradient_that_was_given_by_hand_instead_of_a_loss(rng):
    t = tensors_of(numbers(np.float32))
    out = bp.lin(t["x"], t["w1"], t["b1"])
    out.g = rng.standard_normal(out.shape).astype("f")
    bp.lin_grad(t["x"], out, t["w1"], t["b1"])
    e = bp.explain(t["w1"], at=(2, 2))
    assert e.agrees
    assert abs(e.check) < 1e-5


def test_of_several_losses_the_one_that_g_is_from():
    arrays = numbers(np.float32)
    t = tensors_of(arrays)
    losses = [
        bp.mse(bp.lin(x, t["w1"]), np.zeros((6, 5), "f")) for x in (arrays["x"], 2 * arrays["x"], 3 * arrays["x"])
    ]
    for loss in (losses[1], losses[2], losses[0]):
        loss.backward()
        assert bp.explain(t["w1"], at=(1, 1)).agrees
    e = bp.explain(t["w1"], at=(1, 1), loss=losses[2])
    assert not e.agrees
    assert e.total == pytest.approx(9 * float(t["w1"].g.data[1, 1]), rel=1e-5)


def test_a_layer_of_your_own_on_the_way(rng):
    class Scale(bp.Module):
        def __init__(self):
            self.s = bp.param(rng.standard_normal(5), np.float32)

        def forward(self, inp):
            return inp * self.s

        def bwd(self, out, inp):
            inp.g = out.g * self.s
            self.s.g = (inp * out.g).sum(0)

    arrays = numbers(np.float32)
    w1, b1, w2 = (bp.param(arrays[name]) for name in ("w1", "b1", "w2"))
    model = bp.Model([bp.Lin(w1, b1), Scale(), bp.Relu(), bp.Lin(w2)])
    loss = model(arrays["x"], arrays["targ"])
    model.backward()
    e = bp.explain(w1, at=(2, 3))
    assert e.agrees
    assert abs(e.check) < 1e-5
    assert "by 'Scale' itself" in str(bp.explain(loss))
    e = bp.explain(model.layers[1].s, at=2)
    assert e.agrees
    assert e.total == pytest.approx(float(model.layers[1].s.g.data[2]), rel=1e-5)
    assert "No rule is registered for 'Scale'" in " ".join(str(e).split())


def test_layers_and_functions_say_the_same():
    arrays = numbers(np.float32)
    functions, model = by_hand(arrays), layers(arrays)
    assert str(bp.explain(functions["w1"], at=(3, 2))) == str(bp.explain(model["w1"], at=(3, 2)))

"""explain says nothing false where a network is unlike the lesson's: shared, frozen, layers of one's own, odd names."""

import re

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse


def numbers(rng, *shape):
    return rng.standard_normal(shape)


def test_of_several_paths_none_says_that_nothing_else_moves(rng):
    w = bp.param(numbers(rng, 3, 3), name="w")
    loss = bp.mse(bp.relu(bp.lin(numbers(rng, 4, 3), w)) @ w, numbers(rng, 4, 3))
    loss.backward()
    e = bp.explain(w, at=(0, 1))
    assert len(e.paths) == 2
    assert ", and nothing else" not in e.moves
    assert e.moves.count("and on this path nothing else") == 2
    assert [f"Path {k} of 2, through {name}:" in e.moves for k, name in ((1, "out"), (2, "l1"))] == [True, True]


@pytest.mark.parametrize(("out_shape", "targ_shape"), [((5, 1), (5,)), ((5, 2), (5, 2))], ids=str)
@pytest.mark.parametrize("of", ["out", "targ"])
def test_a_column_against_a_vector_has_indices_and_formulas_that_exist(rng, out_shape, targ_shape, of):
    out, targ = bp.param(numbers(rng, *out_shape), name="out"), bp.param(numbers(rng, *targ_shape), name="targ")
    loss = bp.mse(out, targ)
    loss.backward()
    arrays = {"out": out.data, "targ": targ.data}
    t = {"out": out, "targ": targ}[of]
    e = bp.explain(t, at=(2,) + (0,) * (t.ndim - 1), loss=loss)
    assert np.array_equal(evaluate(parse(e.matmul), arrays).array.shape, t.shape)
    np.testing.assert_allclose(evaluate(parse(e.matmul), arrays).array, t.g.data)
    named = set(re.findall(r"(out|targ)\[([\d,]+)\]", str(e)))
    assert {name for name, _ in named} == {"out", "targ"}
    for name, index in named:
        assert len(index.split(",")) == arrays[name].ndim, (name, index)
    step = next(step for step in bp.explain(loss).steps if step["g"] == f"{of}.g")
    np.testing.assert_allclose(evaluate(parse(step["computed as"]), arrays).array, t.g.data)
    assert bp.judge(t, e.matmul).wrong == 0
    solution = bp.judge(t, "1", reveal=True).solution
    assert bp.judge(t, re.search(r"= (.*?): ", solution)[1]).ok, solution


def test_the_check_moves_the_parameters_of_a_layer_of_ones_own(rng):
    class Scale(bp.Module):
        def __init__(self, size):
            self.s = bp.param(np.linspace(1, 2, size))

        def forward(self, inp):
            return inp * self.s

        def bwd(self, out, inp):
            inp.g = out.g * self.s
            self.s.g = (inp * out.g).sum(0)

    model = bp.Model([bp.Lin(numbers(rng, 3, 4), np.zeros(4)), Scale(4)], loss=bp.Mse())
    loss = model(numbers(rng, 5, 3), numbers(rng, 5, 4))
    model.backward()
    e = bp.explain(loss)
    assert [row[0].partition("[")[0] for row in e.checks] == ["w1", "b1", "s"]
    assert all(abs(error) < 1e-6 for *_, error in e.checks), e.checks


def test_a_frozen_parameter_is_not_promised_a_gradient(rng):
    w, b = bp.tensor(numbers(rng, 3, 2)), bp.param(np.zeros(2))
    x = bp.tensor(numbers(rng, 4, 3))
    out = bp.lin(x, w, b)
    loss = bp.mse(out, numbers(rng, 4, 2))
    loss.backward(keep=True)
    for t, name in ((w, "w1"), (x, "x")):
        e = bp.explain(t)
        assert t.g is None
        assert e.name == name
        assert "requires_g is False" in str(e).replace("\n   ", " ")
        assert "keep=True" not in str(e)


def test_the_page_leaves_a_frozen_parameter_frozen(rng):
    model = bp.mlp([3, 4, 2], seed=0)
    model.layers[0].w.requires_g = False
    loss = model(numbers(rng, 5, 3).astype(np.float32), numbers(rng, 5, 2).astype(np.float32))
    model.backward()
    bp.explain(loss).to_html()
    assert not model.layers[0].w.requires_g


def test_the_page_still_refuses_shared_weights(rng):
    w = bp.param(numbers(rng, 3, 3))
    loss = bp.mse(bp.lin(bp.relu(bp.lin(numbers(rng, 4, 3), w)), w), numbers(rng, 4, 3))
    loss.backward()
    with pytest.raises(ValueError, match="used twice"):
        bp.explain(loss).to_html()


def test_the_operands_of_a_product_are_called_by_their_places(rng):
    x, w, b = (bp.param(numbers(rng, *shape)) for shape in ((4, 3), (3, 2), (2,)))
    loss = bp.mse(x @ w + b, numbers(rng, 4, 2))
    loss.backward()
    assert [bp.explain(t, loss=loss).name for t in (x, w, b)] == ["x", "w1", "b1"]


@pytest.mark.parametrize("shape", [(4, 1), (1, 3)])
def test_what_was_stretched_is_summed_to_its_own_shape_in_formulas_too(rng, shape):
    x, c = bp.param(numbers(rng, 4, 3)), bp.param(numbers(rng, *shape), name="c")
    loss = bp.mse(x + c, numbers(rng, 4, 3))
    loss.backward()
    e = bp.explain(c)
    said = f"summed to ({shape[0]},{shape[1]})"
    assert said in e.matmul
    assert said in e.latex()
    assert "sum(0)" not in e.latex()


def test_a_minus_infinity_that_relu_stops_is_not_said_to_spread(rng):
    x, w = np.abs(numbers(rng, 4, 2)), bp.param(np.array([[1.0, -np.inf], [1.0, 1.0]]), name="w")
    out = bp.relu(bp.lin(x, w))
    loss = bp.mse(out, np.zeros((4, 2)))
    loss.backward()
    assert np.isfinite(out.data).all()
    (note,) = bp.explain(w, at=(0, 0)).notes
    assert note.startswith("w[0,1] is -inf")
    assert "unless it is -inf and a relu turns it into 0" in note


@pytest.mark.parametrize("at", [np.array([1, 0]), [1, 0], (np.int64(1), 0)], ids=["array", "list", "tuple"])
def test_an_index_may_be_an_array(rng, at):
    w = bp.param(numbers(rng, 3, 2), name="w")
    loss = bp.mse(bp.lin(numbers(rng, 4, 3), w), numbers(rng, 4, 2))
    loss.backward()
    assert bp.explain(w, at=at).element == "w[1,0]"


NAMES = ["a{b", r"back\slash", "hat^~", "$\\frac$", "<b>&\"quoted'"]


@pytest.mark.parametrize("name", NAMES)
def test_names_with_odd_characters(rng, name, tmp_path):
    w = bp.param(numbers(rng, 3, 2), name=name)
    loss = bp.mse(bp.lin(numbers(rng, 4, 3), w), numbers(rng, 4, 2))
    loss.backward()
    e = bp.explain(w, at=(1, 0))
    plain = re.sub(r"\\[{}]", "", e.latex())
    depth = 0
    for sign in plain:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert not re.search(r"(?<!\\)[%&#](?!=)", plain)
    assert "<b>" not in e._repr_html_()
    e.plot(tmp_path / "odd.png")
    assert (tmp_path / "odd.png").stat().st_size > 1000

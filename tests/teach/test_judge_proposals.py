"""judge: functions and arrays as proposals, and the names that may be used."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.judging import hidden_layer, judged, numbers
from pybackprop.teach.formula.errors import FormulaError

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
    assert "did not set the .g" in bp.judge(layer["w"], lambda x: None).error
    with pytest.raises(FormulaError, match=r"argument 'nonsense' is not available; available are .*w1"):
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
    with pytest.raises(FormulaError, match="'dq' is not a name you can use here; available are ") as caught:
        judged("w", "x.T @ dq")
    listed = "w1 (3,2), x (4,3), b1 (2), w2 (2,2), b2 (2), out (4,2), targ (4,2), loss = 0.412811, l1 (4,2), l2 (4,2), "
    assert f"{listed}n = 4, h = 2, m = 3, size = 8, and .g of those" in str(caught.value)

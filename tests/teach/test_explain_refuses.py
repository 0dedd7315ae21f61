"""What explain says where it cannot explain, or where what it was given is not what it seems."""

import gc

import numpy as np
import pytest

import pybackprop as bp
from helpers.networks import layers, numbers, tape, tensors_of

# ---- an element, a tensor ----


@pytest.mark.parametrize(
    ("name", "at", "said"),
    [
        ("w1", (4, 0), r"w1\[4,0\] is out of range: w1 has shape \(4, 5\): row 0 .. 3, column 0 .. 4"),
        ("w1", (0, -6), "column 0 .. 4"),
        ("w1", 3, "row 0 .. 3"),
        ("b1", 5, "element 0 .. 4"),
        ("b1", (1, 2), "element 0 .. 4"),
        ("w1", (1.0, 2), "expected whole numbers"),
        ("w1", (True, 2), "expected whole numbers"),
        ("w1", "3,7", "expected whole numbers"),
        ("w1", (slice(None), 1), "expected whole numbers"),
    ],
)
def test_an_element_out_of_range_says_the_valid_range(name, at, said):
    t = tape(numbers(np.float32))
    with pytest.raises(IndexError, match=said):
        bp.explain(t[name], at=at)


def test_a_tensor_that_took_no_part():
    t = tape(numbers(np.float32))
    stranger = bp.param(np.ones((4, 5)), name="stranger")
    with pytest.raises(bp.GradientError, match=r"'stranger' .*took no part in a forward pass"):
        bp.explain(stranger, at=(0, 0))
    with pytest.raises(bp.GradientError, match="took no part in computing loss"):
        bp.explain(stranger, at=(0, 0), loss=t["loss"])
    with pytest.raises(bp.GradientError, match="took no part in computing loss"):
        bp.explain(t["w1"], loss=stranger)


def test_a_loss_that_nobody_holds():
    t = tensors_of(numbers(np.float32))
    bp.mse(bp.lin(t["x"], t["w1"]), np.zeros((6, 5), "f")).backward()
    with pytest.raises(bp.GradientError, match="keep its loss in a variable"):
        bp.explain(t["w1"])


@pytest.mark.parametrize("given", [np.ones(3), 3.0, None, "w1"])
def test_no_tensor_at_all(given):
    with pytest.raises(TypeError, match="expected a tensor"):
        bp.explain(given)


def test_the_output_without_anything_computed_from_it():
    t = tensors_of(numbers(np.float32))
    out = bp.lin(t["x"], t["w1"])
    with pytest.raises(bp.GradientError, match=r"no loss was computed from|no backward pass has run yet"):
        bp.explain(out, at=(0, 0))


# ---- no backward pass has run yet ----


def test_no_backward_after_a_model():
    model = bp.mlp([4, 5, 3])
    model(np.ones((6, 4), "f"), np.ones((6, 3), "f"))
    with pytest.raises(bp.GradientError, match=r"w1.g is None. Call model.backward\(\)"):
        bp.explain(model.layers[0].w)
    model.backward()
    assert bp.explain(model.layers[0].w).agrees


@pytest.mark.parametrize("name", ["w1", "l1", "x", "loss"])
def test_no_backward_after_functions(name):
    t = tensors_of(numbers(np.float32))
    t["l1"] = bp.lin(t["x"], t["w1"], t["b1"])
    l2 = bp.relu(t["l1"])
    out = bp.lin(l2, t["w2"], t["b2"])
    t["loss"] = bp.mse(out, t["targ"])
    with pytest.raises(bp.GradientError, match="no backward pass has run yet") as caught:
        bp.explain(t[name])
    assert "Call loss.backward(); or, by hand, bp.mse_grad(out, targ), bp.lin_grad(l2, out, w2, b2)" in str(
        caught.value
    )


def test_tensors_are_found_though_a_collection_moves_them_between_two_looks(monkeypatch):
    look = gc.get_objects

    def look_then_collect(*generation):
        found = look(*generation)
        gc.collect(1)
        return found

    t = tape(numbers(np.float32))
    monkeypatch.setattr(gc, "get_objects", look_then_collect)
    assert bp.explain(t["w1"], at=(0, 0)).agrees
    assert bp.explain(t["loss"]).agrees


def test_a_backward_by_hand_that_is_not_finished():
    t = tensors_of(numbers(np.float32))
    l1 = bp.lin(t["x"], t["w1"], t["b1"])
    l2 = bp.relu(l1)
    out = bp.lin(l2, t["w2"], t["b2"])
    loss = bp.mse(out, t["targ"])
    bp.mse_grad(out, t["targ"])
    bp.lin_grad(l2, out, t["w2"], t["b2"])
    with pytest.raises(bp.GradientError, match="missing") as caught:
        bp.explain(t["w1"], at=(0, 0))
    assert str(caught.value).endswith("Still missing is bp.relu_grad(l1, l2), then bp.lin_grad(x, l1, w1, b1)")
    assert bp.explain(t["w2"], at=(0, 0), loss=loss).agrees


def test_an_operation_without_derivative_on_the_way():
    t = tensors_of(numbers(np.float32))
    out = bp.lin(t["x"], t["w1"])
    loss = bp.mse(out * 2, np.zeros((6, 5), "f"))
    with pytest.raises(bp.GradientError):
        bp.explain(t["w1"], at=(0, 0))
    assert loss.requires_g


# ---- values overwritten since ----

OVERWRITES = {
    "an update of w1": lambda t: t["w1"].__isub__(0.1),
    "an update of w2": lambda t: t["w2"].__isub__(0.1),
    "an update of b1": lambda t: t["b1"].__isub__(0.1),
    "the data": lambda t: t["x"].__imul__(2),
    "the targets": lambda t: t["targ"].zero_(),
    "the data behind our back": lambda t: t["x"].data.__imul__(2),
    "w1 behind our back": lambda t: t["w1"].data.__setitem__((0, 0), 9),
}


@pytest.mark.parametrize("network", [tape, layers])
@pytest.mark.parametrize("how", OVERWRITES)
def test_values_overwritten_since(network, how):
    t = network(numbers(np.float32))
    assert bp.explain(t["w1"], at=(0, 0)).agrees
    OVERWRITES[how](t)
    with pytest.raises(bp.GradientError, match=r"overwritten after the forward pass.*Run forward and backward again"):
        bp.explain(t["w1"], at=(0, 0))


def test_the_output_overwritten_by_its_own_gradient():
    t = tensors_of(numbers(np.float32))
    out = bp.lin(t["x"], t["w1"])
    loss = bp.mse(out, np.zeros((6, 5), "f"))
    bp.mse_grad(out, np.zeros((6, 5), "f"), inplace=True)
    bp.lin_grad(t["x"], out, t["w1"])
    with pytest.raises(bp.GradientError, match=r"out\.g was written over out itself, as mse_grad\(inplace=True\) does"):
        bp.explain(t["w1"], at=(0, 0), loss=loss)


def test_after_an_update_a_new_forward_and_backward_are_explained():
    model = bp.mlp([4, 5, 3])
    sgd = bp.SGD(model, lr=0.1)
    for _ in range(3):
        model(np.ones((6, 4), "f"), np.ones((6, 3), "f"))
        model.backward()
        assert bp.explain(model.layers[0].w).agrees
        sgd.step()
        with pytest.raises(bp.GradientError, match="overwritten"):
            bp.explain(model.layers[0].w)


# ---- a .g that is not of this forward pass ----


@pytest.mark.parametrize("how", ["accumulated", "by hand", "an earlier backward"])
def test_a_g_that_is_stale_is_said_to_be(how):
    t = tape(numbers(np.float32))
    loss = t["loss"]
    if how == "accumulated":
        loss.backward(accumulate=True)
    elif how == "by hand":
        t["w1"].g = t["w1"].g.data.copy()[::-1]
    else:
        loss = bp.mse(bp.lin(np.ones((6, 4), "f"), t["w1"]), np.ones((6, 5), "f"))
    e = bp.explain(t["w1"], at=(1, 1), loss=loss)
    assert not e.agrees
    assert e.notes[0].startswith("w1.g does not hold the gradient of this forward pass")
    assert "see the note" in str(e)
    assert abs(e.check) < 1e-4


def test_stale_parameters_are_said_when_the_data_is_asked_about():
    t = tape(numbers(np.float32))
    assert bp.explain(t["x"], at=(0, 0)).notes == ()
    for name in ("w1", "b1", "w2", "b2"):
        t[name].g = np.ones(t[name].shape, "f")
    assert bp.explain(t["x"], at=(0, 0)).notes[0].startswith("the parameters' .g are not from")
    assert bp.explain(t["loss"]).notes
    assert not bp.explain(t["loss"]).agrees


def test_a_chain_whose_last_parameter_is_stale():
    t = tape(numbers(np.float32))
    assert bp.explain(t["loss"]).agrees
    t["b2"].g = np.ones(3, "f")
    e = bp.explain(t["loss"])
    assert not e.agrees
    assert e.notes[0].startswith("b2.g does not hold")


def test_explaining_keeps_nothing_alive():
    model = bp.mlp([4, 5, 3])
    model(np.ones((6, 4), "f"), np.ones((6, 3), "f"))
    model.backward()
    w = model.layers[0].w
    e = bp.explain(w)
    del model, e
    gc.collect()
    with pytest.raises(bp.GradientError, match="took no part"):
        bp.explain(w)


def test_after_a_compiled_plan():
    model = bp.mlp([4, 5, 3])
    plan = bp.compile(model, batch=6)
    plan.grads(np.ones((6, 4), "f"), np.ones((6, 3), "f"))
    with pytest.raises(bp.GradientError, match="a compiled plan records none: call the model itself"):
        bp.explain(model.layers[0].w)


def test_an_output_that_is_alive_does_not_hide_the_loss():
    t = tensors_of(numbers(np.float32))
    loss = bp.mse(bp.lin(t["x"], t["w1"]), np.zeros((6, 5), "f"))
    later = bp.lin(2 * t["x"].data, t["w1"])
    with pytest.raises(bp.GradientError, match=r"Call loss.backward\(\)"):
        bp.explain(t["w1"], at=(0, 0))
    loss.backward()
    assert bp.explain(t["w1"], at=(0, 0)).agrees
    assert later.g is None

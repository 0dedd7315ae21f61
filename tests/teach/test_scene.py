"""Scenes: the numbers and the structure of a network, as the page shows them."""

import json

import numpy as np
import pytest

import pybackprop as bp
from helpers.scenes import example, pair
from pybackprop.teach.page import scene as teach_scene
from pybackprop.teach.page.scene import BYTES, ROWS, scene_of, scene_of_operations

CHAIN = ["lin", "relu", "lin", "relu", "lin", "mse"]
NAMES = {
    1: ["x", "w1", "b1", "out", "targ", "loss"],
    2: ["x", "w1", "b1", "l1", "l2", "w2", "b2", "out", "targ", "loss"],
    3: ["x", "w1", "b1", "l1", "l2", "w2", "b2", "l3", "l4", "w3", "b3", "out", "targ", "loss"],
}


def strict(text):
    """JSON without the constants that JavaScript does not know."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def numbers(described, dtype):
    return np.array([float(value) for value in described["data"]], dtype).reshape(described["shape"])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_scene_has_the_models_own_bits(rng, dtype, depth):
    model, x, targ = pair(rng, *[5, 4, 3, 2][: depth + 1], dtype=dtype)
    scene = scene_of(model, x, targ)
    loss = model(x, targ)
    model.backward()
    assert [layer["op"] for layer in scene.layers] == [*CHAIN[: 2 * depth - 1], "mse"]
    assert list(scene.tensors) == NAMES[depth]
    assert scene.tensors["loss"][0] == loss.data
    for k, p in enumerate(model.parameters()):
        data, g = scene.tensors[f"{'wb'[k % 2]}{k // 2 + 1}"]
        assert (data == p.data).all()
        assert (g == p.g.data).all()


def test_its_json_gives_the_same_bits_back(rng, dtype):
    scene = scene_of(*pair(rng, 5, 4, 2, dtype=dtype))
    described = strict(scene.to_json())
    assert described["dtype"] == np.dtype(dtype).name
    for name, (data, g) in scene.tensors.items():
        assert numbers(described["tensors"][name], dtype).tobytes() == data.tobytes(), name
        assert (described["tensors"][name]["g"] is None) == (g is None) == (name in ("targ", "loss"))


def test_float32_is_written_in_few_digits(rng):
    scene = scene_of(bp.mlp([3, 2]), np.float32([[0.1, 2, -0.0]]), np.float32([[1e-30, 3e30]]))
    assert '"data":[0.1,2,-0.0]' in scene.to_json()
    assert '"data":[1e-30,3e+30]' in scene.to_json()


def test_without_what_is_computed_it_keeps_data_parameters_and_targets_only():
    tensors = strict(example().to_json(derived=False))["tensors"]
    assert [name for name, t in tensors.items() if t["data"] is not None] == ["x", "w1", "b1", "w2", "b2", "targ"]
    assert not any(t["g"] for t in tensors.values())
    assert tensors["l1"]["shape"] == [4, 2]


def test_not_a_number_and_infinities_are_words(rng):
    model, x, targ = pair(rng, 3, 2)
    x[0, :] = np.nan, np.inf, -np.inf
    described = strict(scene_of(model, x, targ).to_json())
    assert described["tensors"]["x"]["data"][:3] == ["NaN", "Infinity", "-Infinity"]
    assert described["tensors"]["loss"]["data"] == ["NaN"]


def test_the_model_is_left_as_it_is(rng):
    model, x, targ = pair(rng, 3, 4, 2)
    model(x, targ)
    scene_of(model, x[:2] + 1, targ[:2])
    assert all(p.g is None for p in model.parameters())
    model.backward()
    expected = model.parameters()[0].g.data.copy()
    model(x, targ)
    model.backward()
    assert (model.parameters()[0].g.data == expected).all()


def test_tensors_go_by_their_own_names_and_each_has_another(rng):
    model, x, targ = pair(rng, 3, 3, 2)
    for p, name in zip(model.parameters(), ["w2", "x", "x", "bias"], strict=True):
        p.name = name
    scene = scene_of(model, x, targ)
    assert list(scene.tensors) == ["x_3", "w2", "x", "l1", "l2", "x_2", "bias", "out", "targ", "loss"]


def test_targets_on_a_line_take_the_outputs_shape(rng):
    model, x, targ = pair(rng, 3, 4, 1)
    scene = scene_of(model, x, targ[:, 0])
    assert scene.tensors["targ"][0].shape == (6, 1)
    assert scene.tensors["loss"][0] == scene_of(model, x, targ).tensors["loss"][0]


def test_a_layer_without_bias(rng):
    scene = scene_of(*pair(rng, 3, 4, 2, bias=False))
    assert scene.layers[0] == {"op": "lin", "in": "x", "w": "w1", "b": None, "out": "l1"}
    assert list(scene.tensors) == ["x", "w1", "l1", "l2", "w2", "out", "targ", "loss"]


def test_of_much_data_the_first_rows_are_taken_and_it_says_so():
    digits = bp.data.digits()
    model = bp.mlp([64, 50, 10])
    targ = np.eye(10, dtype=np.float32)[digits.y_train]
    scene = scene_of(model, digits.x_train, targ)
    assert scene.n == ROWS
    assert scene.note == f"The first {ROWS} of 1438 rows of the data are shown and used."
    assert scene.tensors["loss"][0] == model(digits.x_train[:ROWS], targ[:ROWS]).data


def test_of_wide_data_as_many_rows_as_fit(rng):
    x, targ = (rng.standard_normal(size).astype(np.float32) for size in [(100, 784), (100, 10)])
    scene = scene_of(bp.mlp([784, 50, 10]), x, targ)
    assert 30 < scene.n < 60
    assert 0.95 * BYTES < len(scene.to_json(derived=False)) < BYTES + 2000


def test_parameters_that_do_not_fit_are_refused(rng):
    x, targ = np.zeros((2, 784), np.float32), np.zeros((2, 10), np.float32)
    with pytest.raises(ValueError, match=rf"238510 parameters .* room for, {BYTES}.*smaller network"):
        scene_of(bp.mlp([784, 300, 10]), x, targ)


def test_a_million_parameters_are_refused_before_they_are_all_written_out(monkeypatch):
    measured = []
    size = teach_scene._size
    monkeypatch.setattr(teach_scene, "_size", lambda array: measured.append(array.size) or size(array))
    with pytest.raises(ValueError, match="1001000 parameters"):
        scene_of(bp.mlp([1000, 1000]), np.ones((3, 1000), "f"), np.ones((3, 1000), "f"))
    assert sum(measured) < 200_000


def test_what_a_page_cannot_show_is_refused(rng):
    model, x, targ = pair(rng, 3, 3, 3)
    shared = model.layers[0]

    class Mine(bp.Lin):
        pass

    for layers, error, words in [
        ([Mine(shared.w, shared.b)], TypeError, "Lin and Relu only"),
        ([bp.Relu()], TypeError, "no Lin"),
        ([shared, shared], ValueError, "used twice"),
    ]:
        with pytest.raises(error, match=words):
            scene_of(bp.Model(layers), x, targ)
    with pytest.raises(TypeError, match=r"Mse\(\) only"):
        scene_of(bp.Model([shared], loss=lambda out, targ: out), x, targ)
    with pytest.raises(bp.ShapeError, match=r"x \(6, 3\) and targ \(5, 3\)"):
        scene_of(model, x, targ[:5])
    with pytest.raises(bp.ShapeError, match="at least one"):
        scene_of(model, x[:0], targ[:0])


def test_the_element_to_show_first(rng):
    model, x, targ = pair(rng, 3, 4, 2)
    assert scene_of(model, x, targ).selected == ("w1", (0, 0))
    assert scene_of(model, x, targ, ("b2", [1])).selected == ("b2", (1,))
    with pytest.raises(KeyError, match="no tensor 'w9'; there are x, w1"):
        scene_of(model, x, targ, ("w9", (0, 0)))
    for index in [(3, 0), (0, -1), (0,), ()]:
        with pytest.raises(IndexError, match=r"out of range; w1 has the shape \(3, 4\)"):
            scene_of(model, x, targ, ("w1", index))


def test_a_scene_of_operations_takes_tensors_as_they_are(rng):
    x, w, b = bp.tensor(rng.standard_normal((4, 3))), bp.param(rng.standard_normal((3, 2))), bp.param(np.zeros(2))
    out = bp.lin(x, w, b)
    loss = bp.mse(out, targ := bp.tensor(np.ones((4, 2))))
    scene = scene_of_operations([("lin", (x, w, b), out), ("mse", (out, targ), loss)])
    assert scene.tensors["w1"][1] is None
    loss.backward()
    scene = scene_of_operations([("lin", (x, w, b), out), ("mse", (out, targ), loss)])
    assert (scene.tensors["w1"][1] == w.g.data).all()
    for wrong, words in [
        ([("lin", (x, w, b), out)], "end in one mse"),
        ([("add", (x, w), out), ("mse", (out, targ), loss)], "'add'"),
        ([("lin", (x, w, b), out), ("mse", (x, targ), loss)], "does not take the output"),
        ([("lin", (x, w, w), out), ("mse", (out, targ), loss)], "used twice"),
    ]:
        with pytest.raises(ValueError, match=words):
            scene_of_operations(wrong)

"""Scenes: the numbers and the structure of a network, as the page shows them."""

import base64
import json
import zlib

import numpy as np
import pytest

import pybackprop as bp
from helpers.scenes import bits_of_all_kinds, example, pair
from pybackprop.teach.page import packed
from pybackprop.teach.page import rows as rows_module
from pybackprop.teach.page.rows import FEW, LARGEST, LIMIT, NUMBERS, PAGE, ROWS, rows_with_room
from pybackprop.teach.page.scene import scene_of, scene_of_operations

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


@pytest.mark.parametrize(
    ("parameters", "many", "limit"),
    [(0, True, LIMIT), (20_000, True, LIMIT), (60_000, False, LARGEST), (170_000, False, LARGEST)],
)
def test_as_many_rows_as_the_packed_numbers_leave_room_for(rng, parameters, many, limit):
    """One row more does not fit, unless there are FEW and more than LIMIT is taken for their sake."""
    w, x, targ = (rng.standard_normal(size).astype(np.float32) for size in [(1, parameters), (100, 2000), (100, 3)])
    rows = rows_with_room([bp.tensor(w)], x, targ)

    def taken(rows):
        return PAGE + packed.size(w) + packed.size(x[:rows]) + packed.size(targ[:rows])

    assert taken(rows) <= limit
    assert taken(rows + 1) > LIMIT if rows == FEW else taken(rows + 1) > limit
    assert (rows > FEW) == many


def test_few_rows_are_all_taken(rng):
    w, x, targ = (rng.standard_normal(size).astype(np.float32) for size in [(60_000,), (3, 2000), (3, 3)])
    assert rows_with_room([bp.tensor(w)], x, targ) == 3


def test_parameters_that_do_not_fit_are_refused():
    x, targ = np.zeros((2, 784), np.float32), np.zeros((2, 10), np.float32)
    words = rf"238510 parameters and a row .* at most {LARGEST} bytes and {NUMBERS} numbers.*smaller network"
    with pytest.raises(ValueError, match=words):
        scene_of(bp.mlp([784, 300, 10]), x, targ)


def test_a_million_parameters_are_refused_before_they_are_packed(monkeypatch):
    """Even zeros, which take few bytes."""
    sizes = []
    monkeypatch.setattr(rows_module, "size", lambda array: sizes.append(array.size) or packed.size(array))
    w, x = np.zeros((1000, 1000), "f"), np.ones((3, 1000), "f")
    with pytest.raises(ValueError, match="1000000 parameters"):
        scene_of(bp.Model([bp.Lin(w)], loss=bp.Mse()), x, x)
    assert not sizes


def test_no_more_rows_than_numbers_that_the_page_computes_with():
    w, x, targ = np.zeros((40_000, 1), "f"), np.zeros((100, 40_000), "f"), np.zeros((100, 1), "f")
    assert rows_with_room([bp.tensor(w)], x, targ) == (NUMBERS - 40_000) // 40_001


# ---- packed ----


def unpacked(written, dtype):
    """What unpack.js does."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(written["packed"]), wbits=-15), np.uint8)
    width, values = np.dtype(dtype).itemsize, written["values"]
    first = raw[: values * width] if values else raw
    numbers = np.ascontiguousarray(first.reshape(width, -1).T).view(dtype)[:, 0]
    return numbers[raw[values * width :]] if values else numbers


@pytest.mark.parametrize("different", [1, 256, 257, 5000])
def test_packed_numbers_keep_every_bit(rng, dtype, different):
    array = rng.choice(bits_of_all_kinds(dtype, different), (50, 100))
    written = packed.written(array)
    assert unpacked(written, dtype).tobytes() == array.tobytes()
    assert written["values"] == (different if different <= 256 else 0)
    assert packed.size(array) == len(json.dumps(written, separators=(",", ":")))
    assert (
        packed.written(np.asfortranarray(array)) == packed.written(array.astype(array.dtype.newbyteorder())) == written
    )


def test_few_numbers_stay_decimals(rng):
    array = rng.standard_normal((packed.READABLE // 10, 10))
    assert packed.written(array) == array.ravel().tolist()
    assert set(packed.written(np.append(array, 1))) == {"values", "packed"}
    assert packed.written(np.float32([np.nan, -np.inf, -0.0])) == ["NaN", "-Infinity", -0.0]


def test_what_readers_get_stays_plain(rng):
    scene = scene_of(*pair(rng, 40, 50, 2))
    assert len(strict(scene.to_json())["tensors"]["w1"]["data"]) == 2000
    assert strict(scene.to_json(write=packed.written))["tensors"]["w1"]["data"]["packed"]


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

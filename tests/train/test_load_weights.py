"""bp.load_weights: arrays that others wrote, into a model, right or not at all."""

import json
import struct

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits

TORCH = {"w1": "0.weight", "b1": "0.bias", "w2": "2.weight", "b2": "2.bias"}


@pytest.fixture
def arrays(rng):
    """A network 4→5→3, weights as (inputs, outputs)."""
    shapes = {"w1": (4, 5), "b1": (5,), "w2": (5, 3), "b2": (3,)}
    return {name: rng.standard_normal(shape).astype("f") for name, shape in shapes.items()}


def write(path, arrays, dtypes=None):
    """A .safetensors file, by its format's definition."""
    names = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64", "uint16": "BF16"}
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": names[array.dtype.name], "shape": array.shape, "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def torch_arrays(arrays):
    return {name: arrays[own].T for own, name in TORCH.items()}


def check(model, arrays, dtype="float32"):
    for p, array in zip(model.parameters(), arrays.values(), strict=True):
        assert_same_bits(p.data, array.astype(dtype))


def test_the_outputs_are_those_of_pytorch(tmp_path):
    torch, save = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").save_file
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    save(theirs.state_dict(), tmp_path / "theirs.safetensors")
    model, x = bp.mlp([4, 5, 3]), np.linspace(-1, 1, 24, dtype="f").reshape(6, 4)
    bp.load_weights(model, tmp_path / "theirs.safetensors")
    expected = theirs.double()(torch.tensor(x).double()).detach().numpy()
    np.testing.assert_allclose(model.predict(x).data, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_types_and_files(arrays, tmp_path, dtype, ending):
    path = tmp_path / f"a.{ending}"
    given = {name: array.astype(dtype) for name, array in arrays.items()}
    write(path, torch_arrays(given)) if ending == "safetensors" else np.savez(path, **torch_arrays(given))
    for real in ("float32", "float64"):
        model = bp.mlp([4, 5, 3], 1, real)
        bp.load_weights(model, path)
        check(model, given, real)


def test_bfloat16(arrays, tmp_path):
    upper = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in arrays.items()}
    model = bp.mlp([4, 5, 3])
    bp.load_weights(model, write(tmp_path / "a", upper))
    check(model, {name: (array.astype(np.uint32) << 16).view(np.float32) for name, array in upper.items()})


def test_names_by_map(arrays, tmp_path):
    path = write(tmp_path / "a", {**{f"net/{n}": a for n, a in arrays.items()}, "steps": np.zeros(1, np.int64)})
    for names in ({f"net/{n}": n for n in arrays}, lambda n: n[4:] if n.startswith("net/") else None):
        model = bp.mlp([4, 5, 3], seed=1)
        bp.load_weights(model, path, names)
        check(model, arrays)


def test_names_are_ordered_by_their_numbers(tmp_path):
    many = {f"layers.{k}.weight": np.full((1, 1), k, "f") for k in (10, 2, 9)}
    model = bp.Model([bp.Lin(1, 1, bias=False) for _ in range(3)])
    bp.load_weights(model, write(tmp_path / "b", many), transpose=True)
    assert [float(p.data[0, 0]) for p in model.parameters()] == [2, 9, 10]


def test_square_weights_need_to_be_told(rng, tmp_path):
    w = rng.standard_normal((4, 4)).astype("f")
    path = write(tmp_path / "a", {"0.weight": w, "0.bias": w[0], "2.weight": w[:2], "2.bias": w[0, :2]})
    model = bp.mlp([4, 4, 2])
    before = [p.data.copy() for p in model.parameters()]
    with pytest.raises(bp.CheckpointError, match=r"w1: square, so shapes do not say .* transpose=True if they are"):
        bp.load_weights(model, path)
    with pytest.raises(bp.CheckpointError, match=r"w2: found shape \(2, 4\), expected \(4, 2\)"):
        bp.load_weights(model, path, transpose=False)
    for p, q in zip(model.parameters(), before, strict=True):
        assert_same_bits(p.data, q)
    bp.load_weights(model, path, transpose=True)
    assert_same_bits(model.layers[0].w.data, w.T)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda a: a | {"2.bias": np.zeros(4, "f")}, {}, r"b2: found shape \(4,\), expected \(3,\)"),
        (lambda a: {"x": np.zeros(3, "f")}, {}, "cannot tell which array is which parameter: it has x"),
        (lambda a: a | {"x": np.zeros(3, "f")}, {}, "cannot tell which array"),
        (lambda a: {n.replace("0", "a").replace("2", "b"): v for n, v in a.items()}, {}, "cannot tell which array"),
        (lambda a: a, {"map": {"nothing": "w1"}}, "map: has no nothing; it has 0.weight"),
        (lambda a: a, {"map": {"0.weight": "w1"}}, "map: nothing became b1, w2, b2"),
        (lambda a: a, {"map": lambda _: "w1"}, "map: w1 was given two arrays"),
        (lambda a: a, {"map": lambda n: n}, "map: '0.weight' became '0.weight', expected one of w1, b1"),
        (lambda a: a | {"2.bias": np.full(3, 1e300)}, {}, "b2: float64 .* too large for float32"),
        (lambda a: a | {"2.bias": np.zeros(3, np.int64)}, {}, "b2: found int64, expected floating-point numbers"),
    ],
)
def test_all_or_nothing(arrays, tmp_path, change, options, message):
    path, model = write(tmp_path / "a", change(torch_arrays(arrays))), bp.mlp([4, 5, 3])
    before = [p.data.copy() for p in model.parameters()]
    with pytest.raises((bp.CheckpointError, bp.DTypeError), match=message):
        bp.load_weights(model, path, **options)
    for p, q in zip(model.parameters(), before, strict=True):
        assert_same_bits(p.data, q)


def test_damaged_files(arrays, tmp_path):
    whole, model = write(tmp_path / "a", arrays).read_bytes(), bp.mlp([4, 5, 3])
    rng = np.random.default_rng(0)
    with pytest.raises(bp.CheckpointError, match="cannot be read"):
        bp.load_weights(model, tmp_path / "nothing")
    for k in range(300):
        damaged = bytearray(whole[: rng.integers(len(whole))] if k % 2 else whole)
        if damaged and not k % 2:
            damaged[rng.integers(min(300, len(damaged)))] = rng.integers(256)
        (tmp_path / "b").write_bytes(damaged)
        try:
            bp.load_weights(model, tmp_path / "b")
        except bp.CheckpointError:
            continue
        assert k % 2 == 0


def test_a_pending_backward_notices(arrays, tmp_path):
    model, x = bp.mlp([4, 5, 3]), np.ones((2, 4), "f")
    model(x, np.ones((2, 3), "f"))
    bp.load_weights(model, write(tmp_path / "a", arrays))
    with pytest.raises(bp.GradientError, match="load_weights"):
        model.backward()


def test_what_is_no_model(tmp_path):
    with pytest.raises(TypeError, match="load_weights: found list, expected a bp"):
        bp.load_weights([], tmp_path / "a")
    with pytest.raises(TypeError, match="transpose: found 'yes'"):
        bp.load_weights(bp.mlp([2, 1]), tmp_path / "a", transpose="yes")
    with pytest.raises(bp.CheckpointError, match="knows the parameters of Lin layers; the model has none"):
        bp.load_weights(bp.Model([bp.Relu()]), tmp_path / "a")

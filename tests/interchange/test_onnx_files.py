"""bp.to_onnx, by onnxruntime, and bp.from_onnx: the same function, and what is refused."""

import json
import re

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.drawn_networks import DRAWN, drawn
from pybackprop.cli.main import main
from pybackprop.nn.layers import ACTIVATIONS

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
TOLERANCE = 1e-6


def run(path, x):
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": x})
    return result


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


# ---- what is computed ----


@pytest.mark.parametrize("seed", DRAWN)
def test_a_drawn_network_by_onnxruntime_and_back(tmp_path, seed):
    model, x = drawn(seed)
    path = tmp_path / "model.onnx"
    made = bp.to_onnx(model, path)
    expected = model.predict(x).data
    for rows in (x, x[:1], x[:0]):
        found = run(path, rows)
        assert found.dtype == x.dtype
        close(found, model.predict(rows).data)
    for source in (path, str(path), made):
        assert_same_bits(bp.from_onnx(source).predict(x).data, expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_an_operator(tmp_path, name, dtype):
    model = bp.Model([bp.Lin(np.eye(2, dtype=dtype)), ACTIVATIONS[name]()])
    x = np.linspace(-3, 3, 14, dtype=dtype).reshape(7, 2)
    bp.to_onnx(model, tmp_path / "model.onnx")
    close(run(tmp_path / "model.onnx", x), model.predict(x).data)
    assert repr(bp.from_onnx(tmp_path / "model.onnx").layers[1]) == repr(model.layers[1])


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in "ab":
        bp.to_onnx(bp.mlp([4, 3, 2]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_the_file_says():
    made = bp.to_onnx(bp.mlp([4, 3, 2]))
    assert [tensor.name for tensor in made.graph.initializer] == ["w1", "b1", "w2", "b2"]
    assert [node.op_type for node in made.graph.node] == ["Gemm", "Relu", "Gemm"]
    rows, columns = made.graph.input[0].type.tensor_type.shape.dim
    assert (rows.dim_param, columns.dim_value) == ("n", 4)
    assert made.producer_name == "pybackprop"


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")  # its own
def test_pytorchs_exporter_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)).eval()
    x = torch.randn(5, 4)
    torch.onnx.export(network, (x,), tmp_path / "theirs.onnx")
    close(bp.from_onnx(tmp_path / "theirs.onnx").predict(x.numpy()).data, network(x).detach().numpy())


def test_products_and_sums_written_by_others():
    w, b = np.arange(6, dtype="f").reshape(2, 3), np.arange(3, dtype="f")
    nodes = [
        ("MatMul", ["x", "w"], {}),
        ("Add", ["b", 0], {}),
        ("Identity", [1], {}),
        ("LeakyRelu", [2], {"alpha": 0.5}),
    ]
    model = bp.from_onnx(graph(nodes, {"w": w, "b": b[None]}), loss=bp.CrossEntropy())
    x = np.array([[1, -2]], "f")
    close(model.predict(x).data, bp.leaky_relu(x @ w + b, 0.5).data)
    assert isinstance(model.loss, bp.CrossEntropy)
    turned = bp.from_onnx(graph([("Gemm", ["x", "w", "b"], {"transB": 1})], {"w": w.T.copy(), "b": b}))
    close(turned.predict(x).data, x @ w + b)


# ---- what is refused ----


def graph(nodes, arrays, columns=2):
    """A model of nodes (operator, inputs: a name, or the number of the node whose output it is; attributes)."""
    make = onnx.helper
    made = [
        make.make_node(
            kind, [f"y{i}" if isinstance(i, int) else i for i in inputs], [f"y{k}"], f"node{k}", **attributes
        )
        for k, (kind, inputs, attributes) in enumerate(nodes)
    ]
    stored = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    x = make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", columns])
    y = make.make_tensor_value_info(f"y{len(nodes) - 1}", onnx.TensorProto.FLOAT, None)
    return make.make_model(make.make_graph(made, "g", [x], [y], stored), opset_imports=[make.make_opsetid("", 17)])


W, B = np.ones((2, 3), "f"), np.ones(3, "f")
GEMM = ("Gemm", ["x", "w", "b"], {})
GRAPHS = {
    "operator": (
        [GEMM, ("Flatten", [0], {})],
        {"w": W, "b": B},
        "'node1' Flatten: has no counterpart.*possible are Gemm",
    ),
    "first of two": ([("Abs", ["x"], {}), ("Sin", [0], {})], {}, "'node0' Abs"),
    "width": (
        [("Gemm", ["x", "w"], {})],
        {"w": np.ones((5, 3), "f")},
        "w has 5 inputs and 3 outputs, the input x gives 2",
    ),
    "next width": (
        [("Gemm", ["x", "w"], {}), ("Gemm", [0, "v"], {})],
        {"w": W, "v": np.ones((4, 1), "f")},
        "v has 4 inputs and 1 outputs, w gives 3",
    ),
    "half": ([GEMM], {"w": W.astype("f2"), "b": B.astype("f2")}, r"w \(2, 3\) is float16, expected float32 or float64"),
    "mixed": (
        [("Gemm", ["x", "w"], {}), ("Gemm", [0, "v"], {})],
        {"w": W, "v": np.ones((3, 1))},
        r"v \(3, 1\) is float64, expected float32",
    ),
    "bias": ([GEMM], {"w": W, "b": np.ones(4, "f")}, r"bias b has shape \(4,\), expected \(3,\)"),
    "bias dtype": ([GEMM], {"w": W, "b": np.ones(3)}, r"bias b|b \(3,\) is float64, expected float32"),
    "transposed x": ([("Gemm", ["x", "w"], {"transA": 1})], {"w": W}, "has transA=1, expected 0"),
    "alpha": ([("Gemm", ["x", "w"], {"alpha": 0.5})], {"w": W}, r"has alpha=0.5, expected 1.0"),
    "axis": ([("Softmax", ["x"], {"axis": 0})], {}, "found axis=0, expected 1"),
    "slope": ([("LeakyRelu", ["x"], {"alpha": -1.0})], {}, "negative_slope=-1.0"),
    "sum of two": ([("Add", ["x", "b"], {})], {"b": B[:2]}, "adds b to what is no product"),
    "two paths": ([GEMM, ("Add", [0, 0], {}), ("Mul", ["x", "x"], {})], {"w": W, "b": B}, "'node1' Add: takes y0, y0"),
}


@pytest.mark.parametrize("what", GRAPHS)
def test_a_graph_that_is_no_chain_of_layers_is_refused(what, tmp_path):
    nodes, arrays, message = GRAPHS[what]
    with pytest.raises(bp.CheckpointError, match=f"^from_onnx: .*(?:{message})"):
        bp.from_onnx(graph(nodes, arrays))


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(bp.CheckpointError, match=r"missing.onnx: cannot be read: No such file"):
        bp.from_onnx(tmp_path / "missing.onnx")
    whole = bp.to_onnx(bp.mlp([4, 3])).SerializeToString()
    for k, content in enumerate([b"", b"not a model", whole[:-20], b"\x00" * 50]):
        path = tmp_path / f"{k}.onnx"
        path.write_bytes(content)
        with pytest.raises(bp.CheckpointError, match=re.escape(f"{path}: is damaged, or no ONNX file: ")):
            bp.from_onnx(path)
    with pytest.raises(TypeError, match=r"from_onnx: found int, expected a path or an onnx\.ModelProto"):
        bp.from_onnx(3)


cube = bp.define_op("cube_in_onnx", lambda x: x**3, lambda dout, x: 3 * x * x * dout)


def test_a_model_without_a_counterpart_leaves_the_file_alone(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("old")
    for layers, error, message in [
        ([bp.Lin(3, 2), cube], TypeError, r"layers\[1\] is the operation 'cube_in_onnx'.*no counterpart in ONNX"),
        ([bp.Relu()], ValueError, "found a model without a Lin"),
        ([bp.Lin(3, 2), bp.Lin(3, 2)], bp.ShapeError, r"layers\[1\]: found w \(3, 2\), expected 2 inputs"),
        ([bp.Lin(3, 2), bp.Lin(2, 2, dtype="f8")], bp.DTypeError, "float64"),
        ([print], TypeError, r"layers\[0\] is print"),
    ]:
        with pytest.raises(error, match=f"to_onnx: {message}|to_onnx: .*{message}"):
            bp.to_onnx(bp.Model(layers), path)
    assert path.read_text() == "old"
    with pytest.raises(FileNotFoundError, match="to_onnx: there is no folder"):
        bp.to_onnx(bp.mlp([3, 2]), tmp_path / "none" / "model.onnx")


# ---- the command line ----


def table(path, rows, missing=False):
    lines = ["area,rooms,kind,price"]
    rng = np.random.default_rng(0)
    for k in range(rows):
        area = "" if missing and k % 7 == 0 else f"{1_000_000 + rng.integers(100)}"
        lines.append(f"{area},{k % 4 + 1},{'ab'[k % 2]},{300 * (k % 9) + 0.5 * k}")
    path.write_text("\n".join(lines) + "\n")


def numbers(path, fill=np.nan):
    cells = [line.split(",") for line in path.read_text().split()[1:]]
    return np.array([[float(a or fill), float(r), k == "a", k == "b"] for a, r, k, _ in cells])


def predicted(capsys, model, data):
    capsys.readouterr()
    assert main(["predict", "--model", str(model), "--data", str(data), "--json"]) == 0
    return np.asarray(json.loads(capsys.readouterr().out)["predictions"])


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "missing"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_exported_checkpoint_computes_what_predict_does(tmp_path, capsys, dtype, missing):
    data, model, path = (tmp_path / name for name in ("homes.csv", "homes.npz", "homes.onnx"))
    table(data, 60, missing)
    fill = ["--missing", "mean"] if missing else []
    assert main(["train", "--data", str(data), "--save", str(model), "--quiet", "--dtype", dtype, *fill]) == 0
    assert main(["export", "--model", str(model), "--save", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["input"] == {"name": "x", "columns": 4, "dtype": "float64"}
    assert told["data"]["columns"] == ["area", "rooms", "kind"]
    expected = predicted(capsys, model, data)
    found = run(path, numbers(data))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_an_exported_classifier_of_bytes(tmp_path, capsys, rng):
    x = rng.integers(0, 256, (60, 5)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=x, y=np.where(x[:, 0] > 128, "bright", "dark"))
    model, path = tmp_path / "model.npz", tmp_path / "model.onnx"
    assert main(["train", "--data", str(tmp_path / "data.npz"), "--save", str(model), "--quiet"]) == 0
    assert main(["export", "--model", str(model), "--save", str(path)]) == 0
    assert (
        "input x (n, 5) float32, output out (n, 2) float32; the columns of out are bright, dark"
        in capsys.readouterr().out
    )
    scores = run(path, x.astype("f"))
    close(scores, bp.load(model).predict(x.astype("f") / np.float32(255)).data)


def test_an_export_that_cannot_be_is_refused(tmp_path, capsys):
    bp.save(bp.mlp([3, 2]), tmp_path / "model.npz")
    assert main(["export", "--model", str(tmp_path / "model.npz"), "--save", str(tmp_path / "model.pt")]) == 1
    assert "--save: found model.pt, expected a name that ends in .onnx" in capsys.readouterr().err
    assert main(["export", "--model", str(tmp_path / "none.npz"), "--save", str(tmp_path / "model.onnx")]) == 1
    assert not (tmp_path / "model.onnx").exists()

"""`pybackprop explain`, run as people run it."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import pybackprop as bp
from helpers.processes import COMMAND, run_command
from pybackprop.cli.main import main
from pybackprop.teach import example


def test_without_arguments_it_is_the_whole_chain_of_a_small_example():
    done = run_command("explain")
    assert done.returncode == 0, done.stderr
    for words in ("u1 = x @ w1 + b1", "v = relu(u1)", "z = mse(u2, targ)", "The Jacobian that is never built"):
        assert words in done.stdout
    assert "\x1b" not in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_colours_in_a_terminal():
    import pty

    main_end, terminal = pty.openpty()
    command = [*COMMAND, "explain", "--element", "w1[3,7]"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    done = subprocess.Popen(command, stdout=terminal, env=environment)
    os.close(terminal)
    said = b""
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    assert done.wait(60) == 0
    os.close(main_end)
    assert b"\x1b[" in said
    assert "bit for bit" in said.decode()


@pytest.mark.parametrize(
    "element", ["w1[3,7]", " w1 [ 3 , 7 ]", "b1[2]", "x[1,2]", "l1[0,2]", "l2", "w2", "out[3,0]", "w1[-1,-1]"]
)
def test_an_element(explain, element):
    said = explain("--element", element)
    assert said.startswith(element.replace(" ", "").split("[")[0])
    assert "bit for bit" in said


def test_json_has_the_bits_of_the_example(explain):
    found = json.loads(explain("--element", "w1[3,7]", "--json"))
    right = example.small().tensors["w1"].g.data[3, 7]
    assert np.float32(found["total"]) == np.float32(found["g"]) == right
    assert found["agrees"] is True
    assert abs(found["check"]) < 1e-9
    assert len(found["terms"]) == 4
    assert json.loads(explain("--json"))["steps"][0]["g"] == "out.g"


def test_the_example_is_easy_to_read_and_the_same_everywhere():
    t = example.small().tensors
    for name in ("x", "w1", "b1", "w2", "b2", "targ"):
        assert (t[name].data * 4 == np.round(t[name].data * 4)).all()
    assert float(t["loss"]) == 6.19500732421875
    assert (t["l1"].data != 0).all()


def test_shapes(explain):
    assert json.loads(explain("--shape", "4,3,2", "--element", "w1[0,0]", "--json"))["shape"] == [3, 2]
    deep = json.loads(explain("--shape", "5,4,3,6,2", "--element", "w3[0,1]", "--json"))
    assert deep["shape"] == [6, 2]
    assert deep["agrees"]


def test_data(explain, tmp_path):
    found = json.loads(explain("--data", "--element", "w1", "--json"))
    assert found["shape"] == [64, 50]
    assert found["terms_in_all"] == 64
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.random((20, 7)), y_train=rng.integers(0, 3, 20))
    found = json.loads(explain("--data", tmp_path / "d.npz", "--element", "w2[0,2]", "--json"))
    assert found["shape"] == [50, 3]


def test_plot(explain, tmp_path):
    pytest.importorskip("matplotlib")
    explain("--plot", tmp_path / "e.png", "--element", "w1[3,7]")
    explain("--plot", tmp_path / "chain.png")
    assert (tmp_path / "e.png").stat().st_size > 10000
    assert (tmp_path / "chain.png").stat().st_size > 10000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--element", "q"], "expected one of x, w1, b1"),
        (["--element", "w1[3"], "expected one of x, w1, b1"),
        (["--element", "w1[9,9]"], "row 0 .. 4, column 0 .. 7"),
        (["--element", "w1[3]"], "row 0 .. 4, column 0 .. 7"),
        (["--element", "w1[a,b]"], "expected one of"),
        (["--element", "w1[1-2,3]"], "expected whole numbers"),
        (["--data", "--shape", "4,3,2"], "leave it out with --data"),
        (["--data", "/nowhere.npz"], "nowhere"),
        (["--plot", "e.txt"], "ends in"),
    ],
)
def test_what_it_refuses(explain, options, said):
    assert said in explain(*options)


@pytest.mark.parametrize("shape", ["4,3", "4,0,2", "a,b,c", "", "4,-3,2"])
def test_a_shape_that_is_none(shape, capsys):
    with pytest.raises(SystemExit):
        main(["explain", "--shape", shape])
    assert "expected at least three whole numbers" in capsys.readouterr().err


def scene_in(path):
    """The numbers that a page holds."""
    text = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', path.read_text(), re.DOTALL)[1]
    return json.loads(text)


def test_the_page_gets_the_network_s_numbers(explain, tmp_path):
    explain("--element", "w1[3,7]", "--html", tmp_path / "p.html")
    scene, t = scene_in(tmp_path / "p.html"), example.small().tensors
    assert scene["selected"] == ["w1", [3, 7]]
    assert scene["n"] == 4
    assert [layer["op"] for layer in scene["layers"]] == ["lin", "relu", "lin", "mse"]
    assert scene["layers"][0] == {"op": "lin", "in": "x", "w": "w1", "b": "b1", "out": "l1"}
    assert scene["layers"][-1] == {"op": "mse", "in": "out", "targ": "targ", "out": "loss"}
    for name in ("x", "w1", "b1", "w2", "b2"):
        assert scene["tensors"][name]["shape"] == list(t[name].shape)
        assert scene["tensors"][name]["data"] == t[name].data.ravel().tolist()
    explain("--html", tmp_path / "p.html")
    assert scene_in(tmp_path / "p.html")["selected"] == ["w1", [3, 7]]  # the largest gradient
    explain("--data", "--element", "x[60,3]", "--html", tmp_path / "p.html")
    scene = scene_in(tmp_path / "p.html")
    assert (scene["n"], scene["selected"]) == (64, ["x", [60, 3]])


def test_the_scene_has_the_gradients_of_the_explained_network():
    t = example.small().tensors
    scene = bp.explain(t["b1"], at=(2,), loss=t["loss"]).scene()
    for name in ("x", "w1", "b1", "l1", "l2", "w2", "b2", "out"):
        data, g = scene.tensors[name]
        assert (data == t[name].data).all()
        assert (g == t[name].g.data).all()


def test_an_expression_s_steps_are_joined_for_the_page():
    x, w, b = bp.tensor(np.ones((4, 3), "f")), bp.param(np.ones((3, 2), "f")), bp.param(np.zeros(2, "f"))
    loss = bp.mse(bp.relu(x @ w + b), np.zeros((4, 2), "f"))
    loss.backward()
    scene = bp.explain(w, at=(2, 1)).scene()
    assert [layer["op"] for layer in scene.layers] == ["lin", "relu", "mse"]
    assert scene.layers[0] == {"op": "lin", "in": "x", "w": "w1", "b": "b1", "out": "l1"}
    assert scene.selected == ("w1", (2, 1))
    assert (scene.tensors["w1"][1] == w.g.data).all()
    other = bp.mse((x @ w + 1.5).clone(), np.zeros((4, 2), "f"))
    other.backward()
    with pytest.raises(bp.GradientError, match="the page supports lin, relu and mse"):
        bp.explain(w, at=(0, 0), loss=other).to_html()


def test_of_many_rows_the_page_shows_the_first(tmp_path):
    x, w = bp.tensor(np.random.default_rng(0).standard_normal((500, 3)).astype("f")), bp.param(np.ones((3, 2), "f"))
    loss = bp.mse(bp.lin(x, w), np.zeros((500, 2), "f"))
    loss.backward()
    scene = bp.explain(x, at=(400, 2), loss=loss).scene()
    assert scene.n == 100
    assert scene.selected == ("w1", (0, 0))
    assert "first 100 of 500" in scene.note
    made = bp.explain(w, at=(1, 1), loss=loss).to_html(tmp_path / "p.html")
    assert (tmp_path / "p.html").read_text() == made


def test_the_users_columns_are_scaled_as_train_scales_them(explain, tmp_path, rng):
    a, b = rng.normal(700, 50, 20).round(2), rng.normal(0.01, 0.003, 20).round(5)
    lines = [f"{x},{y},{'pq'[k % 2]}" for k, (x, y) in enumerate(zip(a, b, strict=True))]
    (tmp_path / "d.csv").write_text("a,b,kind\n" + "\n".join(lines))
    one = ("--data", tmp_path / "d.csv", "--element", "w1[0,0]", "--json")
    found = json.loads(explain(*one))
    assert found == json.loads(explain(*one, "--scale", "standard"))
    assert abs(found["total"]) < 10 < abs(json.loads(explain(*one, "--scale", "none"))["total"])

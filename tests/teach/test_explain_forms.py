"""The forms of an explanation: rich, HTML, JSON, LaTeX, MathML, the picture; the whole chain; compare."""

import io
import json
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

import pybackprop as bp
from helpers.networks import NETWORKS, by_hand, layers, numbers, tape, tensors_of
from pybackprop.teach.explain.outer_product import free_bytes

NAMES = ["w1", "b1", "x", "l1", "l2", "w2", "b2", "out", "targ", "loss"]


@pytest.fixture(scope="module")
def net():
    return by_hand(numbers(np.float32))


def printed(shown, terminal):
    rich = pytest.importorskip("rich.console")
    out = io.StringIO()
    rich.Console(file=out, width=100, force_terminal=terminal, color_system="standard" if terminal else None).print(
        shown
    )
    return out.getvalue()


class Tags(HTMLParser):
    """Fails on a tag that is closed and was not open."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# ---- every form of every tensor ----


@pytest.mark.parametrize("name", NAMES)
def test_rich_text_says_the_same_in_colours(net, name):
    e = bp.explain(net[name])
    plain = printed(e, terminal=False)
    for word in str(e).split():
        assert word in plain
    assert all(len(line) <= 100 for line in plain.splitlines())
    for line in str(e).splitlines():  # brackets are no marks of rich's
        assert " ".join(line.split())[:60] in " ".join(plain.split())
    assert "\x1b[" in printed(e, terminal=True)


@pytest.mark.parametrize("name", NAMES)
def test_html_for_notebooks(net, name):
    e = bp.explain(net[name])
    html = e._repr_html_()
    assert not Tags(html).open
    assert "<table" in html
    assert "<math" in html
    if name != "loss":
        assert e.gradient_name in html


def test_html_escapes_names():
    t = tensors_of(numbers(np.float32))
    t["w1"].name = "<script>alert(1)</script>"
    loss = bp.mse(bp.lin(t["x"], t["w1"]), np.zeros((6, 5), "f"))
    loss.backward()
    e = bp.explain(t["w1"])
    assert "<script>" not in e._repr_html_()
    assert "<script>" not in bp.explain(loss)._repr_html_()


@pytest.mark.parametrize("name", NAMES)
def test_json(net, name):
    e = bp.explain(net[name])
    found = json.loads(e.to_json())
    assert found["total"] == e.total
    assert found["matmul"] == e.matmul
    if name != "loss":
        assert len(found["terms"]) == len(e.terms) == found["terms_in_all"]
        assert found["terms"][0]["product"] == e.terms[0].product
        assert found["agrees"] is True


@pytest.mark.parametrize("name", NAMES)
def test_mathml_is_well_formed_and_latex_balanced(net, name):
    e = bp.explain(net[name])
    math = ElementTree.fromstring(e.mathml())
    assert math.tag == "{http://www.w3.org/1998/Math/MathML}math"
    latex = e.latex()
    assert latex.count("{") == latex.count("}")
    assert latex.startswith(r"\begin{aligned}")
    assert latex.count("&=") == latex.count(r"\\") + 1


def test_the_derivation_has_this_example_s_indices(net):
    latex = bp.explain(net["w1"], at=(3, 2)).latex()
    for part in (
        r"\frac{\partial \mathtt{loss}}{\partial \mathtt{w1}_{3,2}} &= \sum_{i=0}^{5}",
        r"\frac{\partial \mathtt{l1}_{i,2}}{\partial \mathtt{w1}_{3,2}}",
        r"\mathtt{x}_{i,3} \cdot \mathtt{l1.g}_{i,2}",
        r"\mathtt{w1.g} &= \mathtt{x}^{\mathsf{T}} \mathbin{@} \mathtt{l1.g}",
        str(np.float32(net["w1"].g.data[3, 2])),
    ):
        assert part in latex
    text = "".join(ElementTree.fromstring(bp.explain(net["x"], at=(1, 2)).mathml()).itertext())
    assert "x1,2" in text
    assert "w12,j" in text


# ---- the picture ----


@pytest.mark.parametrize("name", NAMES)
def test_the_picture(net, name, tmp_path):
    pytest.importorskip("matplotlib")
    e = bp.explain(net[name])
    figure = e.plot(tmp_path / "e.png")
    assert (tmp_path / "e.png").stat().st_size > 10000
    assert figure._repr_png_().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figure.get_axes()]
    if name == "w1":
        for part in ("x (6,4)", "w1 (4,5)", "l1 (6,5)", "l1.g (6,5)", "w1.g (4,5)", "the terms"):
            assert part in titles


def test_the_picture_marks_element_column_and_row(net):
    pytest.importorskip("matplotlib")
    frames = {}
    for axes in bp.explain(net["w1"], at=(3, 2)).plot().get_axes():
        boxes = [patch for patch in axes.patches if patch.get_linewidth() == 3]
        if boxes:
            frames[axes.get_title()] = (boxes[0].get_xy(), boxes[0].get_width(), boxes[0].get_height())
    assert frames["w1 (4,5)"] == ((1.5, 2.5), 1, 1)
    assert frames["x (6,4)"] == ((2.5, -0.5), 1, 6)
    assert frames["l1.g (6,5)"] == frames["l1 (6,5)"] == ((1.5, -0.5), 1, 6)


def test_a_window_of_a_large_matrix_is_drawn():
    pytest.importorskip("matplotlib")
    t = by_hand(numbers(np.float32, n=500, m=90, h=70))
    figure = bp.explain(t["w1"], at=(50, 60)).plot()
    titles = " ".join(axes.get_title() for axes in figure.get_axes())
    assert "rows 42-57, columns 52-67" in titles
    assert "40 largest of 500 terms" in titles


def test_a_picture_without_a_place(net, tmp_path):
    with pytest.raises(FileNotFoundError):
        bp.explain(net["w1"]).plot(tmp_path / "nowhere" / "e.png")
    with pytest.raises(ValueError, match="ends in"):
        bp.explain(net["w1"]).plot(tmp_path / "e.txt")


# ---- the whole chain ----


@pytest.mark.parametrize("network", NETWORKS)
def test_the_chain_says_which_g_holds_which_product(network):
    t = network(numbers(np.float32))
    e = bp.explain(t["loss"])
    holds = {step["g"]: step["holds"] for step in e.steps}
    assert holds["out.g"].startswith("∂z/∂u")
    assert all(step["holds"].startswith("∂z/∂u") for step in e.steps)
    assert holds["w1.g"].endswith("∂u1/∂w1")
    assert e.agrees
    assert abs(e.check) < 1e-4


def test_the_chain_of_the_lesson_step_by_step(net):
    e = bp.explain(net["loss"])
    found = [(step["after"], step["g"], step["computed as"], step["holds"], step["shape"]) for step in e.steps]
    assert found == [
        ("bp.mse_grad(out, targ)", "out.g", "2 * (out - targ) / 18", "∂z/∂u2", (6, 3)),
        ("bp.lin_grad(l2, out, w2, b2)", "l2.g", "out.g @ w2.T", "∂z/∂u2 · ∂u2/∂v", (6, 5)),
        ("bp.lin_grad(l2, out, w2, b2)", "w2.g", "l2.T @ out.g", "∂z/∂u2 · ∂u2/∂w2", (5, 3)),
        ("bp.lin_grad(l2, out, w2, b2)", "b2.g", "out.g.sum(0)", "∂z/∂u2 · ∂u2/∂b2", (3,)),
        ("bp.relu_grad(l1, l2)", "l1.g", "(l1 > 0) * l2.g", "∂z/∂u2 · ∂u2/∂v · ∂v/∂u1", (6, 5)),
        ("bp.lin_grad(x, l1, w1, b1)", "x.g", "l1.g @ w1.T", "∂z/∂u2 · ∂u2/∂v · ∂v/∂u1 · ∂u1/∂x", (6, 4)),
        ("bp.lin_grad(x, l1, w1, b1)", "w1.g", "x.T @ l1.g", "∂z/∂u2 · ∂u2/∂v · ∂v/∂u1 · ∂u1/∂w1", (4, 5)),
        ("bp.lin_grad(x, l1, w1, b1)", "b1.g", "l1.g.sum(0)", "∂z/∂u2 · ∂u2/∂v · ∂v/∂u1 · ∂u1/∂b1", (5,)),
    ]
    for _, g, computed, _, shape in found:
        read = {name: tensor.data for name, tensor in net.items() if isinstance(tensor, bp.Tensor)}
        read |= {f"{name}_g": tensor.g.data for name, tensor in net.items() if tensor.g is not None}
        value = eval(computed.replace(".g", "_g"), {}, read)
        assert value.shape == shape
        np.testing.assert_allclose(value, net[g.removesuffix(".g")].g.data, rtol=1e-4, atol=1e-5)


def test_the_seed_question_s_own_network():
    """f = mse(relu(x @ w + b)): u, v and z without numbers, the products as the question writes them."""
    t = tensors_of(numbers(np.float32))
    z = bp.mse(bp.relu(bp.lin(t["x"], t["w1"], t["b1"])), np.zeros((6, 5), "f"))
    z.backward()
    e = bp.explain(z)
    assert [step["holds"] for step in e.steps[:3]] == ["∂z/∂v", "∂z/∂v · ∂v/∂u", "∂z/∂v · ∂v/∂u · ∂u/∂x"]
    said = str(e)
    for words in ("u = x @ w1 + b1", "v = relu(u)", "z = mse(v, targ)"):
        assert words in said


def test_the_jacobian_s_size(net):
    e = bp.explain(net["loss"])
    first = e.to_dict()["jacobians"][0]
    assert (first["rows"], first["columns"]) == (6 * 5, 6 * 4)
    assert first["numbers"] == 6 * 5 * 6 * 4
    assert first["bytes"] == 4 * first["numbers"]
    assert "30 by 24 = 720 numbers, 2.88 kB" in str(e)
    assert "392 TB" in str(e)


def test_a_deep_chain_is_abbreviated():
    model = bp.mlp([4, 5, 5, 5, 5, 3])
    loss = model(np.ones((6, 4), "f"), np.ones((6, 3), "f"))
    model.backward()
    e = bp.explain(loss)
    assert e.steps[-1]["holds"] == "∂z/∂u5 · … · ∂v1/∂u1 · ∂u1/∂b1"
    assert all(len(line) <= 100 for line in str(e).splitlines())
    assert abs(e.check) < 1e-4


def test_data_that_nobody_wants_a_gradient_of_is_marked():
    t, model = tape(numbers(np.float32)), layers(numbers(np.float32))
    for one in (t, model):
        assert "x.g: only in a backward pass by hand" in str(bp.explain(one["loss"]))


# ---- compare ----


def test_compare_shows_the_same_terms_their_places_bytes_and_time():
    c = bp.explain.compare("broadcast", "matmul", size=(100, 30, 20), at=(2, 3))
    broadcast, matmul = c.ways
    assert c.same_terms
    assert c.offsets == {"products": 30 * 20 * 4, "x": 30 * 4, "out.g": 20 * 4}
    assert broadcast.temporary == 100 * 30 * 20 * 4
    assert matmul.temporary == 0
    assert broadcast.peak >= broadcast.temporary
    assert 30 * 20 * 4 <= matmul.peak < broadcast.temporary / 10
    assert min(way.seconds for way in c.ways) > 0
    np.testing.assert_allclose(broadcast.result, matmul.result, rtol=1e-4, atol=1e-5)
    said = str(c)
    for words in ("(x.unsqueeze(-1) * out.g.unsqueeze(1)).sum(0)", "x.T @ out.g", "7.84 GB", "2,400 bytes apart"):
        assert words in " ".join(said.split())
    assert all(len(line) <= 100 for line in said.splitlines())
    assert json.loads(c.to_json())["same_terms"] is True
    ElementTree.fromstring(c.mathml())
    assert printed(c, terminal=True)


def test_compare_in_double_and_twice_the_same():
    c = bp.explain.compare("matmul", "matmul", size=(5, 4, 3), dtype=np.float64)
    assert c.offsets["x"] == 32
    assert c.difference == 0
    assert "stores all" not in str(c)


def test_compare_refuses():
    with pytest.raises(ValueError, match="expected one of 'broadcast', 'matmul'"):
        bp.explain.compare("loop")
    with pytest.raises(ValueError, match="three whole numbers"):
        bp.explain.compare(size=(3, 0, 2))
    with pytest.raises(IndexError, match=r"k = 0 .. 99"):
        bp.explain.compare(at=(100, 0))
    n = free_bytes() // 10**6 + 1
    with pytest.raises(MemoryError, match=r"stores n·m·h products, .* free"):
        bp.explain.compare(size=(n, 1000, 1000))

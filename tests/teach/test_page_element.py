"""The page in a browser: one element, what it moves, its terms, its value dragged."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.page_browser import MINUS
from helpers.scenes import example
from pybackprop.teach.example import on_data, small

pytestmark = pytest.mark.browser

ALL = "\ue009a\ue000"  # Ctrl+A: what is typed then takes its place


@pytest.fixture(scope="module")
def scenes():
    kept = {"small": (small(), (3, 7)), "digits": (on_data(None), (20, 7))}
    return {name: bp.explain(each.tensors["w1"], at=at).scene() for name, (each, at) in kept.items()}


# ---- choosing ----


MOVES = [
    # an element, what it moves, what the gradient that arrives is read from, by how much, and its formula's letters
    ("w1", 2, 1, "l1", [[i, 1] for i in range(4)], ("x", [[i, 2] for i in range(4)]), "∑i=03xi,2·l1.gi,1"),
    ("b1", 0, 0, "l1", [[i, 0] for i in range(4)], None, "∑i=03l1.gi,0"),
    ("x", 3, 2, "l1", [[3, 0], [3, 1]], ("w1", [[2, 0], [2, 1]]), "∑j=01l1.g3,j·w12,j"),
    ("l1", 0, 0, "l2", [[0, 0]], None, "(l10,0>0)·l2.g0,0"),
    ("l2", 3, 1, "out", [[3, 0]], ("w2", [[1, 0]]), "∑j=00out.g3,j·w21,j"),
    ("w2", 1, 0, "out", [[i, 0] for i in range(4)], ("l2", [[i, 1] for i in range(4)]), "∑i=03l2i,1·out.gi,0"),
    ("out", 1, 0, "loss", [[0, 0]], None, f"24·(out1,0{MINUS}targ1,0)"),
    ("targ", 1, 0, "loss", [[0, 0]], None, f"{MINUS}24·(out1,0{MINUS}targ1,0)"),
]


@pytest.mark.parametrize(("name", "row", "column", "out", "moved", "source", "formula"), MOVES)
def test_a_chosen_element_lights_up_what_it_moves(page, name, row, column, out, moved, source, formula):
    page.open(example())
    page.click(page.cell(name, row, column))
    index = [row, column] if name != "b1" else [column]
    called = f"{name}[{','.join(map(str, index))}]"
    assert page.chosen() == called
    assert page.text("#sentence").startswith(called)
    assert page.marked(name, "chosen") == [[row, column]]
    factors = [1] * len(moved) if source is None else [example().tensors[source[0]][0][tuple(at)] for at in source[1]]
    assert page.marked(out, "moves") == [at for at, factor in zip(moved, factors, strict=True) if factor]
    if out != "loss":
        assert page.marked(out, "upstream", gradient=True) == moved
    if source:
        assert page.marked(source[0], "source") == source[1]
    assert formula in page.text("#formula").replace(" ", "")
    rows = page.driver.find_elements("css selector", "#terms tbody tr")
    assert len(rows) == len(moved)
    assert rows[0].text.startswith(out)
    assert page.text("#terms tbody tr:last-child .partial") == page.text("#gradient")
    assert page.text("#formula").endswith(page.text("#gradient"))
    page.until(lambda: page.fragment() != "")
    assert page.fragment() == f"#at={name}.{'.'.join(map(str, index))}"


def test_a_gradient_is_chosen_as_its_value_is(page):
    page.open(example())
    page.click(page.cell("w2", 1, 0, gradient=True))
    assert page.chosen() == "w2[1,0]"
    assert page.marked("w2", "chosen", gradient=True) == [[1, 0]]


def test_where_relu_stops_nothing_moves(page):
    page.open(example())
    page.click(page.cell("l1", 0, 1))
    assert "is not positive" in page.text("#sentence")
    assert page.marked("l2", "moves") == page.marked("out", "onwards") == []
    assert page.text("#gradient") == "0"


def test_at_relus_corner_the_sentence_says_what_is_taken_and_what_is_measured(page, scenes):
    page.open(scenes["small"], "#at=l1.1.7&set=l1.1.7:-6.3125")
    assert page.values("l1").reshape(4, 8)[1, 7] == 0
    assert page.text("#sentence") == (
        "l1[1,7] is 0, at relu's corner: to the right l2[1,7] moves with it, to the left it does not; relu's gradient "
        "there is taken as 0, while the measured slope is the mean of both sides."
    )
    measured = "return pybackprop.measuredSlope(pybackprop.lossAlong(pybackprop.app.net, "
    measured += "pybackprop.app.state.changed, pybackprop.app.state.at), 0)"
    arriving = page.grads("l2").reshape(4, 8)[1, 7]
    assert page.number("#gradient") == 0
    assert page.js(measured) == pytest.approx(arriving / 2, rel=1e-3)
    assert arriving != 0
    for shift, begin in ((-6.25, "is positive, so it moves"), (-6.5, "is not positive, so l2[1,7] stays 0")):
        page.go(f"#at=l1.1.7&set=l1.1.7:{shift}")
        assert page.text("#sentence").startswith(f"l1[1,7] {begin}")


# ---- the loss along an element ----

PLOT = """const plot = document.querySelector(".slope");
    const text = [...plot.querySelectorAll("text")].find(each => each.textContent.startsWith("loss ")).getBBox();
    const frame = plot.querySelector("svg"), point = plot.querySelector(".point");
    const [left, top] = ["x", "y"].map(name => Number(frame.getAttribute(name)));
    const [x, y] = ["cx", "cy"].map(name => Number(point.getAttribute(name)));
    const path = plot.querySelector(".curve").getAttribute("d").match(/[\\d.e-]+ [\\d.e-]+/g)
        .map(each => each.split(" ").map(Number)).map(([a, b]) => [a + left, b + top]);
    const {width} = plot.viewBox.baseVal;
    return {path, point: [x, y], bottom: text.y + text.height, right: text.x + text.width, width}"""

PLOTS = [
    ("small", "#at=l1.1.7", 1280),
    ("small", "#at=w1.3.7", 1280),
    ("small", "#at=w1.3.7", 360),
    ("small", "#at=l1.1.7&set=l1.1.7:-6.3125", 1280),
    ("small", "#at=w1.3.7&set=w2.7.0:1e-8", 1280),
    ("digits", "#at=w1.0.3", 1280),
]


@pytest.mark.parametrize(("name", "fragment", "width"), PLOTS)
def test_the_point_lies_on_the_curve_and_no_word_does(page, scenes, name, fragment, width):
    """Also where the loss is flat, and float32's rounding is all that is left of it."""
    page.open(scenes[name], fragment, width=width)
    if width < 500:
        page.click("#sheet")
    plot = page.js(PLOT)
    path, (x, y) = np.array(plot["path"]), plot["point"]
    assert len(path) == 81
    assert y == pytest.approx(np.interp(x, *path.T), abs=2)
    assert min(path[:, 1].min(), y - 7) >= plot["bottom"] - 1
    assert plot["right"] <= plot["width"]


@pytest.mark.parametrize(("name", "fragment"), [(name, fragment) for name, fragment, _ in PLOTS[-2:]])
def test_rounding_alone_is_drawn_flat(page, scenes, name, fragment):
    page.open(scenes[name], fragment)
    heights = np.array(page.js(PLOT)["path"])[:, 1]
    assert np.ptp(heights) < 2
    assert heights.mean() == pytest.approx(63, abs=2)  # the middle


# ---- dragging ----


def test_dragging_a_number_sideways_moves_the_loss(page):
    page.open(example())
    before = page.number("#loss")
    page.drag(page.cell("w1", 1, 0), 48)
    assert page.chosen() == "w1[1,0]"
    assert page.values("w1")[2] == pytest.approx(0.1 + 24 * 0.01, abs=1e-6)
    assert page.number("#loss") != before
    assert "changed" in page.cell("w1", 1, 0).get_attribute("class")
    assert page.until(lambda: page.fragment() == "#at=w1.1.0&set=w1.1.0:0.34")
    page.click("#everything")
    assert page.number("#loss") == before


@pytest.mark.parametrize("at", ["w1.2.0", "b1.0", "x.3.1", "l1.1.0", "l2.1.0", "out.2.0", "targ.0.0"])
def test_along_the_slope_the_loss_moves_as_the_gradient_says(page, at):
    page.open(example(dtype=np.float64), f"#at={at}")
    slope, before = page.js("const {view} = pybackprop.app; return [view.total, view.run.loss]")
    page.js("const a = pybackprop.app; a.setValue(a.valueAt(a.state.at) + 1e-3)")
    assert page.js("return pybackprop.app.view.run.loss") - before == pytest.approx(slope * 1e-3, abs=2e-6)
    assert slope != 0


def test_the_slider_the_number_and_the_plot_are_one_value(page):
    page.open(example(), "#at=w1.0.0")
    page.find("#value input[type=range]").send_keys("\ue014" * 5)  # arrow right
    page.settle()
    assert page.values("w1")[0] == pytest.approx(0.35, abs=1e-6)
    number = page.find("#value input[type=number]")
    assert float(number.get_attribute("value")) == pytest.approx(0.35)
    number.send_keys(ALL + "-0.125\n")
    page.settle()
    assert page.values("w1")[0] == -0.125
    for no_number in ("\ue017\n", "1e50\n"):  # Delete; more than a float32 holds
        number.send_keys(ALL + no_number)
        page.settle()
        assert page.values("w1")[0] == -0.125
        assert float(number.get_attribute("value")) == -0.125
    page.drag(page.find("#plot svg"), 60)
    assert page.values("w1")[0] > 0.3
    page.click("#value button")
    assert page.values("w1")[0] == np.float32(0.3)
    assert not page.find("#value button").is_enabled()


def test_what_is_no_number_changes_nothing(page):
    page.open(example(), "#at=w1.0.0")
    number = page.find("#value input[type=number]")
    number.clear()
    number.send_keys("\t")
    page.settle()
    assert page.values("w1")[0] == np.float32(0.3)


def test_what_is_out_of_sight_is_written_all_the_same(page):
    """The terms below the fold follow a drag a few times a second; another element or network has its own at once."""
    page.open(example(), "#at=w1.2.1", height=500)
    total = """return [document.querySelector("#terms tbody tr:last-child .partial").textContent,
        pybackprop.long(pybackprop.app.view.total)]"""
    for value in (0.25, 0.5, 0.75):
        page.js("pybackprop.app.setValue(arguments[0])", value)
    assert page.until(lambda: len(set(page.js(total))) == 1)
    for name in ("b1", "x", "w2"):
        page.js("pybackprop.app.choose({name: arguments[0], row: 0, column: 0})", name)
        shown, wanted = page.js(total)
        assert shown == wanted
    page.click("#equal")
    assert page.until(lambda: page.js("return pybackprop.app.state.equal"))
    shown, wanted = page.js(total)
    assert shown == wanted

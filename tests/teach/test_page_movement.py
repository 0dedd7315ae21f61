"""The page in a browser: while a value is dragged, every number that moves says by how much."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.page_browser import MINUS
from helpers.scenes import example
from pybackprop.teach.example import on_data, small

pytestmark = pytest.mark.browser

BY = 0.01

DELTAS = """const found = {};
for (const cell of document.querySelectorAll(".layers .cell.delta")) {
  const [row, column] = cell.id.split("-").slice(-2).map(Number);
  const matrix = cell.closest(".matrix");
  const name = matrix.dataset.tensor + (matrix.classList.contains("gradient") ? ".g" : "");
  found[`${name},${row},${column}`] = cell.getAttribute("aria-label").match(/, by ([^,]+)/)[1];
}
return found;"""


def moved(page, at, by=BY):
    page.open(example(dtype=np.float64), f"#at={at}")
    before = {name: page.values(name) for name in ("w1", "l1", "l2", "out", "loss")}
    page.js("const a = pybackprop.app; a.setValue(a.valueAt(a.state.at) + arguments[0])", by)
    return before, page.js(DELTAS)


def test_the_difference_stands_below_the_value(page):
    moved(page, "w1.2.1", 0.5)
    cell = page.cell("w1", 2, 1)
    assert cell.text == "1.1\n+0.5"
    assert cell.size["height"] == 24


def number(text):
    return float(text.replace(MINUS, "-"))


FACTORS = [
    ("w1.2.1", lambda x, w, i, j: x[i, 2] * (j == 1)),
    ("b1.0", lambda x, w, i, j: j == 0),
    ("x.3.2", lambda x, w, i, j: w[2, j] * (i == 3)),
]


@pytest.mark.parametrize(("at", "factor"), FACTORS, ids=[at for at, _ in FACTORS])
def test_each_cell_that_moves_shows_its_difference(page, at, factor):
    before, deltas = moved(page, at)
    scene = example(dtype=np.float64)
    x, w = scene.tensors["x"][0], scene.tensors["w1"][0]
    for i in range(4):
        for j in range(2):
            wanted = float(factor(x, w, i, j)) * BY
            assert (f"l1,{i},{j}" in deltas) == (wanted != 0)
            if wanted:
                assert number(deltas[f"l1,{i},{j}"]) == pytest.approx(wanted, rel=0.06)
    for name in ("l2", "out", "loss"):
        by = (page.values(name) - before[name]).reshape(scene.tensors[name][0].shape or (1, 1))
        for (i, j), value in np.ndenumerate(by):
            assert (f"{name},{i},{j}" in deltas) == (value != 0), (name, i, j)
            if value:
                assert number(deltas[f"{name},{i},{j}"]) == pytest.approx(value, rel=0.06)


GRADIENTS = (
    "const {grads} = pybackprop.app.view.run; return Object.fromEntries([...grads].map(([k, g]) => [k, [...g]]))"
)


def test_each_gradient_that_moves_shows_its_difference(page):
    page.open(example(dtype=np.float64), "#at=w1.2.1")
    before = page.js(GRADIENTS)
    page.js("const a = pybackprop.app; a.setValue(a.valueAt(a.state.at) + arguments[0])", 0.2)
    after, deltas = page.js(GRADIENTS), page.js(DELTAS)
    shown = {name: by for name, by in deltas.items() if ".g," in name}
    counts = dict.fromkeys(after, 0)
    for name, numbers in after.items():
        columns = example().tensors[name][0].reshape(-1, example().tensors[name][0].shape[-1]).shape[1]
        for k, (new, old) in enumerate(zip(numbers, before[name], strict=True)):
            cell = f"{name}.g,{k // columns},{k % columns}"
            assert (cell in shown) == (new != old), cell
            if new != old:
                counts[name] += 1
                assert number(shown[cell]) == pytest.approx(new - old, rel=0.06)
    assert all(counts[name] for name in ("w1", "b1", "w2", "out"))


def test_a_gradient_that_is_not_written_yet_shows_no_difference(page):
    page.open(example(dtype=np.float64), "#at=w1.2.1&step=2")
    page.js("const a = pybackprop.app; a.setValue(a.valueAt(a.state.at) + arguments[0])", 0.2)
    deltas = page.js(DELTAS)
    assert "l1,1,1" in deltas
    assert not [name for name in deltas if ".g," in name]


def test_the_loss_says_what_the_slope_predicted_and_what_it_did(page):
    moved(page, "w1.1.0", 0.2)
    scene = example(dtype=np.float64)
    slope = scene.tensors["w1"][1][1, 0]
    by = page.js("return pybackprop.app.view.run.loss") - float(scene.tensors["loss"][0])
    said = [number(b.text) for b in page.driver.find_elements("css selector", "#effect b")]
    assert said == pytest.approx([0.2, slope, slope * 0.2, by], rel=0.006)
    assert number(page.text("#loss-change").removeprefix("\u0394 ")) == pytest.approx(by, rel=0.006)
    assert page.text("#effect").startswith("\u0394w1[1,0] = +0.2: the slope it had, ")


def test_differences_count_from_when_the_element_was_chosen(page):
    moved(page, "w1.1.0")
    assert page.js(DELTAS)
    page.click(page.cell("b1", 0, 1))
    assert not page.js(DELTAS)
    assert page.text("#loss-change") == ""
    page.js("pybackprop.app.setValue(0.7)")
    assert page.js(DELTAS)
    page.click("#everything")
    assert not page.js(DELTAS)


def test_a_relu_that_stops_it_ends_the_movement(page):
    before, deltas = moved(page, "l1.0.1")
    assert before["l1"][1] < -BY
    assert set(deltas) == {"l1,0,1"}  # and no gradient moves
    assert "is not positive" in page.text("#sentence")


def test_lines_join_what_moves_with_the_sum_that_collects_it(page):
    page.open(bp.explain((kept := small()).tensors["w1"], at=(3, 7)).scene(), width=1400)
    assert kept
    ends = page.js(
        """const origin = document.querySelector(".joins").getBoundingClientRect();
        return [...document.querySelectorAll(".join")].map(path => {
          const [a, b] = [path.getPointAtLength(0), path.getPointAtLength(path.getTotalLength())];
          return [path.classList[1], ...[a, b].map(({x, y}) => {
            const near = [...document.querySelectorAll(".layers .cell")].filter(cell => {
              const box = cell.getBoundingClientRect();
              return x + origin.left >= box.left - 1 && x + origin.left <= box.right + 1
                && Math.abs(y + origin.top - (box.top + box.bottom) / 2) < 2
                && /chosen|source|upstream/.test(cell.className); });
            return near.map(cell => cell.getAttribute("aria-label").split(" ")[0]).sort(); })]; });"""
    )
    found = [(kind, *(name for names in pair for name in names)) for kind, *pair in ends]
    wanted = [("local", f"x[{i},3]", "w1.g[3,7]") for i in range(4)]
    wanted += [("upstream", f"l1.g[{i},7]", "w1.g[3,7]") for i in range(4)]
    assert sorted(found) == sorted(wanted)


def test_the_legend_names_every_colour(page):
    page.open(example(), width=1400)
    kinds = page.js("return [...document.querySelectorAll('#network .legend .swatch')].map(s => s.classList[1])")
    assert kinds == ["chosen", "moves", "onwards", "source", "upstream"]
    colour = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    for kind in ("chosen", "moves", "onwards", "upstream"):
        assert page.js(colour, f".swatch.{kind}") == page.js(colour, f".layers .matrix .cell.{kind}"), kind


def test_nothing_moves_by_itself(page):
    page.open(example(), prefers_reduced_motion="reduce")
    page.click("#product-controls .main")
    assert page.js("return document.getAnimations().length") == 0
    assert page.js("return pybackprop.app.views.product.timer") is None


def test_a_frame_of_a_drag(page, record_property):
    """Measured on the page's thread, with what the browser does to show it; recorded, not judged."""
    for name, scene in [("64x50", small((64, 50, 50))), ("digits", on_data(None))]:
        page.open(bp.explain(scene.tensors["w1"], at=(20, 7)).scene(), width=1400)
        before = page.cpu_seconds()
        page.driver.execute_async_script(
            """const done = arguments[0];
            let k = 0;
            const frame = () => {
              if (k === 20) return done();
              pybackprop.app.setValue((k += 1) / 100);
              requestAnimationFrame(frame);
            };
            requestAnimationFrame(frame);"""
        )
        spent = (page.cpu_seconds() - before) / 20 * 1000
        record_property(f"milliseconds of a frame, {name}", spent)
        print(f"a frame of a drag, {name}: {spent:.1f} ms")
        assert page.js(DELTAS)

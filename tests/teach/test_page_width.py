"""The page in a browser: at any width, for any eyes and hands."""

from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from helpers.compile_c import ROOT
from helpers.scenes import example, pair
from pybackprop.teach.example import on_data, small
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser

WIDTHS = [360, 390, 768, 1024, 1400, 1920]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def lesson():
    kept = small()
    return bp.explain(kept.tensors["w1"], at=(3, 7)).scene()


@pytest.fixture(scope="module")
def digits():
    kept = on_data(None)
    return bp.explain(kept.tensors["w1"], at=(20, 33)).scene()


# ---- columns ----

SHOWN = """const found = {};
for (const {name, shown, columns, corner, owner} of pybackprop.app.strip.grids) {
  if (!owner.isGradient) found[name] = [Math.round(corner.left), shown.columns, columns];
}
return found;"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scene", ["lesson", "digits"])
def test_what_belongs_together_shows_the_same_columns(page, request, width, scene):
    page.open(request.getfixturevalue(scene), width=width)
    shown = page.js(SHOWN)
    assert len({tuple(shown[name]) for name in ("b1", "l1", "l2")}) == 1
    assert shown["w1"] == shown["l1"]
    page.screenshot(f"{scene}-{width}")


def test_columns_fill_the_room(page, lesson):
    counts = []
    for width in WIDTHS[2:]:
        page.open(lesson, width=width)
        counts.append([page.js(SHOWN)[name][1] for name in ("x", "w1")])
    page.open(lesson, width=2400)
    assert [page.js(SHOWN)[name][1] for name in ("x", "w1")] == [5, 8]
    assert counts[-1][1] > counts[-2][1] >= 3


def test_a_window_that_becomes_wider_shows_more(page, lesson):
    page.open(lesson, width=1400)
    before = page.js(SHOWN)["w1"][1]
    page.resize(2400, 900)
    assert page.until(lambda: page.js(SHOWN)["w1"][1] == 8)
    assert before < 8
    assert page.marked("l1", "moves") == [[i, 7] for i in range(4)]


def test_scrolling_one_matrix_scrolls_what_belongs_to_it(page, digits):
    page.open(digits, width=1400)
    page.js(
        "arguments[0].scrollLeft = 10 * pybackprop.app.strip.grids.find(g => g.name === 'l1').width", page.grid("l1")
    )
    assert page.until(lambda: {page.js(SHOWN)[name][0] for name in ("w1", "b1", "l1", "l2")} == {10})
    rows = "return Math.round(pybackprop.app.strip.grids.find(g => g.name === arguments[0]).corner.top)"
    page.js("arguments[0].scrollTop = 24 * 30", page.grid("x"))
    assert page.until(lambda: {page.js(rows, name) for name in ("x", "l1", "l2", "out", "targ")} == {30})
    page.js("arguments[0].scrollTop = 24 * 12", page.grid("w1"))
    assert page.until(lambda: page.js(SHOWN)["x"][0] == 12)  # row k of w1 is column k of x


def test_what_is_hidden_is_marked(page, lesson):
    page.open(lesson, width=1400)
    marks = "return arguments[0].closest('.matrix').className"
    for name in ("w1", "b1", "l1", "l2"):
        assert "more-left" in page.js(marks, page.grid(name)), name
        assert "more-right" not in page.js(marks, page.grid(name)), name
    assert "\u20137" in page.js("return arguments[0].closest('.part').querySelector('h4').textContent", page.grid("w1"))
    assert "more" not in page.js(marks, page.grid("out"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scene", ["lesson", "digits"])
def test_no_number_is_cut_or_touches_its_neighbour(page, request, width, scene):
    page.open(request.getfixturevalue(scene), width=width)
    page.js("pybackprop.app.setValue(pybackprop.app.valueAt(pybackprop.app.state.at) + 0.123)")
    tight = page.js(
        """const range = document.createRange();
        return [...document.querySelectorAll(".layers .cell")].filter(cell => cell.offsetWidth).flatMap(cell => {
          const box = cell.getBoundingClientRect();
          return [cell.firstChild, cell.querySelector("small")?.firstChild].filter(Boolean).flatMap(text => {
            range.selectNode(text);
            const {left, right} = range.getBoundingClientRect();
            return left < box.left + 1 ? [[text.data, right - left, box.width]] : [];
          });
        });"""
    )
    assert not tight


@pytest.mark.parametrize("width", [360, 390])
def test_on_a_phone_w1_and_l1_are_seen_together_and_nothing_is_cut(page, lesson, width):
    page.open(lesson, width=width, height=844)
    page.js("document.querySelector('.matrix[data-tensor=w1]').scrollIntoView()")
    page.settle()
    sheet = page.js("return document.querySelector('#element').getBoundingClientRect().top")
    for name in ("w1", "l1"):
        box = page.js("const b = arguments[0].getBoundingClientRect(); return [b.top, b.bottom]", page.grid(name))
        assert 0 <= box[0] < box[1] <= sheet + 1, name
    cut = page.js(
        """const scrolls = (node) => node.closest(".scroll, .grid, .heads, .unseen, .skip, .falk");
        const right = (node) => node.getBoundingClientRect().right;
        const isCut = (node) => node.offsetWidth && !scrolls(node) && right(node) > innerWidth + 1;
        return [...document.body.querySelectorAll("*")].filter(isCut).map(node => node.outerHTML.slice(0, 80));"""
    )
    assert not cut


# ---- numbers ----


def test_a_negative_factor_is_in_brackets(page, lesson):
    page.open(lesson, width=1400)
    said = page.text("#sum")
    assert "\u00b7 (\u2212" in said
    assert "\u00b7 \u2212" not in said
    assert "+ \u2212" not in said


def test_where_nothing_is_written_no_gradient_shows(page):
    page.open(example(), "#at=w1.2.1&step=0")
    assert page.text("#gradient") == "not written yet"
    assert "l1.g is not there" in page.text("#sum")
    assert not page.driver.find_elements("css selector", "#terms tbody tr")
    assert not page.find("#product-controls .main").is_enabled()
    shown = page.js(
        "return [...document.querySelectorAll('.falk .is-gradient text, .falk .other text')].map(t => t.textContent)"
    )
    assert set(shown) == {"\u00b7"}
    assert not page.driver.find_elements("css selector", ".slope .tangent")
    assert page.text("#measured") == "\u2013"
    assert "slope is" not in page.find(".slope").get_attribute("aria-label")
    page.js("pybackprop.app.setValue(0.75)")
    assert page.text("#effect") == "The slope is not known at this step of training, so it predicts nothing."
    copied = page.js("return pybackprop.app.views.copy.latex()")
    assert copied.count("=") == 2  # of the sum, and its first index
    page.go("#at=w1.2.1&step=8")
    assert page.text("#gradient") == page.text("#sum b")
    assert page.driver.find_elements("css selector", ".slope .tangent")


@pytest.mark.parametrize(("name", "last"), [("x", 6), ("w1", 6), ("b1", 6), ("l1", 5), ("w2", 4), ("targ", 2)])
def test_a_gradient_that_nothing_can_be_computed_from_is_nowhere_on_the_page(page, rng, name, last):
    """Its digits are in no text: not in the drawing, the formula, the terms or the reader's own formula. last: the step
    before the one that makes what it is computed from."""
    scene = scene_of(*pair(rng, 4, 3, 2, n=5))
    g = scene.tensors["out" if name == "targ" else name][1]
    at = ".".join(map(str, np.unravel_index(np.abs(g).argmax(), g.shape)))
    page.open(scene, f"#at={name}.{at}&own=x*2")
    total = page.text("#gradient")
    assert len(total) > 6
    assert total in page.text("#terms")
    for step in (0, last):
        page.go(f"#at={name}.{at}&own=x*2&step={step}")
        assert total not in page.js("return document.querySelector('main').textContent"), step


# ---- layout ----


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_shifts_while_a_value_is_dragged(page, lesson, width):
    page.open(lesson, width=width)
    page.js("""window.shifts = []; new PerformanceObserver(list => shifts.push(...list.getEntries().map(e => e.value)))
        .observe({type: "layout-shift", buffered: false});""")
    height = "return [document.documentElement.scrollHeight, document.querySelector('#element').offsetHeight]"
    before = page.js(height)
    for k in range(-20, 21):
        page.js("pybackprop.app.setValue(arguments[0])", k / 7)
        page.settle()
        assert page.js(height) == before, k
    shifts = page.js("const found = window.shifts; delete window.shifts; return found")
    assert sum(shifts) < 0.002  # words that stand after a number, in its sentence, move with its digits


# ---- accessibility ----


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, lesson, width, theme):
    if not AXE.exists():
        pytest.skip("axe-core is not here; npm install")
    page.open(lesson, width=width, prefers_color_scheme=theme)
    if width < 500:
        page.click("#sheet")
    page.js(Path(AXE).read_text(encoding="utf-8"))
    found, held = page.driver.execute_async_script(
        """const [done, runOnly] = [arguments[1], arguments[0]];
        axe.run(document, {runOnly}).then(
          ({violations, passes}) => done([
            violations.map(({id, nodes}) => [id, nodes.length, nodes[0].html.slice(0, 120)]),
            passes.map(({id}) => id)]),
          error => done([String(error), []]));""",
        ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    )
    assert not found
    assert {"color-contrast", "aria-required-children", "target-size"} <= set(held)


def test_chromium_tells_a_screen_reader_of_matrix_row_column_and_value(page):
    page.open(example(), "#at=w1.0.0")
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    shown = [node for node in tree if "role" in node and not node["ignored"]]
    said = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown]
    assert {"grid", "row", "gridcell", "slider", "button", "radio", "combobox"} <= {role for role, _ in said}
    cells = {name for role, name in said if role == "gridcell"}
    assert "w1[2,1] = 0.6" in cells
    assert any(name.startswith("x[3,0] = ") and name.endswith(", by how much") for name in cells)
    assert any(name.startswith("l1[3,0] = ") and name.endswith(", moves with it") for name in cells)
    assert any(name.startswith("l1.g[3,0] = ") and name.endswith(", the gradient that arrives") for name in cells)
    assert all(name for role, name in said if role in ("grid", "gridcell", "button", "slider", "radio", "combobox"))


def test_in_high_contrast_roles_are_told_by_lines(page, lesson):
    page.open(lesson, width=1400, forced_colors="active")
    styles = """return ["chosen", "moves", "onwards", "source", "upstream"].map(kind =>
        getComputedStyle(document.querySelector(`.layers .cell.${kind}`)).outlineStyle)"""
    assert page.js(styles)[1:] == ["solid", "dashed", "dotted", "double"]
    page.screenshot("high-contrast")

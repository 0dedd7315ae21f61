"""The page in a browser: the stage, where the chosen element, what it moves and its product are seen together."""

import time

import numpy as np
import pytest

import pybackprop as bp
from helpers.scenes import example, pair
from pybackprop.teach.example import small
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser

BOTTOM = "return document.querySelector(arguments[0]).getBoundingClientRect().bottom"


def lesson(name="w1", at=(3, 7)):
    """The built-in example, x (4,5), w1 (5,8), w2 (8,1), with an element chosen."""
    kept = small()
    return bp.explain(kept.tensors["w1"], at=(0, 0)).scene().choose(name, at)


def product(page):
    return page.js(
        "const {kind, w, form, row, column, k} = pybackprop.app.state.product; return [kind, w, row, column]"
    )


# ---- everything in sight ----


@pytest.mark.parametrize(("name", "at"), [("w1", (3, 7)), ("x", (1, 2)), ("b1", (3,)), ("l1", (1, 6)), ("out", (2, 0))])
def test_at_1400_by_900_everything_about_the_element_is_in_sight(page, name, at):
    page.open(lesson(name, at), width=1400, height=900)
    for part in (
        "#layers",
        "#element",
        "#element-name",
        "#falk svg",
        "#sum",
        "#product-controls",
        "#plot svg",
        ".legend",
    ):
        assert 0 < page.js(BOTTOM, part) <= 900, part
    assert page.js("const e = document.querySelector('#element'); return e.scrollHeight <= e.clientHeight + 1")


def test_the_panel_stays_while_the_network_scrolls(page):
    page.open(example((4, 3, 3, 3, 3, 2)), width=1400, height=700)
    page.js("scrollTo(0, 400)")
    page.settle()
    top = page.js("return document.querySelector('#element').getBoundingClientRect().top")
    assert 0 <= top <= 20


def test_on_a_phone_the_panel_is_a_sheet_that_opens(page):
    page.open(lesson(), width=390, height=844)
    box = page.js("return document.querySelector('#element').getBoundingClientRect().toJSON()")
    assert box["bottom"] == 844
    assert box["height"] < 180
    assert not page.find("#falk").is_displayed()
    page.click("#sheet")
    assert page.find("#falk svg").is_displayed()
    assert page.find("#sheet").get_attribute("aria-expanded") == "true"
    assert page.js("return document.querySelector('#falk svg').getBoundingClientRect().width") > 200
    page.click("#sheet")
    assert not page.find("#falk").is_displayed()


# ---- selection drives the product, and the product the selection ----


@pytest.mark.parametrize(("name", "index", "wanted", "label"), [
    ("w1", (2, 1), ["w", "w1", 2, 1], "(x.T @ l1.g)[2,1]"),
    ("x", (1, 2), ["x", "w1", 1, 2], "(l1.g @ w1.T)[1,2]"),
    ("b1", (0, 1), ["b", "w1", 0, 1], "(l1.g.sum(0))[1]"),
    ("l1", (1, 0), ["relu", "l2", 1, 0], "((l1 > 0) * l2.g)[1,0]"),
    ("l2", (1, 0), ["x", "w2", 1, 0], "(out.g @ w2.T)[1,0]"),
    ("out", (3, 0), ["mse", "loss", 3, 0], "(2 (out \u2212 targ) / size)[3,0]"),
    ("targ", (3, 0), ["targ", "loss", 3, 0], "(2 (targ \u2212 out) / size)[3,0]"),
])  # fmt: skip
def test_the_product_is_the_one_that_collects_the_chosen_element(page, name, index, wanted, label):
    page.open(example())
    page.click(page.cell(name, *index))
    assert product(page) == wanted
    assert page.text("#sum").startswith(label)
    assert page.text("#sum b") == page.text("#gradient")
    assert len(page.driver.find_elements("css selector", ".falk .sum")) == 1


@pytest.mark.parametrize("name", ["w1", "x", "b1", "l1", "l2", "w2", "b2", "out"])
def test_what_the_product_computes_is_the_gradient_for_every_element(page, name):
    page.open(example())
    g = example().tensors[name][1]
    found = page.numbers(
        f"""(() => {{ const {{net, view}} = pybackprop.app;
        const {{rows, columns}} = net.tensors.get("{name}");
        return Array.from({{length: rows * columns}}, (_, at) => {{
          const element = {{name: "{name}", row: Math.floor(at / columns), column: at % columns}};
          const state = pybackprop.productFor(net, element);
          const product = pybackprop.product(net, view.run, pybackprop.layerOf(net, state.w), state.kind, 0);
          return pybackprop.productTerms(net, product, state.row, state.column).at(-1).partial;
        }}); }})()"""
    )
    np.testing.assert_allclose(found, g.ravel(), rtol=2e-5, atol=1e-7)


def test_a_cell_of_the_result_chooses_that_element(page):
    page.open(lesson("w1", (2, 3)), width=1400)
    page.click(page.driver.find_elements("css selector", ".falk .other rect")[0])
    row, column = product(page)[2:]
    assert page.chosen() == f"w1[{row},{column}]"
    assert [row, column] != [2, 3]
    assert page.marked("l1", "moves") == [[i, column] for i in range(4)]


def test_in_the_forward_product_a_cell_chooses_the_output(page):
    page.open(example(), "#at=w1.0.0&product=forward.w1.0.0.0.3")
    page.click(page.driver.find_elements("css selector", ".falk .other rect")[-1])
    assert page.chosen() == "l1[3,1]"
    assert product(page) == ["forward", "w1", 3, 1]


# ---- playing ----


def test_it_plays_from_the_chosen_element_and_if_asked_chooses_the_next(page):
    page.open(example(), "#at=w1.1.0")
    page.click("#onwards")
    page.js("document.querySelector('#product-controls select').value = 'fast'")
    page.click("#product-controls .main")
    assert page.until(lambda: page.chosen() == "w1[1,1]")
    page.click("#product-controls .main")
    assert page.text("#product-controls .main") == "play"


def test_the_pace_says_how_long_a_term_takes(page):
    page.open(example())
    waits = []
    for pace in ("slow", "calm", "brisk", "fast"):
        page.js("document.querySelector('#product-controls select').value = arguments[0]", pace)
        waits.append(page.js(
            """const {product} = pybackprop.app.views; const usual = window.setTimeout; let found;
            window.setTimeout = (f, wait) => { found = wait; return 0; };
            product.tick(); window.setTimeout = usual; product.stop(); return found;"""
        ))  # fmt: skip
    assert waits == sorted(waits, reverse=True)
    assert waits[-1] * 40 * 5 < 20_000  # the 40 elements of w1, of four terms each


def test_choosing_another_element_stops_the_play(page):
    page.open(example())
    page.click("#product-controls .main")
    page.click(page.cell("b1", 0, 1))
    assert page.text("#product-controls .main") == "play"
    time.sleep(0.8)
    assert page.chosen() == "b1[1]"


# ---- the learner's questions ----


def test_each_question_leads_to_the_element_and_the_product_that_answer_it(page):
    page.open(lesson("out", (2, 0)), "#at=out.2.0&step=3", width=1400)
    asked = page.driver.find_elements("css selector", "#questions button")
    assert [button.text for button in asked] == ["x.T @ l1.g", "l1.g.sum(0)", "l1.g @ w1.T", "not x * l1.g"]
    for button, at, kind in zip(asked, ["w1[2,7]", "b1[7]", "x[1,4]"], "wbx", strict=False):
        page.click(button)
        assert page.chosen() == at
        assert product(page)[0] == kind
        assert page.text("#sum").startswith(f"({button.text})[")
        assert page.js("return pybackprop.app.isWritten()")
    page.click(asked[3])
    assert page.chosen() == "w1[2,7]"
    assert "element by element" in page.text("#own-verdict")
    assert page.find("#own-verdict").get_attribute("class") == "verdict wrong"
    assert 0 < page.js("return document.querySelector('#own-verdict').getBoundingClientRect().bottom") < 900
    page.click("#equal")
    assert page.text("#own-verdict").startswith("The shape is right, and ")


SEEN = """const {left, right, top, bottom} = document.querySelector(arguments[0]).getBoundingClientRect();
    const found = document.elementFromPoint((left + right) / 2, Math.min((top + bottom) / 2, top + 200));
    return Boolean(found?.closest(arguments[0]));"""


@pytest.mark.parametrize("width", [390, 1400])
def test_an_answer_is_in_sight_whether_the_sheet_is_open_or_not(page, width):
    page.open(lesson(), width=width, height=844)
    asked = page.driver.find_elements("css selector", "#questions button")
    for k, answer in [(3, "#own-verdict"), (0, "#falk"), (3, "#own-verdict"), (0, "#falk")]:
        page.js("scrollTo(0, 0)")
        page.js("arguments[0].click()", asked[k])
        page.settle()
        assert page.js(SEEN, answer), answer
    assert page.find("#element").get_attribute("class") == "panel open"


@pytest.mark.parametrize("target", ["#network", "#element", "#own", "#terms-title", "#backward"])
def test_what_is_skipped_to_is_not_behind_the_sheet(page, target):
    page.open(lesson(), width=390, height=844)
    page.click("#sheet")
    page.js("document.querySelector(`.skip a[href='${arguments[0]}']`).focus()", target)
    page.press("enter")
    assert page.js("return document.activeElement.matches(arguments[0])", target)
    assert page.js(SEEN, target)


def test_without_a_bias_nobody_asks_for_its_sum(page, rng):
    page.open(scene_of(*pair(rng, 3, 2, bias=False)))
    asked = [button.text for button in page.driver.find_elements("css selector", "#questions button")]
    assert asked == ["x.T @ out.g", "out.g @ w1.T", "not x * out.g"]


def test_a_scroll_bar_changes_no_width(page):
    """The drawing's height follows its width: a bar that took room would come and go without rest."""
    page.open(lesson("x", (0, 0)), width=1280)
    widths = set()
    for height in (400, 2400):
        page.resize(1280, height)
        page.settle()
        widths.add(page.js("return [document.querySelector('#falk').clientWidth, document.body.clientWidth].join()"))
        scrolls = page.js("const e = document.querySelector('#element'); return e.scrollHeight > e.clientHeight + 1")
        assert scrolls == (height == 400)
    assert len(widths) == 1

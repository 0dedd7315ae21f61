"""The page in a browser: by keyboard, for a screen reader, and restored from its address."""

import pytest

from helpers.page_browser import TIMES
from helpers.scenes import EVIL, example, renamed

pytestmark = pytest.mark.browser

# ---- keyboard and screen reader ----


def test_the_keyboard_alone_reaches_everything(page):
    page.open(example(), "#at=w1.0.0")
    page.press("tab")
    assert page.js("return document.activeElement.hash") == "#network"
    page.press("enter", *["tab"] * 5, "arrow_down", "arrow_right")
    assert page.chosen() == "w1[1,1]"
    active = page.js("return document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))")
    assert active.get_attribute("aria-label") == "w1[1,1] = 0.8"
    page.press("+", "+", "-")
    assert page.values("w1")[3] == pytest.approx(0.82, abs=1e-6)
    page.press("end", "arrow_down", "arrow_down", "arrow_down")
    assert page.chosen() == "w1[2,1]"
    page.press("home")
    assert page.chosen() == "w1[2,0]"
    page.press("tab", "tab", "enter")
    assert page.chosen() == "b1[0]"


def test_skipping_ahead_keeps_the_state(page):
    page.open(example(), "#at=b2.0&step=1")
    page.press(*["tab"] * 5, "enter")
    assert page.js("return document.activeElement.id") == "backward"
    assert page.chosen() == "b2[0]"
    assert page.fragment() == "#at=b2.0&step=1"
    page.press("tab", "tab", "enter")
    assert page.js("return pybackprop.app.state.step") == 2


def test_tab_walks_through_all_matrices_and_controls_in_order(page):
    page.open(example())
    named = """const e = document.activeElement;
        if (e === document.body || e.wasSeen) return null;
        e.wasSeen = true;
        return e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent ?? e.textContent;"""
    labels = []
    while len(labels) < 100:
        page.press("tab")
        if (label := page.js(named)) is None:
            break
        labels.append(label)
    assert len([label for label in labels if ", values, " in label or ", gradient, " in label]) == 18
    order = [
        "The network", "from the start", f"x, values, 4 {TIMES} 3", f"w1.g, gradient, 3 {TIMES} 2", "its gradient",
        "drag", "value", "product", "Drawing of the product", "play", "pace", "The terms of its gradient",
        "mse_grad(out, targ)", "Storage",
    ]  # fmt: skip
    places = [labels.index(label) for label in order]
    assert places == sorted(places)


def test_matrices_are_grids_with_rows_and_cells(page):
    page.open(example())
    grid = page.grid("w1")
    assert [grid.get_attribute(name) for name in ("role", "aria-rowcount", "aria-colcount", "aria-label")] == [
        "grid", "3", "2", f"w1, values, 3 {TIMES} 2",
    ]  # fmt: skip
    assert len(grid.find_elements("css selector", "[role=row]")) == 3
    assert page.cell("w1", 2, 1).get_attribute("aria-label") == "w1[2,1] = 0.6"
    assert page.cell("w1", 2, 1).get_attribute("aria-colindex") == "2"
    assert page.cell("w1", 0, 0).get_attribute("aria-selected") == "true"
    assert page.find("#sentence").get_attribute("aria-live") == "polite"
    unnamed = page.js(
        """return [...document.querySelectorAll("input")].filter(i => !i.labels.length && !i.ariaLabel).length"""
    )
    assert unnamed == 0


SET = "#at=w1.0.0&set=w1.0.0:0.5"
TERMS = "#at=w1.0.0&product=w.w1.0.0.0.1"
VANISHING = [
    # what a press disables or hides, and what has the focus then
    (SET, "#value button", "#value"),
    (SET, "#everything", "#network"),
    ("#step=3", "#step-bar button:first-of-type", "#step-bar"),
    ("#step=1", "#step-bar .back", "#step-bar"),
    ("#step=9", "#step-bar .main", "#step-bar"),
    ("#step=3", "#step-bar .all", "#step-bar"),
    (TERMS, "#product-controls button:nth-of-type(2)", "#product-controls"),
    (TERMS, "#product-controls button:nth-of-type(4)", "#product-controls"),
    ("#step=9&show=step", "#update button", "#panel-step"),
]
HAS_FOCUS = "return document.activeElement === document.querySelector(arguments[0])"


@pytest.mark.parametrize("key", ["enter", "space"])
@pytest.mark.parametrize(("fragment", "button", "group"), VANISHING)
def test_a_press_that_disables_its_button_leaves_the_focus_where_it_was(page, fragment, button, group, key):
    more = (4, 30, 20) if button.endswith(".main") else (4, 3, 2)  # weights than the address has room for
    page.open(example(more), fragment)
    page.js("document.querySelector(arguments[0]).focus()", button)
    page.press(key)
    assert not page.find(button).is_enabled() or not page.find(button).is_displayed()
    assert page.js(HAS_FOCUS, group)
    state = "const {at, changed, step, product} = pybackprop.app.state; return [at, changed.size, step, product]"
    before = page.js(state)
    page.press(key)  # who holds the key down, or presses it once too often, presses nothing else
    assert page.js(state) == before
    page.press("tab")
    assert page.js("return document.activeElement.matches(arguments[0])", f"{group} :is(button, input, a)")


def test_the_end_of_an_animation_leaves_the_focus_where_it_was(page):
    page.open(example(), TERMS)
    page.js(
        """document.querySelector("#product-controls button:nth-of-type(4)").focus();
        const {product} = pybackprop.app.views; product.pace.value = "fast"; product.start();"""
    )
    assert page.until(lambda: page.text("#product-controls .main") == "play")
    page.settle()
    assert page.js(HAS_FOCUS, "#product-controls")


# ---- the address ----


def test_a_view_is_restored_from_its_address(page):
    fragment = "#at=l1.1.0&set=w1.0.0:-0.5,l1.1.0:0.25&step=2&inplace=1&product=x.w2.1.0.0.0"
    page.open(example(), fragment)
    assert page.chosen() == "l1[1,0]"
    assert page.values("w1")[0] == -0.5
    assert page.js("const {step, inplace, product} = pybackprop.app.state; return [step, inplace, product.kind]") == [
        2, True, "x",
    ]  # fmt: skip
    assert page.js("return '#' + pybackprop.fragmentOf(pybackprop.app.net, pybackprop.app.state)") == fragment


def test_back_returns_to_the_element_before(page):
    page.open(example())
    for name, row in [("w1", 1), ("w2", 0)]:
        page.click(page.cell(name, row, 0))
        assert page.until(lambda name=name: f"at={name}" in page.fragment())
    page.driver.back()
    assert page.until(lambda: page.chosen() == "w1[1,0]")
    page.driver.forward()
    assert page.until(lambda: page.chosen() == "w2[0,0]")
    page.go("#at=b2.0")
    assert page.chosen() == "b2[0]"


def test_a_drag_is_one_entry_of_the_history(page):
    page.open(example(), "#at=w1.0.0")
    before = page.js("return history.length")
    page.js("for (let k = 0; k < 50; k++) pybackprop.app.setValue(k / 100)")
    assert page.until(lambda: "set=" in page.fragment())
    assert page.js("return history.length") == before


NONSENSE = [
    "#", "#at=", "#at=w1", "#at=w1.9.9", "#at=w1.0.0.0", "#at=w9.0.0", "#at=loss", "#at=%E0%A4%A", "#step=-1",
    "#step=1e9", "#set=w1.0.0", "#set=w1.0.0:NaN,w1.0.0:1e999,:,x", "#product=y.w9.7.-1.x.1e9", "#<b>=<i>",
    "#product=w.w1.0.99.99.99", "#at=__proto__.0.0", "#set=constructor.0:1", "#at=w1.0.0&at=w1..0",
]  # fmt: skip


@pytest.mark.parametrize("fragment", NONSENSE)
def test_nonsense_in_the_address_is_left_out(page, fragment):
    page.open(example(), fragment)
    assert page.chosen() == "w1[0,0]"
    assert page.text("#loss") == "0.239833"
    page.click(page.cell("w1", 1, 1))
    assert page.chosen() == "w1[1,1]"


@pytest.mark.parametrize("name", [EVIL, "a.b:c,d&e=f", "w[1]", "100%", "__proto__", "grüße", " "])
def test_any_name_is_shown_as_it_is_and_survives_the_address(page, name):
    page.open(renamed(name))
    page.click(page.cell(name, 2, 1))
    assert page.chosen() == f"{name}[2,1]"
    assert page.until(lambda: page.fragment() != "")
    page.js("pybackprop.app.choose({name: 'b1', row: 0, column: 0})")
    assert page.until(lambda: "at=b1.0" in page.fragment())
    page.driver.back()
    assert page.until(lambda: page.chosen() == f"{name}[2,1]")
    assert page.js("return document.images.length + document.scripts.length") == 2

"""The page in a browser: what a reader sees of a step of training wherever it is shown, and what brings all back."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.scenes import example, pair
from pybackprop.teach.example import small
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser

NEXT = "#step-bar button.main"


@pytest.fixture(scope="module")
def lesson():
    kept = small()
    return bp.explain(kept.tensors["w1"], at=(3, 7)).scene()


def box(page, selector):
    return page.js(
        "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.top, b.bottom]", selector
    )


@pytest.mark.parametrize("width", [390, 1024])
def test_each_step_brings_its_operation_into_sight_below_its_buttons(page, lesson, width):
    page.open(lesson, "#step=0", width=width, height=800, prefers_reduced_motion="reduce")
    for _ in range(8):
        page.click(NEXT)  # which fails if something lies above the button
        page.settle()
        top, bottom = box(page, ".layer.current")
        edge = box(page, "#step-bar")[1]
        end = box(page, "#element")[0] if width == 390 else 800
        assert top >= edge - 1 or bottom <= end + 1
        assert bottom > edge
        assert top < end


def test_on_a_phone_the_closed_sheet_tells_the_step(page, lesson):
    page.open(lesson, width=390, height=800)
    page.click("#step-bar button")  # from the start
    page.click(NEXT)
    assert page.find("#sheet-step").is_displayed()
    assert page.text("#sheet-step").startswith("Step 1 of 9, forward: l1 = lin(x, w1, b1) reads x, w1 and b1")
    assert not page.find("#sentence").is_displayed()
    page.click(page.cell("x", 0, 3))
    page.click("#step-bar .all")
    assert page.find("#sentence").is_displayed()
    assert not page.find("#sheet-step").is_displayed()


def test_on_a_phone_a_drag_tells_in_the_closed_sheet_what_the_loss_did(page, lesson):
    page.open(lesson, width=390, height=800)
    before = box(page, "#value"), box(page, "#element")
    assert not page.find("#sheet-effect").is_displayed()
    for value in (1.5, -0.7, 1e-3):
        page.js("pybackprop.app.setValue(arguments[0])", value)
        page.settle()
        assert page.find("#sheet-effect").is_displayed()
        assert not page.find("#sentence").is_displayed()
        assert box(page, "#value") == pytest.approx(before[0], abs=1)
        assert box(page, "#element") == pytest.approx(before[1], abs=1)
    assert page.text("#sheet-effect") == page.text("#effect")


@pytest.mark.parametrize("width", [390, 1024, 1280, 1400])
def test_nothing_jumps_from_step_to_step(page, lesson, width):
    page.open(lesson, "#step=1&inplace=1", width=width, height=2600)
    first = box(page, "#layers")[0]
    for step in range(2, 10):
        page.go(f"#step={step}&inplace=1")
        assert box(page, "#layers")[0] == first, step


@pytest.mark.parametrize("width", [1000, 1024, 1280])
def test_nothing_jumps_while_the_gradient_gains_and_loses_digits(page, lesson, width):
    page.open(lesson, width=width)
    places = set()
    for k in range(0, 60, 2):
        page.js("pybackprop.app.setValue(arguments[0])", -0.75 + k * 0.05)
        places.add(tuple(box(page, part)[0] for part in ("#value", "#falk", "#product-controls", "#layers")))
    assert len(places) == 1


def test_after_the_update_the_button_says_that_new_weights_follow(page, lesson):
    page.open(lesson, "#step=8")
    assert page.text(NEXT) == "next step"
    page.click(NEXT)
    assert page.text(NEXT) == "new weights"
    page.click(NEXT)
    assert page.text(NEXT) == "next step"
    assert page.js("return pybackprop.app.state.step") == 0


def test_at_the_update_the_differences_are_the_updates(page):
    page.open(example(dtype=np.float64), "#at=x.2.1&step=9")
    page.js("pybackprop.app.setValue(2.5)")
    moved = page.js(
        """const matrices = [...document.querySelectorAll(".matrix")].filter(m => m.querySelector(".cell.delta"));
        return [...new Set(matrices.map(m => m.dataset.tensor))].sort();"""
    )
    assert moved == ["b1", "b2", "w1", "w2"]


def test_resetting_all_changes_brings_back_the_rate_and_the_storage(page, lesson):
    page.open(lesson, "#at=w1.3.7&set=w1.3.7:0.5&inplace=1&rate=0.5")
    page.click("#everything")
    state = page.js("const {changed, rate, inplace} = pybackprop.app.state; return [changed.size, rate, inplace]")
    assert state == [0, page.js("return pybackprop.rateFor(pybackprop.app.net)"), False]
    assert not page.find("#everything").is_enabled()


def test_what_is_overwritten_is_said_to_be(page, lesson):
    page.open(lesson, "#at=l1.1.7&inplace=1")
    assert page.text("#sum") == "l2.g is overwritten: l1.g stands in its place, so nothing can be added up."
    page.open(lesson, "#at=l1.1.7&step=2")
    assert page.text("#sum") == "l2.g is not there at this step of training, so nothing can be added up."


# ---- what is written of a sum ----


def test_a_sum_of_rounded_factors_is_about_what_they_give(page):
    model, x, targ = pair(np.random.default_rng(5), 3, 4, 2, n=2, dtype=np.float64)
    page.open(scene_of(model, x, targ, ("w1", (1, 2))))
    assert " \u2248 " in page.text("#sum")
    page.js("for (const name of ['x', 'w1']) pybackprop.app.net.tensors.get(name).data.fill(0.5)")
    page.js("pybackprop.app.change = 0; pybackprop.app.setValue(0.25)")
    page.go("#product=forward.w1.0.0.0.3")
    assert page.text("#sum").startswith("(x @ w1)[0,0] = 0.5 \u00b7 0.5 + 0.5 \u00b7 0.5 + 0.5 \u00b7 0.5 = 0.75")


@pytest.mark.parametrize("at", ["l1.1.7", "out.1.0", "targ.2.0"])
def test_where_nothing_is_summed_there_is_nothing_to_play(page, lesson, at):
    page.open(lesson, f"#at={at}")
    whole = page.text("#sum")
    assert whole.endswith(page.text("#gradient"))
    assert not page.find("#product-controls .main").is_enabled()
    for button in page.driver.find_elements("css selector", "#product-controls button"):
        assert not button.is_enabled()
    product = page.js("const {kind, w} = pybackprop.app.state.product; return [kind, w]")
    row, column = at.split(".")[1:]
    page.go(f"#at={at}&product={product[0]}.{product[1]}.0.{row}.{column}.0")
    assert page.text("#sum") == whole


def test_with_equal_sizes_every_column_is_in_sight(page, lesson):
    page.open(lesson, "#at=w1.3.0&equal=1", width=1400)
    assert set(page.js("return pybackprop.app.strip.grids.map(g => g.columns - g.shown.columns)")) == {0}


def test_a_number_of_four_digits_is_written_in_the_drawing(page, lesson):
    page.open(lesson, "#at=w1.3.7&set=x.0.3:-1150", width=1400)
    cells = [text.text for text in page.driver.find_elements("css selector", "#falk svg .cell text")]
    assert "\u22121150" in cells
    assert not [text for text in cells if "e3" in text]

"""The page in a browser: one step of training, operation by operation."""

import numpy as np
import pytest

from helpers.page_browser import MINUS, TIMES
from helpers.scenes import example, pair
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser


# ---- one step of training ----

LEAVES = ["x", "w1", "b1", "w2", "b2", "targ"]
WRITTEN = [  # by each operation of a network with one hidden layer; the last is the update
    ["l1"], ["l2"], ["out"], ["loss"], ["out.g"], ["l2.g", "w2.g", "b2.g"], ["l1.g"], ["x.g", "w1.g", "b1.g"], [],
]  # fmt: skip
NEXT = "#step-bar button.main"


def shown(page):
    """The names of the matrices, values and gradients, whose numbers are shown."""
    return set(
        page.js(
            """return [...document.querySelectorAll(".matrix")]
              .filter(matrix => !matrix.querySelector(".cell.empty"))
              .map(matrix => matrix.dataset.tensor + (matrix.classList.contains("gradient") ? ".g" : ""));"""
        )
    )


def held(page, state):
    found = page.js(
        """return [...document.querySelectorAll(".matrix")].filter(matrix => matrix.dataset.held === arguments[0])
          .map(matrix => matrix.dataset.tensor + (matrix.classList.contains("gradient") ? ".g" : ""));""",
        state,
    )
    return set(found)


def test_one_operation_after_another_writes_its_values(page):
    page.open(example(), "#step=0")
    there = set(LEAVES)
    assert page.text("#loss") == "not yet"
    assert page.text("#step-sentence").endswith("A step of training takes 9 operations.")
    for step, written in enumerate(WRITTEN, 1):
        assert shown(page) == there, step
        page.click(NEXT)
        there |= set(written)
        assert held(page, "new") == set(written) or step == len(WRITTEN), step
    assert shown(page) == there
    page.click(NEXT)  # the update's weights begin the next step
    assert page.js("return pybackprop.app.state.step") == 0
    assert page.js("return pybackprop.app.state.changed.size") == 4
    page.click("#step-bar button:nth-of-type(4)")
    assert page.text("#step-sentence") == "The whole step is in sight: every value and every gradient."
    assert not page.find(NEXT).is_enabled()
    assert page.number("#loss") > 0


def test_each_step_says_what_it_reads_and_writes(page):
    page.open(example(), "#step=1&show=step")
    assert page.text("#step-sentence") == "Step 1 of 9, forward: l1 = lin(x, w1, b1) reads x, w1 and b1 and writes l1."
    assert held(page, "read") == {"x", "w1", "b1"}
    page.go("#step=4&show=step")
    assert (
        page.text("#step-sentence")
        == "Step 4 of 9, the loss: loss = mse(out, targ) reads out and targ and writes loss."
    )
    assert page.text(".step-said") == "4 of 9: loss = mse(out, targ)"
    page.click("#step-list li:nth-child(6) button")
    assert page.text("#step-sentence") == (
        "Step 6 of 9, backward: lin_grad(l2, out, w2, b2) reads out.g, l2 and w2 and writes l2.g, w2.g and b2.g."
    )
    assert page.text("#step-equations") == "l2.g = out.g @ w2.Tw2.g = l2.T @ out.gb2.g = out.g.sum(0)"
    assert page.text(".layer.current h3") == "out = l2 @ w2 + b2"
    assert held(page, "read") == {"out.g", "l2", "w2"}


def test_what_nothing_needs_any_more_is_said_and_seen(page):
    page.open(example(), "#step=5&show=step")
    ends = {5: ["targ", "out"], 6: ["l2", "out.g"], 7: ["l1", "l2.g"], 8: ["x", "l1.g", "x.g"]}
    gone = set()
    for step in range(5, 9):
        assert page.text("#step-ends") == f"After it nothing needs {', '.join(ends[step][:-1])} and {ends[step][-1]}."
        assert held(page, "spent") == gone
        gone |= set(ends[step])
        page.click(NEXT)
    assert held(page, "spent") == gone
    page.go("#step=1&show=step")
    assert page.text("#step-ends") == "Everything that it reads is still needed."


def test_the_first_step_back_opens_the_explanation_of_the_step(page):
    page.open(example())
    assert page.find("#panel-element").is_displayed()
    page.click("#step-bar .back")
    assert page.find("#panel-step").is_displayed()
    assert not page.find("#panel-element").is_displayed()
    page.click("#tab-element")
    page.click("#step-bar .back")
    assert page.find("#panel-element").is_displayed()  # the reader chose it
    assert page.until(lambda: page.fragment() == "#at=w1.0.0&step=8")
    page.press("tab")
    page.js("document.querySelector('#tab-element').focus()")
    page.press("arrow_right")
    assert page.js("return document.activeElement.id") == "tab-step"
    assert page.find("#panel-step").is_displayed()


def test_in_place_the_gradients_share_storage(page):
    page.open(example(), "#step=7&show=step")
    assert page.cell("l2", 0, 0, gradient=True).text == "0.0088"
    page.click("#inplace")
    assert "relu_grad(l1, l2, inplace=True) reads l2.g and l1 and writes l1.g over l2.g" in page.text("#step-sentence")
    assert "overwritten" in page.cell("l2", 0, 0, gradient=True).get_attribute("class")
    assert page.cell("l1", 0, 0, gradient=True).text == "0.0088"
    rows = [row.text for row in page.driver.find_elements("css selector", "#storage tbody tr")]
    assert len(rows) == 7
    assert rows[1] == f"2 4 {TIMES} 2 l2.g l1.g l1.g"
    page.until(lambda: "inplace" in page.fragment())
    assert page.fragment().endswith("&step=7&inplace=1&show=step")


# ---- the update ----


@pytest.mark.parametrize("rate", [0.01, 0.125])
def test_the_update_is_that_of_plain_gradient_descent(page, rng, rate):
    model, x, targ = pair(rng, 4, 3, 2, n=5)
    before = scene_of(model, x, targ)
    page.open(before, f"#at=w1.2.1&step=9&rate={rate}&show=step")
    for p, name in zip(model.parameters(), ("w1", "b1", "w2", "b2"), strict=True):
        p[...] = p.data - np.float32(rate) * before.tensors[name][1]
    after = scene_of(model, x, targ)
    for name in ("w1", "b1", "w2", "b2"):
        found = page.numbers(f"pybackprop.app.view.updated.get('{name}')")
        np.testing.assert_allclose(found, after.tensors[name][0].ravel(), rtol=1e-5, atol=1e-6)
    new, loss, by, predicted = (
        float(b.text.replace(MINUS, "-")) for b in page.driver.find_elements("css selector", "#update-words b")
    )
    losses = [float(scene.tensors["loss"][0]) for scene in (before, after)]
    slopes = sum(float((before.tensors[name][1].astype(float) ** 2).sum()) for name in ("w1", "b1", "w2", "b2"))
    assert new == pytest.approx(float(after.tensors["w1"][0][2, 1]), rel=1e-5)
    assert loss == pytest.approx(losses[1], rel=1e-5)
    assert by == pytest.approx(losses[1] - losses[0], rel=5e-3)
    assert predicted == pytest.approx(-rate * slopes, rel=5e-3)


def test_training_goes_on_with_the_weights_of_the_update(page, rng):
    model, x, targ = pair(rng, 4, 3, 2, n=5)
    page.open(scene_of(model, x, targ), "#step=9&rate=0.01&show=step")
    losses = []
    for _ in range(2):
        page.js("pybackprop.app.set({step: 9})")
        page.click("#update button")
        assert page.js("return pybackprop.app.state.step") == 0
        scene = scene_of(model, x, targ)
        losses.append(float(scene.tensors["loss"][0]))
        for p, name in zip(model.parameters(), ("w1", "b1", "w2", "b2"), strict=True):
            p[...] = p.data - np.float32(0.01) * scene.tensors[name][1]
    page.js("pybackprop.app.set({step: 9})")
    said = page.text("#losses").removeprefix("The losses of the steps before this one: ").removesuffix(".")
    assert [float(loss) for loss in said.split(" \u2192 ")] == pytest.approx(losses, rel=6e-3)
    page.js("pybackprop.app.set({step: 0})")
    trained = scene_of(model, x, targ)
    address = page.js("return `#${pybackprop.fragmentOf(pybackprop.app.net, pybackprop.app.state)}`")
    assert address.count(":") == sum(p.size for p in model.parameters())
    assert page.until(lambda: page.fragment() == address)
    for p in model.parameters():
        p[...] = 0
    page.open(scene_of(model, x, targ), address)  # the address alone has all of the parameters
    for name in ("w1", "b1", "w2", "b2", "out", "loss"):
        wanted = trained.tensors[name][0].ravel()
        np.testing.assert_allclose(page.values(name), wanted, rtol=2e-5, atol=1e-6, err_msg=name)


def test_the_learning_rate_that_is_proposed_lowers_the_loss(page, rng):
    for widths in [(4, 3, 2), (6, 5, 4, 3), (3, 20, 1)]:
        page.open(scene_of(*pair(rng, *widths, n=8)), "#step=99&show=step")
        page.js("pybackprop.app.set({step: pybackprop.stepCount(pybackprop.app.net)})")
        predicted = page.number("#update-words b:last-of-type")
        loss = page.js("return pybackprop.app.view.run.loss")
        assert -0.2 * loss * 1.01 <= predicted < 0
        with_new = (
            "const {net, state, view} = pybackprop.app; return pybackprop.lossWith(net, state.changed, view.updated)"
        )
        assert page.js(with_new) < loss


def test_a_learning_rate_that_is_none_changes_nothing(page):
    page.open(example(), "#step=9&rate=0.25&show=step")
    write = """const field = document.querySelector("#step-controls input[type=number]");
        field.value = arguments[0]; field.dispatchEvent(new Event("change"));
        return [field.value, pybackprop.app.state.rate]"""
    assert page.js(write, "") == ["0.25", 0.25]
    assert page.js(write, "-1") == ["0.25", 0.25]
    assert page.js(write, "0.5") == ["0.5", 0.5]

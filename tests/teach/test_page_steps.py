"""The page in a browser: one step of training, operation by operation, and the products of a layer."""

import time

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


# ---- the products ----


def test_row_meets_column_term_by_term(page):
    page.open(example(), "#at=w1.0.0&product=w.w1.0.0.0.0")
    g = example().tensors["w1"][1]
    page.click("#product-controls button:nth-child(3)")
    assert page.text("#sum") == "(x.T @ l1.g)[0,0] = 0.7 · 0.0088 = 0.00616, 1 of 4 terms"
    page.click("#product-controls button:nth-child(4)")
    assert page.text("#sum").endswith(f"= {g[0, 0]:.8f}".replace("-", MINUS))
    assert len(page.driver.find_elements("css selector", ".falk .guide")) == 4
    assert not page.driver.find_elements("css selector", ".falk .misfit")


@pytest.mark.parametrize("w", ["w1", "w2"])
@pytest.mark.parametrize(("kind", "target"), [("forward", "out"), ("w", "w"), ("x", "in")])
def test_every_product_of_a_layer_is_what_the_library_computed(page, rng, w, kind, target):
    scene = scene_of(*pair(rng, 4, 3, 2, n=5))
    page.open(scene)
    layer = next(layer for layer in scene.layers if layer.get("w") == w)
    data, g = scene.tensors[layer[target]]
    wanted = data - scene.tensors[layer["b"]][0] if kind == "forward" else g
    found = page.numbers(
        f"""(() => {{
        const {{net, view}} = pybackprop.app;
        const layer = pybackprop.linLayers(net).find(l => l.w === "{w}");
        const product = pybackprop.product(net, view.run, layer, "{kind}", 0);
        return Array.from({{length: product.left.rows * product.right.columns}}, (_, at) => pybackprop.productTerms(
          net, product, Math.floor(at / product.right.columns), at % product.right.columns).at(-1).partial);
        }})()"""
    )
    np.testing.assert_allclose(found, wanted.ravel(), rtol=2e-5, atol=1e-5)


def test_the_animation_adds_up_the_chosen_element_and_stays(page):
    page.open(example(), "#product=w.w1.0.2.1.1")
    play = page.find("#product-controls .main")
    page.click(play)
    assert play.text == "pause"
    assert page.until(lambda: play.text == "play")
    at = page.js("return pybackprop.app.state.product")
    assert (at["row"], at["column"], at["k"]) == (2, 1, 4)


def test_it_goes_on_to_the_next_element_if_asked_and_pauses(page):
    page.open(example(), "#product=w.w1.0.0.0.3")
    play = page.find("#product-controls .main")
    page.click("#onwards")
    page.click(play)
    assert play.text == "pause"
    assert page.until(lambda: page.js("return pybackprop.app.state.product.column") == 1)
    page.click(play)
    assert play.text == "play"
    at = page.js("return pybackprop.app.state.product")
    time.sleep(0.8)
    assert page.js("return pybackprop.app.state.product") == at


def test_who_wants_no_motion_gets_the_whole_sum_at_once(page):
    page.open(example(), prefers_reduced_motion="reduce")
    page.click("#product-controls .main")
    assert page.js("return pybackprop.app.state.product.k") == 4
    assert page.text("#product-controls .main") == "play"


def test_a_transpose_that_does_not_fit_is_seen(page):
    page.open(example())
    page.click("[data-name=form] .choice:nth-of-type(2) input")
    said = page.text("#verdict").replace(TIMES, "by")
    assert said.startswith("l1.g is 4 by 2, x.T is 3 by 4: the inner dimensions, 2 and 3, do not fit.")
    assert len(page.driver.find_elements("css selector", ".falk .misfit")) == 2
    assert len(page.driver.find_elements("css selector", ".falk .guide")) == 2
    assert "no result" in page.text(".falk")
    assert not page.find("#product-controls .main").is_enabled()


def test_a_transpose_that_fits_by_accident_is_wrong_all_the_same(page):
    scene = example((3, 3, 3, 3))
    page.open(scene, "#product=w.w1.1.0.1.3")
    dz, x = scene.tensors["l1"][1], scene.tensors["x"][0]
    assert page.text("#verdict") == (
        "The shape is right by accident. Element [0,1] is computed from row 0 of l1.g and row 1 of x, but w1[0,1] "
        "moves column 1 of l1, every row of it, and row i by x[i,0]: it needs column 0 of x and column 1 of l1.g."
    )
    here, right = (float(b.text.replace(MINUS, "-")) for b in page.driver.find_elements("css selector", "#sum b"))
    assert here == pytest.approx((dz @ x.T)[0, 1], rel=1e-5)
    assert right == pytest.approx((x.T @ dz)[0, 1], rel=1e-5, abs=1e-9)
    assert here != right
    page.go("#product=x.w1.2.0.0.0")
    assert "is computed from column 0 of w1 and column 0 of l1.g, but x[0,0] moves row 0 of l1" in page.text("#verdict")
    page.go("#product=forward.w1.1.0.0.0")
    verdict = page.text("#verdict")
    assert "is computed from row 0 of x and row 0 of w1, but l1[0,0] needs row 0 of x and column 0" in verdict
    page.go("#product=w.w1.3.0.0.0")
    assert "transposed" in page.text("#verdict")


def test_every_way_to_write_a_product_is_judged_by_its_shape(page):
    page.open(example((4, 3, 2, 3)))
    for kind, wanted in [
        ("forward", "right wrong wrong"),
        ("w", "right wrong wrong wrong"),
        ("x", "right wrong wrong wrong"),
    ]:
        for form, verdict in enumerate(wanted.split()):
            page.go(f"#product={kind}.w1.{form}.0.0.0")
            assert page.find("#verdict").get_attribute("class") == f"verdict {verdict}", (kind, form)
            assert "by accident" not in page.text("#verdict")


def test_a_click_on_the_result_chooses_its_element(page):
    page.open(example())
    cells = page.driver.find_elements("css selector", ".falk .other")
    page.click(cells[-1])
    assert page.js("const {row, column} = pybackprop.app.state.product; return [row, column]") == [2, 1]
    assert page.chosen() == "w1[2,1]"

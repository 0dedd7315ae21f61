"""The page in a browser: products, term by term, and the ways to write them."""

import time

import numpy as np
import pytest

from helpers.page_browser import MINUS, TIMES
from helpers.scenes import example, pair
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser


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

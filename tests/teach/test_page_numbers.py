"""The page's numbers: what its JavaScript computes beside what the library does."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.scenes import example, pair
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser

CLOSE = {"float32": {"rtol": 2e-5, "atol": 1e-6}, "float64": {"rtol": 1e-12, "atol": 1e-14}}


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_its_numbers_are_the_librarys(page, rng, dtype, depth):
    scene = scene_of(*pair(rng, *[7, 5, 4, 3][: depth + 1], n=9, dtype=dtype))
    page.open(scene)
    close = CLOSE[scene.dtype]
    for name, (data, g) in scene.tensors.items():
        np.testing.assert_allclose(page.values(name), data.ravel(), **close, err_msg=name)
        if g is not None:
            np.testing.assert_allclose(page.grads(name), g.ravel(), **close, err_msg=f"{name}.g")
    assert float(page.js("return pybackprop.app.run.loss")) == pytest.approx(float(scene.tensors["loss"][0]), rel=2e-6)


ORDERS = [[bp.Lin, bp.Relu], [bp.Relu, bp.Lin], [bp.Lin, bp.Relu, bp.Relu], [bp.Lin, bp.Lin], [bp.Lin, bp.Relu, bp.Lin]]


@pytest.mark.parametrize("kinds", ORDERS, ids=lambda kinds: "-".join(kind.__name__ for kind in kinds))
def test_layers_in_any_order_with_and_without_bias(page, rng, kinds):
    w = [rng.standard_normal((3, 3)).astype(np.float32) for _ in kinds]
    layers = [bp.Lin(w[k]) if kind is bp.Lin else bp.Relu() for k, kind in enumerate(kinds)]
    scene = scene_of(bp.Model(layers), *(rng.standard_normal((4, 3)).astype(np.float32) for _ in range(2)))
    for fragment in ("", f"#step={len(kinds)}&inplace=1"):
        page.open(scene, fragment)
        for name, (data, g) in scene.tensors.items():
            np.testing.assert_allclose(page.values(name), data.ravel(), rtol=2e-5, atol=1e-6, err_msg=name)
            if g is not None:
                np.testing.assert_allclose(page.grads(name), g.ravel(), rtol=2e-5, atol=1e-6, err_msg=name)
        for name in scene.tensors:
            page.click(page.cell(name, 0 if name == "loss" else 2, 0))
        assert page.chosen() == "targ[2,0]"


def test_the_terms_of_every_element_add_up_to_its_gradient(page, rng):
    scene = scene_of(*pair(rng, 4, 3, 2, n=5))
    page.open(scene)
    for name, (data, g) in scene.tensors.items():
        if g is None:
            continue
        found = page.js(
            """const {net, run} = pybackprop.app;
            const {rows, columns} = net.tensors.get(arguments[0]);
            return Array.from({length: rows * columns}, (_, at) => {
              const element = {name: arguments[0], row: Math.floor(at / columns), column: at % columns};
              return pybackprop.terms(net, run, element).map(t => [t.local, t.upstream, t.product, t.partial]);
            });""",
            name,
        )
        assert len(found) == data.size
        for terms, total in zip(found, g.ravel(), strict=True):
            local, upstream, product, partial = np.array(terms).T
            np.testing.assert_allclose(local * upstream, product, rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(np.cumsum(product), partial, rtol=1e-5, atol=1e-7)
            assert partial[-1] == pytest.approx(total, rel=2e-5, abs=1e-6)


def test_the_slope_of_every_kind_of_element_is_its_gradient(page, rng):
    """Measured by the page with the whole forward pass in double, at points away from relu's corner."""
    scene = scene_of(*pair(rng, 4, 3, 2, n=5, dtype=np.float64))
    page.open(scene)
    for name in ("x", "w1", "b1", "l1", "l2", "w2", "b2", "out"):
        g = scene.tensors[name][1].ravel()
        measured = page.numbers(
            f"""(() => {{
            const {{net, run}} = pybackprop.app;
            const {{rows, columns}} = net.tensors.get("{name}");
            return Array.from({{length: rows * columns}}, (_, at) => {{
              const element = {{name: "{name}", row: Math.floor(at / columns), column: at % columns}};
              const along = pybackprop.lossAlong(net, new Map(), element);
              return pybackprop.measuredSlope(along, run.values.get("{name}")[at]);
            }});
            }})()"""
        )
        np.testing.assert_allclose(measured, g, rtol=1e-6, atol=1e-8, err_msg=name)


def test_a_value_that_was_changed_gives_the_librarys_numbers(page, rng):
    model, x, targ = pair(rng, 4, 3, 2, n=5)
    page.open(scene_of(model, x, targ), "#at=w1.2.1&set=w1.2.1:0.5,b2.0:-1.25,x.0.0:2")
    x[0, 0] = 2
    model.parameters()[0][2, 1] = 0.5
    model.parameters()[3][0] = -1.25
    wanted = scene_of(model, x, targ)
    for name in ("w1", "l1", "out"):
        np.testing.assert_allclose(page.values(name), wanted.tensors[name][0].ravel(), rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(page.grads(name), wanted.tensors[name][1].ravel(), rtol=2e-5, atol=1e-6)


def test_not_a_number_is_shown_and_breaks_nothing(page, rng):
    model, x, targ = pair(rng, 3, 4, 2)
    x[1, 2] = np.nan
    page.open(scene_of(model, x, targ, ("x", (1, 2))))
    assert page.cell("x", 1, 2).text == "NaN"
    assert [cell.text for cell in page.grid("l1").find_elements("css selector", ".moves")] == ["NaN"] * 4
    page.click(page.cell("x", 0, 0))
    assert page.marked("x", "bad") == [[1, 2]]
    assert page.marked("l1", "bad") == [[1, j] for j in range(4)]
    page.click(page.cell("x", 1, 2))
    assert page.text("#loss") == "NaN"
    assert "not a finite number" in page.text("#plot")
    page.js("pybackprop.app.setValue(0.5)")
    assert page.number("#loss") > 0
    assert "not a finite number" not in page.text("#plot")


@pytest.mark.parametrize("at", ["w1.2.1", "x.1.1", "b1.0", "l1.1.0", "out.2.0", "w2.1.0"])
def test_the_drawing_of_a_product_has_the_numbers_of_now(page, at):
    """A drag changes its numbers where they stand; drawn anew, it is the same."""
    texts = "return [...document.querySelectorAll('.falk text')].map(text => text.textContent)"
    for fragment, value in [(f"#at={at}", 0.75), (f"#at={at}&step=3", -1.5), (f"#at={at}&product=w.w1.1.0.0.2", 2)]:
        page.open(example(), fragment)
        before = page.js(texts)
        page.js("pybackprop.app.setValue(arguments[0])", value)
        dragged = page.js(texts)
        address = page.js("return `#${pybackprop.fragmentOf(pybackprop.app.net, pybackprop.app.state)}`")
        page.open(example(), address)
        assert page.js(texts) == dragged, fragment
        assert dragged != before or "step" in fragment or "product" in fragment

"""The page, driven in a browser: chosen, dragged, stepped, by keyboard, by link, in the dark, on a phone."""

import struct
import time

import numpy as np
import pytest
from page_browser import Page, chromium
from test_page import EVIL, renamed
from test_scene import pair

import pybackprop as bp
from pybackprop.teach.scene import example, scene_of

CLOSE = {"float32": {"rtol": 2e-5, "atol": 1e-6}, "float64": {"rtol": 1e-12, "atol": 1e-14}}
DONE = 5  # the step after the four of a network with one hidden layer


@pytest.fixture(scope="module")
def driver():
    with chromium() as driver:
        yield driver


@pytest.fixture
def page(driver, tmp_path):
    """A page to open; after the test it must have logged nothing and asked for nothing but itself."""
    page = Page(driver, tmp_path)
    driver.get("about:blank")
    driver.get_log("browser"), driver.get_log("performance")
    yield page
    asked = page.check()
    assert any(url.startswith("file:") for url in asked)


def element_of(array, index):
    return f"[{','.join(map(str, index))}]" if array.ndim else ""


# ---- its numbers ----


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
    assert float(page.text("#loss")) > 0
    assert "not a finite number" not in page.text("#plot")


# ---- choosing ----

MOVES = [
    # an element, what it moves, what the gradient that arrives is read from, by how much, and its formula's letters
    ("w1", 2, 1, "l1", [[i, 1] for i in range(4)], ("x", [[i, 2] for i in range(4)]), "∑i=03xi,2·l1.gi,1"),
    ("b1", 0, 0, "l1", [[i, 0] for i in range(4)], None, "∑i=03l1.gi,0"),
    ("x", 3, 2, "l1", [[3, 0], [3, 1]], ("w1", [[2, 0], [2, 1]]), "∑j=01l1.g3,j·w12,j"),
    ("l1", 0, 0, "l2", [[0, 0]], None, "(l10,0>0)·l2.g0,0"),
    ("l2", 3, 1, "out", [[3, 0]], ("w2", [[1, 0]]), "∑j=00out.g3,j·w21,j"),
    ("w2", 1, 0, "out", [[i, 0] for i in range(4)], ("l2", [[i, 1] for i in range(4)]), "∑i=03l2i,1·out.gi,0"),
    ("out", 1, 0, "loss", [[0, 0]], None, "24·(out1,0−targ1,0)"),
    ("targ", 1, 0, "loss", [[0, 0]], None, "−24·(out1,0−targ1,0)"),
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
    assert page.marked(out, "moves") == moved
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


# ---- dragging ----


def loss(page):
    return float(page.text("#loss").replace("−", "-"))


def test_dragging_a_number_sideways_moves_the_loss(page):
    page.open(example())
    before = loss(page)
    page.drag(page.cell("w1", 1, 0), 48)
    assert page.chosen() == "w1[1,0]"
    assert page.values("w1")[2] == pytest.approx(0.1 + 24 * 0.01, abs=1e-6)
    assert loss(page) != before
    assert "changed" in page.cell("w1", 1, 0).get_attribute("class")
    page.until(lambda: "set=" in page.fragment())
    assert page.fragment() == "#at=w1.1.0&set=w1.1.0:0.34"
    page.click("#everything")
    assert loss(page) == before


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
    number.clear()
    number.send_keys("-0.125\n")
    page.settle()
    assert page.values("w1")[0] == -0.125
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


# ---- the backward pass ----


def test_stepping_back_writes_one_gradient_after_another(page):
    page.open(example(), "#step=0")
    written = [[], ["out"], ["out", "l2", "w2", "b2"], ["out", "l2", "w2", "b2", "l1"]]
    names = ["x", "w1", "b1", "l1", "l2", "w2", "b2", "out"]
    for step, there in enumerate([*written, names, names]):
        shown = [name for name in names if "empty" not in page.cell(name, 0, 0, gradient=True).get_attribute("class")]
        assert sorted(shown) == sorted(there), step
        if step < DONE:
            page.click("#step-controls button.main")
    assert page.text("#step-sentence") == "The backward pass is complete: every gradient is written."
    assert not page.find("#step-controls button.main").is_enabled()


def test_each_step_says_what_it_reads_and_writes(page):
    page.open(example(), "#step=1")
    assert page.text("#step-sentence") == "Step 1 of 4: mse_grad(out, targ) starts from the loss and writes out.g."
    page.click("#step-list li:nth-child(2) button")
    assert "lin_grad(l2, out, w2, b2) reads out.g and writes l2.g, w2.g and b2.g" in page.text("#step-sentence")
    assert page.text("#step-list .now .equations") == "l2.g = out.g @ w2.Tw2.g = l2.T @ out.gb2.g = out.g.sum(0)"
    assert page.text(".layer.current h3") == "out = l2 @ w2 + b2"


def test_in_place_the_gradients_share_storage(page):
    page.open(example(), "#step=3")
    assert page.cell("l2", 0, 0, gradient=True).text == "0.0088"
    page.click("#inplace")
    assert "relu_grad(l1, l2, inplace=True) reads l2.g and writes l1.g over l2.g" in page.text("#step-sentence")
    assert "overwritten" in page.cell("l2", 0, 0, gradient=True).get_attribute("class")
    assert page.cell("l1", 0, 0, gradient=True).text == "0.0088"
    held = [row.text for row in page.driver.find_elements("css selector", "#storage tbody tr")]
    assert len(held) == 7
    assert held[1] == "2 4 × 2 l2.g l1.g l1.g"
    page.until(lambda: "inplace" in page.fragment())
    assert page.fragment().endswith("&step=3&inplace=1")


# ---- the products ----


def test_row_meets_column_term_by_term(page):
    page.open(example())
    g = example().tensors["w1"][1]
    page.click("#product-controls button:nth-child(3)")
    assert page.text("#sum") == "(x.T @ l1.g)[0,0] = 0.7 · 0.0088 = 0.00616, 1 of 4 terms"
    page.click("#product-controls button:nth-child(4)")
    assert page.text("#sum").endswith(f"= {g[0, 0]:.8f}".replace("-", "−"))
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


def test_the_animation_plays_pauses_and_goes_on_to_the_next_element(page):
    page.open(example(), "#product=w.w1.0.0.0.3")
    play = page.find("#product-controls .main")
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
    assert page.text("#verdict").startswith("l1.g is 4 × 2, x.T is 3 × 4: the inner dimensions, 2 and 3, do not fit.")
    assert len(page.driver.find_elements("css selector", ".falk .misfit")) == 2
    assert len(page.driver.find_elements("css selector", ".falk .guide")) == 2
    assert "no result" in page.text(".falk")
    assert not page.find("#product-controls .main").is_enabled()


def test_a_transpose_that_fits_by_accident_is_wrong_all_the_same(page):
    scene = example((3, 3, 3, 3))
    page.open(scene, "#product=w.w1.1.0.1.3")
    dz, x = scene.tensors["l1"][1], scene.tensors["x"][0]
    assert "w1[0,0] moves column 0 of l1, every row, not row 0" in page.text("#verdict")
    here, right = (float(b.text.replace("−", "-")) for b in page.driver.find_elements("css selector", "#sum b"))
    assert here == pytest.approx((dz @ x.T)[0, 1], rel=1e-5)
    assert right == pytest.approx((x.T @ dz)[0, 1], rel=1e-5, abs=1e-9)
    assert here != right
    page.go("#product=w.w1.3.0.0.0")
    assert "transposed" in page.text("#verdict")


def test_every_way_to_write_a_product_is_judged_by_its_shape(page):
    page.open(example((4, 3, 2, 3)))
    for kind, wanted in [("forward", "right wrong wrong"), ("w", "right wrong wrong wrong"), ("x", "right wrong wrong wrong")]:
        for form, verdict in enumerate(wanted.split()):
            page.go(f"#product={kind}.w1.{form}.0.0.0")
            assert page.find("#verdict").get_attribute("class") == f"verdict {verdict}", (kind, form)
            assert "by accident" not in page.text("#verdict")


def test_a_click_on_the_result_chooses_its_element(page):
    page.open(example())
    cells = page.driver.find_elements("css selector", ".falk .ahead")
    page.click(cells[-1])
    assert page.js("const {row, column} = pybackprop.app.state.product; return [row, column]") == [2, 1]


# ---- keyboard and screen reader ----


def test_the_keyboard_alone_reaches_everything(page):
    page.open(example(), "#at=w1.0.0")
    page.press("tab")
    assert page.js("return document.activeElement.hash") == "#network"
    page.press("enter", "tab", "tab", "tab", "arrow_down", "arrow_right")
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
    order = ["The network", "x, values, 4 × 3", "w1.g, gradient, 3 × 2", "drag", "value", "The terms of its gradient",
             "from the start", "mse_grad(out, targ)", "Storage", "x, w1 → l1", "Drawing of the product", "play", "column"]  # fmt: skip
    places = [labels.index(label) for label in order]
    assert places == sorted(places)


def test_matrices_are_grids_with_rows_and_cells(page):
    page.open(example())
    grid = page.grid("w1")
    assert [grid.get_attribute(name) for name in ("role", "aria-rowcount", "aria-colcount", "aria-label")] == [
        "grid", "3", "2", "w1, values, 3 × 2",
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
    "#", "#at=", "#at=w1", "#at=w1.9.9", "#at=w1.0.0.0", "#at=w9.0.0", "#at=loss", "#at=%E0%A4%A", "#step=-1", "#step=1e9",
    "#set=w1.0.0", "#set=w1.0.0:NaN,w1.0.0:1e999,:,x", "#product=y.w9.7.-1.x.1e9", "#product=w.w1.0.99.99.99", "#<b>=<i>",
    "#at=__proto__.0.0", "#set=constructor.0:1", "#at=w1.0.0&at=w1..0",
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


# ---- large, dark, small ----


@pytest.fixture(scope="module")
def large():
    rng = np.random.default_rng(3)
    x = (rng.random((30, 784)) * (rng.random((30, 784)) < 0.2)).astype(np.float32)
    targ = rng.standard_normal((30, 10)).astype(np.float32)
    return scene_of(bp.mlp([784, 50, 10]), x, targ, ("w1", (300, 7)))


def test_a_large_matrix_is_a_window_that_scrolls(page, large):
    page.open(large, width=1440)
    assert page.js("return document.querySelectorAll('[role=gridcell]').length") < 3000
    assert page.cell("w1", 300, 7).is_displayed()
    page.js("arguments[0].focus()", page.grid("w1"))
    page.press("page_down", "end")
    assert page.chosen() == "w1[308,49]"
    assert page.cell("w1", 308, 49).is_displayed()
    page.js("arguments[0].scrollTop = 776 * 26", page.grid("w1"))
    page.until(lambda: page.js("return document.querySelector('.matrix[data-tensor=w1] [id$=\"-783-49\"]')"))
    assert page.js("return arguments[0].scrollTop", page.grid("w1", gradient=True)) == 776 * 26
    page.screenshot("large")


def test_a_large_matrix_stays_fluid(page, large):
    page.open(large)
    took = page.js(
        """const start = performance.now();
        for (let k = 0; k < 10; k++) pybackprop.app.setValue(k / 100);
        return (performance.now() - start) / 10;"""
    )
    assert took < 500  # milliseconds for a frame of a drag, on a machine that has other things to do; about 30 alone


def test_the_dark_theme(page):
    colour = "return getComputedStyle(document.body).backgroundColor"
    page.open(example())
    light = page.js(colour)
    page.screenshot("light")
    page.open(example(), prefers_color_scheme="dark")
    assert page.js(colour) == "rgb(21, 24, 28)" != light
    page.screenshot("dark")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page, theme):
    """WCAG 2.2, AA: a contrast of 4.5 for text, in both themes; disabled controls are exempt."""
    page.open(example(), "#at=w1.0.0&step=2&inplace=1&product=w.w1.0.0.1.2", prefers_color_scheme=theme)
    poor = page.js(
        """const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92
          : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
        const parts = (text) => text.match(/[\\d.]+/g).map(Number);
        const behind = (node) => { for (; node; node = node.parentElement) {
          const colour = parts(getComputedStyle(node).backgroundColor);
          if (colour.length < 4 || colour[3] > 0) return colour; } };
        const nodes = [...document.body.querySelectorAll("*")].filter(node => node.offsetWidth &&
          !node.closest("svg, script, .skip, :disabled, .empty") && [...node.childNodes].some(c => c.nodeType === 3 && c.data.trim()));
        return nodes.flatMap(node => {
          const [a, b] = [light(parts(getComputedStyle(node).color)), light(behind(node))];
          const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          return contrast < 4.5 ? [[node.tagName, node.className, node.textContent.slice(0, 30), contrast]] : [];
        });"""
    )
    assert not poor


@pytest.mark.parametrize("scene", ["example", "large"])
def test_on_a_phone_only_the_matrices_scroll(page, scene, request):
    page.open(example() if scene == "example" else request.getfixturevalue("large"), width=360, height=740)
    assert page.js("return document.documentElement.scrollWidth") == 360
    assert page.js("return [...document.querySelectorAll('.flow')].some(f => f.scrollWidth > f.clientWidth)")
    made = page.screenshot(f"phone-{scene}")
    assert struct.unpack(">I", made[16:20]) == (360,)


def test_a_finger_chooses_an_element_and_drags_the_chosen_one(page):
    page.open(example(), width=360, height=740)
    cell = page.cell("w1", 1, 0)
    page.js("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", cell)

    def touch(kind, *points):
        where = [{"x": x, "y": y} for x, y in points]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    box = page.js("const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]", cell)
    touch("touchStart", box)
    touch("touchEnd")
    assert page.until(lambda: page.chosen() == "w1[1,0]")
    touch("touchStart", box)
    for by in (10, 20, 30):
        touch("touchMove", (box[0] + by, box[1]))
    touch("touchEnd")
    assert page.until(lambda: page.values("w1")[2] > 0.2)


def test_it_leaves_one_name_in_the_window(page):
    page.open(example())
    found = page.js(
        """const frame = document.createElement("iframe"); document.body.append(frame);
        const usual = new Set(Object.getOwnPropertyNames(frame.contentWindow)); frame.remove();
        return Object.getOwnPropertyNames(window).filter(name => !usual.has(name) && !/^\\d+$/.test(name));"""
    )
    assert [name for name in found if "cdc_" not in name and not name.startswith("$")] == ["pybackprop"]

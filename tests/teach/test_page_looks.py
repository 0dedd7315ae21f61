"""The page in a browser: large, in the dark, on a phone."""

import re
import struct

import numpy as np
import pytest

import pybackprop as bp
from helpers.page_browser import served
from helpers.scenes import example
from pybackprop.teach.example import small
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser


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
    page.js("arguments[0].scrollTop = 700 * 26", page.grid("w1"))
    page.until(lambda: page.js("return document.querySelector('.matrix[data-tensor=w1] [id$=\"-700-49\"]')"))
    assert page.js("return arguments[0].scrollTop", page.grid("w1", gradient=True)) == 700 * 26
    page.screenshot("large")


def test_a_large_matrix_stays_fluid(page, large):
    page.open(large)
    before = page.cpu_seconds()
    page.js("for (let k = 0; k < 10; k++) pybackprop.app.setValue(k / 100)")
    assert (page.cpu_seconds() - before) / 10 < 0.5  # for a frame of a drag; about 0.03


def test_the_dark_theme(page):
    colour = "return getComputedStyle(document.body).backgroundColor"
    page.open(example())
    light = page.js(colour)
    page.screenshot("light")
    page.open(example(), prefers_color_scheme="dark")
    assert page.js(colour) == "rgb(21, 24, 28)" != light
    page.screenshot("dark")


def test_it_works_as_well_when_it_is_served(page):
    page.open(example())
    with served(example()) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        page.own.append(address)
        page.driver.get(f"{address}#at=b1.1")
        assert page.chosen() == "b1[1]"
        page.click(page.cell("w2", 1, 0))
        assert page.until(lambda: page.driver.current_url == f"{address}#at=w2.1.0")


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
        const exempt = "svg, script, .skip, :disabled, .empty";
        const hasText = (node) => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
        const nodes = [...document.body.querySelectorAll("*")].filter(
          node => node.offsetWidth && !node.closest(exempt) && hasText(node));
        return nodes.flatMap(node => {
          const [a, b] = [light(parts(getComputedStyle(node).color)), light(behind(node))];
          const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          return contrast < 4.5 ? [[node.tagName, node.className, node.textContent.slice(0, 30), contrast]] : [];
        });"""
    )
    assert not poor


@pytest.mark.parametrize("scene", ["example", "large"])
def test_on_a_phone_nothing_but_the_inside_of_a_matrix_scrolls_sideways(page, scene, request):
    page.open(example() if scene == "example" else request.getfixturevalue("large"), width=360, height=740)
    assert page.js("return document.documentElement.scrollWidth") == 360
    made = page.screenshot(f"phone-{scene}")
    assert struct.unpack(">I", made[16:20]) == (360,)


@pytest.mark.parametrize("width", [360, 768, 1024, 1280, 1399, 1401, 1920])
def test_whatever_the_width_no_matrix_is_cut_and_what_moves_is_in_sight(page, width):
    wide = small((9, 9, 20))
    page.open(bp.explain(wide.tensors["w1"], at=(8, 18)).scene(), width=width)
    cut = page.js(
        """return [...document.querySelectorAll(".matrix")].filter(matrix => {
          const [inner, outer] = [matrix, matrix.closest(".flow")].map(node => node.getBoundingClientRect());
          return inner.right > outer.right + 1 || inner.left < outer.left - 1;
        }).map(matrix => matrix.dataset.tensor);"""
    )
    assert not cut
    assert [column for _, column in page.marked("l1", "moves")] == [18] * 9
    boxes = [page.js("return arguments[0].getBoundingClientRect().right", node) for node in (
        page.cell("l1", 0, 18), page.grid("l1"), page.find(".flow"))]  # fmt: skip
    assert boxes[0] <= min(boxes[1:]) + 1


def test_a_finger_chooses_an_element_and_drags_the_chosen_one(page):
    page.open(example(), width=360, height=740)
    cell = page.cell("w1", 1, 0)
    page.js("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", cell)

    def touch(kind, *points):
        where = [{"x": x, "y": y} for x, y in points]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    box = page.js(
        "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]", cell
    )
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
    drivers = re.compile(r"\$|.*cdc_|ret_nodes$")  # the driver's own
    assert [name for name in found if not drivers.match(name)] == ["pybackprop"]

"""The page in a browser: packed numbers arrive with all their bits."""

import json

import numpy as np
import pytest

import pybackprop as bp
from helpers.page_browser import served
from helpers.scenes import bits_of_all_kinds
from pybackprop.teach.page import html as teach_page
from pybackprop.teach.page.scene import scene_of

pytestmark = pytest.mark.browser

OF_TENSOR = "pybackprop.app.net.tensors.get({}).data"
OF_RUN = "pybackprop.app.run.values.get({})"


def scene_with(numbers):
    """A scene in which x (60,30) and w1 (30,40) are some of these numbers; b1 is small."""
    rng = np.random.default_rng(1)
    x, w, b = (rng.choice(numbers, size) for size in [(60, 30), (30, 40), (40,)])
    with np.errstate(all="ignore"):
        return scene_of(bp.Model([bp.Lin(w, b)], loss=bp.Mse()), x, rng.standard_normal((60, 40)).astype(x.dtype))


@pytest.mark.parametrize("different", [200, 3000], ids=["named by bytes", "shuffled"])
def test_every_bit_arrives(page, dtype, different):
    numbers = bits_of_all_kinds(dtype, different)
    scene = scene_with(numbers)
    page.open(scene)
    described = json.loads(page.text("#scene"))["tensors"]
    assert {name for name, t in described.items() if "packed" in (t["data"] or ())} == {"x", "w1", "targ"}
    for name in ("x", "w1", "targ"):
        sent = scene.tensors[name][0].tobytes().hex()
        for place in (OF_TENSOR, OF_RUN):
            assert page.bits(place.format(json.dumps(name))) == sent, (name, place)
    np.testing.assert_array_equal(page.values("b1"), scene.tensors["b1"][0])


def test_in_a_sandboxed_frame_served_and_at_an_address(page):
    """Where a frame has no origin, and the fragment is read after the numbers came."""
    scene = scene_with(bits_of_all_kinds(np.float32, 200))
    shown = teach_page.Frame(scene)
    path = page.folder / "notebook.html"
    path.write_text(f"<!doctype html><title>a notebook</title>{shown._repr_html_()}", encoding="utf-8")
    page.driver.get(path.as_uri())
    page.driver.switch_to.frame(0)
    page.wait_for_start()
    assert page.bits(OF_TENSOR.format('"w1"')) == scene.tensors["w1"][0].tobytes().hex()
    page.driver.switch_to.default_content()
    with served(scene) as server:
        page.own.append(address := f"http://127.0.0.1:{server.server_port}/")
        page.driver.get(address)
        page.wait_for_start()
        assert page.bits(OF_TENSOR.format('"w1"')) == scene.tensors["w1"][0].tobytes().hex()
    page.open(scene, "#at=w1.29.39")
    assert page.chosen() == "w1[29,39]"


def test_all_sizes_are_made_equal_from_packed_numbers(page):
    scene = scene_with(np.arange(300, dtype=np.float32))
    page.open(scene, "#at=w1.0.0")
    page.click("#equal")
    assert page.until(lambda: page.js("return pybackprop.app.state.equal"))
    assert len(page.values("w1")) == 36
    page.click("#equal")
    assert page.until(lambda: not page.js("return pybackprop.app.state.equal"))
    np.testing.assert_array_equal(page.values("w1"), scene.tensors["w1"][0].ravel())

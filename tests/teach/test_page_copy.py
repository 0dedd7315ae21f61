"""The page in a browser: what can be taken away from it, as text, LaTeX and a picture."""

import base64
import struct

import pytest

from helpers.scenes import example

pytestmark = pytest.mark.browser

LATEX = {
    "w1.2.1": r"\frac{\partial\,\mathrm{loss}}{\partial\,\mathrm{w1}_{2,1}} = "
    r"\sum_{i=0}^{3} \mathrm{x}_{i,2} \cdot \mathrm{l1.g}_{i,1} = ",
    "b1.0": r"\frac{\partial\,\mathrm{loss}}{\partial\,\mathrm{b1}_{0}} = \sum_{i=0}^{3} \mathrm{l1.g}_{i,0} = ",
    "x.3.2": r"\frac{\partial\,\mathrm{loss}}{\partial\,\mathrm{x}_{3,2}} = "
    r"\sum_{j=0}^{1} \mathrm{l1.g}_{3,j} \cdot \mathrm{w1}_{2,j} = ",
    "l1.1.0": r"\frac{\partial\,\mathrm{loss}}{\partial\,\mathrm{l1}_{1,0}} = "
    r"[\mathrm{l1}_{1,0} > 0] \cdot \mathrm{l2.g}_{1,0} = ",
    "out.2.0": r"\frac{\partial\,\mathrm{loss}}{\partial\,\mathrm{out}_{2,0}} = "
    r"\frac{2}{4} (\mathrm{out}_{2,0} - \mathrm{targ}_{2,0}) = ",
}


@pytest.mark.parametrize("at", LATEX)
def test_as_latex(page, at):
    page.open(example(), f"#at={at}")
    made = page.js("const {net, state, view} = pybackprop.app; return pybackprop.latexOf(net, state.at, view.total)")
    assert made.startswith(LATEX[at])
    value = made.removeprefix(LATEX[at]).replace(r"\cdot 10^{", "e").replace("}", "")
    name, *index = at.split(".")
    wanted = example().tensors[name][1][tuple(map(int, index))]
    assert float(value) == pytest.approx(float(wanted), rel=1e-5, abs=1e-9)


def test_as_text(page):
    page.open(example(), "#at=w1.2.1")
    text = page.js("return pybackprop.app.views.copy.text()")
    said, equation, address, end = text.split("\n")
    assert said == page.text("#sentence")
    assert equation == f"w1.g[2,1] = {page.text('#sum')}"
    assert address.endswith("#at=w1.2.1")
    assert end == ""


@pytest.mark.parametrize("shown", ["x.w1.0.3.1.1", "w.w1.1.0.0.1", "w.w1.0.2.1.2", "b.w1.0.0.1.4"])
def test_the_text_is_about_the_chosen_element_whatever_product_is_shown(page, shown):
    page.open(example(), "#at=w1.2.1")
    right = page.js("return pybackprop.app.views.copy.text()").split("\n")[1]
    page.open(example(), f"#at=w1.2.1&product={shown}")
    assert page.js("return pybackprop.app.state.product.k") == int(shown[-1])
    assert page.js("return pybackprop.app.views.copy.text()").split("\n")[1] == right
    assert not page.js("return pybackprop.app.views.product.isOfChosen()") or shown == "w.w1.0.2.1.2"


def test_as_a_picture(page):
    page.open(example(), "#at=w1.2.1")
    made = page.driver.execute_async_script(
        """const done = arguments[0];
        pybackprop.pictureOf(pybackprop.app.views.product.drawing.node).then(done, error => done(String(error)));"""
    )
    head, data = made.split(",")
    assert head == "data:image/png;base64"
    picture = base64.b64decode(data)
    box = page.js("const {width, height} = pybackprop.app.views.product.drawing.drawn; return [width * 2, height * 2]")
    assert list(struct.unpack(">II", picture[16:24])) == box
    assert len(picture) > 3000  # it is not blank

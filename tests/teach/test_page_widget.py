"""The live page in a browser: the widget's script with a model in place of Jupyter's, and Python at its other end."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.notebook_page import Notebook
from pybackprop.teach.example import small

pytest.importorskip("anywidget")

from pybackprop.teach.page.live import LivePage

pytestmark = pytest.mark.browser


@pytest.fixture
def kept():
    return small()


@pytest.fixture
def open_page(page):
    opened = []

    def open_page(tensor, at):
        opened.append(bp.explain(tensor, at=at).page(live=True))
        return Notebook(page, opened[-1])

    yield open_page
    page.driver.switch_to.default_content()
    for shown in opened:
        shown.close()


def test_a_drag_is_written_to_the_tensor(page, kept, open_page):
    w1 = kept.tensors["w1"]
    notebook = open_page(w1, (3, 7))
    assert page.chosen() == "w1[3,7]"
    assert notebook.status() == "What you change is written to the tensor in Python."
    before = w1.data.copy()
    page.drag(page.cell("w1", 3, 7), 40)
    value = page.js("return pybackprop.app.valueAt(pybackprop.app.state.at)")
    assert value != before[3, 7]
    assert notebook.until(lambda: w1.data[3, 7] == np.float32(value))
    ((name, at, told),) = notebook.writes()[-1]["changes"]
    assert (name, at, np.float32(told)) == ("w1", [3, 7], np.float32(value))
    assert notebook.until(lambda: notebook.status() == f"w1[3,7] is {w1.data[3, 7]!s} in Python too.")
    before[3, 7] = value
    np.testing.assert_array_equal(w1.data, before)
    page.screenshot("live")


def test_below_the_page_is_the_text(page, kept):
    e = bp.explain(kept.tensors["w1"], at=(3, 7))
    shown = LivePage(
        e.scene(), {name: kept.tensors[name] for name in e.scene().leaves()}, text=e.document().html() + e.mathml()
    )
    notebook = Notebook(page, shown)
    said = notebook.outside("return document.querySelector('details').textContent")
    assert said.startswith("as text")
    assert str(e).splitlines()[0] in said
    assert notebook.outside("return document.querySelector('details math').namespaceURI").endswith("MathML")
    page.driver.switch_to.default_content()
    shown.close()


def test_keys_the_field_and_reset_are_written_too(page, kept, open_page):
    w1, targ = kept.tensors["w1"], kept.tensors["targ"]
    notebook = open_page(w1, (3, 7))
    begun = w1.data[3, 7], targ.data[1, 0]
    page.click(page.cell("targ", 1, 0))
    page.press("+", "+")
    shown = page.js("return pybackprop.app.valueAt(pybackprop.app.state.at)")
    assert notebook.until(lambda: targ.data[1, 0] == np.float32(shown) != begun[1])
    page.js("pybackprop.app.choose({name: 'w1', row: 3, column: 7})")
    field = page.find("#value input[type=number]")
    field.send_keys("\ue009a\ue000" + "0.375")
    page.press("enter")
    assert notebook.until(lambda: w1.data[3, 7] == 0.375)
    page.click("#everything")
    assert notebook.until(lambda: (w1.data[3, 7], targ.data[1, 0]) == begun)
    assert notebook.until(lambda: notebook.status() == "2 numbers are in Python what they are here.")


def test_an_update_in_the_page_is_one_of_the_tensors(page, kept, open_page):
    notebook = open_page(kept.tensors["w1"], (3, 7))
    page.js("pybackprop.app.set({step: pybackprop.stepCount(pybackprop.app.net), rate: 0.125})")
    page.js("[...document.querySelectorAll('#update button')].at(-1).click()")
    names = ["w1", "b1", "w2", "b2"]
    updated = [page.values(name) for name in names]
    tensors = [kept.tensors[name].data for name in names]
    assert notebook.until(lambda: all((t.reshape(-1) == made).all() for t, made in zip(tensors, updated, strict=True)))
    assert len(notebook.writes()) == 1
    assert not (tensors[0] == small().tensors["w1"].data).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_whose_numbers_are_packed(page, open_page, rng, dtype):
    x, targ = bp.tensor(rng.normal(size=(20, 64)), dtype, name="x"), rng.normal(size=(20, 10)).astype(dtype)
    model = bp.Model([bp.Lin(64, 50, dtype=dtype), bp.Relu(), bp.Lin(50, 10, dtype=dtype)], loss=bp.Mse())
    w1, w2 = (layer.w for layer in model.layers if hasattr(layer, "w"))
    loss = bp.mse(bp.lin(bp.relu(bp.lin(x, w1, model.layers[0].b)), w2, model.layers[2].b), targ)
    loss.backward(keep=True)
    notebook = open_page(w1, (63, 49))
    assert '"packed":' in notebook.shown.html
    w2.data[:] = rng.normal(size=w2.shape)
    assert notebook.shown.refresh()
    assert notebook.until(lambda: (page.values("w2") == w2.data.reshape(-1)).all())
    before = w1.data.copy()
    page.press("+")
    page.js("pybackprop.app.nudge(1)")
    assert notebook.until(lambda: w1.data[63, 49] != before[63, 49])
    assert (page.values("w1") == w1.data.reshape(-1)).all()
    before[63, 49] = w1.data[63, 49]
    np.testing.assert_array_equal(w1.data, before)
    assert loss


def test_messages_are_few_and_the_last_value_arrives(page, kept, open_page):
    w1 = kept.tensors["w1"]
    notebook = open_page(w1, (3, 7))
    took = page.driver.execute_async_script(
        """const [done] = arguments, begun = performance.now();
        let k = 0;
        const step = () => {
          pybackprop.app.setValue((k += 1) / 200);
          if (k < 100) setTimeout(step, 1); else done(performance.now() - begun);
        };
        step();"""
    )
    assert notebook.until(lambda: w1.data[3, 7] == 0.5)
    assert len(notebook.writes()) <= took / 50 + 2


def test_what_is_computed_stays_on_the_page(page, kept, open_page):
    before = {name: t.data.copy() for name, t in kept.tensors.items()}
    notebook = open_page(kept.tensors["w1"], (3, 7))
    page.click(page.cell("l1", 0, 7))
    assert notebook.status() == "l1 is computed: a change of it stays on this page."
    page.press("+")
    assert page.js("return pybackprop.app.state.changed.size") == 1
    page.click("#equal")
    assert page.until(lambda: notebook.status() == "These are other numbers: Python is not told of them.")
    page.js("pybackprop.app.choose({name: 'w1', row: 0, column: 0})")
    page.press("+")
    page.js("pybackprop.app.nudge(1)")
    page.driver.execute_async_script("setTimeout(arguments[0], 120)")
    notebook.carry()
    assert not notebook.writes()
    assert all((t.data == before[name]).all() for name, t in kept.tensors.items())


def test_the_page_follows_the_tensors_and_keeps_its_selection(page, kept, open_page):
    w1, x = kept.tensors["w1"], kept.tensors["x"]
    notebook = open_page(w1, (3, 7))
    page.click(page.cell("b1", 0, 7))
    w1.data[3, 7], x.data[0, 0] = 0.125, -0.0
    assert notebook.shown.refresh()
    assert notebook.until(lambda: page.values("w1")[3 * 8 + 7] == 0.125)
    assert page.chosen() == "b1[7]"
    loss = float(
        bp.mse(
            bp.lin(bp.relu(bp.lin(x, w1, kept.tensors["b1"])), kept.tensors["w2"], kept.tensors["b2"]),
            kept.tensors["targ"],
        )
    )
    assert page.number("#loss") == pytest.approx(loss, rel=1e-6)
    assert page.js("return Object.is(pybackprop.app.run.values.get('x')[0], -0)")
    assert "0.125" in page.cell("w1", 3, 7).text
    assert page.text("#loss-change") == "", "differences are counted from the new numbers"
    page.js("pybackprop.app.choose({name: 'w1', row: 3, column: 7})")
    page.driver.execute_async_script("setTimeout(arguments[0], 120)")
    notebook.carry()
    assert not notebook.writes(), "what Python said is not told again"
    page.press("+")
    assert notebook.until(lambda: w1.data[3, 7] not in (0.125, 1.25))
    page.click("#everything")
    assert notebook.until(lambda: w1.data[3, 7] == 0.125)


def test_what_python_says_survives_other_sizes(page, kept, open_page):
    w1 = kept.tensors["w1"]
    notebook = open_page(w1, (3, 7))
    page.click("#equal")
    w1.data[0, 0] = 0.125
    assert notebook.shown.refresh()
    notebook.carry()
    page.settle()
    assert page.values("w1")[0] != 0.125
    page.click("#equal")
    assert page.until(lambda: page.values("w1")[0] == 0.125)
    page.driver.execute_async_script("setTimeout(arguments[0], 120)")
    notebook.carry()
    assert not notebook.writes()


def test_a_value_on_its_way_is_not_overwritten_by_older_news(page, kept, open_page):
    w1 = kept.tensors["w1"]
    notebook = open_page(w1, (3, 7))
    page.js("pybackprop.app.setValue(0.75)")
    assert page.until(lambda: notebook.outside("return model.sent.length"))
    w1.data[3, 7] = w1.data[0, 0] = 0.25  # a cell that runs meanwhile
    notebook.shown.refresh()
    for message in notebook.queue:
        notebook.outside("model.fire('msg:custom', arguments[0], [])", message)
    notebook.queue.clear()
    assert page.until(lambda: page.values("w1")[0] == 0.25)
    assert page.values("w1")[3 * 8 + 7] == 0.75
    assert notebook.until(lambda: w1.data[3, 7] == 0.75)


def test_the_chosen_element_goes_both_ways(page, kept, open_page):
    notebook = open_page(kept.tensors["w1"], (3, 7))
    page.click(page.cell("b1", 0, 7))
    assert notebook.until(lambda: notebook.shown.chosen == ("b1", (7,)))
    notebook.shown.chosen = "x", (1, 2)
    notebook.outside("model.set('chosen', arguments[0])", ["x", [1, 2]])
    assert page.until(lambda: page.chosen() == "x[1,2]")
    page.click(page.cell("w2", 3, 0))
    assert notebook.until(lambda: notebook.shown.chosen == ("w2", (3, 0)))
    assert len([m for m in notebook.messages if "state" in m]) == 2


def test_read_only_memory_is_named_on_the_page(page, open_page):
    held = np.array([[1, 2], [3, -1], [0, 2]], np.float32)
    held.flags.writeable = False
    w = bp.param([[0.5, -1], [1, 2]], np.float32, name="w")
    loss = bp.mse(bp.relu(bp.as_tensor(held, name="x") @ w), np.ones((3, 2), np.float32))
    loss.backward(keep=True)
    notebook = open_page(w, (0, 0))
    page.click(page.cell("x", 1, 0))
    page.press("+")
    assert notebook.until(lambda: notebook.status() == "Only on this page: x is read-only memory in Python.")
    assert held[1, 0] == 3
    assert loss


def test_a_silent_python_is_named(page, kept, open_page):
    notebook = open_page(kept.tensors["w1"], (3, 7))
    page.press("+")
    page.js("pybackprop.app.nudge(1)")
    assert page.until(lambda: notebook.status() == "Python does not answer: it is busy, or has ended.")
    assert notebook.until(lambda: notebook.status().endswith("in Python too."))


def test_two_views_and_what_closing_one_leaves(page, kept, open_page):
    w1 = kept.tensors["w1"]
    notebook = open_page(w1, (3, 7))
    notebook.outside("window.ends.push(show())")
    assert notebook.until(lambda: len(notebook.shown._views) == 2)
    page.js("pybackprop.app.setValue(0.75)")
    assert notebook.until(lambda: w1.data[3, 7] == 0.75)
    page.driver.switch_to.default_content()
    page.driver.switch_to.frame(1)
    assert notebook.until(lambda: page.values("w1")[3 * 8 + 7] == 0.75)
    page.driver.switch_to.default_content()
    assert page.js("return model.listeners()") == 6
    page.js("ends.forEach((end) => end())")
    assert page.js("return model.listeners()") == 0
    assert notebook.until(lambda: not notebook.shown._views)


def test_messages_of_others_are_not_heard(page, kept, open_page):
    w1 = kept.tensors["w1"]
    notebook = open_page(w1, (3, 7))
    before = w1.data.copy()
    write = {"kind": "write", "count": 1, "changes": [["w1", [0, 0], 9]]}
    notebook.outside("window.postMessage(arguments[0], '*')", write)
    values = {"kind": "values", "answered": 0, "tensors": {"w1": {"at": [0], "values": [9]}}}
    page.js("window.postMessage(arguments[0], '*')", values)
    page.settle()
    notebook.carry()
    assert not notebook.writes()
    assert page.values("w1")[0] == before[0, 0]
    np.testing.assert_array_equal(w1.data, before)

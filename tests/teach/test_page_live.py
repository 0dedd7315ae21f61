"""The live page, Python's side: what the page says is written to the tensors, and what changes there is sent to it."""

import gc
import json
import sys
import weakref

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.teach.example import small

pytest.importorskip("anywidget")

from pybackprop.teach.page import live

DTYPES = [np.float32, np.float64]
NUMBERS = [0.5, 1 / 3, -0.0, 1e-45, 3.4e38, 1e300, float("inf"), float("nan")]


class Front:
    """What widget.js does in a notebook: one view of a page."""

    def __init__(self, page, name="a"):
        self.page, self.name, self.count, self.heard = page, name, 0, []
        page.send = self.heard.append  # of several views, the latest hears all
        self.say(kind="ready")

    def say(self, **message):
        self.page._handle_custom_msg({**message, "view": self.name}, [])

    def write(self, *changes):
        """Changes, each (name, indices, value), as a JSON message; the sentence of the answer."""
        self.count += 1
        changes = [[name, list(at), written(value)] for name, at, value in changes]
        self.say(**json.loads(json.dumps({"kind": "write", "count": self.count, "changes": changes}, allow_nan=False)))
        answer = next(m for m in reversed(self.heard) if m["kind"] == "answer")
        assert answer["answered"] == self.count
        return answer["text"]

    def news(self):
        """The values that were sent to this view since the last call, name -> {flat index: value}."""
        found = [m for m in self.heard if m["kind"] == "values" and m["view"] == self.name]
        self.heard.clear()
        json.dumps(found, allow_nan=False)
        both = {}
        for message in found:
            for name, said in message["tensors"].items():
                both.setdefault(name, {}).update(zip(said["at"], said["values"], strict=True))
        return both


def written(value):
    """A number as linked.js writes it."""
    special = np.isnan(value) or np.isinf(value) or (value == 0 and np.signbit(value))
    return {"nan": "NaN", "inf": "Infinity", "-0.0": "-0"}[str(value)] if special else value


def network(dtype=np.float32, n=4, flat=False):
    rng = np.random.default_rng(3)
    x = bp.tensor(rng.normal(size=(n, 5)), dtype, name="x")
    w, b = (
        bp.param(rng.normal(size=(5, 1 if flat else 3)), dtype, name="w1"),
        bp.param(np.zeros(1 if flat else 3), dtype),
    )
    targ = bp.tensor(rng.normal(size=n if flat else (n, 3)), dtype, name="targ")
    loss = bp.mse(bp.lin(x, w, b), targ)
    loss.backward(keep=True)
    return x, w, b, targ, loss


@pytest.fixture
def opened():
    """Pages to be closed."""
    pages = []
    yield pages
    for page in pages:
        page.close()


@pytest.fixture
def show(opened):
    def show(t, at):
        opened.append(bp.explain(t, at=at).page(live=True))
        return opened[-1]

    return show


# ---- from the page ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", NUMBERS)
def test_a_value_is_written_as_one_writes_it_by_hand(show, dtype, value):
    x, w, b, targ, _ = keep = network(dtype)
    front = Front(show(w, (2, 1)))
    for t, name, at in [(x, "x", (3, 4)), (w, "w1", (2, 1)), (b, "b1", (2,)), (targ, "targ", (0, 1))]:
        expected = t.data.copy()
        with np.errstate(over="ignore"):
            expected[at] = value
        version, g = t._version.count, t.g
        front.write((name, at, value))
        assert t.data.tobytes() == expected.tobytes(), name
        assert t._version.count == version, "no operation of the library wrote"
        assert t.g is g
    assert front.news() == {}, "the page has them already"
    assert keep


def test_the_answer_says_what_was_done(show):
    _, w, b, *_ = keep = network()
    front = Front(show(w, (2, 1)))
    assert front.write(("w1", (2, 1), 0.1)) == "w1[2,1] is 0.1 in Python too."
    assert front.write(("w1", (2, 1), 1), ("b1", (0,), 2)) == "2 numbers are in Python what they are here."
    assert (w.data[2, 1], b.data[0]) == (1, 2)
    assert keep


def test_explain_sees_it_as_any_write_through_data(show):
    _, w, _, _, loss = network()
    Front(show(w, (2, 1))).write(("w1", (2, 1), 7.0))
    with pytest.raises(bp.GradientError, match="overwritten"):
        bp.explain(w)
    assert loss


def test_a_column_of_targets_is_a_vector_in_python(show):
    _, w, _, targ, _ = keep = network(flat=True)
    Front(show(w, (0, 0))).write(("targ", (2, 0), 0.25))
    assert targ.data[2] == 0.25
    assert keep


def test_rows_that_are_not_shown_stay(show):
    x, w, _, targ, _ = keep = network(n=130)
    front = Front(show(w, (0, 0)))
    before = x.data[100:].copy()
    front.write(("x", (99, 0), 5.0))
    assert x.data[99, 0] == 5
    np.testing.assert_array_equal(x.data[100:], before)
    x.data[110] = targ.data[110] = 9
    assert not front.page.refresh()
    with pytest.raises(IndexError):
        front.page._received(None, {"kind": "write", "view": "a", "count": 9, "changes": [["x", [100, 0], 1.0]]}, [])
    assert keep


def test_read_only_memory_is_named(show):
    held = np.ones((4, 5), np.float32)
    held.flags.writeable = False
    w = bp.param(np.ones((5, 3)), np.float32, name="w1")
    x = bp.as_tensor(held, name="x")
    loss = bp.mse(bp.lin(x, w), np.zeros((4, 3), np.float32))
    loss.backward(keep=True)
    front = Front(show(w, (0, 0)))
    said = front.write(("x", (0, 0), 2.0), ("w1", (0, 0), 3.0))
    assert said == "Only on this page: x is read-only memory in Python."
    assert (held[0, 0], w.data[0, 0]) == (1, 3)
    assert loss


def test_another_shape_is_named(show):
    _, w, *_ = keep = network()
    front = Front(show(w, (0, 0)))
    w._become(np.ones((3, 5), np.float32))
    assert "is float32 of shape (3, 5) now, and was float32 of shape (5, 3)" in front.write(("w1", (0, 0), 2.0))
    assert (w.data == 1).all()
    assert not front.page.refresh()
    assert keep


@pytest.mark.parametrize("name", ["l1", "out", "loss", "y"])
def test_only_leaves_are_written(show, name):
    kept = small()
    page = show(kept.tensors["w1"], (0, 0))
    before = {name: t.data.copy() for name, t in kept.tensors.items()}
    with pytest.raises((KeyError, IndexError)):
        page._received(None, {"kind": "write", "view": "a", "count": 1, "changes": [[name, [0, 0], 1.0]]}, [])
    assert all((t.data == before[name]).all() for name, t in kept.tensors.items())


# ---- to the page ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_changed_is_sent_and_nothing_else(show, dtype):
    _, w, b, *_ = keep = network(dtype)
    page = show(w, (2, 1))
    front = Front(page)
    assert not page.refresh()
    w.data[1, 2], b.data[0] = 1 / 3, -0.0
    w.data[4, 0] = np.nan
    assert page.refresh()
    sent = front.news()
    assert set(sent) == {"w1", "b1"}
    assert set(sent["w1"]) == {5, 12}
    assert dtype(sent["w1"][5]) == w.data[1, 2]
    assert sent["w1"][12] == "NaN"
    assert np.signbit(sent["b1"][0])
    assert not page.refresh()
    w -= 0.1 * w.g
    assert page.refresh()
    assert front.news()["w1"].keys() >= set(np.flatnonzero(w.g.data).tolist()) - {12}
    assert keep


def test_every_view_has_its_own_numbers(show):
    _, w, *_ = keep = network()
    page = show(w, (2, 1))
    one = Front(page, "one")
    w.data[0, 0] = 5
    two = Front(page, "two")  # begins with the numbers of the page as it was made
    assert two.news() == {"w1": {0: 5}}
    two.write(("w1", (1, 1), 8.0))
    told = [m for m in two.heard if m["kind"] == "values"]
    assert [(m["view"], m["tensors"]["w1"]["at"]) for m in told] == [("one", [4])]
    one.say(kind="gone")
    w.data[0, 0] = 6
    two.heard.clear()
    assert page.refresh()
    assert {m["view"] for m in two.heard} == {"two"}
    assert keep


def test_views_that_never_left_are_forgotten(show):
    _, w, *_ = keep = network()
    page = show(w, (2, 1))
    for k in range(3 * live.VIEWS):
        Front(page, str(k))
    assert list(page._views) == [str(k) for k in range(2 * live.VIEWS, 3 * live.VIEWS)]
    assert keep


def test_another_page_with_the_same_tensors_follows(show):
    _, w, b, *_ = keep = network()
    one, two = Front(show(w, (2, 1))), Front(show(b, (1,)))
    one.write(("w1", (0, 1), 4.0))
    assert two.news() == {"w1": {1: 4}}
    assert keep


def test_what_is_said_of_messages_that_are_on_the_way(show):
    _, w, *_ = keep = network()
    page = show(w, (2, 1))
    front = Front(page)
    front.write(("w1", (0, 0), 1.0))
    w.data[0, 0] = 2
    page.refresh()
    assert front.heard[-1]["answered"] == 1
    assert keep


# ---- the chosen element ----


def test_the_chosen_element(show):
    _, w, *_ = keep = network()
    page = show(w, (2, 1))
    assert page.chosen == ("w1", (2, 1))
    page.set_state({"chosen": ["b1", [2]]})  # as the front end sends it
    assert page.chosen == ("b1", (2,))
    page.chosen = "out", (0, np.int64(1))
    assert page.chosen == ("out", (0, 1))
    assert page.get_state("chosen") == {"chosen": ("out", (0, 1))}
    for wrong in [("w1", (5, 0)), ("w1", (0,)), ("y", (0,)), ("loss", ())]:
        with pytest.raises((KeyError, IndexError)):
            page.chosen = wrong
    assert page.chosen == ("out", (0, 1))
    assert keep


# ---- life and death ----


def test_a_page_does_not_keep_the_tensors_alive(show):
    x, w, b, targ, loss = network()
    page = show(w, (2, 1))
    front = Front(page)
    died = [weakref.ref(t) for t in (x, w, b, targ, loss)]
    del x, w, b, targ, loss
    gc.collect()
    assert [reference() for reference in died] == [None] * 5
    assert front.write(("w1", (0, 0), 1.0)) == "Only on this page: w1 no longer exists in Python."
    assert not page.refresh()


def test_a_closed_page_says_nothing_and_is_gone():
    _, w, *_ = keep = network()
    page = bp.explain(w, at=(2, 1)).page(live=True)
    front = Front(page)
    assert page in live._open
    page.close()
    w.data[0, 0] = 9
    assert not page.refresh()
    assert front.news() == {}
    assert page not in live._open
    page.close()
    died = weakref.ref(page)
    del page, front
    gc.collect()
    assert died() is None
    assert keep


class Shell:
    """As much of IPython's shell as is asked for."""

    def __init__(self):
        from IPython.core.events import EventManager, available_events

        self.events, self.kernel = EventManager(self, available_events), object()

    def run_cell(self):
        self.events.trigger("post_run_cell", None)


@pytest.fixture
def shell(monkeypatch):
    made = Shell()
    monkeypatch.setattr(live, "get_ipython", lambda: made)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: made)
    return made


def test_after_each_cell_pages_follow_until_they_are_closed(shell):
    _, w, b, *_ = keep = network()
    pages = [bp.explain(t, at=at).page(live=True) for t, at in [(w, (0, 0)), (b, (0,))]]
    fronts = list(map(Front, pages))
    shell.run_cell()
    assert [front.news() for front in fronts] == [{}, {}]
    w.data[0, 0] = 2
    shell.run_cell()
    assert [front.news() for front in fronts] == [{"w1": {0: 2}}] * 2
    assert len(shell.events.callbacks["post_run_cell"]) == 1
    pages[0].close()
    w.data[0, 0] = 3
    shell.run_cell()
    assert [front.news() for front in fronts] == [{}, {"w1": {0: 3}}]
    pages[1].close()
    assert not shell.events.callbacks["post_run_cell"]
    assert keep


# ---- what a notebook is given ----


def test_in_a_notebook_an_explanation_is_the_widget_with_fallbacks(shell):
    _, w, *_ = keep = network()
    explanation = bp.explain(w, at=(2, 1))
    data, _ = explanation._repr_mimebundle_(include=None, exclude=None)
    page = next(
        page for page in live._open if page.model_id == data["application/vnd.jupyter.widget-view+json"]["model_id"]
    )
    assert data["text/plain"] == str(explanation)
    assert data["text/html"] == explanation._repr_html_()
    assert data["text/html"].startswith("<iframe")
    assert "linked.js" not in page.html
    assert "parent.postMessage" in page.html
    assert "parent.postMessage" not in data["text/html"]
    assert explanation.gradient_name in page.text
    assert page.chosen == ("w1", (2, 1))
    assert isinstance(explanation.page(), live.LivePage)
    assert not isinstance(explanation.page(live=False), live.LivePage)
    for page in list(live._open):
        page.close()
    assert keep


def test_other_networks_and_other_results_are_text_there_too(shell, rng):
    w = bp.param(rng.normal(size=(3, 2)), np.float32, name="w1")
    loss = (w * w).sum()
    loss.backward(keep=True)
    explanation = bp.explain(w, at=(0, 0))
    assert explanation._repr_mimebundle_() is None
    assert "iframe" not in explanation._repr_html_()
    with pytest.raises(bp.GradientError):
        explanation.page()
    _, w, _, _, loss = network()
    for other in (bp.explain(loss), bp.judge(w, "x.T @ out.g")):
        assert "iframe" not in other._repr_html_()
        assert getattr(other, "_repr_mimebundle_", lambda **_: None)(include=None) is None
    assert not live._open


def test_the_page_of_the_widget_has_its_size_and_says_what_it_is(show):
    kept = small()
    page = show(kept.tensors["w1"], (3, 7))
    assert page.height == 760
    assert repr(page) == "<the live page of explain at w1[3,7]; a notebook shows it>"
    data, _ = page._repr_mimebundle_()
    assert 'height="760"' in data["text/html"]
    assert "<details>" not in data["text/html"]

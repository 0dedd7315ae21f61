"""The live page, Python's side: what a notebook is given, and for how long it follows the tensors."""

import gc
import sys
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.live_pages import Front, network
from pybackprop.teach.example import small

pytest.importorskip("anywidget")

from pybackprop.teach.page import live

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

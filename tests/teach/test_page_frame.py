"""The page in a notebook's cell, and embedded with one tag."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import pybackprop as bp
from helpers.compile_c import ROOT
from pybackprop.teach.example import small
from pybackprop.teach.page import html as teach_page
from pybackprop.teach.page import notebook

DOCUMENT = (ROOT / "docs" / "explanations.md").read_text("utf-8")


@pytest.fixture(scope="module")
def shown():
    kept = small()
    return bp.explain(kept.tensors["w1"], at=(3, 7)).page(live=False)


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_a_notebook_gets_one_frame_that_holds_the_page(shown):
    (tag, attrs), *others = Tags(shown._repr_html_()).found
    assert (tag, others) == ("iframe", [])
    assert attrs["srcdoc"] == shown.html
    assert attrs["sandbox"] == "allow-scripts allow-downloads"
    assert attrs["title"]
    assert "bytes" in repr(shown)


def test_an_explanation_shows_the_page_and_below_it_the_text(shown):
    kept = small()
    e = bp.explain(kept.tensors["w1"], at=(3, 7))
    html = e._repr_html_()
    assert html.startswith(shown._repr_html_())
    below = html.removeprefix(shown._repr_html_())
    assert below == f"<details><summary>as text</summary>{e.document().html()}{e.mathml()}</details>"


@pytest.mark.parametrize("live", [None, False])
def test_outside_of_a_notebook_and_without_anywidget_it_is_a_frame(monkeypatch, live):
    kept = small()
    e = bp.explain(kept.tensors["w1"], at=(3, 7))
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "pybackprop.teach.page.live", raising=False)
    assert isinstance(e.page(live=live), teach_page.Frame)
    assert e._repr_mimebundle_(include=None, exclude=None) is None


def test_without_anywidget_a_live_page_is_refused(monkeypatch):
    kept = small()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "pybackprop.teach.page.live", raising=False)
    with pytest.raises(ImportError, match=r"pybackprop\[notebook\]"):
        bp.explain(kept.tensors["w1"], at=(3, 7)).page(live=True)


def test_in_a_notebook_without_anywidget_the_static_page_is_shown(monkeypatch):
    kept = small()
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(notebook, "find_spec", lambda name: None)
    e = bp.explain(kept.tensors["w1"], at=(3, 7))
    assert e._repr_mimebundle_() is None
    assert isinstance(e.page(), teach_page.Frame)


def test_outside_of_a_notebook_nothing_of_a_notebook_is_loaded():
    code = """import sys, pybackprop as bp
from pybackprop.teach.example import small
kept = small()
e = bp.explain(kept.tensors["w1"])
assert e._repr_mimebundle_() is None and "iframe" in e._repr_html_()
print({"anywidget", "ipywidgets", "traitlets", "IPython"} & sys.modules.keys())"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_network_that_the_page_cannot_show_is_text_as_before():
    w = bp.param(np.ones((2, 2)), np.float32, name="w1")
    loss = (w * w).sum()
    loss.backward(keep=True)
    e = bp.explain(w, at=(0, 1))
    assert e._repr_html_() == e.document().html() + e.mathml()


@pytest.mark.browser
def test_in_a_frame_it_works_as_alone(page, shown):
    page.count += 1
    path = page.folder / f"page{page.count}.html"
    path.write_text(f"<!doctype html><title>a notebook</title>{shown._repr_html_()}", encoding="utf-8")
    page.resize(1400, 1000)
    page.driver.get(path.as_uri())
    page.driver.switch_to.frame(0)
    assert page.chosen() == "w1[3,7]"
    page.click(page.cell("b1", 0, 4))
    assert page.chosen() == "b1[4]"
    assert page.until(lambda: page.fragment() == "#at=b1.4")
    page.click("#equal")
    assert page.until(lambda: page.js("return pybackprop.app.state.equal"))
    page.driver.switch_to.default_content()


@pytest.mark.browser
def test_it_is_embedded_with_the_documents_one_tag(page, tmp_path):
    (tag,) = re.findall(r"^```html\n(.*?)\n```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    kept = small()
    teach_page.write(tmp_path / "page.html", bp.explain(kept.tensors["w1"], at=(3, 7)).scene())
    assert [name for name, _ in Tags(tag).found] == ["iframe"]
    outer = tmp_path / "outer.html"
    outer.write_text(f"<!doctype html><title>docs</title>{tag}")
    page.driver.get(outer.as_uri())
    page.driver.switch_to.frame(0)
    page.wait_for_start()
    assert page.chosen() == "w2[3,0]"
    page.driver.switch_to.default_content()


@pytest.mark.browser
def test_the_address_holds_what_the_document_says(page):
    parts = re.findall(r"^\| `(\w+)=(.*?)` \| ", DOCUMENT, re.MULTILINE)
    read = re.findall(r'given\.get\("(\w+)"\)', teach_page.part("fragment.js"))
    assert [name for name, _ in parts] != []
    assert sorted(name for name, _ in parts) == sorted([*set(read), "equal"])
    kept = small()
    page.open(bp.explain(kept.tensors["w1"], at=(3, 7)).scene())
    written = "&".join("=".join(part) for part in parts)
    again = "const {net} = pybackprop.app; return pybackprop.fragmentOf(net, pybackprop.stateOf(net, arguments[0]))"
    assert page.js(again, written) == written
    without = written.replace("&equal=1", "")
    page.go(f"#{without}")
    assert page.values("w1").reshape(5, 8)[3, 7] == 0.5
    x, w, b = (page.values(name) for name in ("x", "w1", "b1"))
    assert page.values("l1")[2] == (x.reshape(4, 5) @ w.reshape(5, 8) + b)[0, 2] + 0.25
    assert page.js("return pybackprop.productLabel(pybackprop.linLayers(pybackprop.app.net)[0], 'w')") == "w1.g"
    assert page.js("return pybackprop.formLabels(pybackprop.linLayers(pybackprop.app.net)[0], 'w')[1]") == "l1.g @ x.T"
    assert page.js("return pybackprop.app.state.own") == "l1.g @ x.T"

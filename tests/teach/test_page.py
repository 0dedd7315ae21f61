"""The page as a file: whole, harmless and small."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import pybackprop as bp
from helpers.compile_c import ROOT
from helpers.scenes import EVIL, example, renamed
from pybackprop.core.printable import printable
from pybackprop.teach.example import on_data, small
from pybackprop.teach.page import html as page
from pybackprop.teach.page.rows import FEW, LARGEST, LIMIT, PAGE
from pybackprop.teach.page.scene import scene_of, scene_of_operations

SPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}  # names, not addresses to load


class Elements(HTMLParser):
    """The elements of a document: (tag, attributes); the text of scripts and styles by kind."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts, self.is_open = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.is_open = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.is_open = False

    def handle_data(self, data):
        if self.is_open:
            self.texts.append((*self.found[-1], data))

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


@pytest.fixture(scope="module")
def html():
    return page.html_of(example())


@pytest.fixture(scope="module")
def elements(html):
    return Elements(html)


# ---- the file ----


def test_it_names_no_address_to_load_from(html, elements):
    assert set(re.findall(r"https?://[\w./]+", html)) == SPACES
    for tag, attrs in elements.found:
        addresses = {attrs.get(name, "#") for name in ("src", "href", "srcset", "action", "data")}
        assert all(address.startswith(("#", "data:,")) for address in addresses), (tag, attrs)
    assert not re.search(r"url\(|@import|import\(|fetch\(|XMLHttp|WebSocket|EventSource|sendBeacon", html)


def test_its_policy_lets_nothing_run_but_its_own_script_and_style(elements):
    (policy,) = [attrs["content"] for attrs in elements.all("meta") if "http-equiv" in attrs]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "data:"
    assert rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    texts = {tag: text for tag, attrs, text in elements.texts if attrs.get("type") != "application/json"}
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(texts[tag].encode()).digest()).decode()
        assert rules.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert not rules


def test_it_has_no_handlers_or_styles_in_its_markup(elements):
    for tag, attrs in elements.found:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], (tag, attrs)


def test_every_label_and_title_that_is_referred_to_is_there(elements):
    ids = [attrs["id"] for _, attrs in elements.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = [attrs["aria-labelledby"] for _, attrs in elements.found if "aria-labelledby" in attrs]
    wanted += [attrs["href"][1:] for attrs in elements.all("a")]
    assert len(wanted) >= 8
    assert set(wanted) <= set(ids)
    assert dict(elements.found)["html"]["lang"] == "en"


@pytest.mark.parametrize("name", [EVIL, "<!--<script>", "a&lt;b", "{{script}}", "\u2028", '"\\', "__proto__"])
def test_a_name_cannot_leave_its_place(name):
    found = Elements(page.html_of(renamed(name)))
    assert [tag for tag, _ in found.found] == [tag for tag, _ in Elements(page.html_of(example((4, 3, 2)))).found]
    (scene,) = [text for _, attrs, text in found.texts if attrs.get("type") == "application/json"]
    assert json.loads(scene)["layers"][0]["w"] == printable(name)
    assert printable(name) in json.loads(scene)["tensors"]


def test_the_page_without_numbers_leaves_them_room(html):
    assert len(html.encode()) < PAGE
    assert len(page.html_of(example(), served=True).encode()) < PAGE
    assert len(page.html_of(example(), linked=True).encode()) < PAGE


@pytest.mark.parametrize("kept", [small(), on_data(None)], ids=["built-in", "digits"])
def test_the_examples_pages_are_small(kept):
    assert len(page.html_of(bp.explain(kept.loss).scene()).encode()) < 200_000


def pixels(rng):
    """100 rows of 784 pixels, of which 80 % are 0."""
    return rng.integers(1, 256, (100, 784)) / 255 * (rng.random((100, 784)) < 0.2)


def normal(rng):
    return rng.standard_normal((100, 784))


@pytest.mark.parametrize(
    ("make", "hidden", "rows", "limit"),
    [(pixels, 50, range(100, 101), LIMIT), (normal, 50, range(FEW, 30), LIMIT), (normal, 100, [FEW], LARGEST)],
)
def test_a_page_stays_below_its_limit(rng, make, hidden, rows, limit):
    x, targ = make(rng).astype(np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, 100)]
    scene = scene_of(bp.mlp([784, hidden, 10]), x, targ)
    assert scene.n in rows
    assert scene.note == ("" if scene.n == 100 else f"The first {scene.n} of 100 rows of the data are shown and used.")
    assert len(page.html_of(scene).encode()) <= limit


@pytest.mark.parametrize(("n", "limit"), [(4, LARGEST), (40, LIMIT)])
def test_what_would_be_larger_is_refused(rng, n, limit):
    big = [rng.standard_normal(size) for size in [(300, 300), (300,), (n, 300), (n, 300)]]
    w, b, x, targ = (bp.tensor(array, np.float64) for array in big)
    out = bp.lin(x, w, b)
    scene = scene_of_operations([("lin", (x, w, b), out), ("mse", (out, targ), bp.mse(out, targ))])
    with pytest.raises(ValueError, match=rf"found \d{{7}} bytes, expected at most {limit}\. Show fewer rows"):
        page.html_of(scene)


def test_the_scripts_are_strict_and_small():
    folder = ROOT / "pybackprop" / "teach" / "page"
    if not folder.is_dir():
        pytest.skip("not in a source tree")
    scripts = sorted(set(folder.glob("*.js")) - {folder / "widget.js"})  # the notebook's, a module
    assert {path.stem for path in scripts} == {*page.SCRIPTS, *page.SERVED, *page.LINKED}
    for path in scripts:
        text = path.read_text()
        assert text.count('"use strict";') == 1, path
        assert len(text.splitlines()) < 300, path
        assert text.endswith("})((globalThis.pybackprop ??= {}));\n"), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function", text), path


def test_every_style_sheet_is_used_and_small():
    folder = ROOT / "pybackprop" / "teach" / "page"
    if not folder.is_dir():
        pytest.skip("not in a source tree")
    sheets = sorted(folder.glob("*.css"))
    assert {path.stem for path in sheets} == set(page.STYLES)
    for path in sheets:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 300, path


# ---- written ----


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch, html):
    path = tmp_path / "page.html"
    page.write(path, example())
    assert path.read_text(encoding="utf-8") == html
    monkeypatch.setattr(page, "limit_of", lambda rows: 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        page.write(path, example())
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text(encoding="utf-8") == html


def test_a_place_that_is_not_there_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match="no-such-folder"):
        page.write(tmp_path / "no-such-folder" / "page.html", example())

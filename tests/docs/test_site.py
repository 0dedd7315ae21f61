"""The site's parts: docstrings become pages, links are checked, and every page and every name has its place.

The whole is built by .ci/run: python tools/build_site.py.
"""

import re
import sys
from importlib import import_module

import pytest

import pybackprop as bp
from helpers.compile_c import ROOT

pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")
sys.path.insert(0, str(ROOT / "tools"))
names = ("build_site", "docstrings", "site_links", "site_reference")
build_site, docstrings, site_links, site_reference = map(import_module, names)

LISTED = [page for _, pages in build_site.SECTIONS.values() for page in pages]


def test_every_page_and_every_notebook_is_in_a_section():
    pages = {path.stem for path in ROOT.glob("docs/*.md")} - {"index"}
    notebooks = {f"notebooks/{path.stem}" for path in ROOT.glob("examples/*.ipynb")}
    assert sorted(LISTED) == sorted(pages | notebooks)


def test_every_public_name_is_on_a_page_of_the_reference(tmp_path):
    pytest.importorskip("sklearn")
    site_reference.write(tmp_path / "reference")
    written = "".join(path.read_text("utf-8") for path in (tmp_path / "reference").glob("*.rst"))
    modules = {name for name in bp.__all__ if name in site_reference.MODULES}
    for name in set(bp.__all__) - modules:
        assert re.search(rf"^\.\. auto\w+:: pybackprop\.{name}$", written, re.MULTILINE), name
    for module in (bp.data, bp.lab, bp.reference, bp.sklearn):
        assert site_reference.public(module)
        for name in site_reference.public(module):
            assert re.search(rf"^\.\. [\w:]+:: {re.escape(module.__name__)}\.{name}$", written, re.MULTILINE), name


def test_links_out_of_the_documents_lead_to_the_repository():
    text = "[a](../csrc/ops/relu.c), [b](why.md#top), [c](../examples/everyday.ipynb), [d](https://example.org)"
    source = f"{build_site.REPOSITORY}/csrc/ops/relu.c"
    assert build_site.outside(text) == text.replace("../csrc/ops/relu.c", source).replace("../examples", "notebooks")


def test_every_picture_of_the_gallery_says_what_is_seen():
    text = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    drawn = [
        name for block in build_site.make_docs.BLOCK.findall(text) for name in build_site.PICTURE.findall(block[1])
    ]
    seen = build_site.seen_in(text)
    assert sorted(drawn) == sorted(seen)
    assert all(len(words.split()) >= 15 and words.endswith(".") and "\n" not in words for words in seen.values())
    assert "<!--" not in build_site.ALT.sub("", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out = x * w_, for `x`s.", "out = x \\* w\\_, for ``x``\\ s.\n"),
        ("One.\n\nTwo\nlines. Raises ValueError\nfor it.", "One.\n\nTwo lines.\n\n**Raises** ValueError for it.\n"),
        (
            "x, w  operands,\n      of one dtype\nout   a result",
            "``x, w``\n    operands, of one dtype\n``out``\n    a result\n",
        ),
        ("So:\n\n    x = 1\n    y = 2", "So:\n\n::\n\n    x = 1\n    y = 2\n"),
        ("Text first:\nname  of it", "Text first:\n\n``name``\n    of it\n"),
        ("See arXiv:1412.6980.", "See `arXiv:1412.6980 <https://arxiv.org/abs/1412.6980>`__.\n"),
        ("* one\n  more\n* two", "* one more\n* two\n"),
        ("- 1 is less", "\\- 1 is less\n"),
    ],
)
def test_docstrings(text, expected):
    assert docstrings.rst(text) == expected


def test_a_map_of_files_is_no_introduction():
    assert docstrings.introduction("About it.\n\nMore.\n\na.py  this\nb.py  that\n\nRest.") == "About it.\n\nMore."


GOOD = '<a href="two.html#part">x</a><a href="#here">x</a><p id="here"></p><img src="a.png">'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "one.html").write_text(GOOD, "utf-8")
    (tmp_path / "two.html").write_text('<h1 id="part">x</h1>', "utf-8")
    (tmp_path / "a.png").write_bytes(b"")
    return tmp_path


def faults(site):
    return site_links.found(site, build_site.REPOSITORY, ROOT)


def test_links_that_hold(site):
    files = f'<a href="{build_site.REPOSITORY}/README.md#more">x</a><a href="https://arxiv.org/abs/1802.01528">x</a>'
    (site / "three.html").write_text(files, "utf-8")
    assert faults(site) == []


@pytest.mark.parametrize(
    "broken",
    [
        '<a href="three.html">x</a>',
        '<a href="two.html#other">x</a>',
        '<a href="#nowhere">x</a>',
        '<img src="b.png">',
        '<a href="http://arxiv.org">x</a>',
        '<a href="https://arxiv">x</a>',
        f'<a href="{build_site.REPOSITORY}/no/such/file.c">x</a>',
        '<script src="https://cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example.org/x.css">',
        '<iframe src="page.html"></iframe>',
    ],
)
def test_links_that_do_not_hold(site, broken):
    (site / "two.html").write_text(f'<h1 id="part">x</h1>{broken}', "utf-8")
    (fault,) = faults(site)
    assert fault.startswith("two.html: ")
    with pytest.raises(SystemExit, match=r"1 links lead nowhere"):
        site_links.check(site, build_site.REPOSITORY, ROOT)

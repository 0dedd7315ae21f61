"""Settings of Sphinx for the site. tools/build_site.py copies the pages, adds those that are generated, and runs it."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(os.environ["PYBACKPROP_ROOT"])  # the checkout: this file runs as a copy
sys.path.insert(0, str(ROOT / "tools"))

import docstrings  # noqa: E402

import pybackprop  # noqa: E402
from pybackprop.core.other_names import OtherName  # noqa: E402
from pybackprop.engine import fit  # noqa: E402

REPOSITORY = "https://github.com/pybackprop/pybackprop"

INNER = set(vars(fit.Plan)) - {"predict"}  # of a Plan: what fit uses

project = "pybackprop"
author = copyright = "the pybackprop authors"
release = version = pybackprop.__version__
html_title = f"pybackprop {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.linkcode", "sphinx_copybutton"]
suppress_warnings = ["mystnb.unknown_mime_type"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebooks have been run
nb_merge_streams = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
pygments_style = "default"
highlight_language = "none"  # a block without a language is a formula
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "explanations": []}
html_theme_options = {
    "logo": {"text": "pybackprop"},
    "icon_links": [{"name": "Source", "url": REPOSITORY, "icon": "fa-brands fa-github"}],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_nav_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "explanations": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Where the source of a name is on the site of the repository."""
    if domain != "py" or not info["module"]:
        return None
    found: Any = importlib.import_module(info["module"])
    try:
        for name in info["fullname"].split("."):
            found = getattr(found, name)
        found = inspect.unwrap(found.fget if isinstance(found, property) else found)
        path = Path(inspect.getsourcefile(found) or "").resolve().relative_to(ROOT)
        line = inspect.getsourcelines(found)[1]
    except (AttributeError, TypeError, OSError, ValueError):  # a value, or one that was made at run time
        return None
    return f"{REPOSITORY}/blob/main/{path.as_posix()}#L{line}"


def translate(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """A docstring of the project as reStructuredText, in place."""
    lines[:] = docstrings.rst("\n".join(lines)).splitlines()


def sign(_app: Any, what: str, _name: str, value: Any, _options: Any, signature: str | None, returns: str) -> Any:
    """A signature that Sphinx can read: without addresses; of a class whose __new__ takes anything that of __init__."""
    if signature is None:
        return None
    if what == "class" and signature.startswith("(*_"):
        found = inspect.signature(value.__init__)
        signature = str(found.replace(parameters=[*found.parameters.values()][1:])).replace("'", "")
    signature = re.sub(r"<class '([\w.]+)'>", r"\1", signature)
    return re.sub(r"<(?:[^<>]|<[^<>]*>)*>", "...", signature), returns


def skip(_app: Any, _what: str, name: str, member: Any, skipped: bool, _options: Any) -> bool | None:
    """Whether a member stays away: list's methods and the like, hints for other names, and what fit uses of a plan."""
    function = inspect.unwrap(member.fget if isinstance(member, property) else member)
    module = getattr(function, "__module__", None) or ""
    inner = getattr(function, "__qualname__", "") == f"Plan.{name}" and name in INNER
    away = skipped or inner or not module.startswith("pybackprop") or isinstance(member, OtherName)
    return True if away else None


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", translate)
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-skip-member", skip)

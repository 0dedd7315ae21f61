"""Writes the site's reference: a page for each part of the library, with every public name."""

from __future__ import annotations

import inspect
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import docstrings

import pybackprop

# The pages of `import pybackprop`, by the package in which a name is defined, or a module of it.
PARTS = {
    "autograd": "Tensors and the tape",
    "ops": "Operations",
    "nn": "Layers, optimizers and schedules",
    "engine": "Models and plans",
    "train": "Files",
    "memory": "Memory",
    "teach": "Explanations",
    "core": "Settings and errors",
}
MODULES = {
    "reference": "The definition",
    "data": "Data",
    "lab": "The laboratory",
    "sklearn": "Estimators for scikit-learn",
}


def write(folder: Path) -> None:
    """The pages, and an index of them that is a list of all names. Needs scikit-learn."""
    folder.mkdir()
    pages = _parts()
    for part, names in pages.items():
        title = PARTS.get(part, part.capitalize())
        text = "".join(_entry("pybackprop", name, getattr(pybackprop, name)) for name in names)
        (folder / f"{part}.rst").write_text(_headed(title) + text, "utf-8")
    for name, title in MODULES.items():
        (folder / f"{name}.rst").write_text(_module(getattr(pybackprop, name), title), "utf-8")
    listed = "".join(f"   {name}\n" for name in [*pages, *MODULES])
    index = f"{_headed('Reference')}{INTRODUCTION}\n.. toctree::\n   :maxdepth: 2\n\n{listed}"
    (folder / "index.rst").write_text(index, "utf-8")


INTRODUCTION = """\
Every public name, with its shapes, its dtypes, the errors that it raises and, where there is one, its source. These are
the docstrings, which ``help(bp.lin)`` shows, too. ``import pybackprop as bp`` is all that the examples import.
"""


def _parts() -> dict[str, list[str]]:
    """The names of the package, by the part that defines them, in the order of PARTS."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in pybackprop.__all__:
        value = getattr(pybackprop, name)
        if not isinstance(value, ModuleType):
            found[value.__module__.split(".")[1]].append(name)
    order = [*PARTS, *sorted(set(found) - set(PARTS))]
    return {part: found[part] for part in order if part in found}


def public(module: ModuleType) -> list[str]:
    """The public names of a module: those it lists, else the functions that it defines."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    functions = inspect.getmembers(module, inspect.isfunction)
    return [name for name, f in functions if f.__module__ == module.__name__ and not name.startswith("_")]


def _module(module: ModuleType, title: str) -> str:
    name = module.__name__
    entries = "".join(_entry(name, entry, getattr(module, entry)) for entry in public(module))
    about = docstrings.rst(docstrings.introduction(inspect.getdoc(module) or ""))
    return f"{_headed(title)}.. py:module:: {name}\n\n{about}\n{entries}"


def _entry(module: str, name: str, value: Any) -> str:
    """What autodoc, or for a value Sphinx, shows of the name."""
    if inspect.isclass(value):
        return f".. autoclass:: {module}.{name}\n   :members:\n   :inherited-members:\n\n"
    if callable(value):
        return f".. autofunction:: {module}.{name}\n\n"
    return f".. py:data:: {module}.{name}\n   :value: {value!r}\n\n"


def _headed(title: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n"

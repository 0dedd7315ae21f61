"""A test module imports with what the extra `test` installs; what needs more is skipped where it is missing."""

import ast
import re
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = sorted([*TESTS.rglob("test_*.py"), *TESTS.rglob("conftest.py"), *(TESTS / "helpers").glob("*.py")])
OURS = {"pybackprop", "helpers", "_pytest", "importlinter"}
# What a package brings along.
BRINGS = {"sklearn": {"sklearn", "joblib", "scipy"}, "pandas": {"pandas"}}


def installed():
    """Names to import from what the package itself and its extra `test` require."""
    wanted = [line for line in requires("pybackprop") if "extra ==" not in line or re.search(r"extra == .test.", line)]
    names = {re.match(r"[\w.-]+", line).group().replace("-", "_") for line in wanted}
    return names | OURS | set(sys.stdlib_module_names)


def asked_for(node):
    """The package that a statement of a module skips the module without."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "importorskip":
            return str(call.args[0].value).partition(".")[0]
    return None


def missing(text):
    """Imports at a module's top level that fail where only the extra `test` is installed."""
    there = installed()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        else:
            name = None if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else asked_for(node)
            there |= BRINGS.get(name, {name})
            continue
        yield from (name for name in names if name.partition(".")[0] not in there)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_a_test_module_imports_with_the_extra_test_alone(path):
    found = list(missing(path.read_text(encoding="utf-8")))
    assert not found, f"{path}: imports {found} before pytest.importorskip"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import joblib", ["joblib"]),
        ("from scipy import sparse", ["scipy"]),
        ('x = pytest.importorskip("sklearn.svm")\nimport joblib', []),
        ('import joblib\nx = pytest.importorskip("joblib")', ["joblib"]),
        ('def test():\n    pytest.importorskip("torch")\nimport torch', ["torch"]),
        ("import numpy, pytest, hypothesis, json", []),
    ],
)
def test_an_import_too_early_is_found(text, found):
    assert list(missing(text)) == found

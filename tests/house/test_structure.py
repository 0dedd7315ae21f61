"""The house: imports point down, and nothing but an operation's own record is asked by its name."""

import ast
from pathlib import Path

import pytest

from pybackprop.ops import registry

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pybackprop"
OUTSIDE = [path for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "ops" not in path.parents]
# What an operation is called nowhere else than among operations: "+" and "@" are also operators of formulas.
NAMES = {name for name in registry if name.isidentifier()} | {".clone"}


def test_every_import_points_down_and_there_is_no_circle(capsys):
    linter = pytest.importorskip("importlinter.cli")
    code = linter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def literals(node):
    """The strings that a node is, or is a collection of."""
    parts = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def asked_by_name(tree):
    """Places where a program compares with an operation's name, matches it, or looks it up in a display."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_prefix = node.func.attr in ("startswith", "endswith", "removeprefix")
            is_lookup = node.func.attr == "get" and isinstance(node.func.value, ast.Dict)
            compared = [*node.args] if is_prefix else [*node.func.value.keys] if is_lookup else []
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            compared = [*node.value.keys]
        else:
            continue
        for name in set().union(*map(literals, compared)) & NAMES:
            yield node.lineno, name


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_an_operation_is_asked_and_not_its_name(path):
    found = list(asked_by_name(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found, f"{path}: compares with the name of an operation; ask its Op: {found}"


@pytest.mark.parametrize(
    "line",
    [
        'kind == "relu"',
        'op.name in ("lin", "mse")',
        '"mse" != name',
        '{"relu": 1, "lin": 2}[kind]',
        '{"relu": 1}.get(kind)',
        'name.startswith("relu")',
        "match kind:\n    case 'lin':\n        pass",
    ],
)
def test_such_a_question_would_be_found(line):
    assert list(asked_by_name(ast.parse(line)))

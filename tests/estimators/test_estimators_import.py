"""pybackprop needs scikit-learn for nothing but pybackprop.sklearn, which says what to install."""

import subprocess
import sys

import pytest

BLOCKED = "import sys; sys.modules['sklearn'] = None; "
OLD = "import sys, types; old = types.ModuleType('sklearn'); old.__version__ = '1.5.2'; sys.modules['sklearn'] = old; "


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_import_leaves_scikit_learn_alone():
    found = run(
        "import pybackprop, sys; "
        "print([name for name in sys.modules if name.split('.')[0] in ('sklearn', 'scipy', 'joblib')])"
    )
    assert found.stdout.strip() == "[]", found.stderr


def test_import_works_without_it():
    found = run(BLOCKED + "import pybackprop as bp; print(bp.mlp([3, 2], seed=0).parameters()[0].shape)")
    assert found.stdout.strip() == "(3, 2)", found.stderr


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (BLOCKED, "pybackprop.sklearn: needs scikit-learn; pip install 'pybackprop[sklearn]'"),
        (OLD, "found scikit-learn 1.5.2, needs 1.6 or later; pip install -U 'pybackprop[sklearn]'"),
    ],
    ids=["missing", "old"],
)
def test_what_is_missing_is_said(before, expected):
    for line in ("import pybackprop.sklearn", "from pybackprop.sklearn import MLPClassifier"):
        found = run(before + line)
        assert found.returncode
        assert found.stderr.splitlines()[-1].startswith("ImportError: pybackprop.sklearn: ")
        assert found.stderr.splitlines()[-1].endswith(expected)

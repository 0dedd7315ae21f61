"""The kinds of tests that are off by default are documented, and run by .ci/run."""

import re

import pytest

from helpers.compile_c import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
MARKERS = re.findall(r'^    "(\w+): ', PYPROJECT.partition("\nmarkers = [")[2].partition("\n]")[0], re.MULTILINE)


@pytest.mark.parametrize("file", ["pyproject.toml", ".ci/run"])
def test_every_kind_is_off_by_default_and_run_by_ci(file):
    assert len(MARKERS) >= 7
    assert f"({' or '.join(MARKERS)})" in (ROOT / file).read_text("utf-8")


def test_every_kind_is_documented():
    documented = re.findall(r"^\| `(\w+)` \|", (ROOT / "tests" / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(MARKERS)


def test_no_test_imports_a_test():
    for file in (ROOT / "tests").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) (\w+\.)*test_", file.read_text("utf-8"), re.MULTILINE), file


def test_no_two_modules_have_the_same_name():
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))

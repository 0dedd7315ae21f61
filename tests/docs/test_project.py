"""The project's own documents agree with the project: versions, folders, names, and what a checkout holds."""

import re
import subprocess

import pytest

import pybackprop as bp
from helpers.compile_c import ROOT


def text_of(name):
    return (ROOT / name).read_text("utf-8")


PYPROJECT = text_of("pyproject.toml")
MAP = text_of("CONTRIBUTING.md").split("## The map")[1].split("\n## ")[0]


def folders(name):
    return sorted(path.name for path in (ROOT / name).iterdir() if path.is_dir() and not path.name.startswith("__"))


def test_one_version():
    version = re.escape(bp.__version__)
    assert re.search(rf"^version: {version}$", text_of("CITATION.cff"), re.MULTILINE)
    assert re.search(rf"^## \[{version}\] - \d{{4}}-\d\d-\d\d$", text_of("CHANGELOG.md"), re.MULTILINE)


def test_the_changelog_links_each_version():
    text = text_of("CHANGELOG.md")
    for version in re.findall(r"^## \[(.*?)\]", text, re.MULTILINE):
        assert f"\n[{version}]: https://" in text


def test_one_address():
    """Of the repository, in every file that has it."""
    (source,) = re.findall(r'^Source = "(.*)"$', PYPROJECT, re.MULTILINE)
    for name in ("CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        found = re.findall(r"https://github\.com/[\w.-]+/[\w.-]+", text_of(name))
        assert set(found) == {source}, name


def test_the_authors_are_those_of_the_licence():
    (holder,) = re.findall(r"^Copyright \(c\) \d+ (.*)$", text_of("LICENSE"), re.MULTILINE)
    assert f"name: {holder}" in text_of("CITATION.cff")


def test_the_classifiers_name_the_python_versions_that_are_tested():
    tested = re.search(r"for version in ([\d ]+);", text_of(".ci/run"))[1].split()
    named = re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', PYPROJECT)
    assert named == tested


@pytest.mark.parametrize("package", folders("pybackprop"))
def test_the_map_has_each_package(package):
    assert f"`pybackprop/{package}/`" in MAP


@pytest.mark.parametrize("folder", folders("csrc"))
def test_the_map_has_each_folder_of_the_core(folder):
    assert f"`csrc/{folder}/`" in MAP


def test_what_is_at_the_top_is_in_the_source_distribution():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {name for name in listed.stdout.split() if "/" not in name}
    manifest = text_of("MANIFEST.in").split()
    automatic = {"pyproject.toml", "setup.py", "MANIFEST.in"}
    assert top - automatic - {".gitignore"} <= set(manifest)


def test_public_modules_are_where_they_were():
    assert bp.data.digits
    assert bp.reference.matmul

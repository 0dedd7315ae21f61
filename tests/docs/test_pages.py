"""Every block of code in the README, CONTRIBUTING.md and docs/ runs, and every file that they name exists."""

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import pytest

import pybackprop as bp
from helpers.clusters import sockets_left_open
from helpers.compile_c import ROOT, compilers

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TUTORIALS = dict.fromkeys(("tutorial.md", "table.md", "from-pytorch.md", "bits.md"), "test_docs.py")  # as a whole
ELSEWHERE = {"README.md": "test_readme.py", "inplace.md": "test_inplace_doc.py", **TUTORIALS}  # code, and what it says
WITHOUT = {"CONTRIBUTING.md", *TUTORIALS}
WRONG = 'pybackprop judge "dz @ x.T"'  # judge says that the formula is wrong, by its exit code too
SMALL = "--size 40 --rounds 1"
DRAWN = "pybackprop lab ladder matmul --size 128 --rounds 1 --plot ladder.png"
SHORTER = {
    "pybackprop bench --quick": 'pybackprop bench --quick --only "step 4x3" --rounds 1',
    "pybackprop lab ladder": f"pybackprop lab ladder {SMALL}",
    "pybackprop lab ladder matmul": f"pybackprop lab ladder matmul {SMALL}",
    "pybackprop lab ladder step": f"pybackprop lab ladder step {SMALL}",
    DRAWN: f"pybackprop lab ladder {SMALL} --plot ladder.png",
}
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(page):
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(("pybackprop ", "seq "))]


def anchor(heading):
    """What a heading is called in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def with_code(found):
    return [pytest.param(page, id=page.name) for page in PAGES if found(page)]


@pytest.mark.parametrize(
    "page", with_code(lambda page: blocks(page, "python") and page.name not in {*ELSEWHERE, *TUTORIALS})
)
def test_the_python_blocks_run_one_after_another(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for library in ("sklearn", "joblib", "torch", "onnxruntime"):
        if library in "".join(blocks(page, "python")):
            pytest.importorskip(library)
    names, known = {}, set(bp.ops.registry)
    try:
        for block in blocks(page, "python"):
            if "dask" in block and find_spec("distributed") is None:
                continue
            with sockets_left_open() if "dask" in block else nullcontext():
                exec(compile(block, page.name, "exec"), names)
    finally:
        for defined in set(bp.ops.registry) - known:  # by bp.define_op
            del bp.ops.registry[defined]


@pytest.mark.parametrize(
    "page", with_code(lambda page: commands(page) and page.name not in {"CONTRIBUTING.md", *TUTORIALS})
)
def test_the_commands_run(page, tmp_path):
    folder = str(Path(sys.executable).parent)
    path, cache = folder + os.pathsep + os.environ["PATH"], str(tmp_path / "cache")
    environment = {**os.environ, "PATH": path, "XDG_CACHE_HOME": cache}
    for command in commands(page):
        if command.startswith("pybackprop lab") and not compilers():
            continue
        if command.startswith("pybackprop export") and find_spec("onnx") is None:
            continue
        line = SHORTER.get(command, command)
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == command.startswith(WRONG), line + done.stderr
        assert "DIED" not in done.stdout + done.stderr, line + done.stderr


def test_each_command_is_described():
    described = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    for command in (
        "train",
        "sweep",
        "predict",
        "explain",
        "judge",
        "learn",
        "memory",
        "bench",
        "lab",
        "selftest",
        "info",
    ):
        assert f"\npybackprop {command}" in described, command


def test_the_blocks_outside_docs_belong_to_a_language_that_is_run():
    """A block in another language would be shown and never checked; tests/teach/test_page_frame.py opens the HTML."""
    for page in PAGES:
        run = {"python", "sh", "text", "c"} | ({"html"} if page.name == "explanations.md" else set())
        for language in re.findall(r"^```(\w+)$", page.read_text("utf-8"), re.MULTILINE):
            assert language in run, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, part = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if part:
            assert part in {anchor(heading) for heading in HEADING.findall(path.read_text("utf-8"))}, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_file_that_it_names_exists(page):
    text = page.read_text("utf-8")
    for name in re.findall(r"`((?:csrc|pybackprop|tests|tools|docs|examples)/[\w./]*)`", text):
        assert (ROOT / name).exists(), name
    ours = re.sub(r"<\w+\.h>", "", text)  # the others are the system's
    for name in re.findall(r"\b(\w+\.(?:py|c|h))\b", ours):
        assert list(ROOT.glob(f"**/{name}")), name


def test_what_the_pages_call_is_there():
    """Names such as bp.data.digits, in code and in text."""
    for page in PAGES:
        for dotted in re.findall(r"\bbp((?:\.[A-Za-z_]\w*)+)", page.read_text("utf-8")):
            value = bp
            for name in dotted.split(".")[1:]:
                assert hasattr(value, name), f"{page.name}: bp{dotted}"
                value = getattr(value, name)

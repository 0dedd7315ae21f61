"""The README's code says what it claims, and its two commands are those that are tested as a whole."""

import re

import pytest

from helpers.compile_c import ROOT

README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
INSTALLS = ["pip install . && pybackprop train", "pip install -e '.[test]' && pytest"]


def test_the_python_blocks_run_one_after_another(capsys):
    names = {}
    for block in PYTHON:
        exec(compile(block, "README.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    loss, (by_hand, by_lin_grad) = float(said[0]), map(float, said[1].split())
    assert loss < 0.05
    assert by_hand == pytest.approx(by_lin_grad, rel=1e-3)
    assert "agree" in said[2]
    assert float(said[3].split("%")[0]) > 95


def test_the_lesson_has_twenty_lines():
    assert sum(bool(line.strip()) for line in PYTHON[0].splitlines()) <= 22


def test_it_is_short():
    assert len(README.splitlines()) <= 175


def test_the_two_commands_are_those_that_are_tested_as_a_whole():
    """.ci/run runs them in fresh environments, taken from here."""
    assert [block.strip() for block in SHELL[:2]] == INSTALLS
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "README.md" in ci


@pytest.mark.parametrize("path", ["csrc/ops/linear.c", "csrc/gemm/micro_kernel.h", "csrc/isa", "csrc/ops/reference.c"])
def test_it_says_where_the_core_is(path):
    assert f"]({path})" in README


@pytest.mark.parametrize("path", ["pybackprop/ops/linear.py", "pybackprop/teach/explain/rules/linear.py"])
def test_it_says_where_the_python_is(path):
    assert f"]({path})" in README


def test_it_says_how_to_add_an_operation():
    assert "](CONTRIBUTING.md#how-to-add-an-operation)" in README


def test_its_figures_are_those_of_the_measurements():
    """Each time and each size in the README's table stands in docs/performance.md."""
    section = README.split("## Speed and memory")[1].split("\n## ")[0]
    measured = (ROOT / "docs" / "performance.md").read_text("utf-8")
    times = re.findall(r"([\d.]+ ms)", section)
    sizes = re.findall(r"([\d.]+) MB", section)
    assert len(times) == 12
    assert len(sizes) == 5
    for figure in [*times, *(f"| {size} " for size in sizes)]:
        assert figure in measured

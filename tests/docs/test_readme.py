"""Every block of code in the README runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.compile_c import ROOT

README = (ROOT / "README.md").read_text()
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


def test_the_shell_blocks_run(tmp_path):
    commands = [line for block in SHELL for line in block.splitlines() if line.strip() not in INSTALLS]
    assert len(commands) >= 4
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": folder + os.pathsep + os.environ["PATH"]}
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        is_wrong = command.startswith('pybackprop judge "dz @ x.T"')  # and judge says so
        assert done.returncode == is_wrong, command + done.stderr


def test_the_two_commands_are_those_that_are_tested_as_a_whole():
    """.ci/run runs them in fresh environments, taken from here."""
    assert [block.strip() for block in SHELL[:2]] == INSTALLS
    ci = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in ci


def test_every_file_that_it_names_is_there():
    for name in re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"`((?:csrc|pybackprop|tests)/[\w./]*)`", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\b(\w+\.(?:py|c|h))\b", README):
        assert list(ROOT.glob(f"**/{name}")), name

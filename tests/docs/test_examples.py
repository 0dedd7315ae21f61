"""The programs in examples/ run, are short, and print what they promise."""

import re
import runpy
import sys
from pathlib import Path

import pytest

import pybackprop as bp
from helpers.compile_c import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a program with arguments; what it printed."""

    def run_it(name, *arguments):
        path = ROOT / "examples" / name
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run_it


def test_the_lesson(run):
    said = run("lesson.py")
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)$", said, re.MULTILINE)]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.05
    assert re.search(r"5\. From one element to all: w1\.g = x\.T @ l1\.g", said)
    assert "bit for bit" in said


def test_training_on_digits(run, tmp_path):
    path = tmp_path / "digits.npz"
    said = run("train_digits.py", path)
    epochs, share = re.search(r"stopped after (\d+) epochs; ([\d.]+)%", said).groups()
    assert 5 < int(epochs) < 100  # it was stopped early
    assert float(share) > 96
    assert "bit for bit" in said
    assert len(bp.load(path).layers) == 3


def test_an_operation_of_ones_own(run):
    try:
        said = run("own_operation.py")
    finally:
        bp.ops.registry.pop("softplus", None)
    assert "agree" in said
    ledger, explained = said.split("l1[0,1] = ")
    assert "softplus_grad" in ledger
    assert "l1.g[0,1]" in explained
    assert "softplus" in explained


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_is_short_and_says_how_to_run_it(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 60
    assert f"python examples/{path.name}" in text
    assert f'run("{path.name}"' in Path(__file__).read_text("utf-8")

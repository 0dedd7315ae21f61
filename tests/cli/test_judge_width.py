"""judge and explain on narrow terminals, and words that are no formula."""

import io
import os
import sys

import numpy as np
import pytest

import pybackprop as bp
from helpers.processes import run_command
from pybackprop.teach.learn.steps import STEPS

COLUMNS = [40, 60, 100]


def narrow(monkeypatch, columns):
    """Makes sys.stdout a terminal of so many columns; called in the test itself, after pytest has set its own."""

    class Terminal:
        def isatty(self):
            return True

        def fileno(self):
            return 1

        def write(self, text):
            return len(text)

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((columns, 24)))


def network():
    rng = np.random.default_rng(0)
    x, w1, b1, w2 = (bp.param(rng.uniform(-1, 1, shape)) for shape in ((6, 4), (4, 5), 5, (5, 3)))
    l1 = x @ w1 + b1
    l2 = l1.clamp_min(0.0)
    out = l2 @ w2
    loss = ((out - rng.uniform(-1, 1, (6, 3))) ** 2).mean()
    loss.backward(keep=True)
    return {"x": x, "w1": w1, "b1": b1, "l1": l1, "l2": l2, "w2": w2, "out": out, "loss": loss}


def too_wide(text, columns):
    """Lines of prose that do not fit; tables and formulas keep their columns."""
    lines = [line for line in text.splitlines() if "   " not in line.strip() and "^" not in line]
    return [line for line in lines if len(line) > columns]


@pytest.mark.parametrize(
    ("name", "formula"),
    [("w1", "x @ l1.g"), ("w1", "x.T @ out.g"), ("w1", "x.T @ l1.g"), ("b1", "l1.g.sum(1)"), ("l1", "l2.g"),
     ("out", "2*(out-targ)/n"), ("w2", "l2.T @ out.g * 1.5")],
)  # fmt: skip
@pytest.mark.parametrize("columns", COLUMNS)
def test_verdicts_fit_a_narrow_terminal(monkeypatch, columns, name, formula):
    narrow(monkeypatch, columns)
    tensors = network()
    verdict = bp.judge(tensors[name], formula, reveal=True)
    assert not too_wide(str(verdict), columns)
    assert max(map(len, str(verdict).splitlines())) > columns // 2


@pytest.mark.parametrize("name", ["w1", "b1", "l1", "x", "out"])
@pytest.mark.parametrize("columns", COLUMNS)
def test_explanations_fit_a_narrow_terminal(monkeypatch, columns, name):
    narrow(monkeypatch, columns)
    tensors = network()
    t = tensors[name]
    e = bp.explain(t, at=(0,) * t.ndim, loss=tensors["loss"])
    lines = [line for line in str(e).splitlines() if not line.startswith("     ")]  # a table keeps its columns
    prose = [line for line in lines if "   " not in line.strip() and " = " not in line]
    assert all(len(line) <= columns for line in prose), [line for line in prose if len(line) > columns]
    assert len(prose) > 10


@pytest.mark.parametrize("columns", COLUMNS)
def test_the_whole_chain_fits_a_narrow_terminal(monkeypatch, columns):
    narrow(monkeypatch, columns)
    tensors = network()
    text = str(bp.explain(tensors["loss"]))
    prose = [line for line in text.splitlines() if "   " not in line.strip() and " = " not in line and "@" not in line]
    assert all(len(line) <= columns for line in prose), [line for line in prose if len(line) > columns]


def test_what_is_shown_by_rich_is_as_wide_as_the_console():
    rich = pytest.importorskip("rich.console")
    tensors = network()
    e = bp.explain(tensors["w1"], at=(0, 1), loss=tensors["loss"])
    for columns in (40, 60, 100):
        console = rich.Console(width=columns, record=True, file=io.StringIO())
        console.print(e)
        lines = console.export_text().splitlines()
        assert max(map(len, lines)) <= columns
        assert any("moves column 1" in " ".join(lines[k : k + 2]) for k in range(len(lines)))


# ---- words that are no formula ----


@pytest.mark.parametrize("typed", ["zero", "none", "no idea", "Zero", "None", "I do not know"])
def test_words_that_are_no_formula_are_told_so(typed, tmp_path):
    done = run_command("judge", typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{typed}' is not a formula" in done.stderr
    assert "Traceback" not in done.stderr
    lesson = bp.exercises(tmp_path / "p.json")
    lesson.goto(next(k for k, step in enumerate(STEPS, 1) if step.right is not None))
    answers, said = iter([typed, "quit"]), []
    lesson.run(read=lambda prompt: next(answers), write=said.append)
    text = " ".join(" ".join(said).split())
    assert "is not a formula" in text
    assert not lesson.progress.done

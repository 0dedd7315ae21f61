"""The exercises: every step from start to end, through stdin and in a notebook's way, with progress in a file."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import pybackprop as bp
from helpers.processes import COMMAND, TIMEOUT, run_command
from pybackprop.cli.main import main
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.judge.judge import judge_question
from pybackprop.teach.learn.steps import STEPS, question_for
from pybackprop.teach.render.width import text_width

RIGHT = {
    "one-slope": ["x[1,0]", "x[1][0]", "x.T[0,1]"],
    "other-column": ["0", "0 * x[1,0]"],
    "one-gradient": [
        "(x[:,0] * dz[:,0]).sum()",
        "x[0,0]*dz[0,0] + x[1,0]*dz[1,0] + x[2,0]*dz[2,0] + x[3,0]*dz[3,0]",
        "x[:,0] @ dz[:,0]",
        "(x.T @ dz)[0,0]",
    ],
    "one-column": ["x.T @ dz[:,0]", "(x.T @ dz)[:,0]", "dz[:,0] @ x"],
    "weights": ["x.T @ dz", "w.g = x.T @ z.g"],
    "bias": ["dz.sum(0)", "z.g.sum(axis=0)"],
    "input": ["dz @ w.T", "out.g @ w.t()"],
    "relu": ["(z > 0) * da", "(z > 0).float() * a.g"],
    "loss": ["2 * (out - targ) / size", "(out - targ) * 2 / out.size"],
    "two-steps": ["x.T @ ((z > 0) * da)", "x.T @ (da * (a > 0))"],
    "network": [
        "x.T @ ((l1 > 0) * ((2 * (out - targ) / size) @ w2.T))",
        "2 / size * x.T @ ((l2 > 0) * ((out - targ) @ w2.T))",
    ],
}
WRONG = {
    "one-slope": [("w[0,0]", "own-factor"), ("x[0,1]", "indices-swapped"), ("1", "slope-of-b")],
    "other-column": [("x[1,0]", "rows-for-columns"), ("x[1,1]", "rows-for-columns"), ("1", None)],
    "one-gradient": [("x[0,0]*dz[0,0]", "one-row-only"), ("(x[:,0] * dz[:,0]).mean()", "mean-over-rows")],
    "one-column": [("x @ dz[:,0]", "transpose-missing"), ("x.T @ dz", "whole-matrix")],
    "weights": [("dz @ x.T", "rows-for-columns"), ("x.T * dz", "elementwise")],
    "bias": [("dz", "sum-missing"), ("dz.sum(1)", "summed-over-columns")],
    "input": [("dz @ w", "transpose-missing"), ("w @ dz.T", "answer-transposed")],
    "relu": [("da", "mask-missing"), ("(da > 0) * da", "mask-from-gradient")],
    "loss": [("out - targ", "raw-error"), ("2 * (out - targ) / n", "rows-for-size")],
    "two-steps": [("x.T @ da", "gradient-after-relu"), ("x.T @ ((z > 0) * da) / n", None)],
    "network": [
        ("x.T @ (2 * (out - targ) / size @ w2.T)", "mask-missing"),
        ("x.T @ ((l1 > 0) * (2 * (out - targ) @ w2.T))", "size-missing"),
        ("x.T @ ((l1 > 0) * (2 * (targ - out) / size @ w2.T))", "sign-flipped"),
    ],
}


@pytest.fixture
def lesson(tmp_path):
    return bp.exercises(tmp_path / "progress.json")


def learn(tmp_path, lines, *options):
    """Runs `pybackprop learn` with these lines on its stdin."""
    text = "\n".join(lines) + "\n" if lines else ""
    file = ["--progress", str(tmp_path / "progress.json")]
    return run_command("learn", *file, *options, input=text)


# ---- the steps ----


def test_about_ten_steps_from_one_element_to_the_network():
    assert [step.name for step in STEPS] == list(RIGHT) == list(WRONG)
    assert 10 <= len(STEPS) <= 12
    assert len({step.title for step in STEPS}) == len(STEPS)


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers(name):
    for text in RIGHT[name]:
        verdict = judge_question(question_for(name), text)
        assert verdict.ok, f"{text}: {verdict}"
        assert "other networks" in verdict.summary


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers(name):
    for text, mistake in WRONG[name]:
        verdict = judge_question(question_for(name), text)
        assert not verdict.ok
        assert mistake in (verdict.mistake, None), f"{text}: {verdict}"
        assert verdict.hints


def test_every_listed_mistake_of_a_step_is_recognised():
    for step in STEPS:
        for mistake in step.mistakes:
            for text in mistake.formulas["step"]:
                verdict = judge_question(question_for(step.name), text)
                assert verdict.mistake == mistake.name, f"{step.name}: {text}: {verdict}"


def test_the_numbers_of_the_steps_are_the_librarys():
    x, dz = (question_for("weights").samples[0].arrays[name] for name in ("x", "dz"))
    np.testing.assert_allclose(question_for("one-gradient").samples[0].right, x[:, 0] @ dz[:, 0], rtol=1e-6)
    np.testing.assert_allclose(question_for("network").samples[0].right, x.T @ dz, rtol=1e-5)
    step = question_for("one-slope").samples[0]
    moved = step.roles["w"].copy()
    moved[0, 0] += 1
    slope = (x @ moved + step.roles["b"] - step.roles["z"])[1]
    np.testing.assert_allclose(slope, [step.right, question_for("other-column").samples[0].right], atol=1e-6)


def test_what_a_step_keeps_back_is_not_in_play():
    for name, text in (("two-steps", "x.T @ dz"), ("network", "x.T @ l1.g"), ("network", "w1.g"), ("one-slope", "dz")):
        with pytest.raises(FormulaError, match=r"not available|not a name you can use here"):
            judge_question(question_for(name), text)


# ---- in a terminal ----


def test_from_start_to_end_through_stdin(tmp_path):
    lines = []
    for name in RIGHT:
        lines += [text for text, _ in WRONG[name]] + ["nonsense(", "x.__class__", "", RIGHT[name][0]]
    done = learn(tmp_path, lines)
    assert (done.returncode, done.stderr) == (0, "")
    for k, step in enumerate(STEPS, 1):
        assert f"{k}/{len(STEPS)}  {step.title}" in done.stdout
        for _, mistake in WRONG[step.name]:
            assert mistake is None or f"[{mistake}]" in done.stdout
    assert "All done: 11 of 11" in done.stdout
    assert done.stdout.count("Right: ") == len(STEPS)
    assert json.loads((tmp_path / "progress.json").read_text())["done"] == list(RIGHT)


def test_hints_come_one_at_a_time_and_the_solution_only_when_asked_for(tmp_path):
    done = learn(tmp_path, ["dz @ x.T", "dz @ x.T", "dz @ x.T"], "--step", "5")
    first, second, third = done.stdout.split("> ")[1:4]
    assert "Move one element of w" in first
    assert "It adds up over the columns" not in first
    assert "It adds up over the columns" in second
    assert "On the numbers" not in second
    assert "On the numbers" in third
    assert "x.T @ dz" not in done.stdout
    done = learn(tmp_path, ["hint", "hint", "solution"])
    assert done.stdout.count("Move one element of w") == 2
    assert "Solution: w.g = x.T @ dz" in done.stdout


def test_it_can_be_left_and_resumed(tmp_path):
    done = learn(tmp_path, ["x[1,0]", "0", "quit"])
    assert "2 of 11 done; to go on: pybackprop learn" in done.stdout
    done = learn(tmp_path, ["(x[:,0] * dz[:,0]).sum()"])
    assert "3/11  One weight, the loss" in done.stdout.splitlines()[2]
    assert "3 of 11 done" in done.stdout
    done = learn(tmp_path, [], "--list")
    assert done.stdout.count("[x]") == 3
    assert "> [ ]  4  A column of weights" in done.stdout
    done = learn(tmp_path, [], "--restart", "--list")
    assert done.stdout.count("[x]") == 0


def test_commands(tmp_path):
    done = learn(tmp_path, ["help", "steps", "names", "? x.T", "? x.T @ q", "next", "back", "back", "restart", "QUIT"])
    assert done.returncode == 0
    assert "FORMULA" in done.stdout
    assert "x        (4, 3)" in done.stdout
    assert "[[ " in done.stdout
    assert "'q' is not a name you can use here" in done.stdout
    assert "11/11  The whole network" in done.stdout
    assert done.stdout.rstrip().endswith("0 of 11 done; to go on: pybackprop learn")


def test_the_end_of_input_ends_it_cleanly(tmp_path):
    done = learn(tmp_path, [])
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 of 11 done" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_control_c_ends_it_cleanly(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "learn", "--progress", str(tmp_path / "p.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write("x[1,0]\n")
    process.stdin.flush()
    while not (tmp_path / "p.json").exists():
        time.sleep(0.05)
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "1 of 11 done; to go on" in out


def test_wrong_usage(tmp_path, capsys):
    assert main(["learn", "--progress", str(tmp_path / "p"), "--step", "12"]) == 2
    assert "expected 1 to 11" in capsys.readouterr().err


# ---- in a notebook ----


def test_answering_in_a_notebook(lesson):
    assert "1/11" in lesson._repr_html_()
    assert lesson.step.name == "one-slope"
    verdict = lesson.answer("x[0,0]")
    assert verdict.mistake == "wrong-row"
    assert lesson.step.name == "one-slope"
    assert lesson.hint() == verdict.hints[0]
    assert lesson.hint() == verdict.hints[1]
    assert "Solution" in lesson.solution()
    for name, texts in RIGHT.items():
        assert lesson.step.name == name
        assert not lesson.finished
        assert lesson.answer(texts[-1]).ok
    assert lesson.finished
    assert lesson.done == list(RIGHT)
    assert "(done)" in str(lesson)


def test_functions_and_arrays_are_answers_too(lesson):
    lesson.goto(5)
    assert lesson.answer(lambda x, dz: x.T @ dz).ok
    assert lesson.step.name == "bias"
    assert lesson.answer(question_for("bias").samples[0].right).ok


def test_a_skipped_exercise_comes_back_at_the_end(lesson):
    for k, name in enumerate(list(RIGHT)[1:], 2):
        lesson.goto(k)
        lesson.answer(RIGHT[name][0])
    assert lesson.step.name == "one-slope"
    lesson.answer("x[1,0]")
    assert lesson.finished


def test_goto_checks_the_number(lesson):
    for number in (0, 12, "1", None, True, 1.5):
        with pytest.raises(ValueError, match="expected a number from 1 to 11"):
            lesson.goto(number)


# ---- progress ----


def test_the_place_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bp.exercises().answer("x[1,0]")
    file = tmp_path / "state" / "pybackprop" / "exercises.json"
    assert json.loads(file.read_text())["done"] == ["one-slope"]
    assert bp.exercises().step.name == "other-column"
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    bp.exercises().answer("x[1,0]")
    assert (tmp_path / "home/.local/state/pybackprop/exercises.json").exists()
    monkeypatch.delenv("XDG_STATE_HOME")
    assert bp.exercises().step.name == "other-column"


DAMAGED = [b"", b"{", b"[]", b"null", b'{"done": 3}', b'{"done": [1]}', b"\xff\xfe", b"[" * 100000, b'{"at": "loss"}']


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_put_aside(tmp_path, content):
    file = tmp_path / "progress.json"
    file.write_bytes(content)
    done = learn(tmp_path, ["x[1,0]"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "is damaged: starting from the first exercise" in done.stdout
    assert (tmp_path / "progress.json.damaged").read_bytes() == content
    assert json.loads(file.read_text())["done"] == ["one-slope"]


def test_unknown_names_in_the_file_do_no_harm(tmp_path):
    file = tmp_path / "progress.json"
    file.write_text('{"version": 9, "done": ["loss", "loss", "gone"], "at": "gone", "more": 1}')
    lesson = bp.exercises(file)
    assert (lesson.done, lesson.step.name, lesson.progress.trouble) == (["loss"], "one-slope", None)


def test_the_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    file = tmp_path / "progress.json"
    bp.exercises(file).answer("x[1,0]")
    before = file.read_bytes()

    def fails(*args):
        raise OSError(28, "No space left on device")

    lesson = bp.exercises(file)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        assert lesson.answer("0").ok, "the exercises go on"
    assert file.read_bytes() == before
    assert "No space left on device" in lesson.progress.trouble
    assert [f.name for f in tmp_path.iterdir()] == ["progress.json"], "no temporary file is left"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = run_command("learn", "--progress", tmp_path / "file" / "p.json", input="x[1,0]\n")
    assert done.returncode == 0
    assert "progress cannot be kept in" in done.stdout
    assert "1 of 11 done" in done.stdout


# ---- the terminal ----


def test_after_the_last_exercise_quit_does_not_say_go_on(tmp_path):
    lesson = bp.exercises(tmp_path / "p.json")
    lesson.progress.done = [step.name for step in STEPS]
    said = []
    lesson.run(read=lambda prompt: "quit", write=said.append)
    assert said[-1] == f"All done: {len(STEPS)} of {len(STEPS)}."
    assert "to go on" not in "".join(said)
    lesson.restart()
    lesson.run(read=lambda prompt: "quit", write=said.append)
    assert said[-1] == f"0 of {len(STEPS)} done; to go on: pybackprop learn"


@pytest.mark.parametrize("columns", [45, 72, 100, 300])
def test_the_text_is_as_wide_as_the_terminal(tmp_path, monkeypatch, columns):
    with open(os.devnull, "w") as stream:
        Terminal(stream, columns, monkeypatch)
        assert text_width() == min(columns, 100)
        lesson = bp.exercises(tmp_path / "p.json")
        said = []
        answers = iter(["help", "hint", "solution", "1", "next", "next", "x[1,0]", "? zero +", "quit"])
        lesson.run(read=lambda prompt: next(answers), write=said.append)
    lines = "\n".join(said).splitlines()
    prose = [line for line in lines if "  " not in line.strip() and "^" not in line]
    assert max(map(len, prose)) <= min(columns, 100)
    assert len(prose) > 10


class Terminal:
    """Makes sys.stdout a terminal of so many columns."""

    def __init__(self, stream, columns, monkeypatch):
        self.stream = stream
        monkeypatch.setattr(sys, "stdout", self)
        monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((columns, 24)))

    def isatty(self):
        return True

    def fileno(self):
        return self.stream.fileno()

    def write(self, text):
        return self.stream.write(text)

    def flush(self):
        self.stream.flush()


def test_elsewhere_the_text_is_a_hundred_columns_wide(capsys):
    assert text_width() == 100

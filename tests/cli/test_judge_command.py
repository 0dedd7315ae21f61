"""judge: how a verdict looks, and the command line."""

import json

import pytest

import pybackprop as bp
from helpers.judging import judged
from helpers.processes import run_command
from pybackprop.cli.main import main
from pybackprop.teach.judge.kinds import ANSWERS, KINDS, LABELLED, LEAKY_RELU, SCORES
from pybackprop.teach.judge.mistakes import table

IN_THE_LESSON = [kind for kind in KINDS if kind not in (LEAKY_RELU, SCORES, LABELLED, ANSWERS)]

# ---- how a verdict looks ----


def test_a_verdict_as_dict_json_and_html():
    verdict = judged("w", shape=(3, 3, 3), proposal="x.T @ (dz <= 0)")
    assert isinstance(verdict, bp.Verdict)
    assert json.loads(verdict.to_json()) == verdict.to_dict()
    page = verdict._repr_html_()
    assert "(dz &lt;= 0)" in page
    assert "<li>" in page
    assert "<script" not in page


# ---- the command line ----


def run(*arguments):
    return run_command("judge", *arguments)


def test_the_command_on_the_popular_wrong_answer():
    done = run("dz @ x.T")
    assert (done.returncode, done.stderr) == (1, "")
    assert "rows-for-columns" in done.stdout
    assert "does not run on these shapes" in done.stdout
    assert "moves column 0 of z" in done.stdout
    assert "x.T @ dz" not in done.stdout
    done = run("dz @ x.T", "--shape", "3,3,3", "--reveal")
    assert done.returncode == 1
    assert "its shape (3, 3) is right, and 9 of 9 values are wrong" in done.stdout
    assert "Solution: w.g = x.T @ dz" in done.stdout


def test_the_command_on_a_right_answer():
    assert run("x.T @ dz").returncode == 0


@pytest.mark.parametrize(("of", "formula"), [(kind.role, kind.right) for kind in IN_THE_LESSON])
def test_the_command_knows_every_gradient(of, formula, capsys):
    assert main(["judge", "--of", of, "--json", "--seed", "3", "--shape", "5,4,3", "--", formula]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["asked"], found["mistake"]) == (True, f"{of}.g", None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.T @ dq"], "'dq' is not a name you can use here"),
        (["(" * 1000], "brackets"),
        (["x.__class__"], "not known here"),
        (["x.T @"], "cannot be read"),
        ([""], "found an empty text"),
        ([], "a formula is missing"),
        (["x", "--of", "q"], "invalid choice"),
        (["x", "--shape", "3,3"], "expected three sizes"),
        (["x", "--shape", "0,3,3"], "expected three sizes"),
        (["x", "--shape", "9999999999,3,3"], "expected three sizes"),
        (["x", "--seed", "-1"], "seed"),
    ],
    ids=str,
)
def test_wrong_usage(arguments, words):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_of_mistakes(capsys):
    assert main(["judge", "--list"]) == 0
    listed = capsys.readouterr().out
    for mistake in table():
        assert f"\n{mistake.name}  (" in listed
    assert "{" not in listed
    assert "x.T @ dz" in listed

"""`pybackprop selftest`: what it prints, a reproducer that reproduces, and what becomes of a process that dies."""

import json
import re
import signal
import subprocess

import pytest

from helpers.faults import environment
from helpers.processes import COMMAND, TIMEOUT, run_command
from pybackprop.selftest import campaign
from pybackprop.selftest.campaign import Campaign, Limits
from pybackprop.selftest.run import KINDS

SPOILT = """
    from helpers.faults import OUTPUTS, flipped
    from pybackprop.core import native
    for dtype, function in list(native.mse_backward.items()):
        native.mse_backward[dtype] = flipped(function, OUTPUTS["mse_backward"])
"""
IN_SOME_CASES = """
    import os, signal, time
    from pybackprop.selftest import run
    def run_case(number, folder, whole=run.run_case):
        if number % 5 == 3:
            {what}
        return whole(number, folder)
    run.run_case = run_case
"""


@pytest.fixture
def broken(tmp_path, request):
    """The environment of a process in which mse's gradient is wrong by a bit."""
    tests = str(request.config.rootpath / "tests")
    return environment(tmp_path, f"import sys\nsys.path.append({tests!r})\n" + SPOILT.replace("\n    ", "\n"))


def test_a_short_run_counts_its_cases():
    done = run_command("selftest", "--cases", "61", "--seed", "5", "--jobs", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["cases"], told["seed"], told["failures"]) == (61, 5, [])
    assert sum(told["kinds"].values()) == 61
    assert set(told["kinds"]) <= set(KINDS)
    assert told["comparisons"] > 61
    assert told["machine"]["kernels"]


def test_the_summary_says_where_and_how_much():
    done = run_command("selftest", "--minutes", "0.01", "--only", "relu,sgd")
    assert done.returncode == 0, done.stderr
    for name in ("machine", "kernels", "built by", "seed", "cases", "comparisons", "failures"):
        assert re.search(rf"^{name} +\S", done.stdout, re.MULTILINE), name


def test_the_same_seed_runs_the_same_cases_on_any_number_of_processes():
    runs = [run_command("selftest", "--cases", "40", "--seed", "7", "--jobs", jobs, "--json") for jobs in "14"]
    told = [json.loads(done.stdout) for done in runs]
    assert told[0]["kinds"] == told[1]["kinds"]
    assert told[0]["comparisons"] == told[1]["comparisons"]


def test_a_failure_is_reproduced_by_the_line_that_it_prints(broken):
    options = ["selftest", "--cases", "30", "--seed", "2", "--only", "mse"]
    done = run_command(*options, env=broken)
    assert done.returncode == 1
    assert "mse_grad: " in done.stdout
    assert re.search(r"found \S+ \(\S+\), expected \S+ \(\S+\)", done.stdout)
    assert re.search(r"^    out: \(\d+, \d+\) float", done.stdout, re.MULTILINE)
    case = re.search(r"again: pybackprop selftest --case (\d+)", done.stdout)[1]
    again = run_command("selftest", "--case", case, env=broken)
    assert again.returncode == 1
    assert again.stdout.strip() in done.stdout
    told = json.loads(run_command("selftest", "--case", case, "--json", env=broken).stdout)
    assert told["failure"]["case"] == int(case)
    assert told["failure"]["operands"]["out"]
    right = run_command("selftest", "--case", case)
    assert right.returncode == 0
    assert "all right" in right.stdout


def test_a_process_that_dies_is_a_failure_of_its_case_and_the_others_are_run(tmp_path):
    crashing = environment(tmp_path, IN_SOME_CASES.format(what="os.kill(os.getpid(), signal.SIGSEGV)"))
    done = run_command("selftest", "--cases", "12", "--seed", "1", "--jobs", "2", "--json", env=crashing)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["cases"] == 12
    assert sorted(failure["case"] for failure in told["failures"]) == [1_000_000_003, 1_000_000_008]
    assert all("by signal SIGSEGV" in failure["error"] for failure in told["failures"])
    assert all("run_case" in failure["error"] for failure in told["failures"])  # faulthandler's words


def test_it_stops_after_as_many_failures_as_asked(tmp_path):
    wrong = environment(tmp_path, IN_SOME_CASES.format(what="os._exit(3)"))
    done = run_command("selftest", "--cases", 12, "--seed", 1, "--jobs", 1, "--failures", 1, "--json", env=wrong)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert [failure["case"] for failure in told["failures"]] == [1_000_000_003]
    assert told["cases"] == 4


def test_a_case_without_end_is_a_failure(tmp_path, monkeypatch):
    for name, value in environment(tmp_path, IN_SOME_CASES.format(what="time.sleep(3600)")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(campaign, "LONGEST", 5.0)
    result = Campaign(1, Limits(cases=6), jobs=1).run(lambda _: None)
    assert result.count == 6
    assert [failure.case for failure in result.failures] == [1_000_000_003]
    assert "SIGABRT" in result.failures[0].error


def test_ctrl_c_ends_with_what_was_done_so_far():
    command = [*COMMAND, "selftest", "--minutes", "30", "--seed", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert "cases" in process.stderr.readline()  # the first word of progress
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert re.search(r"^cases +[\d,]+ in", out, re.MULTILINE)
    assert "interrupted" in error
    assert "Traceback" not in error


def test_the_processes_end_with_the_one_that_started_them():
    command = [*COMMAND, "selftest", "--minutes", "30", "--seed", "1", "--jobs", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        process.stderr.readline()
        process.kill()
        process.communicate(timeout=TIMEOUT)  # the worker has the same stderr open no longer
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cases", "0"], "expected a whole number from 1"),
        (["--minutes", "-1"], "a number above 0"),
        (["--minutes", "nan"], "a number above 0"),
        (["--seed", "1000000"], "from 0 to 999999"),
        (["--case", "x"], "expected a whole number"),
        (["--only", "matmull"], "did you mean matmul?"),
        (["--cases", "3", "--minutes", "1"], "not allowed with"),
        (["--sed", "1"], "did you mean --seed?"),
    ],
)
def test_wrong_usage_is_told(arguments, words):
    done = run_command("selftest", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_the_list_names_each_kind():
    listed = run_command("selftest", "--list").stdout.splitlines()
    assert {line[:20].strip() for line in listed} == set(KINDS)


@pytest.mark.selftest
@pytest.mark.parametrize("family", ["bits", "inputs"])
def test_ten_thousand_cases(family):
    done = run_command("selftest", "--cases", "10000", "--seed", "11", "--only", family, "--json")
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    assert told["cases"] == 10_000
    assert told["failures"] == []
    assert len(told["kinds"]) == sum(kind.family == family for kind in KINDS.values())

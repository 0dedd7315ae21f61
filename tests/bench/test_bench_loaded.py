"""`bench --loaded`: what is compared, and that the busy processes end. No test asserts a time."""

import json
import subprocess

import pytest

from helpers.benches import NUMPY, OURS, PLAN
from pybackprop.bench import loaded
from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.workloads import Workload
from pybackprop.cli.main import main

WORKS = [
    Workload("small", "matmul", (64, 64, 64), "float32", 2),
    Workload("small", "matmul", (64, 64, 64), "float32", 1),
    Workload("step", "step", (8, 4, 5, 2), "float32", 2),
]
BROKEN = Entry("broken", "pybackprop", "pybackprop.bench.no_such_module:Engine", ours=True)


@pytest.fixture
def started(monkeypatch):
    """The busy processes."""
    found = []
    monkeypatch.setattr(loaded, "SAMPLE", 1)
    start = subprocess.Popen

    def remember(command, *arguments, **options):
        process = start(command, *arguments, **options)
        if "while True" in command[-1]:
            found.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", remember)
    return found


def test_ours_on_several_threads_and_on_one(started):
    report = loaded.measure(WORKS, [NUMPY, OURS, PLAN], 3, None)
    assert [(work["label"], work["engine"], work["threads"]) for work in report["works"]] == [
        ("matmul 64", "pybackprop", 2),
        ("step 8x4→5→2", "pybackprop", 2),
        ("step 8x4→5→2", "plan", 2),
    ]
    for work in report["works"]:
        assert work["status"] == "ok"
        assert len(work["one"]) == len(work["several"]) == 3
        ratios = [several / one for one, several in zip(work["one"], work["several"], strict=True)]
        assert work["ratio"] == sorted(ratios)[1]
    assert len(started) == 3 * loaded.NEIGHBOURS
    assert all(process.poll() is not None for process in started)
    json.dumps(report)


def test_an_engine_that_fails_is_reported_and_the_others_go_on(started, capsys):
    report = loaded.measure(WORKS[:1], [BROKEN, OURS], 1, None)
    assert [work["status"] for work in report["works"]] == ["died", "ok"]
    loaded.show(report)
    said = capsys.readouterr().out
    assert "no_such_module" in said
    assert "1.15" in said
    assert len(started) == loaded.NEIGHBOURS


def test_one_thread_has_nothing_to_be_compared_with(capsys):
    assert main(["bench", "--loaded", "--quick", "--threads", "1"]) == 1
    assert "--loaded: compares several threads with one" in capsys.readouterr().err

"""The benchmark: whose turn it is, what is reported, what goes wrong. No test asserts a time."""

import json
import os
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

import pybackprop as bp
from helpers.benches import NUMPY, OURS_AND_NUMPY, TINY, silent
from helpers.processes import COMMAND, TIMEOUT
from pybackprop.bench import processes, schedule, timer
from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.workloads import Workload
from pybackprop.cli.main import main

has_proc = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="looks for processes in /proc"
)


def children(pid):
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


# ---- turns ----


def test_the_report_for_machines(found):
    assert [work["label"] for work in found["works"]] == ["matmul 8", "step 4x3→5→2"]
    assert found["kernel"] in bp.kernels()
    assert not found["interrupted"]
    assert [(peak["dtype"], peak["threads"]) for peak in found["peaks"]] == [("float32", 1)]
    read = {row["level"]: row["median"] for row in found["bandwidth"]}
    assert {"L1", "L2", "memory"} <= set(read)
    assert min(read.values()) > 0
    assert {name: one["ours"] for name, one in found["engines"].items()} == {"numpy": False, "pybackprop": True}
    for work in found["works"]:
        ours = work["engines"]["pybackprop"]
        assert work["best_peer"] == "numpy"
        assert ours["ratio"] > 0
        for timing in work["engines"].values():
            assert timing["status"] == "ok"
            assert len(timing["seconds"]) == len(timing["started"]) == found["rounds"] == 3
            assert timing["best"] == min(timing["seconds"])
            assert timing["median"] == sorted(timing["seconds"])[1]
            assert timing["gflops_best"] == pytest.approx(work["flops"] / timing["best"] / 1e9)
            assert timing["percent_of_peak"] == pytest.approx(100 * timing["gflops_median"] / work["peak"])


def test_engines_take_turns_and_nobody_runs_beside_another(found):
    for work in found["works"]:
        turns = sorted(
            (at, at + timing["calls"] * seconds, name)
            for name, timing in work["engines"].items()
            for at, seconds in zip(timing["started"], timing["seconds"], strict=True)
        )
        assert [name for _, _, name in turns] == ["numpy", "pybackprop"] * 3
        assert all(end <= begin for (_, end, _), (begin, _, _) in pairwise(turns))


def test_the_ratio_is_taken_round_by_round():
    drifting = {"peer": [2.0, 4.0, 80.0], "ours": [1.0, 2.0, 40.0, 50.0]}
    result = schedule.Result(TINY, {name: schedule.Timing(seconds=seconds) for name, seconds in drifting.items()})
    assert result.best_peer(["nobody", "peer"]) == "peer"
    assert result.ratio("ours", "peer") == 2


def test_a_sample_is_a_call_or_many(monkeypatch):
    assert timer.calls_for(lambda: time.sleep(0.05)) == 1
    monkeypatch.setattr(timer, "elapsed", lambda call, calls: 2e-6 * calls)  # by the clock of a machine that is idle
    assert timer.calls_for(lambda: None) == timer.SAMPLE / 2e-6 > 1000


def test_workers_get_the_threads_they_are_told(here):
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with processes.EngineProcesses("generic") as workers:
        workers.ask(here("Telling"), 1, "forget")
        told = workers.descriptions["Telling", 1]["about"]
    assert told["threads"] == ["1"] * len(processes.COUNTS)
    assert told["kernel"] == "generic"
    if before is not None:
        assert told["cores"] == 1
        assert os.sched_getaffinity(0) == before


# ---- what goes wrong ----


def test_a_worker_that_dies_is_reported_and_the_rest_goes_on(here):
    bench = schedule.Bench([TINY, TINY], [here("Dying"), NUMPY], 3)
    bench.run(silent)
    for result in bench.results:  # started anew for the second work
        dying = result.engines["Dying"]
        assert (dying.status, len(dying.seconds)) == ("died", 1)
        assert dying.why == "the process ended with code 3\nits last words"
        assert len(result.engines["numpy"].seconds) == 3


@has_proc
def test_a_worker_that_is_killed_is_reported():
    pids = []

    def kill_numpy(work, entry, number):
        if number == 2 and not pids:
            pids.extend(children(os.getpid()))
            os.kill(pids[0], signal.SIGKILL)

    bench = schedule.Bench([TINY, TINY], [NUMPY], 3)
    bench.run(kill_numpy)
    assert [result.engines["numpy"].status for result in bench.results] == ["died", "ok"]
    assert f"ended with code {-signal.SIGKILL}" in bench.results[0].engines["numpy"].why


def test_a_worker_that_cannot_start_is_not_tried_again(here):
    bench = schedule.Bench([TINY, TINY], [Entry("none", "numpy", "no_such_module:Engine")], 1)
    bench.run(silent)
    assert all("ModuleNotFoundError" in result.engines["none"].why for result in bench.results)


def test_an_engine_that_raises_goes_on_with_the_next_work(here):
    odd = Workload("small", "matmul", (3, 3, 3), "float32", 1)
    bench = schedule.Bench([odd, TINY], [here("Choosy")], 1)
    bench.run(silent)
    first, second = (result.engines["Choosy"] for result in bench.results)
    assert (first.status, first.why) == ("failed", "ValueError: three is odd")
    assert second.usable


@has_proc
def test_an_interrupted_bench_kills_its_workers_and_shows_what_it_has():
    only = ["--only", "small: matmul 4 ", "--only", "4x3"]
    process = subprocess.Popen(
        [*COMMAND, "bench", *only, *OURS_AND_NUMPY, "--rounds", "1000000", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        began = time.monotonic()
        while len(workers := children(process.pid)) < 2:
            assert process.poll() is None
            assert time.monotonic() - began < TIMEOUT
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said == "pybackprop: interrupted\n"
    assert [Path(f"/proc/{worker}").exists() for worker in workers] == [False, False]
    found = json.loads(out)
    assert found["interrupted"]
    assert len(found["works"]) == 1


@pytest.mark.parametrize(
    "options", [["--threads", "0"], ["--engines", "numpy,abacus"], ["--rounds", "-1"], ["--quick", "--full"]]
)
def test_wrong_usage_exits_with_2(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *options])
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "matmul", "--only", "nothing"], "no workload's name contains 'nothing'"),
        (["--quick", "--only", "float64"], "--full has some"),
        (["--kernel", "fast"], "'fast' is not among the kernels"),
        (["--plot", "p.xyz"], "expected a name that ends in .png"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(options, words, capsys):
    assert main(["bench", *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("pybackprop: error: ")
    assert words in said
    assert len(said.splitlines()) == 1


def test_a_peer_may_fail_but_an_engine_of_ours_may_not(monkeypatch, capsys):
    def run(ours):
        broken = Entry("broken", "numpy", "no_such_module:Engine", ours=ours)
        monkeypatch.setattr("pybackprop.bench.engines.engine.ENTRIES", (NUMPY, broken))
        code = main(["bench", "--only", "matmul 4 ", "--rounds", "1"])
        assert "ModuleNotFoundError" in capsys.readouterr().out
        return code

    assert [run(False), run(True)] == [0, 1]


def test_an_engine_that_is_not_installed_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(Entry, "missing", lambda entry: entry.name != "numpy")
    assert main(["bench", "--engines", "numpy,jax", "--only", "matmul 4 ", "--rounds", "1"]) == 0
    assert "jax: left out, it is not installed" in capsys.readouterr().out
    assert main(["bench", "--engines", "jax", "--only", "matmul 4 "]) == 1
    assert "none of them is installed" in capsys.readouterr().err

"""The benchmark: who is checked, whose turn it is, what is reported. No test asserts a time.

The engines at the end are run by the bench's workers, which import this file.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from compile_c import ROOT

import pybackprop as bp
from pybackprop.bench import processes, report, resident_memory, schedule, table, timer, validate, workloads
from pybackprop.bench.engines import engine
from pybackprop.bench.engines.engine import ENTRIES, Entry
from pybackprop.bench.engines.numpy import Numpy
from pybackprop.bench.workloads import FULL, QUICK, USUAL, Workload
from pybackprop.cli.main import main
from pybackprop.core import units

COMMAND = [sys.executable, "-m", "pybackprop", "bench"]
OURS_AND_NUMPY = ["--engines", "numpy,pybackprop"]
NUMPY, OURS, PLAN = ENTRIES[:3]
PEERS = ENTRIES[3:]
TINY = Workload("small", "matmul", (4, 4, 4), "float32", 1)
SOME = [
    ("matmul", (5, 30, 7)),
    ("forward", (40, 30, 7)),
    ("backward_w", (600, 30, 7)),
    ("backward_x", (40, 30, 7)),
    ("step", (600, 30, 20, 1)),
    ("step", (7, 5, 4, 3)),
    ("step", (90, 5, 8, 7, 6, 3)),
    ("step", (90, 5, 3)),
]
EPOCH = Workload("", "epoch", (3000, 10, 8, 3), "float32", 1, batch=30)

has_proc = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="looks for processes in /proc"
)


@pytest.fixture(scope="module")
def found():
    """What two tiny works by two engines give."""
    only = ["--only", "small: matmul 8 ", "--only", "4x3"]
    done = subprocess.run(
        [*COMMAND, *only, *OURS_AND_NUMPY, "--rounds", "3", "--threads", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture
def here(monkeypatch):
    """Lets workers import this file; an Entry for one of its engines."""
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return lambda name: Entry(name, "numpy", f"test_bench:{name}")


def children(pid):
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def silent(*_):
    """Told of every turn."""


# ---- the works ----


def test_a_level_holds_all_works_of_those_before_it():
    quick, usual, full = (workloads.select(level, 2) for level in (QUICK, USUAL, FULL))
    assert set(quick) < set(usual) < set(full)
    for level in (quick, usual, full):
        assert len({work.name for work in level}) == len(level)
    assert all(work.dtype == "float32" and 2048 not in work.sizes for work in quick)
    assert {work.threads for work in workloads.select(FULL, 1)} == {1}


def test_flops_count_the_products():
    by_label = {work.label: work.flops for work in workloads.select(FULL, 1)}
    assert by_label["matmul 1024"] == 2 * 1024**3
    assert by_label["backward-w 784x50000 @ 50000x50"] == by_label["forward 50000x784 @ 784x50"] == 2 * 50000 * 784 * 50
    assert by_label["backward-x 50000x50 @ 50x784"] == 2 * 50000 * 784 * 50
    assert by_label["step 50000x784→50→1"] == 2 * 50000 * (2 * 784 * 50 + 3 * 50)
    assert by_label["epoch 60000x784→50→10 by 64 of digits"] == 2 * 60000 * (2 * 784 * 50 + 3 * 50 * 10)
    assert by_label["step 1024x128→(16 layers of 128)"] == 2 * 1024 * 128 * 128 * (3 * 16 - 1)


def test_images_of_digits_are_mostly_zeros():
    chosen = workloads.Workload("step", "step", (100, 784, 5, 1), "float32", 1, data="digits")
    x = workloads.data(chosen)["x"]
    assert chosen.label == "step 100x784→5→1 of digits"
    assert x.shape == (100, 784)
    assert x.dtype == np.float32
    assert 0.1 < (x != 0).mean() < 0.25
    assert (x.reshape(100, 28, 28)[:, :2] == 0).all()


@pytest.mark.parametrize(("kind", "sizes"), SOME)
def test_everybody_gets_the_same_data(kind, sizes, dtype):
    work = Workload("", kind, sizes, np.dtype(dtype).name, 1)
    first, again = workloads.data(work), workloads.data(work)
    for name, array in first.items():
        assert array.dtype == dtype
        assert (array == again[name]).all()
        assert array.size < 1000 or array.ctypes.data % 64 == 0
        usual = np.sqrt(2 / len(array)) if name.startswith("w") else 1
        assert array.size < 100 or array.std() == pytest.approx(usual, rel=0.2)


# ---- the check ----


@pytest.mark.parametrize("entry", [NUMPY, OURS], ids=lambda entry: entry.name)
@pytest.mark.parametrize(("kind", "sizes"), SOME)
def test_every_result_is_checked_and_every_mistake_found(entry, kind, sizes, dtype):
    work = Workload("", kind, sizes, np.dtype(dtype).name, 1)
    one, data = engine.load(entry.where, 1), workloads.data(work)
    one.prepare(work, data)()
    right, result = validate.expected(work, data), one.result()
    assert validate.wrong(work, result, right) is None
    for name, array in result.items():
        nan, last = np.full_like(array, np.nan), array.copy()
        last[(-1,) * array.ndim] += 0.01 * np.abs(array).max()
        for bad in (np.zeros_like(array), nan, -array, last):
            assert f"{name}" in validate.wrong(work, {**result, name: bad}, right)
        assert "expected" in validate.wrong(work, {**result, name: array.astype(np.float16)}, right)
        assert "expected" in validate.wrong(work, {**result, name: array[None]}, right)
    assert "gave []" in validate.wrong(work, {}, right)


@pytest.mark.parametrize("entry", PEERS, ids=lambda entry: entry.name)
def test_peers_are_right(entry):
    if entry.missing():
        pytest.skip("not installed")
    some = [Workload("", kind, sizes, "float32", 1) for kind, sizes in SOME]
    some += [Workload("", "step", (60, 5, 4, 2), "float64", 1), EPOCH]
    bench = schedule.Bench([work for work in some if entry.does(work)], [entry], 1)
    bench.run(silent)
    assert len(bench.results) == {"torch": len(some), "jax": len(some) - 1, "sklearn": 1}[entry.name]
    assert [result.engines[entry.name].why for result in bench.results] == [""] * len(bench.results)
    assert all(result.engines[entry.name].usable for result in bench.results)


def test_a_plan_is_right_and_does_networks_only():
    chosen = [Workload("", "step", (60, 5, 4, 2), "float32", 1), EPOCH, TINY]
    bench = schedule.Bench(chosen, [PLAN, NUMPY], 1)
    bench.run(silent)
    assert [list(result.engines) for result in bench.results] == [["plan", "numpy"], ["plan"], ["numpy"]]
    for result in bench.results:
        for timing in result.engines.values():
            assert timing.usable, timing.why


def test_an_epoch_without_updates_is_wrong():
    one, data = engine.load(PLAN.where, 1), workloads.data(EPOCH)
    one.prepare(EPOCH, data)()
    right = validate.expected(EPOCH, data)
    assert validate.wrong(EPOCH, one.result(), right) is None
    still = bp.Model([bp.Lin(data["w1"], data["b1"]), bp.Relu(), bp.Lin(data["w2"], data["b2"])])
    loss = np.float32(still(data["x"], data["targ"]))
    assert "loss: found" in validate.wrong(EPOCH, {"loss": loss}, right)
    assert "loss: found" in validate.wrong(EPOCH, {"loss": right["loss"].values.astype(np.float32) / 2}, right)


def test_a_mistake_is_located():
    data = workloads.data(TINY)
    right = validate.expected(TINY, data)
    result = data["a"] @ data["b"]
    result[2, 3] = np.nan
    words = validate.wrong(TINY, {"out": result}, right)
    assert words.startswith("out[2, 3]: found nan, expected ")
    assert words.endswith("1 of 16 are wrong")


def test_a_wrong_engine_is_marked_and_gets_no_time(here, capsys):
    wrong = ["Zeroed", "NotANumber", "Flipped"]
    bench = schedule.Bench([TINY], [NUMPY, *map(here, wrong)], 2)
    bench.run(silent)
    found = report.report(bench, [], False)
    engines = found["works"][0]["engines"]
    assert len(engines["numpy"]["seconds"]) == 2
    table.show(found)
    said = capsys.readouterr().out
    for name in wrong:
        assert set(engines[name]) == {"status", "why"}
        assert engines[name]["status"] == "wrong"
        assert f"{name}: small: matmul 4 float32 1 thread: WRONG: out[" in said


@pytest.mark.skipif(not resident_memory.RESET.exists(), reason="only Linux tells the peak")
def test_memory_is_the_peak_of_what_is_resident():
    kept = []

    def call():
        np.ones(4_000_000)
        kept.append(np.ones(1_000_000))

    for needed, action in ((32e6, call), (32e6, call), (0, lambda: None)):
        assert resident_memory.extra(action) == pytest.approx(needed, abs=2e6)


@pytest.mark.skipif(not resident_memory.RESET.exists(), reason="only Linux tells the peak")
def test_the_memory_of_a_step():
    wide = Workload("step", "step", (50000, 4, 20, 1), "float32", 1)
    bench = schedule.Bench([wide], [NUMPY, OURS, PLAN], 1)
    bench.run(silent)
    memory = {name: timing.memory for name, timing in bench.results[0].engines.items()}
    assert memory["numpy"] > 8e6
    assert 4e6 < memory["pybackprop"] < 14e6
    assert memory["plan"] < 2e6


# ---- turns ----


def test_the_report_for_machines(found):
    assert [work["label"] for work in found["works"]] == ["matmul 8", "step 4x3→5→2"]
    assert found["kernel"] in bp.kernels()
    assert not found["interrupted"]
    assert [(peak["dtype"], peak["threads"]) for peak in found["peaks"]] == [("float32", 1)]
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


def test_a_sample_is_a_call_or_many():
    assert timer.calls_for(lambda: time.sleep(0.05)) == 1
    assert timer.calls_for(lambda: None) > 1000


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
    process = subprocess.Popen(
        [*COMMAND, "--only", "small: matmul 4 ", "--only", "4x3", *OURS_AND_NUMPY, "--rounds", "1000000", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        began = time.monotonic()
        while len(workers := children(process.pid)) < 2:
            assert process.poll() is None
            assert time.monotonic() - began < 60
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
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


def test_an_engine_that_is_not_installed_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(Entry, "missing", lambda entry: entry.name != "numpy")
    assert main(["bench", "--engines", "numpy,jax", "--only", "matmul 4 ", "--rounds", "1"]) == 0
    assert "jax: left out, it is not installed" in capsys.readouterr().out
    assert main(["bench", "--engines", "jax", "--only", "matmul 4 "]) == 1
    assert "none of them is installed" in capsys.readouterr().err


# ---- for people ----


def test_the_list(capsys):
    assert main(["bench", "--list", "--only", "BACKWARD-W"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert len(names) == 2
    assert all("backward-w" in name for name in names)


def test_the_tables(found, capsys):
    table.show(found)
    said = capsys.readouterr().out
    for words in ("FMA peak", "matmul 8", "step 4x3→5→2", "numpy", found["kernel"], "best peer"):
        assert words in said
    for seconds, words in ((2.0, "2.00 s"), (0.0123, "12.3 ms"), (0.123, "123 ms"), (4.56e-7, "0.456 µs")):
        assert units.seconds_text(seconds) == words


def test_the_page_of_performance_says_what_was_found(found):
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("make_performance", ROOT / "tools" / "make_performance.py")
    make_performance = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_performance)
    large = {**found["works"][1], "sizes": [50000, 3, 5, 2]}
    large["engines"]["pybackprop"]["memory"] = 12_340_000
    lines = make_performance.document([{**found, "works": [found["works"][0], large]}], ["p.png"]).splitlines()
    assert f"## {found['cpu']}, {found['cores']} cores, kernel {found['kernel']}" in lines
    ours = found["works"][0]["engines"]["pybackprop"]
    (row,) = (line.split(" | ") for line in lines if line.startswith("| matmul 8 |"))
    assert row[3:5] == ["pybackprop", units.seconds_text(ours["median"])]
    assert f"**{units.three_digits(ours['ratio'])}** numpy" in row
    assert any(line.startswith("| step 4x3→5→2 | 1 |") and "12.3" in line for line in lines)


def test_the_picture(found, tmp_path):
    pytest.importorskip("matplotlib")
    from pybackprop.bench import plot as picture

    picture.draw(tmp_path / "p.png", found)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    picture.draw(tmp_path / "none.png", {**found, "works": []})


def test_the_picture_of_growth(found, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    from pybackprop.bench import plot as picture

    drawn, plot = [], Axes.plot

    def spy(axes, *given, **style):
        drawn.append(given[:2])
        return plot(axes, *given, **style)

    monkeypatch.setattr(Axes, "plot", spy)
    step = found["works"][1]
    works = [{**step, "group": "growth with rows", "sizes": [n, 3, 5, 2], "flops": n * 100} for n in (2, 8)]
    picture.draw(tmp_path / "growth.png", {**found, "works": works})
    medians = [1e3 * step["engines"][name]["median"] for name in ("numpy", "pybackprop")]
    assert drawn[:2] == [([2, 8], [ms] * 2) for ms in medians]
    assert drawn[2] == ([2, 8], [pytest.approx(n * 100 / step["peak"] / 1e6) for n in (2, 8)])


# ---- engines for the workers above ----


class Zeroed(Numpy):
    def result(self):
        return {name: array * 0 for name, array in super().result().items()}


class NotANumber(Numpy):
    def result(self):
        return {name: array * np.float32(np.nan) for name, array in super().result().items()}


class Flipped(Numpy):
    def result(self):
        return {name: -array for name, array in super().result().items()}


class Telling(Numpy):
    def about(self):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        return {
            "cores": cores,
            "threads": [os.environ[name] for name in processes.COUNTS],
            "kernel": bp.info()["kernel"],
        }


class Dying(Numpy):
    def prepare(self, work, data):
        call = super().prepare(work, data)
        self.left = 5  # calls: two to prepare, two in each round

        def mortal():
            self.left -= 1
            if self.left == 0:
                print("its last words", file=sys.stderr, flush=True)
                os._exit(3)
            time.sleep(timer.SAMPLE)
            call()

        return mortal


class Choosy(Numpy):
    def matmul(self, a, b):
        if len(a) % 2:
            raise ValueError("three is odd")
        print("what an engine prints is no answer")
        return super().matmul(a, b)

"""What is measured of the machine, how it is kept, and what is said of its state. No test asserts a time."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.cli.main import main
from pybackprop.core.native import lib
from pybackprop.lab import clock, fitness, loops, measuring, pinned
from pybackprop.lab.machine import compute, measure, memory, store, told

NEAR = 0.05  # of a whole number of multiply-adds in a cycle
TRIES = 5


@pytest.fixture(scope="module")
def report():
    """A whole report, with few samples."""
    return measuring.run("machine", measure.thread_counts()[-1], {"rounds": 3})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pybackprop"


# ---- loops ----


@pytest.mark.parametrize("kernel", bp.kernels())
def test_loops_do_what_they_say(kernel):
    bp.use_kernel(kernel)
    array = loops.memory(64 * 1024)
    whole = array.size // loops.STEP * loops.STEP
    assert loops.adds(10).amount == loops.adds_beside_fma(10).amount == 10 * loops.ADDS
    assert loops.read(array, 3).amount == 3 * 4 * whole
    assert loops.fma_loads(array, 3).amount == 3 * 2 * whole
    assert loops.fma_loads(array.view(np.float64)[: loops.STEP], 2).amount == 2 * 2 * loops.STEP
    array[:] = 7
    assert loops.write(array, 1).amount == 4 * whole
    assert np.all(array[:whole] == 1)
    assert np.all(array[whole:] == 7)  # beyond whole steps nothing is written
    half = array.size // 2
    array[:half] = np.arange(half)
    copied = half // loops.STEP * loops.STEP
    assert loops.copy(array, 1).amount == 2 * 4 * copied
    assert np.array_equal(array[half : half + copied], array[:copied])


def test_a_ring_leads_through_all_its_places():
    array = loops.memory(4096)
    offsets = np.arange(0, 4096, loops.LINE)
    ring, seen = loops.Ring(array, offsets), set()
    first = str(ring.at)
    for _ in offsets:
        seen.add(str(ring.at))
        ring.chase(1)
    assert len(seen) == len(offsets)
    assert str(ring.at) == first


def test_regions_run_on_the_threads_they_ask_for():
    """With helpers awaited, each region's other shares are done by them."""
    if not bp.info()["pool"]:
        pytest.skip("a serial build has no helpers")
    lib.bp_insist_on_helpers(1)
    before = lib.bp_helped()
    lib.bp_measure_regions(2, 5)
    assert 5 <= lib.bp_helped() - before <= 10  # one of two, or both, if the caller comes late


def test_threads_are_pinned_and_the_caller_is_not():
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    places = pinned.side_by_side(2, lambda _: os.sched_getaffinity(0) if before else None)
    assert len(places) == min(2, len(before) if before else os.cpu_count())
    if before:
        assert all(len(place) == 1 for place in places)
        assert os.sched_getaffinity(0) == before
    with pytest.raises(ZeroDivisionError):
        pinned.side_by_side(2, lambda number: 1 / number)


# ---- the report ----


def test_the_report_has_everything_with_its_spread(report):
    threads = measure.thread_counts()
    peaks = {(row["kernel"], row["dtype"], row["threads"]) for row in report["peaks"]}
    assert peaks == {(k, d, n) for k in bp.kernels() for d in ("float32", "float64") for n in threads}
    levels = list(memory.levels())
    assert {(r["level"], r["kind"], r["threads"]) for r in report["bandwidth"]} == {
        (level, kind, n) for level in levels for kind in ("read", "write", "copy") for n in threads
    }
    assert [row["beside"] for row in report["frequency"]] == ["nothing", *bp.kernels()]
    assert {"cffi call", "cffi call with pointers", "region"} <= {row["what"] for row in report["overheads"]}
    assert [p["bytes"] for p in report["latency"]["curve"]][:3] == [4096, 8192, 16384]
    rows = [*report["peaks"], *report["bandwidth"], *report["frequency"], *report["overheads"]]
    for row in [*rows, *report["latency"]["curve"], *report["pages"]["curve"]]:
        assert 0 < row["least"] <= row["low"] <= row["median"] <= row["high"] <= row["most"]
        assert row["samples"] >= 3
    assert json.loads(json.dumps(report)) == report


def test_the_report_says_in_which_state_the_machine_was(report):
    assert set(report["fitness"]["seen"]) <= set(fitness.MEANING)
    assert report["fitness"]["state"] in fitness.MEANING
    assert {row["state"] for row in report["states"]} <= set(fitness.MEANING)
    assert all(0 <= row["repeated"] <= measure.AGAIN for row in report["states"])


def test_the_peak_agrees_with_cycles_times_units():
    """Multiply-adds in a cycle, by two clocks, are a whole number: the units that the processor has for them."""
    bp.set_threads(1)
    kernel = bp.kernels()[-1]
    found, quiet = [], True
    for _ in range(TRIES):
        quiet = quiet and fitness.watched(20)["state"] == fitness.QUIET
        alone = compute.frequency(None, 9)["most"]
        peak = compute.peak(kernel, "float32", 1, 9)["most"]
        units = compute.frequency(kernel, 9, peak, alone)["fma_per_cycle"]
        if units is None:
            pytest.skip("the frequency cannot be known here: additions wait for the vectors")
        found.append(units)
        if abs(units - round(units)) <= NEAR * units and round(units) in (1, 2, 4):
            return
    if not quiet or fitness.watched(20)["state"] != fitness.QUIET:
        pytest.skip(f"the machine is not quiet: {found}")
    pytest.fail(f"{found} multiply-adds in a cycle")


# ---- what the system tells ----


def test_caches_are_read_as_the_system_writes_them(tmp_path):
    for number, (level, kind, size) in enumerate(
        [("2", "Unified", "2M"), ("1", "Data", "48K"), ("1", "Instruction", "32K")]
    ):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, text in {"level": level, "type": kind, "size": size, "ways_of_associativity": "12"}.items():
            (folder / name).write_text(text + "\n")
    (tmp_path / "index9").mkdir()  # without files
    found = told.caches(tmp_path)
    assert [(cache["level"], cache["bytes"], cache["ways"]) for cache in found] == [(1, 49152, 12), (2, 2097152, 12)]
    assert told.level_bytes(2, found) == 2097152
    assert told.level_bytes(3, found) == dict(told.USUAL)[3]
    assert told.caches(tmp_path / "none") == []


@pytest.mark.parametrize("text", ["", "0K", "48", "48KB", "-1K", "K"])
def test_a_size_that_is_none(text):
    if text == "48":
        assert told.size_of(text) == 48
    else:
        with pytest.raises(ValueError, match="expected a size"):
            told.size_of(text)


def test_translation_buffers_as_intel_and_amd_tell_them(monkeypatch):
    leaves = {(0x18, 0): (1, 0, 0, 0), (0x18, 1): (0, 6 << 16 | 1, 16, 1 | 1 << 5)}
    monkeypatch.setattr(told, "cpuid", lambda leaf, subleaf=0: leaves.get((leaf, subleaf)))
    assert told.tlbs() == [{"level": 1, "kind": "data", "pages": "4K", "entries": 96}]
    leaves.clear()
    leaves.update({(0x80000005, 0): (0, 64 << 16, 0, 0), (0x80000006, 0): (0, 3072 << 16 & 0x0FFF0000, 0, 0)})
    assert [(t["level"], t["entries"]) for t in told.tlbs()] == [(1, 64), (2, 3072)]
    leaves.clear()
    assert told.tlbs() == []


def test_plateaus_and_reach_of_made_up_curves():
    curve = [{"bytes": 2**k, "least": ns} for k, ns in enumerate([1.0, 1.0, 1.1, 4.0, 4.1, 20.0, 60.0, 61.0])]
    assert [(p["from"], p["to"]) for p in memory.plateaus(curve)] == [(1, 4), (8, 16), (64, 128)]
    extra = [0.1, 0.1, 1.8, 1.8, 2.0, 15.0, 30.0, 31.0]
    pages = [{"pages": 2**k, "least": 1.3 + more, "dense": 1.3} for k, more in enumerate(extra)]
    assert memory.reach(pages) == [2, 16]


# ---- the file ----


def test_it_is_measured_once_and_kept(cache, report, monkeypatch, capsys):
    asked = []

    def run(job, threads, arguments, on_step=None):
        asked.append(job)
        return {**report, "taken": time.time()} if job == "machine" else report["fitness"]

    monkeypatch.setattr(measuring, "run", run)
    for _ in range(2):
        assert main(["lab", "machine", "--json"]) == 0
    assert asked == ["machine", "fitness", "fitness"]  # its state is looked at each time
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["peaks"] == report["peaks"]
    assert main(["lab", "machine", "--fresh"]) == 0
    assert asked.count("machine") == 2
    shown = capsys.readouterr().out
    for word in ("Peak of fused", "Frequency", "Bandwidth", "cffi call", "the machine is", "load average"):
        assert word in shown
    assert [file.suffix for file in cache.iterdir()] == [".json"]


def broken(report):
    yield "", "cannot be read"
    yield "{", "cannot be read"
    yield "[" * 100_000, "cannot be read"
    yield "[]", "another version"
    yield json.dumps({**report, "schema": 0}), "another version"
    yield json.dumps({**report, "machine": {}}), "another machine"
    yield json.dumps({**report, "peaks": []}), "missing"
    yield json.dumps({**report, "bandwidth": None}), "missing"
    yield json.dumps({**report, "latency": [1]}), "missing"
    yield json.dumps({**report, "taken": time.time() - store.OLD - 60}), "older than 30 days"
    yield json.dumps({**report, "taken": time.time() + 3600}), "older"
    yield json.dumps({**report, "taken": "yesterday"}), "older"


def test_a_file_that_does_not_count_is_said_to(cache, report):
    cache.mkdir()
    now = {**report, "taken": time.time()}
    for text, why in broken(now):
        store.path().write_text(text)
        found, said = store.read()
        assert found is None
        assert why in said, text[:50]
    assert store.write(now) == ""
    assert store.read() == (now, "")


def test_without_a_place_to_keep_it(cache, report):
    cache.parent.joinpath("pybackprop").write_text("a file where the folder should be")
    assert "not kept" in store.write(report)
    assert store.read()[0] is None


def test_the_folder_is_the_standards(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the standard: must be ignored
    assert store.folder() == Path("~/.cache/pybackprop").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert store.folder() == Path("/somewhere/pybackprop")


def test_a_folder_of_the_packages_name_does_not_hide_it(tmp_path, monkeypatch):
    (tmp_path / "pybackprop").mkdir()
    monkeypatch.chdir(tmp_path)
    assert measuring.run("fitness", 1, {"looks": 1})["looks"] == 1


def test_a_job_that_fails_or_dies_is_reported():
    with pytest.raises(RuntimeError, match="unexpected keyword"):
        measuring.run("fitness", 1, {"nonsense": 1})
    with pytest.raises(RuntimeError, match="ended with code"):
        measuring.run("no such job", 1, {})


# ---- the watch ----


@pytest.mark.parametrize(
    ("look", "state"),
    [
        (fitness.Look((100.0,), (60.0,), (1.0,)), fitness.QUIET),
        (fitness.Look((100.0,), (60.0,), (0.9,)), fitness.BUSY),
        (fitness.Look((100.0, 80.0), (60.0, 60.0), (1.0, 1.0)), fitness.UNEVEN),
        (fitness.Look((100.0, 100.0), (60.0, 45.0), (1.0, 1.0)), fitness.UNEVEN),
        (fitness.Look((100.0,), (42.0,), (1.0,)), fitness.DISTURBED),  # 1.4 times as long, the burst at its peak
        (fitness.Look((80.0,), (50.0,), (1.0,)), fitness.SLOW),
    ],
)
def test_each_state_is_told_from_the_others(look, state):
    assert look.state(100.0, 60.0) == state


def test_a_watch_knows_better_rates_from_before():
    before = {"burst": 1e15, "loads": 1e15}
    watch = fitness.Watch.knowing(1, before)
    assert watch.look() in (fitness.SLOW, fitness.BUSY)
    assert watch.report()["burst_gflops"] == 1e6
    assert fitness.best_of(None) == {}
    assert fitness.best_of(watch.report()) == before


def test_the_state_is_the_one_seen_most_often_unless_rare():
    watch = fitness.Watch(1)
    watch.seen.update({fitness.QUIET: 95, fitness.BUSY: 5})
    assert watch.state == fitness.QUIET
    watch.seen.update({fitness.BUSY: 3, fitness.DISTURBED: 10})
    assert watch.state == fitness.DISTURBED
    text = " ".join(fitness.sentences(watch.report()))
    assert "the machine is disturbed" in text
    assert "load" in text


def test_a_watch_leaves_kernel_and_threads_as_they_were():
    bp.use_kernel("generic")
    bp.set_threads(3)
    fitness.Watch(1).look()
    assert (bp.info()["kernel"], bp.threads()) == ("generic", 3)


# ---- the clock ----


class Looks:
    """States in a given order; quiet when there are no more."""

    def __init__(self, *states):
        self.states = list(states)

    def look(self):
        return self.states.pop(0) if self.states else fitness.QUIET


@pytest.fixture
def quick(monkeypatch):
    """Samples of one call."""
    monkeypatch.setattr(clock.timer, "calls_for", lambda call: 1)


def test_runs_take_turns_in_random_order(quick):
    order = []
    runs = {name: clock.Run(lambda: None, lambda name=name: order.append(name)) for name in "abc"}
    found = clock.interleaved(runs, 4, Looks(), seed=1)
    rounds = ["".join(order[k : k + 3]) for k in range(3, 15, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 1
    assert all(len(timing.seconds) == 4 for timing in found.values())


def test_what_was_measured_in_a_bad_state_is_measured_again(quick):
    found = clock.interleaved({"a": clock.Run(lambda: None)}, 3, Looks("quiet", "busy", "quiet", "quiet"))
    timing = found["a"]
    assert timing.states[:2] == ["busy", "busy"]  # the look after, and the look before
    assert timing.states[2:] == ["quiet"] * 3
    report = timing.report(3)
    assert (report["samples"], report["not_quiet"], report["left_out"]) == (3, 0, 2)


def test_a_machine_that_is_never_quiet_is_said_to_be(quick):
    found = clock.interleaved({"a": clock.Run(lambda: None)}, 2, Looks(*["disturbed"] * 20))
    report = found["a"].report(2)
    assert (report["samples"], report["not_quiet"], report["left_out"]) == (2, 2, 2)
    assert "not quiet" in clock.warnings({"a": report})[0]


def test_rates_of_interrupted_rounds_are_measured_again():
    samples = iter(
        [loops.Sample(1, 1, 1), *(loops.Sample(k, 1, share) for k, share in [(5, 1), (9, 0.5), (6, 1), (7, 1)])]
    )
    found = clock.rates(lambda: [next(samples)], 3)
    assert (found["least"], found["median"], found["most"]) == (5, 6, 7)
    assert (found["interrupted"], found["left_out"]) == (0, 1)


def test_drift_and_outliers_are_said():
    timing = clock.Timing(1, [1 + k / 20 for k in range(12)], [fitness.QUIET] * 12)
    assert "slower or faster" in " ".join(clock.warnings({"a": timing.report(12)}))
    timing = clock.Timing(1, [1.0, 1.01, 0.99, 1.02, 0.98, 9.0], [fitness.QUIET] * 6)
    assert "far from" in " ".join(clock.warnings({"a": timing.report(6)}))

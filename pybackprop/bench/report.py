"""The results of a bench as one object for JSON, from which tables and the figure are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.processes import cores
from pybackprop.bench.schedule import Bench, Result, Timing
from pybackprop.bench.workloads import Workload
from pybackprop.core import settings


def report(bench: Bench, notes: Sequence[str], interrupted: bool) -> dict[str, Any]:
    """The whole report: the machine, the engines and their settings, each workload with all its times.

    Times are seconds per call, rates 1e9 floating-point operations per second; of workloads that are bound by memory,
    1e9 bytes (gbytes_median instead of gflops_median), and their peak is a bandwidth.
    """
    machine = settings.info()
    kernel = bench.kernel or machine["kernel"]
    return {
        **{name: machine[name] for name in ("version", "python", "system", "cpu", "pool", "compiler")},
        "cores": cores(),
        "kernel": kernel,
        "rounds": bench.rounds,
        "seconds": round(bench.seconds, 3),
        "load": bench.load,
        "interrupted": interrupted,
        "notes": list(notes),
        "peaks": [
            {"dtype": dtype, "threads": threads, "gflops": flops / 1e9}
            for (dtype, threads), flops in sorted(bench.peaks.items())
        ],
        "engines": {entry.name: _engine(bench, entry) for entry in bench.entries},
        "works": [_workload(bench, result) for result in bench.results],
    }


def _engine(bench: Bench, entry: Entry) -> dict[str, Any]:
    workers = [
        {"threads": threads, **described}
        for (name, threads), described in sorted(bench.descriptions.items())
        if name == entry.name
    ]
    return {"version": entry.version(), "ours": entry.ours, "workers": workers}


def _workload(bench: Bench, result: Result) -> dict[str, Any]:
    workload = result.workload
    peak = bench.limit(workload)
    numbers: dict[str, Any] = {name: getattr(workload, name) for name in ("group", "name", "label", "kind")}
    numbers.update(
        sizes=list(workload.sizes),
        dtype=workload.dtype,
        threads=workload.threads,
        flops=workload.flops,
        bytes=workload.bytes,
        target=workload.target,
    )
    numbers["peak"] = peak and peak / 1e9
    numbers["engines"] = {name: _timing(timing, workload, peak) for name, timing in result.engines.items()}
    peer = result.best_peer([entry.name for entry in bench.entries if not entry.ours])
    numbers["best_peer"] = peer
    for entry in bench.entries:
        if entry.ours and peer is not None and entry.name in result.engines and result.engines[entry.name].usable:
            numbers["engines"][entry.name].update(_ratios(result, entry.name, peer))
    return numbers


def _timing(timing: Timing, workload: Workload, peak: float | None) -> dict[str, Any]:
    amount, rate = (workload.flops, "gflops") if workload.flops else (workload.bytes, "gbytes")
    numbers: dict[str, Any] = {"status": timing.status}
    if timing.why:
        numbers["why"] = timing.why
    if timing.usable:
        numbers.update(
            median=timing.median,
            best=timing.best,
            percent_of_peak=peak and 100 * amount / timing.median / peak,
            **{f"{rate}_median": amount / timing.median / 1e9, f"{rate}_best": amount / timing.best / 1e9},
        )
    if timing.status != "wrong":
        numbers.update(calls=timing.calls, memory=timing.memory, seconds=timing.seconds, started=timing.started)
    return numbers


def _ratios(result: Result, name: str, peer: str) -> dict[str, float]:
    """ratio: the median of the ratios of all rounds. ratio_of_medians: the best peer's median over ours."""
    return {
        "ratio": result.ratio(name, peer),
        "ratio_of_medians": result.engines[peer].median / result.engines[name].median,
    }

"""The numbers that a bench found, as one object for machines. The table and the picture are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.processes import cores
from pybackprop.bench.schedule import Bench, Result, Timing
from pybackprop.core import settings


def report(bench: Bench, notes: Sequence[str], interrupted: bool) -> dict[str, Any]:
    """Everything: the machine, the engines and their settings, each work with all its times.

    Times are in seconds per call, rates in 1e9 floating-point operations per second.
    """
    machine = settings.info()
    kernel = bench.kernel or machine["kernel"]
    return {
        **{name: machine[name] for name in ("version", "python", "system", "cpu", "openmp", "compiler")},
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
        "works": [_work(bench, result) for result in bench.results],
    }


def _engine(bench: Bench, entry: Entry) -> dict[str, Any]:
    workers = [
        {"threads": threads, **hello} for (name, threads), hello in sorted(bench.hellos.items()) if name == entry.name
    ]
    return {"version": entry.version(), "ours": entry.ours, "workers": workers}


def _work(bench: Bench, result: Result) -> dict[str, Any]:
    work = result.work
    peak = bench.peaks.get((work.dtype, work.threads))
    found: dict[str, Any] = {name: getattr(work, name) for name in ("group", "name", "label", "kind")}
    found.update(sizes=list(work.sizes), dtype=work.dtype, threads=work.threads, flops=work.flops, target=work.target)
    found["peak"] = peak and peak / 1e9
    found["engines"] = {name: _timing(timing, work.flops, peak) for name, timing in result.engines.items()}
    peer = result.best_peer([entry.name for entry in bench.entries if not entry.ours])
    found["best_peer"] = peer
    for entry in bench.entries:
        if entry.ours and peer is not None and entry.name in result.engines and result.engines[entry.name].usable:
            found["engines"][entry.name].update(_ratios(result, entry.name, peer))
    return found


def _timing(timing: Timing, flops: int, peak: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"status": timing.status}
    if timing.why:
        found["why"] = timing.why
    if timing.usable:
        found.update(
            median=timing.median,
            best=timing.best,
            gflops_median=flops / timing.median / 1e9,
            gflops_best=flops / timing.best / 1e9,
            percent_of_peak=peak and 100 * flops / timing.median / peak,
        )
    if timing.status != "wrong":
        found.update(calls=timing.calls, memory=timing.memory, seconds=timing.seconds, started=timing.started)
    return found


def _ratios(result: Result, name: str, peer: str) -> dict[str, float]:
    """ratio: round by round, then the median. ratio_of_medians: the best peer's over ours."""
    return {
        "ratio": result.ratio(name, peer),
        "ratio_of_medians": result.engines[peer].median / result.engines[name].median,
    }

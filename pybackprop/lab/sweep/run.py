"""Times the points of a sweep, in turns and in random order, in the process that measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from pybackprop.bench import workloads
from pybackprop.bench.engines.pybackprop import Planned
from pybackprop.core import settings
from pybackprop.core.arrays import Array
from pybackprop.lab.clock import Run, interleaved, warnings
from pybackprop.lab.fitness import Watch
from pybackprop.lab.machine.measure import identity
from pybackprop.lab.sweep.grid import Point, point

SCHEMA = 1


def run(
    points: Sequence[Mapping[str, Any]],
    rounds: int,
    seed: int,
    best: Mapping[str, float],
    on_step: Callable[[str], Any] = lambda text: None,
) -> dict[str, Any]:
    """The result of a sweep: each point with its times, and in which state the machine was.

    points: see `Point.to_dict`. best: the machine's best rates, if it was measured before, see `fitness.best_of`.
    """
    found = [point(dict(values)) for values in points]
    share = cache(workloads.data)
    on_step("preparing")
    runs = {each.label: Run(_call(each, share), each.apply) for each in found}
    watch, count = Watch.knowing(max(each.threads for each in found), best), len(runs) * rounds
    done = iter(range(1, 3 * count + 1))
    timings = interleaved(runs, rounds, watch, seed, lambda name: on_step(f"{next(done)} of {count}: {name}"))
    settings.set_tiles()
    rows = [_row(each, timings[each.label].report(rounds)) for each in found]
    return {
        "schema": SCHEMA,
        "machine": identity(),
        "rounds": rounds,
        "seed": seed,
        "points": rows,
        "fitness": watch.report(),
        "warnings": warnings({row["label"]: row for row in rows}),
    }


def _call(each: Point, data: Callable[[Any], dict[str, Array]]) -> Callable[[], Any]:
    """What runs a point once; points of the same sizes and type share their operands."""
    each.apply()
    workload = each.workload
    operands = data(workloads.Workload("sweep", workload.kind, workload.sizes, workload.dtype, 1))
    return Planned(each.threads).prepare(workload, operands)


def _row(each: Point, times: dict[str, Any]) -> dict[str, Any]:
    """A point, its times in seconds, and its rate in GF/s from the median and from both ends of its interval."""
    flops = each.workload.flops
    rates = {f"gflops_{name}": flops / times[time] / 1e9 for name, time in RATES.items()}
    return {**each.to_dict(), "label": each.label, "flops": flops, **rates, **times}


RATES = {"median": "median", "low": "high", "high": "low"}  # the lowest rate is that of the longest time

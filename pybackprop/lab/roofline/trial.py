"""A kernel that was tried, on the roofline: beside the library's and the peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pybackprop.core.units import threads_text
from pybackprop.lab.machine import known
from pybackprop.lab.roofline import roof

KERNEL = "kernel"  # what was tried, among the engines


def with_roof(timing: Mapping[str, Any], on_step: Callable[[str], Any] = lambda text: None) -> dict[str, Any]:
    """A race's times with `roofline`: the roof, and the place of each engine that has times below it.

    The peak is that of the race; bandwidths are the machine's report's, or measured now, which takes a second.
    """
    report = known.reading(timing["threads"], on_step)
    over = roof.Roof(timing["peak"] * 1e9, roof.levels(report, timing["threads"]))
    sizes = {"flops": timing["flops"], "bytes": timing["bytes"]}
    rows = [
        roof.placed({"name": name, **sizes, **times}, over)
        for name, times in timing["engines"].items()
        if "median" in times
    ]
    return {**timing, "roofline": {"roof": roof.told(over), "engines": rows}}


def sentence(timing: Mapping[str, Any]) -> str:
    """Where the operation stands, and what it would take; empty if nothing was timed."""
    rows = timing["roofline"]["engines"]
    if not rows:
        return ""
    row = rows[0]
    rate = next(level["bandwidth"] for level in timing["roofline"]["roof"]["levels"] if level["name"] == row["level"])
    limit = f"{row['reachable_gflops']:.3g} GF/s, bound by {row['bound']}"
    place = f"{row['intensity']:.3g} operations a byte, operands in {row['level']}, {rate:.3g} GB/s: at most {limit}"
    return f"roofline: {place}; {row['advice']}"


def draw(path: Path, trial: Mapping[str, Any]) -> None:
    """The roofline of a trial that was timed."""
    from pybackprop.lab.roofline import plot

    timing = trial["timing"]
    sizes = ", ".join(f"{name}={size}" for name, size in timing["sizes"].items())
    threads = threads_text(timing["threads"])
    title = f"{Path(trial['source']).name}: {trial['operation']}, {sizes}, {timing['dtype']}, {threads}"
    state = f"{timing['cpu']}; the machine was {timing['fitness']['state']}"
    rows = [{**row, "name": "yours" if row["name"] == KERNEL else row["name"]} for row in timing["roofline"]["engines"]]
    plot.picture(path, rows, timing["roofline"]["roof"], f"{title}\n{state}", 0)

"""Writes docs/performance.md and its figures from reports of the bench.

    pybackprop bench --full --json > report.json
    python tools/make_performance.py report.json

Several reports may be given, e.g. from several machines: each gets its own section and figure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pybackprop.bench import plot
from pybackprop.bench.table import LARGE, TITLES
from pybackprop.core.units import megabytes_text, seconds_text, three_digits

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEAD = """# How fast, how lean

Measured by `pybackprop bench`: each engine in a process of its own, in turns, after its results were checked against
float64. A time is the median of the rounds. A ratio says how many times as fast as the best peer this library is: the
median of the ratios within each round, so that a slow drift of the machine does not matter. The limit is the time that
fused multiply-adds alone would take on the same threads, measured in between; of an update by Adam, the time of reading
four arrays of its size and writing three. `plan` is a compiled plan, `pybackprop` the library's ordinary calls,
`one-pass` the C function that makes a loss and its gradient at once. Targets are goals, met or not. Run it on your
machine: `pip install '.[bench]' && pybackprop bench`.
"""


def document(reports: Sequence[Mapping[str, Any]], pictures: Sequence[str]) -> str:
    """The whole page, in Markdown."""
    parts = [HEAD]
    for report, name in zip(reports, pictures, strict=True):
        parts += ["\n".join(_machine(report, name))]
        for group in dict.fromkeys(workload["group"] for workload in report["works"]):
            parts.append("\n".join(_group(report, group)))
        parts.append("\n".join(_memory(report)))
    return "\n".join(parts)


def _machine(report: Mapping[str, Any], name: str) -> Iterator[str]:
    peaks = ", ".join(f"{p['gflops']:.0f} GF/s in {p['dtype']} on {p['threads']}" for p in report["peaks"])
    yield f"## {report['cpu']}, {report['cores']} cores, kernel {report['kernel']}\n"
    engines = ", ".join(f"{engine} {about['version']}" for engine, about in report["engines"].items())
    levels = ", ".join(f"{row['median']:.0f} GB/s from {row['level']}" for row in report.get("bandwidth", []))
    reading = f" Reading on {report['bandwidth'][0]['threads']} threads: {levels}." if levels else ""
    yield f"{engines}; {report['compiler']}; {report['rounds']} rounds; FMA peak {peaks} threads.{reading}\n"
    yield f"![Rates of all workloads, and how a step grows]({name})\n"


def _group(report: Mapping[str, Any], group: str) -> Iterator[str]:
    workloads = [workload for workload in report["works"] if workload["group"] == group]
    own = [name for name, engine in report["engines"].items() if engine["ours"]]
    peers = [n for n in report["engines"] if n not in own and any(n in workload["engines"] for workload in workloads)]
    yield f"### {TITLES.get(group, group)}\n"
    yield _row("workload", "threads", "limit", "", "time", "of the limit", *peers, "ratio", "target")
    yield _row(*["---"] * (8 + len(peers)))
    for workload in workloads:
        amount = workload["flops"] or workload.get("bytes", 0)
        limit = seconds_text(amount / workload["peak"] / 1e9) if workload["peak"] else ""
        for name in [name for name in own if _time(workload, name)]:
            timing = workload["engines"][name]
            percent, ratio = timing["percent_of_peak"], timing.get("ratio")
            share = "" if percent is None else f"{percent:.0f} %"
            best = "" if ratio is None else f"**{three_digits(ratio)}** {workload['best_peer']}"
            label = workload["label"] + (", float64" if workload["dtype"] == "float64" else "")
            times = [_time(workload, peer) for peer in peers]
            yield _row(
                label, workload["threads"], limit, name, _time(workload, name), share, *times, best, workload["target"]
            )
    yield ""


def _time(workload: Mapping[str, Any], name: str) -> str:
    timing = workload["engines"].get(name, {})
    return seconds_text(timing["median"]) if "median" in timing else ""


def _memory(report: Mapping[str, Any]) -> Iterator[str]:
    workloads = [
        workload for workload in report["works"] if workload["kind"] == "step" and workload["sizes"][0] >= LARGE
    ]
    engines = [name for name in report["engines"] if any(name in workload["engines"] for workload in workloads)]
    yield "### Peak memory of a step, beyond data, parameters and gradients, in MB\n"
    yield _row("workload", "threads", *engines)
    yield _row(*["---"] * (2 + len(engines)))
    for workload in workloads:
        counts = [workload["engines"].get(name, {}).get("memory") for name in engines]
        label = workload["label"] + (", float64" if workload["dtype"] == "float64" else "")
        yield _row(label, workload["threads"], *["" if count is None else megabytes_text(count) for count in counts])
    yield ""


def _row(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main(paths: Sequence[str]) -> None:
    reports = [json.loads(Path(path).read_text("utf-8")) for path in paths]
    names = [f"performance-{Path(path).stem}.png" for path in paths]
    for report, name in zip(reports, names, strict=True):
        plot.draw(DOCS / name, report)
    (DOCS / "performance.md").write_text(document(reports, names), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

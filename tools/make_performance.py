"""Writes docs/performance.md and its picture from what a bench found.

    pybackprop bench --full --json > report.json
    python tools/make_performance.py report.json

Several reports may be given, e.g. of several machines: each gets its part, and its picture.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pybackprop.bench import plot
from pybackprop.bench.table import LARGE, TITLES, duration, rate

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEAD = """# How fast, how lean

Measured by `pybackprop bench`: each engine in a process of its own, in turns, after its results were checked against
float64. A time is the median of the rounds. A ratio says how many times as fast as the best peer this library is: the
median of the ratios within each round, so that a slow drift of the machine does not matter. The limit is the time that
fused multiply-adds alone would take on the same threads, measured in between. `plan` is a compiled plan, `pybackprop`
the library's ordinary calls. Targets are goals, met or not. Run it on your machine:
`pip install '.[bench]' && pybackprop bench`.
"""


def document(reports: Sequence[Mapping[str, Any]], pictures: Sequence[str]) -> str:
    """The whole page, in Markdown."""
    parts = [HEAD]
    for report, name in zip(reports, pictures, strict=True):
        parts += ["\n".join(_machine(report, name))]
        for group in dict.fromkeys(work["group"] for work in report["works"]):
            parts.append("\n".join(_group(report, group)))
        parts.append("\n".join(_memory(report)))
    return "\n".join(parts)


def _machine(report: Mapping[str, Any], name: str) -> Iterator[str]:
    peaks = ", ".join(f"{p['gflops']:.0f} GF/s in {p['dtype']} on {p['threads']}" for p in report["peaks"])
    yield f"## {report['cpu']}, {report['cores']} cores, kernel {report['kernel']}\n"
    engines = ", ".join(f"{engine} {about['version']}" for engine, about in report["engines"].items())
    yield f"{engines}; {report['compiler']}; {report['rounds']} rounds; FMA peak {peaks} threads.\n"
    yield f"![Rates of all works, and how a step grows]({name})\n"


def _group(report: Mapping[str, Any], group: str) -> Iterator[str]:
    works = [work for work in report["works"] if work["group"] == group]
    own = [name for name, engine in report["engines"].items() if engine["ours"]]
    peers = [n for n in report["engines"] if n not in own and any(n in work["engines"] for work in works)]
    yield f"### {TITLES.get(group, group)}\n"
    yield _row("work", "threads", "limit", "", "time", "of the limit", *peers, "ratio", "target")
    yield _row(*["---"] * (8 + len(peers)))
    for work in works:
        limit = duration(work["flops"] / work["peak"] / 1e9) if work["peak"] else ""
        for name in [name for name in own if _time(work, name)]:
            timing = work["engines"][name]
            percent, ratio = timing["percent_of_peak"], timing.get("ratio")
            share = "" if percent is None else f"{percent:.0f} %"
            best = "" if ratio is None else f"**{rate(ratio)}** {work['best_peer']}"
            label = work["label"] + (", float64" if work["dtype"] == "float64" else "")
            times = [_time(work, peer) for peer in peers]
            yield _row(label, work["threads"], limit, name, _time(work, name), share, *times, best, work["target"])
    yield ""


def _time(work: Mapping[str, Any], name: str) -> str:
    timing = work["engines"].get(name, {})
    return duration(timing["median"]) if "median" in timing else ""


def _memory(report: Mapping[str, Any]) -> Iterator[str]:
    works = [work for work in report["works"] if work["kind"] == "step" and work["sizes"][0] >= LARGE]
    engines = [name for name in report["engines"] if any(name in work["engines"] for work in works)]
    yield "### Memory that a step needs at most, beyond data, parameters and gradients, in MB\n"
    yield _row("work", "threads", *engines)
    yield _row(*["---"] * (2 + len(engines)))
    for work in works:
        counts = [work["engines"].get(name, {}).get("memory") for name in engines]
        label = work["label"] + (", float64" if work["dtype"] == "float64" else "")
        yield _row(label, work["threads"], *["" if count is None else f"{count / 1e6:.1f}" for count in counts])
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

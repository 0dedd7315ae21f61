"""What people see of a bench: a progress line and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich import box
from rich import progress as bars
from rich.console import Console
from rich.table import Table

from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.schedule import Bench
from pybackprop.bench.workloads import Work
from pybackprop.core.units import megabytes_text, seconds_text, three_digits

WIDE = 150  # columns for whoever does not read at a terminal
LARGE = 10_000  # rows from which on a step's memory is worth a look
TITLES = {
    "square": "Square products",
    "lesson": "The lesson's products: forward x @ w + b, backward",
    "small": "Small products, out= given: one call from Python",
    "step": "Steps: forward and backward of all parameters",
    "epoch": "Epochs of SGD with momentum, shuffled",
    "growth with rows": "How a step grows with its rows",
    "growth with width": "How a step grows with its hidden layer",
    "growth with depth": "How a step grows with its layers",
}


class Progress:
    """A line on stderr: whose turn it is. Drawn between turns only, or it would take time from them."""

    def __init__(self, bench: Bench) -> None:
        self.rounds = bench.rounds
        console = Console(stderr=True)
        self.bar = bars.Progress(
            bars.BarColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[said]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        turns = sum(entry.does(work) for work in bench.works for entry in bench.entries) * (bench.rounds + 1)
        self.task = self.bar.add_task("bench", total=turns, said="")

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()

    def turn(self, work: Work, entry: Entry, number: int) -> None:
        what = f"round {number}/{self.rounds}" if number else "check"
        self.bar.update(self.task, advance=1, said=f"{work.name}  {entry.name}  {what}", refresh=True)


def show(found: Mapping[str, Any]) -> None:
    """The machine, a table for each group of works, and what went wrong."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=WIDE, highlight=False)
    for name, words in _machine(found):
        console.print(f"[bold]{name:<10}[/] {words}", soft_wrap=True)
    begun = [work for work in found["works"] if any(_has_news(timing) for timing in work["engines"].values())]
    for group in dict.fromkeys(work["group"] for work in begun):
        console.print()
        console.print(_table(found, group, [work for work in begun if work["group"] == group]))
    large = [work for work in begun if work["kind"] == "step" and work["sizes"][0] >= LARGE]
    if any(timing.get("memory") is not None for work in large for timing in work["engines"].values()):
        console.print()
        console.print(_memory(found, large))
    for line in _trouble(found):
        console.print(line, markup=False, soft_wrap=True)


def _has_news(timing: Mapping[str, Any]) -> bool:
    return "median" in timing or timing["status"] != "ok"


# ---- the head ----


def _machine(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "cpu", f"{found['cpu']}, {found['cores']} cores to use"
    peaks = [f"{p['gflops']:.1f} {p['dtype']} on {_threads(p['threads'])}" for p in found["peaks"]]
    if peaks:
        yield "FMA peak", ", ".join(peaks) + " (GF/s, measured)"
    for name, engine in found["engines"].items():
        yield name, engine["version"] + _settings(found, engine)
    yield "rounds", f"{found['rounds']}, {found['seconds']:.0f} s in all"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _settings(found: Mapping[str, Any], engine: Mapping[str, Any]) -> str:
    """What decides on an engine's speed: our kernel, or the BLAS that it brought."""
    if engine["ours"]:
        return f", kernel {found['kernel']}, {found['compiler']}"
    return "".join(
        sorted({f", {worker['about']['blas']}" for worker in engine["workers"] if "blas" in worker["about"]})
    )


# ---- the tables ----


def _table(found: Mapping[str, Any], group: str, works: Sequence[Mapping[str, Any]]) -> Table:
    own = [name for name, engine in found["engines"].items() if engine["ours"]]
    peers = [name for name in found["engines"] if name not in own and any(name in work["engines"] for work in works)]
    targets = any(work["target"] for work in works)
    table = Table(title=TITLES.get(group, group), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.pad_edge, table.padding, table.collapse_padding = False, (0, 1), True
    table.add_column("work", no_wrap=True)
    table.add_column("dtype")
    table.add_column("thr", justify="right")
    for words in ("best", "median", "GF/s", "of peak"):
        table.add_column(words, justify="right", style="cyan")
    table.add_column("kernel", style="cyan")
    for name in peers:
        table.add_column(f"{name}\nmedian", justify="right")
        table.add_column("\nGF/s", justify="right", style="dim")
    table.add_column("ratio to\nbest peer", justify="right")
    if targets:
        table.add_column("target")
    for work in works:
        for name in [name for name in own if name in work["engines"]] or [""]:
            cells = [*_own(work, name, found["kernel"]), *_peers(work, peers), _ratio(work, name)]
            label = work["label"] if len(own) < 2 else f"{work['label']} ({name})"
            table.add_row(label, work["dtype"], str(work["threads"]), *cells, *[work["target"]] * targets)
    return table


def _memory(found: Mapping[str, Any], works: Sequence[Mapping[str, Any]]) -> Table:
    title = "Memory that a step needs at most, beyond data, parameters and gradients, in MB"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("work", no_wrap=True)
    table.add_column("thr", justify="right")
    engines = [name for name in found["engines"] if any(name in work["engines"] for work in works)]
    for name in engines:
        table.add_column(name, justify="right", style="cyan" if found["engines"][name]["ours"] else None)
    for work in works:
        bytes_of = [work["engines"].get(name, {}).get("memory") for name in engines]
        cells = ["" if count is None else megabytes_text(count) for count in bytes_of]
        table.add_row(f"{work['label']} {work['dtype']}", str(work["threads"]), *cells)
    return table


def _own(work: Mapping[str, Any], name: str, kernel: str) -> list[str]:
    timing = work["engines"].get(name, {"status": ""})
    if "median" not in timing:
        return ["", _status(timing), "", "", ""]
    percent = timing["percent_of_peak"]
    return [
        seconds_text(timing["best"]),
        seconds_text(timing["median"]),
        three_digits(timing["gflops_median"]),
        "" if percent is None else f"{percent:.1f} %",
        kernel,
    ]


def _peers(work: Mapping[str, Any], peers: Sequence[str]) -> Iterator[str]:
    for name in peers:
        timing = work["engines"].get(name, {"status": ""})
        if "median" in timing:
            yield seconds_text(timing["median"])
            yield three_digits(timing["gflops_median"])
        else:
            yield _status(timing)
            yield ""


def _status(timing: Mapping[str, Any]) -> str:
    words = {"ok": "", "wrong": "[bold red]WRONG[/]", "failed": "[red]failed[/]", "died": "[red]died[/]"}
    return words.get(timing["status"], "")


def _ratio(work: Mapping[str, Any], name: str) -> str:
    ratio = work["engines"].get(name, {}).get("ratio")
    if ratio is None:
        return ""
    return f"[bold {'green' if ratio >= 1 else 'red'}]{three_digits(ratio)}[/] {work['best_peer']}"


def _trouble(found: Mapping[str, Any]) -> Iterator[str]:
    yield from found["notes"]
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for work in found["works"]:
        for name, timing in work["engines"].items():
            if timing["status"] != "ok":
                reasons.setdefault((name, timing["status"], timing["why"]), []).append(work["name"])
    for (name, status, why), names in reasons.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{name}: {names[0]}{more}: {status.upper()}: {why}"
    if found["interrupted"]:
        yield "interrupted: what was measured until then"

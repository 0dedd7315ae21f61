"""The bench's output in a terminal: a line of progress, and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich import box
from rich import progress as bars
from rich.table import Table

from pybackprop.bench.engines.engine import Entry
from pybackprop.bench.schedule import Bench
from pybackprop.bench.workloads import Workload
from pybackprop.core.terminal import stderr_console, stdout_console
from pybackprop.core.units import megabytes_text, seconds_text, threads_text, three_digits

WIDTH = 150  # of text that does not go to a terminal
LARGE = 10_000  # rows from which a step's memory is shown
TITLES = {
    "square": "Square products",
    "lesson": "The lesson's products: forward x @ w + b, backward",
    "small": "Small products, out= given: one call from Python",
    "step": "Steps: forward and backward of all parameters",
    "epoch": "Epochs of SGD with momentum, shuffled",
    "fit": "A classifier by Adam: MLPClassifier.fit, and loops",
    "update": "Adam's update; its peak: reading and writing as much, and nothing else",
    "loss": "Softmax cross-entropy of labels: loss and gradient",
    "epochs, growing width": "Epochs of two hidden layers, as they grow wider",
    "growth with rows": "How a step grows with the number of rows",
    "growth with width": "How a step grows with the width of the hidden layer",
    "growth with depth": "How a step grows with the number of layers",
}


class Progress:
    """A line on stderr that shows which engine runs. Drawn only between turns, so that it does not slow them down."""

    def __init__(self, bench: Bench) -> None:
        self.rounds = bench.rounds
        console = stderr_console()
        self.bar = bars.Progress(
            bars.BarColumn(),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[text]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        checks = sum(entry.does(workload) for workload in bench.workloads for entry in bench.entries)
        self.task = self.bar.add_task("bench", total=checks * (bench.rounds + 1), text="")

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()

    def turn(self, workload: Workload, entry: Entry, number: int) -> None:
        phase = f"round {number}/{self.rounds}" if number else "check"
        self.bar.update(self.task, advance=1, text=f"{workload.name}  {entry.name}  {phase}", refresh=True)


def show(report: Mapping[str, Any]) -> None:
    """The machine, a table for each group of workloads, and what went wrong."""
    console = stdout_console(WIDTH)
    for name, text in _machine(report):
        console.print(f"[bold]{name:<10}[/] {text}", soft_wrap=True)
    started = [workload for workload in report["works"] if any(map(_has_run, workload["engines"].values()))]
    for group in dict.fromkeys(workload["group"] for workload in started):
        console.print()
        console.print(_table(report, group, [workload for workload in started if workload["group"] == group]))
    large = [workload for workload in started if workload["kind"] == "step" and workload["sizes"][0] >= LARGE]
    if any(timing.get("memory") is not None for workload in large for timing in workload["engines"].values()):
        console.print()
        console.print(_memory(report, large))
    for line in _problems(report):
        console.print(line, markup=False, soft_wrap=True)


def _has_run(timing: Mapping[str, Any]) -> bool:
    return "median" in timing or timing["status"] != "ok"


# ---- the head ----


def _machine(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "cpu", f"{report['cpu']}, {report['cores']} cores available"
    peaks = [f"{p['gflops']:.1f} {p['dtype']} on {threads_text(p['threads'])}" for p in report["peaks"]]
    if peaks:
        yield "FMA peak", ", ".join(peaks) + " (GF/s, measured)"
    levels = [f"{three_digits(row['median'])} {row['level']}" for row in report.get("bandwidth", [])]
    if levels:
        on = threads_text(report["bandwidth"][0]["threads"])
        yield "reading", f"{', '.join(levels)} on {on} (GB/s, measured)"
    for name, engine in report["engines"].items():
        yield name, engine["version"] + _settings(report, engine)
    yield "rounds", f"{report['rounds']}, {report['seconds']:.0f} s in all"


def _settings(report: Mapping[str, Any], engine: Mapping[str, Any]) -> str:
    """What an engine's speed depends on: our kernel, or the BLAS that it uses."""
    if engine["ours"]:
        return f", kernel {report['kernel']}, {report['compiler']}"
    return "".join(
        sorted({f", {worker['about']['blas']}" for worker in engine["workers"] if "blas" in worker["about"]})
    )


# ---- the tables ----


def rate(workload: Mapping[str, Any], timing: Mapping[str, Any]) -> float:
    """The median rate, in the unit of the workload."""
    value: float = timing["gflops_median" if workload["flops"] else "gbytes_median"]
    return value


def unit(workload: Mapping[str, Any]) -> str:
    """GF/s, 1e9 floating-point operations per second; or GB/s of a workload that is bound by memory."""
    return "GF/s" if workload["flops"] else "GB/s"


def _table(report: Mapping[str, Any], group: str, workloads: Sequence[Mapping[str, Any]]) -> Table:
    own = [name for name, engine in report["engines"].items() if engine["ours"]]
    peers = [
        name
        for name in report["engines"]
        if name not in own and any(name in workload["engines"] for workload in workloads)
    ]
    targets = any(workload["target"] for workload in workloads)
    table = Table(title=TITLES.get(group, group), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.pad_edge, table.padding, table.collapse_padding = False, (0, 1), True
    table.add_column("workload", no_wrap=True)
    table.add_column("dtype")
    table.add_column("thr", justify="right")
    for head in ("best", "median", unit(workloads[0]), "of peak"):
        table.add_column(head, justify="right", style="cyan")
    table.add_column("kernel", style="cyan")
    rates = unit(workloads[0]) == "GF/s"
    for name in peers:
        table.add_column(f"{name}\nmedian", justify="right")
        if rates:
            table.add_column("\nGF/s", justify="right", style="dim")
    table.add_column("ratio to\nbest peer", justify="right")
    if targets:
        table.add_column("target")
    for workload in workloads:
        for name in [name for name in own if name in workload["engines"]] or [""]:
            cells = [*_own(workload, name, report["kernel"]), *_peers(workload, peers, rates), _ratio(workload, name)]
            label = workload["label"] if len(own) < 2 else f"{workload['label']} ({name})"
            table.add_row(label, workload["dtype"], str(workload["threads"]), *cells, *[workload["target"]] * targets)
    return table


def _memory(report: Mapping[str, Any], workloads: Sequence[Mapping[str, Any]]) -> Table:
    title = "Peak memory of a step, beyond data, parameters and gradients, in MB"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("workload", no_wrap=True)
    table.add_column("thr", justify="right")
    engines = [name for name in report["engines"] if any(name in workload["engines"] for workload in workloads)]
    for name in engines:
        table.add_column(name, justify="right", style="cyan" if report["engines"][name]["ours"] else None)
    for workload in workloads:
        bytes_of = [workload["engines"].get(name, {}).get("memory") for name in engines]
        cells = ["" if count is None else megabytes_text(count) for count in bytes_of]
        table.add_row(f"{workload['label']} {workload['dtype']}", str(workload["threads"]), *cells)
    return table


def _own(workload: Mapping[str, Any], name: str, kernel: str) -> list[str]:
    timing = workload["engines"].get(name, {"status": ""})
    if "median" not in timing:
        return ["", _status(timing), "", "", ""]
    percent = timing["percent_of_peak"]
    return [
        seconds_text(timing["best"]),
        seconds_text(timing["median"]),
        three_digits(rate(workload, timing)),
        "" if percent is None else f"{percent:.1f} %",
        kernel,
    ]


def _peers(workload: Mapping[str, Any], peers: Sequence[str], rates: bool) -> Iterator[str]:
    for name in peers:
        timing = workload["engines"].get(name, {"status": ""})
        if "median" in timing:
            cells = [seconds_text(timing["median"]), three_digits(rate(workload, timing))]
        else:
            cells = [_status(timing), ""]
        yield from cells[: 1 + rates]


def _status(timing: Mapping[str, Any]) -> str:
    texts = {"ok": "", "wrong": "[bold red]WRONG[/]", "failed": "[red]failed[/]", "died": "[red]died[/]"}
    return texts.get(timing["status"], "")


def _ratio(workload: Mapping[str, Any], name: str) -> str:
    ratio = workload["engines"].get(name, {}).get("ratio")
    if ratio is None:
        return ""
    return f"[bold {'green' if ratio >= 1 else 'red'}]{three_digits(ratio)}[/] {workload['best_peer']}"


def _problems(report: Mapping[str, Any]) -> Iterator[str]:
    yield from report["notes"]
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for workload in report["works"]:
        for name, timing in workload["engines"].items():
            if timing["status"] != "ok":
                reasons.setdefault((name, timing["status"], timing["why"]), []).append(workload["name"])
    for (name, status, why), names in reasons.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{name}: {names[0]}{more}: {status.upper()}: {why}"
    if report["interrupted"]:
        yield "interrupted: these are the measurements so far"

"""Reports for people: what a trial found, and times as a table with bars. Loads rich."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pybackprop.core.printable import printable
from pybackprop.core.units import bytes_text, seconds_text, threads_text, three_digits
from pybackprop.lab.roofline.trial import sentence

WIDTH = 110  # of text that does not go to a terminal
BAR, SHORT_BAR = 24, 14  # columns of the longest bar
LINES = "\n\t"
NAMES = {"kernel": "yours"}


def trial_text(trial: Mapping[str, Any]) -> str:
    """A trial as plain text."""
    written = io.StringIO()
    show_trial(trial, Console(file=written, width=WIDTH, highlight=False, force_jupyter=False))
    return written.getvalue().rstrip("\n")


def show_trial(trial: Mapping[str, Any], console: Console) -> None:
    """The command, the verdict, what is wrong, and the times."""
    for line, style in _lines(trial):
        console.print(Text(printable(line, keep=LINES), style=style), soft_wrap=True)
    if trial["timing"] is not None:
        show_times(trial["timing"], console)


def _lines(trial: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"{trial['source']}: {trial['operation']}, {trial['dtype']}", "bold"
    if trial["command"]:
        yield f"compiled by  {trial['command']}", "dim"
    if trial["ok"]:
        yield f"BIT-EQUAL    the definition's bits in all {trial['cases']} cases", "green"
    for finding in trial["findings"]:
        yield f"{finding['kind'].upper()}  {finding['text']}", "yellow" if trial["is_within_rounding"] else "red"
        if finding["case"]:
            yield f"    with {finding['case']}", ""


def show_times(timing: Mapping[str, Any], console: Console) -> None:
    """A row for each engine: median, least and most, rate, percent of the peak."""
    sizes = ", ".join(f"{name}={size}" for name, size in timing["sizes"].items())
    threads = threads_text(timing["threads"])
    title = f"{sizes}, {timing['dtype']}, {threads}; {peak_text(timing)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.pad_edge = False
    table.add_column("")
    for head in ("median", "least", "most", "GF/s", "of peak", "of roof", "GB/s"):
        table.add_column(head, justify="right")
    table.add_column("", no_wrap=True)
    best = max((row["gflops"] for row in timing["engines"].values() if "gflops" in row), default=1.0)
    parts = {row["name"]: row["part"] for row in timing["roofline"]["engines"]}
    for name, row in timing["engines"].items():
        if "median" in row:
            times = [seconds_text(row[key]) for key in ("median", "least", "most")]
            cells = [
                *times,
                three_digits(row["gflops"]),
                f"{row['percent_of_peak']:.1f} %",
                f"{parts[name]:.1%}".replace("%", " %") if name in parts else "",
                three_digits(row["gigabytes"]),
                bar(row["gflops"] / best),
            ]
            table.add_row(NAMES.get(name, name), *cells)
    console.print(table)
    for name, row in timing["engines"].items():
        if "why" in row:
            console.print(Text(f"{NAMES.get(name, name)}: not timed, {row['why']}"), soft_wrap=True)
    for note in (sentence(timing), *timing["notes"]):
        console.print(Text(note), soft_wrap=True)


def peak_text(timing: Mapping[str, Any]) -> str:
    """The FMA peak with its spread."""
    peaks = timing["peaks"]
    return f"FMA peak {peaks['most']:.0f} GF/s (median {peaks['median']:.0f}, least {peaks['least']:.0f})"


def bar(share: float, columns: int = BAR) -> str:
    """A bar of so much of these columns, in eighths."""
    eighths = max(1, round(share * columns * 8))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def show_ladder(report: Mapping[str, Any], console: Console) -> None:
    """A row for each rung from below to the top, and a sentence on each."""
    sizes = ", ".join(f"{name}={size}" for name, size in report["sizes"].items())
    threads = threads_text(report["threads"])
    console.print(Text(f"{report['ladder']}: {report['equation']}", style="bold"), soft_wrap=True)
    zeros = f"{report['zeros']:.0%} of the first operand is zero"
    console.print(Text(f"{sizes}, float32, {zeros}; {report['cpu']}"), soft_wrap=True)
    console.print(Text(f"{peak_text(report)} on {threads}; {report['compiler']}"), soft_wrap=True)
    console.print(_ladder_table(report))
    for row in report["rungs"]:
        if row["rung"]:
            console.print(Text(f"{row['name']:<10} {row['about']}"), soft_wrap=True)
    for row in report["rungs"]:
        for problem in [*row.get("wrong", ()), *([f"not timed, {row['why']}"] if row.get("why") else [])]:
            console.print(Text(printable(f"{row['name']}: {problem}", keep=LINES), style="red"), soft_wrap=True)
    for note in report["notes"]:
        console.print(Text(note), soft_wrap=True)


def _ladder_table(report: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.pad_edge, table.padding, table.collapse_padding = False, (0, 1), True
    table.add_column("rung", no_wrap=True)
    table.add_column("bits", no_wrap=True)
    for head in ("median", "least", "most", "GF/s", "of peak", "speed-up", "moved"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    best = max((row["gflops"] for row in report["rungs"] if "gflops" in row), default=1.0)
    for row in report["rungs"]:
        if "median" not in row:
            continue
        times = [seconds_text(row[key]) for key in ("median", "least", "most")]
        faster = three_digits(row["speedup"]) if row.get("speedup") else ""
        cells = [three_digits(row["gflops"]), f"{row['percent_of_peak']:.1f} %", faster]
        bits = {True: "equal", False: "[red]WRONG[/]"}[row["bit_equal"]] if row["rung"] else ""
        moved = bytes_text(row["moved"]) if row["rung"] else ""
        table.add_row(
            row["name"],
            bits,
            *times,
            *cells,
            moved,
            bar(row["gflops"] / best, SHORT_BAR),
            style="" if row["rung"] else "cyan",
        )
    return table

"""A roofline in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from pybackprop.core.terminal import stdout_console
from pybackprop.core.units import bytes_text, seconds_text, threads_text, three_digits
from pybackprop.lab import fitness

WIDTH = 190
HEADS = ("time", "95 % of medians", "flops per byte", "bytes", "in", "GF/s", "reachable", "part", "bound")


def show(report: Mapping[str, Any]) -> None:
    """Each operation's place under the roof, the roof, and in which state the machine was."""
    console = stdout_console(WIDTH)
    threads = threads_text(report["threads"])
    chain = "→".join(map(str, report["widths"]))
    title = f"{chain}, {report['batch']} rows, {report['dtype']}, kernel {report['kernel']}, at most {threads}"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("operation", no_wrap=True)
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("what it would take")
    for row in report["operations"]:
        interval = f"{seconds_text(row['low'])} to {seconds_text(row['high'])}"
        place = (three_digits(row["intensity"]), bytes_text(row["bytes"]), row["level"])
        rates = (three_digits(row["gflops"]), three_digits(row["reachable_gflops"]), f"{row['part']:.0%}")
        table.add_row(row["name"], seconds_text(row["median"]), interval, *place, *rates, row["bound"], row["advice"])
    console.print(table)
    levels = ", ".join(f"{level['name']} {level['bandwidth']:.0f}" for level in report["roof"]["levels"])
    console.print(f"the roof: {report['roof']['peak']:.0f} GF/s; reading, GB/s: {levels}", markup=False)
    for line in (*report["warnings"], *report["notes"], *fitness.sentences(report["fitness"])):
        console.print(line, markup=False, soft_wrap=True)

"""A ladder as a figure, with matplotlib (the extra `plot`): a bar for each rung, the peak as a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pybackprop.core import plotting
from pybackprop.core.units import seconds_text, threads_text, three_digits

COLOUR, TOP, PEER = "#d1495b", "#8f1d35", "#4d77a5"
BAR, HEAD = 0.36, 1.6  # inches
INSIDE = 0.2  # of the peak: a bar beyond has its numbers inside


def draw(path: Path, report: Mapping[str, Any]) -> None:
    """Rates on a logarithmic axis, from the lowest rung at the bottom to the library's kernel and numpy at the top."""
    rows = [row for row in report["rungs"] if "median" in row]
    figure = plotting.matplotlib_figure().Figure(figsize=(9, HEAD + BAR * len(rows)), layout="constrained")
    axes = figure.subplots()
    for at, row in enumerate(rows):
        colour = COLOUR if row["rung"] else PEER if row["name"] == "numpy" else TOP
        axes.barh(at, row["gflops"], 0.72, color=colour)
        rates = [report["flops"] / row[key] / 1e9 for key in ("most", "least")]
        axes.plot(rates, [at, at], color="black", linewidth=1)
        label = f" {three_digits(row['gflops'])} GF/s, {seconds_text(row['median'])} "
        is_long = row["gflops"] > INSIDE * report["peak"]  # then there is room in the bar, and not beside it
        place = {"ha": "right", "color": "white"} if is_long else {"ha": "left", "color": "black"}
        axes.annotate(label, ((min if is_long else max)(rates), at), va="center", fontsize=8, **place)
    axes.axvline(report["peak"], color="black", linewidth=1.4, linestyle="--")
    axes.annotate(f"FMA peak {report['peak']:.0f} ", (report["peak"], -0.75), ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set(
        xscale="log",
        xlabel="GF/s: median, and a line from the slowest to the fastest round",
        ylim=(-1.1, len(rows) - 0.4),
    )
    axes.set_xlim(right=1.3 * max(report["peak"], *(row["gflops"] for row in rows)))
    sizes = ", ".join(f"{name}={size}" for name, size in report["sizes"].items())
    threads = threads_text(report["threads"])
    state = f"{report['cpu']}; the machine was {report['fitness']['state']}"
    axes.set_title(f"{report['ladder']}, {sizes}, at most {threads}\n{state}", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)

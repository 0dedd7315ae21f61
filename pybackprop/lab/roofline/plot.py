"""A roofline as a figure, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import atan, degrees
from pathlib import Path
from typing import Any

from pybackprop.core import plotting
from pybackprop.core.units import threads_text, three_digits

COLOURS = ("#5fa08a", "#4d77a5", "#e8a23d", "#8a5a9e", "#5b5b5b")  # of the levels
MARKS = "osD^vP*Xhd<>"
INK = "#8f1d35"
BEGIN, ABOVE = 1.15, 1.06  # of the least operations per byte, and of the line there: where the name of a level begins


def draw(path: Path, report: Mapping[str, Any]) -> None:
    """The operations of a model; the last one, its whole step, stands out."""
    chain = "→".join(map(str, report["widths"]))
    threads = threads_text(report["threads"])
    title = f"{chain}, {report['batch']} rows, {report['dtype']}, kernel {report['kernel']}, at most {threads}"
    state = f"{report['cpu']}; the machine was {report['fitness']['state']}"
    rows = report["operations"]
    picture(path, rows, report["roof"], f"{title}\n{state}", len(rows) - 1)


def picture(path: Path, rows: Sequence[Mapping[str, Any]], roof: Mapping[str, Any], title: str, main: int) -> None:
    """Rates over flops per byte, both logarithmic: the roof of each level, each row with its interval.

    rows, roof: from `roof.placed` and `roof.told`. main: the row that stands out.
    """
    figure = plotting.matplotlib_figure().Figure(figsize=(11, 6.2), layout="constrained")
    axes = figure.subplots()
    ridges = [roof["peak"] / level["bandwidth"] for level in roof["levels"]]
    least = min([*(row["intensity"] for row in rows), *ridges]) / 3
    most = max([*(row["intensity"] for row in rows), *ridges]) * 3
    for level, ridge, colour in zip(roof["levels"], ridges, COLOURS * len(ridges), strict=False):
        axes.plot([least, ridge], [least * level["bandwidth"], roof["peak"]], color=colour, linewidth=1.6)
        text = f"{level['name']}, {three_digits(level['bandwidth'])} GB/s"
        axes.text(
            least * BEGIN,
            least * BEGIN * level["bandwidth"] * ABOVE,
            text,
            rotation=degrees(atan(level["bandwidth"])),  # along its line, whose slope that is
            transform_rotates_text=True,
            rotation_mode="anchor",
            fontsize=8,
            color=colour,
        )
    axes.plot([min(ridges), most], [roof["peak"]] * 2, color="black", linewidth=1.6)
    text = f"FMA peak {roof['peak']:.0f} GF/s"
    axes.annotate(text, (most, roof["peak"]), (0, 4), textcoords="offset points", ha="right", fontsize=8)
    for number, row in enumerate(rows):
        low, high = row["gflops"] - row["gflops_low"], row["gflops_high"] - row["gflops"]
        label = f"{row['name']}: {three_digits(row['gflops'])} GF/s, {row['part']:.0%} of the roof in {row['level']}"
        style = {"fmt": MARKS[number % len(MARKS)], "markersize": 6, "capsize": 2, "linewidth": 1}
        colour = INK if number == main else f"C{number % 10}"
        axes.errorbar(
            row["intensity"], row["gflops"], [[max(low, 0)], [max(high, 0)]], color=colour, label=label, **style
        )
    axes.set(
        xscale="log", yscale="log", xlabel="floating-point operations per byte moved", ylabel="GF/s", xlim=(least, most)
    )
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    figure.savefig(path, dpi=130)

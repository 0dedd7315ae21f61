"""A roofline as a figure, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pybackprop.core import plotting
from pybackprop.core.units import three_digits

COLOURS = ("#5fa08a", "#4d77a5", "#e8a23d", "#8a5a9e", "#5b5b5b")  # of the levels
MARKS = "osD^vP*Xhd<>"
INK = "#8f1d35"
BESIDE = 3.5  # times the least operations per byte: where the name of a level ends at its line


def draw(path: Path, report: Mapping[str, Any]) -> None:
    """Rates over flops per byte, both logarithmic: the roof of each level, each operation with its interval."""
    figure = plotting.matplotlib_figure().Figure(figsize=(11, 6.2), layout="constrained")
    axes = figure.subplots()
    rows, roof = report["operations"], report["roof"]
    ridges = [roof["peak"] / level["bandwidth"] for level in roof["levels"]]
    least = min([*(row["intensity"] for row in rows), *ridges]) / 3
    most = max([*(row["intensity"] for row in rows), *ridges]) * 3
    for level, ridge, colour in zip(roof["levels"], ridges, COLOURS * len(ridges), strict=False):
        axes.plot([least, ridge], [least * level["bandwidth"], roof["peak"]], color=colour, linewidth=1.6)
        text = f"{level['name']}, {three_digits(level['bandwidth'])} GB/s"
        at = (least * BESIDE, least * BESIDE * level["bandwidth"])
        axes.annotate(text, at, (-6, 0), textcoords="offset points", ha="right", fontsize=8, color=colour)
    axes.plot([min(ridges), most], [roof["peak"]] * 2, color="black", linewidth=1.6)
    text = f"FMA peak {roof['peak']:.0f} GF/s"
    axes.annotate(text, (most, roof["peak"]), (0, 4), textcoords="offset points", ha="right", fontsize=8)
    for number, row in enumerate(rows):
        low, high = row["gflops"] - row["gflops_low"], row["gflops_high"] - row["gflops"]
        label = f"{row['name']}: {three_digits(row['gflops'])} GF/s, {row['part']:.0%} of the roof in {row['level']}"
        style = {"fmt": MARKS[number % len(MARKS)], "markersize": 6, "capsize": 2, "linewidth": 1}
        colour = INK if number == len(rows) - 1 else f"C{number % 10}"
        axes.errorbar(
            row["intensity"], row["gflops"], [[max(low, 0)], [max(high, 0)]], color=colour, label=label, **style
        )
    axes.set(
        xscale="log", yscale="log", xlabel="floating-point operations per byte moved", ylabel="GF/s", xlim=(least, most)
    )
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    chain = "→".join(map(str, report["widths"]))
    threads = f"{report['threads']} thread{'s' * (report['threads'] > 1)}"
    title = f"{chain}, {report['batch']} rows, {report['dtype']}, kernel {report['kernel']}, at most {threads}"
    axes.set_title(f"{title}\n{report['cpu']}; the machine was {report['fitness']['state']}", loc="left", fontsize=10)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    figure.savefig(path, dpi=130)

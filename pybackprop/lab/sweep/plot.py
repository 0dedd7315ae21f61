"""A sweep's heat maps as a figure, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pybackprop.core import plotting
from pybackprop.core.units import three_digits
from pybackprop.lab.sweep.table import Map, maps, value_text

CELL, EDGE, LEAST = (1.1, 0.5), (2.2, 1.6), 4.5  # inches
ACROSS = 2  # maps beside each other
DARK = 0.55  # of the scale, below which the ink is white


def draw(path: Path, result: Mapping[str, Any]) -> None:
    """GF/s of the medians, all maps on one scale of colours; under each rate its 95 % interval."""
    figures, found = plotting.matplotlib_figure(), maps(result)
    columns = min(ACROSS, len(found))
    rows = -(-len(found) // columns)
    width = max(LEAST, max(len(each.across) for each in found) * CELL[0] + EDGE[0]) * columns
    height = (max(len(each.down) for each in found) * CELL[1] + EDGE[1]) * rows + 0.8
    figure = figures.Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    rates = [row["gflops_median"] for row in result["points"]]
    for place in axes[len(found) :]:
        place.set_axis_off()
    image = None
    for place, each in zip(axes, found, strict=False):
        image = _draw(place, each, min(rates), max(rates))
    figure.colorbar(image, ax=list(axes[: len(found)]), label="GF/s, median")
    figure.suptitle(f"{result['machine']['cpu']}; the machine was {result['fitness']['state']}", fontsize=10)
    figure.savefig(path, dpi=130)


def _draw(axes: Any, each: Map, least: float, most: float) -> Any:
    grid = [[_rate(each, down, across) for across in each.across] for down in each.down]
    image = axes.imshow(grid, aspect="auto", cmap="magma", vmin=least, vmax=most if most > least else least * 1.01)
    for y, down in enumerate(each.down):
        for x, across in enumerate(each.across):
            row = each.cells.get((down, across))
            if row is not None:
                is_dark = row["gflops_median"] < least + DARK * (most - least)
                text = f"{three_digits(row['gflops_median'])}\n{three_digits(row['gflops_low'])} to "
                text += three_digits(row["gflops_high"])
                colour = "white" if is_dark else "black"
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(each.across)), [value_text(value) for value in each.across], fontsize=8)
    axes.set_yticks(range(len(each.down)), [value_text(value) for value in each.down], fontsize=8)
    axes.set(xlabel=each.columns, ylabel=each.rows)
    axes.set_title(each.title, loc="left", fontsize=9, fontweight="bold")
    return image


def _rate(each: Map, down: Any, across: Any) -> float:
    row = each.cells.get((down, across))
    return float("nan") if row is None else float(row["gflops_median"])

"""Sweeps and their differences in a terminal: a heat map of rates, a list of points, a list of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from pybackprop.core.terminal import stdout_console
from pybackprop.core.units import seconds_text, three_digits
from pybackprop.lab import fitness
from pybackprop.lab.sweep import diff
from pybackprop.lab.sweep.grid import Point, point, shape_text, varied

WIDTH = 150
SHADES = ("#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf")  # from slow to fast
INKS = ("white", "white", "white", "black", "black")
POINT = ("op", "shape", "dtype", "kernel", "threads", "block", "depth")


class Map:
    """A rectangle of points: rows and columns are two axes, all else is fixed."""

    def __init__(self, title: str, rows: str, columns: str, cells: Mapping[tuple[Any, Any], Mapping[str, Any]]) -> None:
        self.title, self.rows, self.columns, self.cells = title, rows, columns, cells
        self.down = list(dict.fromkeys(down for down, _ in cells))
        self.across = list(dict.fromkeys(across for _, across in cells))


def maps(result: Mapping[str, Any]) -> list[Map]:
    """The result's points as rectangles, along the two axes with most values."""
    rows = {point_of(row): row for row in result["points"]}
    axes = varied(list(rows))
    down, across = (axes[0] if axes else "shape"), (axes[1] if len(axes) > 1 else None)
    rest = [name for name in axes if name not in (down, across)]
    found = []
    for fixed in product(*(dict.fromkeys(getattr(each, name) for each in rows) for name in rest)):
        some = {p: row for p, row in rows.items() if [getattr(p, name) for name in rest] == list(fixed)}
        cells = {(getattr(p, down), getattr(p, across) if across else ""): row for p, row in some.items()}
        one = next(iter(rows))
        fixed_text = ", ".join(f"{name} {value_text(value)}" for name, value in zip(rest, fixed, strict=True))
        found.append(Map(f"{one.op}{', ' * bool(fixed_text)}{fixed_text}", down, across or "", cells))
    return found


def point_of(row: Mapping[str, Any]) -> Point:
    return point({name: row[name] for name in POINT})


def value_text(value: Any) -> str:
    """An axis's value: 512x512x512, avx2, usual."""
    return "usual" if value is None else shape_text(value) if isinstance(value, (tuple, list)) else str(value)


def show(result: Mapping[str, Any]) -> None:
    """The heat maps, each point's spread, and in which state the machine was."""
    console = stdout_console(WIDTH)
    for each in maps(result):
        console.print(_heat(each))
    console.print(_points(result))
    for line in (*result["warnings"], *fitness.sentences(result["fitness"])):
        console.print(line, markup=False, soft_wrap=True)


def _heat(each: Map) -> Table:
    title = f"{each.title}: GF/s, median"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.min_width = len(title)  # or it would be wrapped
    table.add_column(f"{each.rows} \\ {each.columns}" if each.columns else each.rows, no_wrap=True)
    for across in each.across:
        table.add_column(value_text(across), justify="right", no_wrap=True)
    rates = [row["gflops_median"] for row in each.cells.values()]
    for down in each.down:
        cells = [_cell(each.cells.get((down, across)), min(rates), max(rates)) for across in each.across]
        table.add_row(value_text(down), *cells)
    return table


def _cell(row: Mapping[str, Any] | None, least: float, most: float) -> Text:
    if row is None:
        return Text("")
    rate = row["gflops_median"]
    shade = min(len(SHADES) - 1, int((rate - least) / (most - least) * len(SHADES))) if most > least else 2
    return Text(f" {three_digits(rate)} ", style=f"{INKS[shade]} on {SHADES[shade]}")


def _points(result: Mapping[str, Any]) -> Table:
    heads = ("median", "95 % of medians", "best", "GF/s", "samples", "far", "drift", "not quiet", "left out")
    table = Table(title="Each point", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in result["points"]:
        interval = f"{seconds_text(row['low'])} to {seconds_text(row['high'])}"
        counts = (str(row["samples"]), str(row["outliers"]), f"{row['drift']:+.0%}" if row["drift"] else "")
        states = (str(row["not_quiet"] or ""), str(row["left_out"] or ""))
        times = (seconds_text(row["median"]), interval, seconds_text(row["least"]), three_digits(row["gflops_median"]))
        table.add_row(row["label"], *times, *counts, *states)
    return table


def show_diff(found: Mapping[str, Any], names: Sequence[str]) -> None:
    """The differences, what is in one result only, and what to know about them."""
    console = stdout_console(WIDTH)
    title = f"{names[1]} compared with {names[0]}: median times, their ratio"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point", no_wrap=True)
    for head in ("first", "second", "ratio", "chance", "verdict"):
        table.add_column(head, justify="right", no_wrap=True)
    colours = {diff.SLOWER: "red", diff.FASTER: "green", diff.NONE: "", diff.UNCLEAR: "yellow"}
    for row in found["points"]:
        times = [f"{seconds_text(row[n]['median'])} ({_range(row[n])})" for n in ("a", "b")]
        chance = "< 0.0001" if row["chance"] < 1e-4 else f"{row['chance']:.2g}"
        verdict = Text(row["verdict"], style=colours[row["verdict"]])
        table.add_row(row["label"], *times, f"{row['ratio']:.3f}", chance, verdict)
    console.print(table)
    for name, missing in (("first", found["only_in_a"]), ("second", found["only_in_b"])):
        for label in missing:
            console.print(f"only in the {name}: {label}", markup=False, soft_wrap=True)
    console.print(f"{found['real']} of {len(found['points'])} differences are real", markup=False)
    for line in found["notes"]:
        console.print(line, markup=False, soft_wrap=True)


def _range(numbers: Mapping[str, float]) -> str:
    return f"{seconds_text(numbers['low'])} to {seconds_text(numbers['high'])}"

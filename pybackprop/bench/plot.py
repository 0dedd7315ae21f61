"""The report of a bench as a figure, with matplotlib (the extra `bench`): bars by engine, curves over sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pybackprop.bench.table import TITLES, rate, unit
from pybackprop.core.units import seconds_text, threads_text, three_digits

COLOURS = {"plan": "#8f1d35", "pybackprop": "#d1495b", "numpy": "#4d77a5", "torch": "#e8a23d", "jax": "#5fa08a"}
MORE_COLOURS = ("#8a5a9e", "#8c8c8c", "#5b5b5b")  # for the other engines
DASHES: Any = ("-", "--", ":")
CURVES = {  # groups that are drawn as curves over a size: the label, and how to get it from the sizes
    "small": ("n: an n x n matrix times another", lambda sizes: sizes[0]),
    "epochs, growing width": ("width of both hidden layers", lambda sizes: sizes[2]),
    "growth with rows": ("rows", lambda sizes: sizes[0]),
    "growth with width": ("width of the hidden layer", lambda sizes: sizes[2]),
    "growth with depth": ("layers", lambda sizes: len(sizes) - 2),
}
COLUMN, BAR, GAP, HEAD, CURVES_HEIGHT = 8.0, 0.15, 0.16, 0.75, 4.0  # inches


def draw(path: Path, report: Mapping[str, Any]) -> None:
    """Rates from the medians, in two columns, a panel for each group: bars with the FMA peak marked, or curves."""
    names = dict.fromkeys(workload["group"] for workload in report["works"])
    groups = [group for group in names if _timed(report, group)]
    columns: list[list[str]] = [[], []]
    for group in sorted(groups, key=lambda group: group in CURVES):
        min(columns, key=lambda column: sum(_height(report, group) for group in column)).append(group)
    columns = [column for column in columns if column]
    highest = max((sum(_height(report, group) for group in column) for column in columns), default=0)
    figure = Figure(figsize=(COLUMN * max(1, len(columns)), 1.0 + highest), layout="constrained")
    for part, column in zip(figure.subfigures(1, max(1, len(columns)), squeeze=False)[0], columns, strict=False):
        ratios = [_height(report, group) for group in column]
        for axes, group in zip(
            part.subplots(len(column), squeeze=False, height_ratios=ratios)[:, 0], column, strict=True
        ):
            of = unit(_timed(report, group)[0])
            axes.set_title(TITLES.get(group, group) + f" ({of})" * (of != "GF/s"), loc="left", fontweight="bold")
            if group in CURVES:
                _curves(axes, report, _timed(report, group), *CURVES[group])
            else:
                _bars(axes, report, _timed(report, group))
            axes.spines[["top", "right"]].set_visible(False)
    _legend(figure, report)
    figure.savefig(path, dpi=130)


def _timed(report: Mapping[str, Any], group: str) -> list[Mapping[str, Any]]:
    """A group's workloads for which at least one engine has a time."""
    return [
        workload
        for workload in report["works"]
        if workload["group"] == group and any("median" in timing for timing in workload["engines"].values())
    ]


def _height(report: Mapping[str, Any], group: str) -> float:
    """Inches that a group's panel takes."""
    if group in CURVES:
        return CURVES_HEIGHT
    return HEAD + sum(BAR * len(workload["engines"]) + GAP for workload in _timed(report, group))


def _colours(report: Mapping[str, Any]) -> dict[str, str]:
    more = iter(MORE_COLOURS * len(report["engines"]))
    return {name: COLOURS[name] if name in COLOURS else next(more) for name in report["engines"]}


def _bars(axes: Any, report: Mapping[str, Any], workloads: Sequence[Mapping[str, Any]]) -> None:
    """Workloads from top to bottom; our engines before the peers, each with rate and time; the peak as a black line."""
    at, ticks = 0.0, []
    for workload in workloads:
        bottom = _bars_of(axes, report, workload, at)
        if workload["peak"]:
            axes.vlines(workload["peak"], at - BAR / 2, bottom - BAR / 2, color="black", linewidth=1.8, zorder=3)
        label = f"{workload['label']}\n{_setting(workload['dtype'], workload['threads'])}{_ratio(workload)}"
        ticks.append(((at + bottom - BAR) / 2, label))
        at = bottom + GAP
    highest = max([rate(w, t) for w in workloads for t in w["engines"].values() if "median" in t])
    axes.set_yticks([y for y, _ in ticks], [label for _, label in ticks], fontsize=8)
    axes.set(ylim=(at - GAP - BAR / 2 + 0.05, -BAR / 2 - 0.05))
    axes.set(xlim=(0, 1.15 * max([highest, *[workload["peak"] or 0 for workload in workloads]])))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _bars_of(axes: Any, report: Mapping[str, Any], workload: Mapping[str, Any], at: float) -> float:
    """Draws one workload's bars from `at` on; returns where the next bar would be."""
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.3}
    for name in sorted(workload["engines"], key=lambda name: not report["engines"][name]["ours"]):
        timing = workload["engines"][name]
        if "median" in timing:
            value = rate(workload, timing)
            axes.barh(at, value, BAR * 0.92, color=_colours(report)[name])
            label = f"{three_digits(value)}   {seconds_text(timing['median'])}"
            axes.annotate(
                label, (value, at), (4, 0), textcoords="offset points", va="center", fontsize=7, zorder=4, bbox=paper
            )
        at += BAR
    return at


def _setting(dtype: str, threads: int) -> str:
    return f"{dtype}, {threads_text(threads)}"


def _ratio(workload: Mapping[str, Any]) -> str:
    ratios = [timing["ratio"] for timing in workload["engines"].values() if "ratio" in timing]
    return f", {three_digits(ratios[0])} x {workload['best_peer']}" if ratios else ""


def _curves(
    axes: Any, report: Mapping[str, Any], workloads: Sequence[Mapping[str, Any]], label: str, size: Callable[[Any], int]
) -> None:
    """Rates of products, or times of steps, over a size, on logarithmic axes, by engine and threads; peak in black."""
    colours, timed = _colours(report), workloads[0]["kind"] == "step"
    settings = list(dict.fromkeys((workload["dtype"], workload["threads"]) for workload in workloads))
    for number, (dtype, threads) in enumerate(settings):
        some = [workload for workload in workloads if (workload["dtype"], workload["threads"]) == (dtype, threads)]
        at = [size(workload["sizes"]) for workload in some]
        for name in report["engines"]:
            known = {n: _height_of(w, name, timed) for n, w in zip(at, some, strict=True) if _has_time(w, name)}
            width = 2.4 if report["engines"][name]["ours"] else 1.4
            style = {"color": colours[name], "marker": "o", "markersize": 4, "linewidth": width}
            axes.plot([*known], [*known.values()], DASHES[number % 3], **style)
        if some[0]["peak"]:
            limit = [workload["flops"] / workload["peak"] / 1e6 if timed else workload["peak"] for workload in some]
            axes.plot(at, limit, DASHES[number % 3], color="black", linewidth=1.6)
    sizes = sorted({size(workload["sizes"]) for workload in workloads})
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="ms" if timed else "GF/s")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.grid(color="#dddddd", linewidth=0.6)
    lines = [
        Line2D([], [], color="black", linestyle=DASHES[number % 3], label=_setting(dtype, threads))
        for number, (dtype, threads) in enumerate(settings)
    ]
    axes.legend(handles=lines, loc="lower right", frameon=False)


def _has_time(workload: Mapping[str, Any], name: str) -> bool:
    return "median" in workload["engines"].get(name, {})


def _height_of(workload: Mapping[str, Any], name: str, timed: bool) -> float:
    """Milliseconds of a step; GF/s of a product."""
    timing: Mapping[str, float] = workload["engines"][name]
    return timing["median"] * 1e3 if timed else rate(workload, timing)


def _legend(figure: Any, report: Mapping[str, Any]) -> None:
    handles: list[Any] = [
        Patch(color=colour, label=f"{name} {report['engines'][name]['version']}")
        for name, colour in sorted(_colours(report).items(), key=lambda one: not report["engines"][one[0]]["ours"])
    ]
    if report["peaks"]:
        handles.append(Line2D([], [], color="black", linewidth=1.6, label="FMA peak, measured"))
    title = f"{report['cpu']}: GF/s (1e9 floating-point operations per second), kernel {report['kernel']}"
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, title=title, title_fontsize=13
    )

"""An explanation as heat maps, with matplotlib (the extra `plot`).

The matrices that take part, with the element, what it moves and what it is multiplied by framed, and the terms as
bars with their running sum. Only a window of a large matrix is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path as File
from typing import Any

import numpy as np

from pybackprop.core import plotting
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.facts import Facts
from pybackprop.teach.explain.rules import Path
from pybackprop.teach.explain.rules.rule import Line, line
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import element

WINDOW = 16  # rows and columns of a matrix that are drawn
BARS = 40  # terms that are drawn
COLOURS = {"element": "#e69f00", "moved": "#0072b2", "local": "#009e73", "upstream": "#cc79a7", "total": "black"}
LITERAL: Any = {"family": "monospace", "parse_math": False}  # a $ in a name must not start a formula
LABELS = {
    "element": "the element",
    "moved": "what it moves",
    "local": "by how much",
    "upstream": "how much the loss cares",
    "total": "its gradient",
}


@dataclass(frozen=True)
class Panel:
    """One matrix, and which part of it is framed: a row, a column, or one element (None: all of that axis)."""

    title: str
    array: Array
    role: str
    row: int | None
    column: int | None


def figure_of(e: Facts, path: str | File | None = None) -> Any:
    """The figure; saved too, if there is a path. Raises ImportError, ValueError or OSError before it draws."""
    where = None if path is None else File(path)
    if where is not None:
        plotting.check(where)
    figure = plotting.matplotlib_figure().Figure(figsize=(13, 6.5), layout="constrained")
    if not e.paths:
        _draw_chain(e, figure)
    else:
        _draw(e, figure)
    if where is not None:
        figure.savefig(where, dpi=150)
    figure._repr_png_ = partial(_png, figure)  # so that a notebook shows it without pyplot
    return figure


def _png(figure: Any) -> bytes:
    memory = BytesIO()
    figure.savefig(memory, format="png", dpi=100)
    return memory.getvalue()


def _draw(e: Facts, figure: Any) -> None:
    path = e.paths[0]
    panels = _panels(e, path)
    top, below = figure.subfigures(2, 1, height_ratios=[3, 2])
    for axes, panel in zip(np.atleast_1d(top.subplots(1, len(panels))), panels, strict=True):
        _heat_map(axes, panel)
    _bars(below.subplots(), e)
    more = f"  (path 1 of {len(e.paths)})" if len(e.paths) > 1 else ""
    figure.suptitle(f"{e.gradient_name} = {e.total:.6g}        {e.name}.g = {e.matmul}{more}", **LITERAL)


def _panels(e: Facts, path: Path) -> list[Panel]:
    """From left to right: the other factor, the element, what it moves, the upstream gradient, the gradient."""
    network, out = e.walk.network, path.operation.output
    marks = path.rule.marks(path)
    mine = Panel(e.name, e.tensor._array, "element", *line(e.at))
    gradient = Panel(f"{e.name}.g", e.walk.of(e.tensor), "total", *line(e.at))
    arrives = []
    if marks.moved is not None:
        arrives = [
            Panel(network.name(out), out._array, "moved", *marks.moved),
            Panel(f"{network.name(out)}.g", e.walk.of(out), "upstream", *marks.moved),
        ]
    factor = [] if marks.factor is None else [_factor(path, network, *marks.factor)]
    return [*factor, mine, *arrives, gradient] if marks.before else [mine, *factor, *arrives, gradient]


def _factor(path: Path, network: Network, slot: int, where: Line) -> Panel:
    tensor = path.operation.inputs[slot]
    return Panel(network.name(tensor), tensor._array, "local", *where)


def _heat_map(axes: Any, panel: Panel) -> None:
    whole = panel.array.reshape(1, -1) if panel.array.ndim < 2 else panel.array.reshape(len(panel.array), -1)
    rows, columns = _window(len(whole), panel.row), _window(whole.shape[1], panel.column)
    shown = np.asarray(whole[rows, columns], np.float64)
    finite = np.abs(shown[np.isfinite(shown)])
    limit = float(finite.max(initial=0)) or 1.0
    edges = (columns.start - 0.5, columns.stop - 0.5, rows.stop - 0.5, rows.start - 0.5)
    axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=edges, aspect="equal")
    _numbers(axes, shown, rows.start, columns.start, limit)
    if panel.role in COLOURS:
        axes.add_patch(_frame(panel, rows, columns))
    n, m = whole.shape
    part = (
        ""
        if shown.shape == whole.shape
        else f"\nrows {rows.start}-{rows.stop - 1}, columns {columns.start}-{columns.stop - 1}"
    )
    axes.set_title(f"{panel.title} ({n},{m}){part}", fontsize=10, **LITERAL)
    axes.set_xlabel(LABELS.get(panel.role, ""), color=COLOURS.get(panel.role, "black"), fontweight="bold")
    axes.set_xticks(_ticks(columns))
    axes.set_yticks(_ticks(rows))


def _frame(panel: Panel, rows: slice, columns: slice) -> Any:
    """Around a row, a column, or one element."""
    from matplotlib.patches import Rectangle

    top, height = (rows.start, rows.stop - rows.start) if panel.row is None else (panel.row, 1)
    left, width = (columns.start, columns.stop - columns.start) if panel.column is None else (panel.column, 1)
    look: Any = {"fill": False, "edgecolor": COLOURS[panel.role], "linewidth": 3, "clip_on": False}
    return Rectangle((left - 0.5, top - 0.5), width, height, **look)


def _ticks(shown: slice) -> range:
    return range(shown.start, shown.stop, 1 + (shown.stop - shown.start) // 9)


def _window(length: int, marked: int | None) -> slice:
    """At most WINDOW positions, the marked one among them."""
    start = 0 if marked is None else max(0, min(marked - WINDOW // 2, length - WINDOW))
    return slice(start, min(length, start + WINDOW))


def _numbers(axes: Any, shown: Array, top: int, left: int, limit: float) -> None:
    """The values themselves, if the matrix is small."""
    if max(shown.shape) > 8:
        return
    size = 8 if shown.shape[1] <= 5 else 5.5
    for (i, j), value in np.ndenumerate(shown):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        axes.text(left + j, top + i, f"{value + 0.0:.3g}", ha="center", va="center", fontsize=size, color=colour)


def _bars(axes: Any, e: Facts) -> None:
    """The terms (only the largest if there are many) and their running sum in the definition's order."""
    products = np.concatenate([path.products for path in e.paths])
    count = len(products)
    largest = np.argsort(-np.abs(np.nan_to_num(products)), kind="stable")[:BARS]
    axes.bar(
        largest, products[largest], color=COLOURS["moved"], label="terms: by how much, times how much the loss cares"
    )
    ends = np.unique(np.linspace(1, count, min(count, 100)).astype(int))
    axes.plot(ends - 1, _sums(e, ends), color="black", marker="." if count <= BARS else "", label="sum so far")
    axes.axhline(e.total, color="black", linestyle=":", label=f"total {e.total:.6g}")
    axes.axhline(0, color="grey", linewidth=0.5)
    if count <= 16:
        axes.set_xticks(
            range(count), [element(term.through, term.at) for term in e.terms], fontsize=8, parse_math=False
        )
    axes.set_title(
        "the terms" if count <= BARS else f"the {BARS} largest of {count:,} terms, and the sum of all", fontsize=10
    )
    axes.legend(fontsize=8)


def _sums(e: Facts, ends: Array) -> list[float]:
    """The definition's sum of the first `end` terms over all paths, for each end."""
    sums, before = [], 0
    for path in e.paths:
        inside = [int(end) - before for end in ends if before < end <= before + len(path)]
        sums += [path.added(end) for end in inside]
        before += len(path)
    return sums


def _draw_chain(e: Facts, figure: Any) -> None:
    """Every step's values above, and its gradients below."""
    network = e.walk.network
    tensors = [network.operations[0].inputs[0], *(op.output for op in network if op.output.ndim)]
    axes = figure.subplots(2, len(tensors), squeeze=False)
    for k, tensor in enumerate(tensors):
        name = network.name(tensor)
        _heat_map(axes[0][k], Panel(name, tensor._array, "forward", None, None))
        gradient = e.walk.buffers.get(id(tensor))
        if gradient is None:
            axes[1][k].set_axis_off()
        else:
            _heat_map(axes[1][k], Panel(f"{name}.g", gradient._array, "backward", None, None))
    figure.suptitle(f"{e.name} = {e.value:.6g}: forward above, backward below", **LITERAL)

"""A ledger as a matplotlib figure (the extra `plot`), and as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

from pybackprop.core.plotting import check, matplotlib_figure, notebook_figure
from pybackprop.core.units import byte_unit, bytes_text
from pybackprop.memory.buffers import Buffer
from pybackprop.memory.ledger import LedgerFacts
from pybackprop.memory.table import COLUMNS, cells, held_text, peak_text

COLOURS = {
    "data": "#b8a44c",
    "parameters": "#5fa08a",
    "gradients": "#8fc4b2",
    "momentum": "#3f7a66",
    "activations": "#4d77a5",
    "activation gradients": "#d1495b",
    "temporary": "#e8a23d",
    "workspace": "#8c8c8c",
}
PEAK = "#8f1d35"
MOST_LIVES, MOST_STEPS = 60, 40  # beyond these, only the largest buffers and only some steps' names are shown
BAR, HEIGHT, WIDTH = 0.24, 2.2, 10.0  # inches


def draw(ledger: LedgerFacts, path: Path | None = None) -> Any:
    """See Ledger.plot. Above: the bytes allocated in each step; below: each buffer's lifetime; red: the peak."""
    matplotlib_figure("ledger.plot")
    if path is not None:
        check(path)
    lives = _lives(ledger)
    height = HEIGHT + BAR * max(4, len(lives)) + 1.6
    figure = notebook_figure("ledger.plot", figsize=(WIDTH, height), layout="constrained")
    ratios = [HEIGHT, BAR * max(4, len(lives))]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
    figure.suptitle(ledger.title, x=0.01, ha="left", fontweight="bold", fontsize=11)
    _alive(above, ledger)
    _bars(below, ledger, lives)
    _legend(figure, {buffer.kind for buffer in lives})
    for axes in (above, below):
        axes.axvline(ledger.peak_step.number, color=PEAK, linewidth=1, linestyle=":", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    if path is not None:
        figure.savefig(path, dpi=130)
    return figure


def _lives(ledger: LedgerFacts) -> list[Buffer]:
    """The buffers to draw: those that count, and the values in their memory; at most the MOST_LIVES largest."""
    shown = [b for b in ledger.buffers if ledger.log.counts(b) or b.shares is not None]
    largest = sorted(shown, key=lambda buffer: -buffer.nbytes)[:MOST_LIVES]
    kept = {id(buffer) for buffer in largest}
    return [buffer for buffer in shown if id(buffer) in kept]


def _alive(axes: Any, ledger: LedgerFacts) -> None:
    """The bytes allocated in each step."""
    numbers, peak = [step.number for step in ledger.steps], ledger.peak_step
    scale, unit = byte_unit(ledger.peak)
    axes.bar(numbers, [step.alive / scale for step in ledger.steps], width=0.9, color="#c9d3df")
    axes.bar([peak.number], [peak.alive / scale], width=0.9, color=PEAK)
    late = peak.number > len(numbers) / 2
    axes.annotate(
        f"peak {bytes_text(peak.alive)}: step {peak.number}, {peak.operation}",
        (peak.number, peak.alive / scale),
        (-4 if late else 4, 4),
        textcoords="offset points",
        ha="right" if late else "left",
        color=PEAK,
        fontsize=9,
    )
    axes.set(ylabel=f"alive, {unit}", ylim=(0, 1.18 * max(1e-9, peak.alive / scale)))


def _bars(axes: Any, ledger: LedgerFacts, lives: Sequence[Buffer]) -> None:
    """A bar for each buffer, from the step it is allocated for to the step it is freed after; dark while it is used."""
    end = len(ledger.steps)
    at_peak = {id(buffer) for buffer in ledger.at_peak}
    for row, buffer in enumerate(lives):
        last = end if buffer.freed is None else buffer.freed
        colour, shares = COLOURS.get(buffer.kind, "#8c8c8c"), buffer.shares is not None
        axes.barh(row, last - buffer.made + 0.9, left=buffer.made - 0.45, height=0.7, color=colour, alpha=0.3)
        if buffer.first_use is not None and buffer.last_use is not None:
            used = buffer.last_use - buffer.first_use + 0.9
            hatch = {"hatch": "////", "facecolor": "none", "edgecolor": colour} if shares else {"color": colour}
            axes.barh(row, used, left=buffer.first_use - 0.45, height=0.7, **hatch)
    names = [b.name + (f" (in {b.shares})" if b.shares else f", {bytes_text(b.nbytes)}") for b in lives]
    axes.set_yticks(range(len(lives)), names, fontsize=8)
    for label, buffer in zip(axes.get_yticklabels(), lives, strict=True):
        label.set_fontweight("bold" if id(buffer) in at_peak else "normal")
    axes.set(ylim=(len(lives) - 0.4, -0.6), xlim=(0.4, end + 0.6))
    every = max(1, -(-end // MOST_STEPS))
    steps = ledger.steps[::every]
    axes.set_xticks([s.number for s in steps], [f"{s.number} {s.operation}" for s in steps], rotation=60, ha="right")
    axes.tick_params(axis="x", labelsize=8)


def _legend(figure: Any, kinds: set[str]) -> None:
    from matplotlib.patches import Patch

    shown = [Patch(color=colour, label=kind) for kind, colour in COLOURS.items() if kind in kinds]
    shown += [Patch(facecolor="none", edgecolor="#555555", hatch="////", label="in another buffer's memory")]
    figure.legend(handles=shown, fontsize=8, loc="outside lower center", ncols=len(shown), frameon=False)


def compare(path: Path, ledgers: Mapping[str, LedgerFacts], rows: Sequence[Mapping[str, Any]]) -> None:
    """The peaks of all schemes, predicted and measured, on a logarithmic scale."""
    figure = matplotlib_figure().Figure(figsize=(WIDTH, 0.9 + 0.42 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for at, row in enumerate(rows):
        alone, label = row["measured"] is None, bytes_text(row["predicted"])
        height = 0.34 * (1 + alone)
        axes.barh(at - 0.18 * (not alone), row["predicted"], height, color="#4d77a5", label="predicted" * (at == 0))
        if not alone:
            axes.barh(at + 0.18, row["measured"], height=0.34, color="#e8a23d", label="measured" * (at == 0))
            label += f", measured {bytes_text(row['measured'])}"
        axes.annotate(label, (max(row["predicted"], row["measured"] or 0), at), (4, 0), va="center", fontsize=8,
                      textcoords="offset points")  # fmt: skip
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
    lowest, highest = (pick(row["predicted"] for row in rows) for pick in (min, max))
    axes.set(xscale="log", xlim=(max(1, lowest) / 3, highest * 20), ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel("peak bytes of a step, beyond data, parameters and their gradients (logarithmic)")
    axes.legend(frameon=False, loc="lower right")
    first = next(iter(ledgers.values()))
    axes.set_title(first.title.split(": ", 1)[-1], loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def html(ledger: LedgerFacts) -> str:
    """The table and, if matplotlib is installed, the figure."""
    at_peak = {id(buffer) for buffer in ledger.at_peak}
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in COLUMNS)
    body = "".join(_row(buffer, id(buffer) in at_peak) for buffer in ledger.buffers)
    step = ledger.peak_step
    peak = f"peak: <b>{bytes_text(ledger.peak)}</b> in step {step.number}, {escape(step.operation)}"
    parts = [
        f"<div><b>{escape(ledger.title)}</b><br>{peak}: {escape(peak_text(ledger))}",
        f"<br>held before and after: {bytes_text(ledger.held)} ({escape(held_text(ledger))})" if ledger.held else "",
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        _svg(ledger),
        "</div>",
    ]
    return "".join(parts)


def _row(buffer: Buffer, at_peak: bool) -> str:
    style = "font-weight:bold" if at_peak else "color:#777" if buffer.shares else ""
    columns = "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in cells(buffer, at_peak))
    return f"<tr style='{style}'>{columns}</tr>"


def _svg(ledger: LedgerFacts) -> str:
    try:
        figure = draw(ledger)
    except ImportError:
        return "<p>The picture needs matplotlib: pip install 'pybackprop[plot]'</p>"
    stream = StringIO()
    figure.savefig(stream, format="svg")
    text = stream.getvalue()
    return text[text.index("<svg") :]

"""A ledger as a table, and several schemes side by side. Loads rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pybackprop.core.terminal import stdout_console
from pybackprop.core.units import bytes_text
from pybackprop.memory.buffers import Buffer
from pybackprop.memory.ledger import LedgerFacts

TIMES = "\N{MULTIPLICATION SIGN}"
WIDTH = 110  # of text that does not go to a terminal
COLOURS = {  # by kind
    "data": "yellow",
    "parameters": "green",
    "gradients": "green",
    "momentum": "green",
    "activations": "cyan",
    "activation gradients": "magenta",
    "temporary": "red",
    "workspace": "blue",
}
COLUMNS = ("buffer", "shape", "bytes", "created by", "uses", "freed after", "in the memory of")


def show(ledger: LedgerFacts) -> None:
    """Prints a ledger on stdout, in colours on a terminal."""
    _print(stdout_console(WIDTH), ledger)


def text(ledger: LedgerFacts) -> str:
    """The same as plain text."""
    stream = StringIO()
    _print(Console(file=stream, width=WIDTH, color_system=None, force_jupyter=False), ledger)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _print(console: Console, ledger: LedgerFacts) -> None:
    step = ledger.peak_step
    console.print(Text(ledger.title, "bold"))
    console.print(table(ledger))
    at = f"in step {step.number}, {step.operation}"
    console.print(Text(f"peak: {bytes_text(ledger.peak)} {at}: {peak_text(ledger)}"))
    if ledger.held:
        console.print(Text(f"held before and after: {bytes_text(ledger.held)} ({held_text(ledger)})"))


def table(ledger: LedgerFacts) -> Table:
    """A row for each buffer, in order."""
    rows = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in COLUMNS:
        rows.add_column(name, justify="right" if name == "bytes" else "left", overflow="fold")
    at_peak = {id(buffer) for buffer in ledger.at_peak}
    for buffer in ledger.buffers:
        style = COLOURS.get(buffer.kind, "") if buffer.shares is None else "dim"
        rows.add_row(*map(Text, cells(buffer, id(buffer) in at_peak)), style=style)
    return rows


def cells(buffer: Buffer, at_peak: bool) -> list[str]:
    """A buffer's row. at_peak: whether it is part of the peak, which a star marks."""
    shape = TIMES.join(map(str, buffer.shape)) or "one number"
    uses = "" if buffer.first_use is None else f"{buffer.first_use} to {buffer.last_use}"
    freed = "" if buffer.freed is None else str(buffer.freed)
    size = "" if buffer.shares else bytes_text(buffer.nbytes)
    by = buffer.made_by if buffer.made == 0 else f"{buffer.made}: {buffer.made_by}"
    return [buffer.name + " *" * at_peak, f"{shape} {buffer.dtype}", size, by, uses, freed, buffer.shares or ""]


def peak_text(ledger: LedgerFacts, most: int = 4) -> str:
    """The largest buffers of the peak."""
    buffers = ledger.at_peak
    parts = [f"{buffer.name} {bytes_text(buffer.nbytes)}" for buffer in buffers[:most]]
    return ", ".join([*parts, *([f"{len(buffers) - most} more"] if len(buffers) > most else [])])


def held_text(ledger: LedgerFacts) -> str:
    """What is held, by kind."""
    sums: dict[str, int] = {}
    for buffer in ledger.buffers:
        if buffer.held and buffer.shares is None and not ledger.log.counts(buffer):
            sums[buffer.kind] = sums.get(buffer.kind, 0) + buffer.nbytes
    return ", ".join(f"{kind} {bytes_text(count)}" for kind, count in sums.items())


def show_schemes(title: str, rows: Sequence[Mapping[str, Any]], fits: str, notes: Sequence[str] = ()) -> None:
    """Prints schemes side by side. rows: as in `pybackprop memory --json`; fits: the head of the last column."""
    console = stdout_console(WIDTH)
    console.print(Text(title, "bold"))
    measured = any(row["measured"] is not None or row["why_not"] for row in rows)
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    shown.add_column("scheme", style="bold")
    for head in ("predicted", *(["measured"] if measured else [])):
        shown.add_column(head, justify="right", no_wrap=True)
    shown.add_column("the largest buffer", overflow="fold")
    shown.add_column(fits, justify="right", no_wrap=True)
    for row in rows:
        peaks = [row["predicted"], *([row["measured"]] if measured else [])]
        sizes = ["-" if peak is None else bytes_text(peak) for peak in peaks]
        shown.add_row(Text(row["title"]), *sizes, Text(row["largest_buffer"]), f"{row['fits']:,}")
    console.print(shown)
    for note in notes:
        console.print(Text(note), soft_wrap=True)

"""A ledger as a table, and the ways side by side. Uses rich; what is piped is wrapped nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pybackprop.core.units import bytes_text
from pybackprop.memory.buffers import Buffer
from pybackprop.memory.ledger import Ledger

TIMES = "\N{MULTIPLICATION SIGN}"
WIDTH = 110  # of text that goes to no terminal
KINDS = {
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


def show(ledger: Ledger) -> None:
    """Prints it on stdout, in colours on a terminal."""
    console = Console()
    _print(console if console.is_terminal else Console(width=WIDTH), ledger)


def text(ledger: Ledger) -> str:
    """The same as plain text."""
    found = StringIO()
    _print(Console(file=found, width=WIDTH, color_system=None), ledger)
    return "\n".join(line.rstrip() for line in found.getvalue().splitlines())


def _print(console: Console, ledger: Ledger) -> None:
    step = ledger.peak_step
    console.print(Text(ledger.title, "bold"))
    console.print(table(ledger))
    console.print(Text(f"peak: {bytes_text(ledger.peak)} in step {step.number}, {step.operation}: {made_of(ledger)}"))
    if ledger.held:
        console.print(Text(f"beside it, held before and after: {bytes_text(ledger.held)} ({held_of(ledger)})"))


def table(ledger: Ledger) -> Table:
    """A line for each buffer, in the order in which they come."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in COLUMNS:
        made.add_column(name, justify="right" if name == "bytes" else "left", overflow="fold")
    at_peak = {id(buffer) for buffer in ledger.at_peak}
    for buffer in ledger.buffers:
        style = KINDS.get(buffer.kind, "") if buffer.shares is None else "dim"
        made.add_row(*map(Text, cells(buffer, id(buffer) in at_peak)), style=style)
    return made


def cells(buffer: Buffer, at_peak: bool) -> list[str]:
    """What a table says of a buffer. at_peak: whether it is part of the peak, which is marked by a star."""
    shape = TIMES.join(map(str, buffer.shape)) or "one number"
    uses = "" if buffer.first_use is None else f"{buffer.first_use} to {buffer.last_use}"
    freed = "" if buffer.freed is None else str(buffer.freed)
    shown = "" if buffer.shares else bytes_text(buffer.nbytes)
    by = buffer.made_by if buffer.made == 0 else f"{buffer.made}: {buffer.made_by}"
    return [buffer.name + " *" * at_peak, f"{shape} {buffer.dtype}", shown, by, uses, freed, buffer.shares or ""]


def made_of(ledger: Ledger, most: int = 4) -> str:
    """The largest buffers of the peak."""
    there = ledger.at_peak
    words = [f"{buffer.name} {bytes_text(buffer.nbytes)}" for buffer in there[:most]]
    return ", ".join([*words, *([f"{len(there) - most} more"] if len(there) > most else [])])


def held_of(ledger: Ledger) -> str:
    sums: dict[str, int] = {}
    for buffer in ledger.buffers:
        if buffer.held and buffer.shares is None and not ledger.book.counts(buffer):
            sums[buffer.kind] = sums.get(buffer.kind, 0) + buffer.nbytes
    return ", ".join(f"{kind} {bytes_text(count)}" for kind, count in sums.items())


def ways(title: str, rows: Sequence[Mapping[str, Any]], fits: str, notes: Sequence[str] = ()) -> None:
    """The ways beside each other on stdout. fits: the head of the last column, of the largest batches."""
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    console.print(Text(title, "bold"))
    measured = any(row["measured"] is not None or row["why_not"] for row in rows)
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    made.add_column("way", style="bold")
    for head in ("predicted", *(["measured"] if measured else [])):
        made.add_column(head, justify="right", no_wrap=True)
    made.add_column("the largest buffer", overflow="fold")
    made.add_column(fits, justify="right", no_wrap=True)
    for row in rows:
        found = [bytes_text(row["measured"]) if row["measured"] is not None else "-"] if measured else []
        made.add_row(
            Text(row["title"]), bytes_text(row["predicted"]), *found, Text(row["largest_buffer"]), f"{row['fits']:,}"
        )
    console.print(made)
    for note in notes:
        console.print(Text(note))

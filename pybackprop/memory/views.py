"""Ledger: the memory of a step, or of any code that uses this library, as data, table, figure and in notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pybackprop.memory.ledger import LedgerFacts


class Ledger(LedgerFacts):
    """The memory that a step takes, buffer by buffer.

    peak          the most bytes allocated at one moment, beyond what is held: data, parameters, their gradients and
                  momentum. (A ledger of a real run, `bp.ledger()`, counts everything allocated in it.)
    peak_step     the step with the peak: its number, operation and bytes
    held, whole   bytes that are held; held plus peak
    totals        bytes by kind, and their sum, "total"; ledger["total"] and so on give the same
    buffers       each with name, kind, shape, dtype, nbytes, made_by, made, first_use, last_use, freed, shares
    steps         each with number, operation and the bytes alive
    alternatives  other ways to compute the same step, as ledgers by name: predicted, nothing is run

    print(ledger), show(), and the ledger itself in a notebook give a table; to_dict() and to_json() are for programs;
    plot() draws the buffers' lifetimes.
    """

    # rich and matplotlib are loaded only when something is shown

    @property
    def alternatives(self) -> dict[str, Ledger]:
        """The same step computed in other ways, by name; empty for a real run."""
        return {} if self._others is None else dict(self._others())

    def show(self) -> None:
        """Prints the ledger as a table."""
        from pybackprop.memory import table

        table.show(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """A matplotlib Figure of the buffers' lifetimes over the steps, their sum, and the peak.

        path: a .png, .svg or .pdf to write it to. Raises ImportError without matplotlib (the extra `plot`),
        ValueError for another kind of file, FileNotFoundError for a folder that does not exist.
        """
        from pybackprop.memory import plot

        return plot.draw(self, None if path is None else Path(path))

    def __str__(self) -> str:
        from pybackprop.memory import table

        return table.text(self)

    def _repr_html_(self) -> str:
        from pybackprop.memory import plot

        return plot.html(self)

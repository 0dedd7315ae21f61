"""Ledger: the memory of a step or of any code of ours, as facts, table, picture and notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pybackprop.memory.ledger import LedgerFacts


class Ledger(LedgerFacts):
    """What memory a step takes, buffer by buffer.

    peak          bytes: the most that was allocated at one moment, beyond what is held: data, parameters, their
                  gradients and momentum. (A ledger of a real run, `bp.ledger()`, counts all that was allocated in it.)
    peak_step     the step at which that was: its number, operation and bytes
    held, whole   bytes of what is held; of that and the peak together
    totals        bytes by what they hold, and their sum, "total"; ledger["total"] and so on give the same
    buffers       each with name, kind, shape, dtype, nbytes, made_by, made, first_use, last_use, freed, shares
    steps         each with number, operation and the bytes alive
    alternatives  other ways to compute the same step, as ledgers by name: predicted, nothing is run

    print(ledger), in a notebook the ledger itself, and show() give it as a table; to_dict(), to_json() for programs;
    plot() draws the buffers' lives.
    """

    # rich and matplotlib are loaded when something is shown

    @property
    def alternatives(self) -> dict[str, Ledger]:
        """The same step computed in other ways, by name; empty for a real run."""
        return {} if self._others is None else dict(self._others())

    def show(self) -> None:
        """Prints it as a table."""
        from pybackprop.memory import table

        table.show(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """The buffers' lives over the steps, what they add up to, and the peak; a matplotlib Figure.

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

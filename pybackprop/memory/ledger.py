"""Ledger: the buffers of a step or of any code of ours, and what they add up to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pybackprop.core.units import bytes_text
from pybackprop.memory.buffers import HELD, Book, Buffer, Step


class Ledger:
    """What memory a step takes, buffer by buffer.

    peak          bytes: the most that was there at one moment, beyond what is held: data, parameters, their
                  gradients and momentum. (A ledger of a real run, `bp.ledger()`, counts all that was made in it.)
    peak_step     the step at which that was: its number, operation and bytes
    held, whole   bytes of what is held; of that and the peak together
    totals        bytes by what they hold, and their sum, "total"; ledger["total"] and so on give the same
    buffers       each with name, kind, shape, dtype, nbytes, made_by, made, first_use, last_use, freed, shares
    steps         each with number, operation and the bytes alive
    alternatives  other ways to compute the same step, as ledgers by name: predicted, nothing is run

    print(ledger), in a notebook the ledger itself, and show() give it as a table; to_dict(), to_json() for programs;
    plot() draws the buffers' lives.
    """

    def __init__(
        self,
        title: str,
        book: Book,
        totals: Mapping[str, int] | None = None,
        others: Callable[[], dict[str, Ledger]] | None = None,
        note: str = "",
    ) -> None:
        self.title, self.note = title, note
        self.book = book
        self._totals = totals
        self._others = others

    @property
    def buffers(self) -> list[Buffer]:
        return self.book.buffers

    @property
    def steps(self) -> list[Step]:
        return self.book.steps

    @property
    def peak(self) -> int:
        return self.peak_step.alive

    @property
    def peak_step(self) -> Step:
        return max(self.steps, key=lambda step: step.alive, default=Step(0, "nothing was done", 0))

    @property
    def at_peak(self) -> list[Buffer]:
        """The buffers that the peak is made of, the largest first."""
        number = self.peak_step.number
        there = [b for b in self.buffers if self.book.counts(b) and is_there(b, number)]
        return sorted(there, key=lambda buffer: -buffer.nbytes)

    @property
    def held(self) -> int:
        return sum(buffer.nbytes for buffer in self.buffers if buffer.held and not self.book.counts(buffer))

    @property
    def whole(self) -> int:
        return self.held + self.peak

    @property
    def totals(self) -> dict[str, int]:
        if self._totals is not None:
            return dict(self._totals)
        sums = dict.fromkeys(HELD, 0)
        for buffer in self.buffers:
            if buffer.held and buffer.shares is None:
                sums[buffer.kind] += buffer.nbytes
        everything = sum(sums.values()) + (0 if self.book.counts_held else self.peak)
        return {**sums, "peak": self.peak, "total": everything}

    def __getitem__(self, name: str) -> int:
        return self.totals[name]

    @property
    def alternatives(self) -> dict[str, Ledger]:
        return {} if self._others is None else self._others()

    def freed(self) -> dict[int, list[str]]:
        """The names of the buffers that went, by the step after which they did."""
        found: dict[int, list[str]] = {}
        for buffer in self.buffers:
            if buffer.freed is not None:
                found.setdefault(buffer.freed, []).append(buffer.name)
        return dict(sorted(found.items()))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the alternatives' buffers, as numbers, text, lists and dicts."""
        return {
            "title": self.title,
            "note": self.note,
            "peak": self.peak,
            "peak_step": vars(self.peak_step),
            "at_peak": [buffer.name for buffer in self.at_peak],
            "totals": self.totals,
            "steps": [vars(step) for step in self.steps],
            "buffers": [buffer.to_dict() for buffer in self.buffers],
            "freed_after": {str(step): names for step, names in self.freed().items()},
            "alternatives": {name: other.peak for name, other in self.alternatives.items()},
        }

    def to_json(self, indent: int | None = None) -> str:
        return json.dumps(self.to_dict(), indent=indent)

    def show(self) -> None:
        """Prints it as a table."""
        from pybackprop.memory import table

        table.show(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """The buffers' lives over the steps, what they add up to, and the peak; a matplotlib Figure.

        path: a .png, .svg or .pdf to write it to. Raises ImportError without matplotlib (the extra `plot`).
        """
        from pybackprop.memory import plot as picture

        return picture.draw(self, None if path is None else Path(path))

    def __str__(self) -> str:
        from pybackprop.memory import table

        return table.text(self)

    def __repr__(self) -> str:
        return f"Ledger({self.title!r}, peak={bytes_text(self.peak)}, {len(self.buffers)} buffers)"

    def _repr_html_(self) -> str:
        from pybackprop.memory import plot as picture

        return picture.html(self)


def is_there(buffer: Buffer, step: int) -> bool:
    """Whether a buffer has come before the end of a step, and not gone before it."""
    return buffer.made <= step and (buffer.freed is None or buffer.freed >= step)

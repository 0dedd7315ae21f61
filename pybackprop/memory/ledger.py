"""The facts of a ledger: the buffers of a step, and their sums. views.py shows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pybackprop.core.units import bytes_text
from pybackprop.memory.buffers import HELD, Buffer, BufferLog, Step


class LedgerFacts:
    """The data of a Ledger (see there), from which tables and plots are made."""

    title: str
    note: str

    def __init__(
        self,
        title: str,
        log: BufferLog,
        totals: Mapping[str, int] | None = None,
        others: Callable[[], Mapping[str, Any]] | None = None,
        note: str = "",
    ) -> None:
        """totals: by default the sums of the log. others: computes the alternatives, by name, on demand."""
        self.title, self.note = title, note
        self.log = log
        self._totals = totals
        self._others = others

    @property
    def buffers(self) -> list[Buffer]:
        """All buffers, in order."""
        return self.log.buffers

    @property
    def steps(self) -> list[Step]:
        """All operations, in order."""
        return self.log.steps

    @property
    def peak(self) -> int:
        """The most bytes allocated at one moment, beyond what is held."""
        return self.peak_step.alive

    @property
    def peak_step(self) -> Step:
        """The first step at which the peak is reached."""
        return max(self.steps, key=lambda step: step.alive, default=Step(0, "nothing was done", 0))

    @property
    def at_peak(self) -> list[Buffer]:
        """The buffers that make up the peak, the largest first."""
        number = self.peak_step.number
        alive = [buffer for buffer in self.buffers if self.log.counts(buffer) and is_alive(buffer, number)]
        return sorted(alive, key=lambda buffer: -buffer.nbytes)

    @property
    def held(self) -> int:
        """Bytes of data, parameters, their gradients and momentum, except what the peak already counts."""
        return sum(buffer.nbytes for buffer in self.buffers if buffer.held and not self.log.counts(buffer))

    @property
    def whole(self) -> int:
        """Bytes held plus the peak."""
        return self.held + self.peak

    @property
    def totals(self) -> dict[str, int]:
        """Bytes of each kind that is held, of the peak, and the sum as "total"."""
        if self._totals is not None:
            return dict(self._totals)
        sums = dict.fromkeys(HELD, 0)
        for buffer in self.buffers:
            if buffer.held and buffer.shares is None:
                sums[buffer.kind] += buffer.nbytes
        total = sum(sums.values()) + (0 if self.log.counts_held else self.peak)
        return {**sums, "peak": self.peak, "total": total}

    def __getitem__(self, name: str) -> int:
        return self.totals[name]

    def freed(self) -> dict[int, list[str]]:
        """The names of the freed buffers, by the step after which they are freed."""
        names: dict[int, list[str]] = {}
        for buffer in self.buffers:
            if buffer.freed is not None:
                names.setdefault(buffer.freed, []).append(buffer.name)
        return dict(sorted(names.items()))

    def to_dict(self) -> dict[str, Any]:
        """Everything except the alternatives' buffers, as numbers, strings, lists and dicts."""
        others = {} if self._others is None else self._others()
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
            "alternatives": {name: other.peak for name, other in others.items()},
        }

    def to_json(self, indent: int | None = None) -> str:
        """to_dict() as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def __repr__(self) -> str:
        return f"Ledger({self.title!r}, peak={bytes_text(self.peak)}, {len(self.buffers)} buffers)"


def is_alive(buffer: Buffer, step: int) -> bool:
    """Whether a buffer is allocated before the step ends and not freed before it begins."""
    return buffer.made <= step and (buffer.freed is None or buffer.freed >= step)

"""The facts of a ledger: the buffers of a step, and what they add up to. views.py shows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pybackprop.core.units import bytes_text
from pybackprop.memory.buffers import HELD, Buffer, BufferLog, Step


class LedgerFacts:
    """What a Ledger knows; see there. Tables and plots are made from this."""

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
        """totals: default the sums of the log. others: makes the alternatives, by name, when they are asked for."""
        self.title, self.note = title, note
        self.log = log
        self._totals = totals
        self._others = others

    @property
    def buffers(self) -> list[Buffer]:
        """All of them, in the order in which they come."""
        return self.log.buffers

    @property
    def steps(self) -> list[Step]:
        """All operations, in their order."""
        return self.log.steps

    @property
    def peak(self) -> int:
        """Bytes: the most that was allocated at one moment, beyond what is held."""
        return self.peak_step.alive

    @property
    def peak_step(self) -> Step:
        """The step at which the peak is reached; of several the first."""
        return max(self.steps, key=lambda step: step.alive, default=Step(0, "nothing was done", 0))

    @property
    def at_peak(self) -> list[Buffer]:
        """The buffers that make up the peak, the largest first."""
        number = self.peak_step.number
        alive = [buffer for buffer in self.buffers if self.log.counts(buffer) and is_alive(buffer, number)]
        return sorted(alive, key=lambda buffer: -buffer.nbytes)

    @property
    def held(self) -> int:
        """Bytes of data, parameters, their gradients and momentum, as far as the peak does not count them."""
        return sum(buffer.nbytes for buffer in self.buffers if buffer.held and not self.log.counts(buffer))

    @property
    def whole(self) -> int:
        """Bytes of what is held and of the peak together."""
        return self.held + self.peak

    @property
    def totals(self) -> dict[str, int]:
        """Bytes by kind of what is held, the peak, and their sum as "total"."""
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
        """The names of the buffers that are freed, by the step after which they are."""
        names: dict[int, list[str]] = {}
        for buffer in self.buffers:
            if buffer.freed is not None:
                names.setdefault(buffer.freed, []).append(buffer.name)
        return dict(sorted(names.items()))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the alternatives' buffers, as numbers, text, lists and dicts."""
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
    """Whether a buffer is allocated before a step ends, and not freed before it begins."""
    return buffer.made <= step and (buffer.freed is None or buffer.freed >= step)

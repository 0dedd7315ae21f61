"""This machine's report: the one that was kept, or a new one, measured in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pybackprop.lab import measuring
from pybackprop.lab.machine import measure, store


def reading(threads: int, on_step: Callable[[str], Any] = lambda text: None) -> dict[str, Any]:
    """A report with bandwidths and caches: the one that was kept, or else these alone, measured now."""
    found, _ = store.read()
    if found is not None:
        return found
    measured: dict[str, Any] = measuring.run("reading", threads, {"threads": threads}, on_step)
    return measured


def report(
    fresh: bool = False, quick: bool = False, on_step: Callable[[str], Any] = lambda text: None
) -> tuple[dict[str, Any], list[str]]:
    """(the report, what to say about where it is from). fresh: measure again. quick: with fewer samples, not kept.

    Raises DiedError if the process that measures dies.
    """
    found, why = (None, "") if fresh else store.read()
    if found is not None:
        return found, [f"these numbers are kept in {store.path()}; --fresh measures again"]
    rounds = measure.ROUNDS // 3 if quick else measure.ROUNDS
    new: dict[str, Any] = measuring.run("machine", measure.thread_counts()[-1], {"rounds": rounds}, on_step)
    notes = ["measured quickly, and not kept"] if quick else [store.write(new)]
    return new, [note for note in (why, *notes) if note]

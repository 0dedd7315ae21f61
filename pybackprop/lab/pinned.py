"""Threads of this process, one to each of its processors, that do the same work side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def processors(count: int) -> list[int]:
    """The last so many processors that this process may use: they handle fewer interrupts. Fewer, if it has fewer."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))[-count:]
    return list(range(min(count, os.cpu_count() or 1)))


def side_by_side(count: int, work: Callable[[int], Result]) -> list[Result]:
    """work(0), work(1), ... in so many threads that begin together, each pinned where the system allows it.

    Their results in order. The caller's own processors stay as they are. Raises what one of them raised.
    """
    places = processors(count)
    begin, results, errors = threading.Barrier(len(places)), dict[int, Result](), list[BaseException]()

    def run(number: int) -> None:
        try:
            pin(places[number])
            begin.wait()
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)
            begin.abort()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(places))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    return [results[number] for number in range(len(places))]


def pin(processor: int) -> bool:
    """Keeps the calling thread on one processor; whether the system allowed it."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    try:
        os.sched_setaffinity(0, {processor})
    except OSError:
        return False
    return True

"""ReadAhead: a thread prepares the next result while one is in use. Calls of C and reads of files release the GIL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
SLOTS = 2  # one result in use, and one ahead of it


class _Failure(NamedTuple):
    error: BaseException


class ReadAhead(Generic[T]):
    """The results of `make(job, slot)` for each job, in order, made by a thread. slot: 0 or 1, in turns.

    At most two results exist at a time: a slot is filled again only after `free` has said that it is no longer used.
    """

    def __init__(self, make: Callable[[Any, int], T], jobs: Iterator[Any]) -> None:
        self._make, self._jobs = make, jobs
        self._room = threading.Semaphore(SLOTS)
        self._made: SimpleQueue[T | _Failure] = SimpleQueue()
        self.is_closed = False  # a long `make` asks it, and may return early
        self._thread = threading.Thread(target=self._run, name="pybackprop read ahead", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def next(self) -> T:
        """Waits for the next result. Raises what `make` raised for it."""
        made = self._made.get()
        if isinstance(made, _Failure):
            raise made.error
        return made

    def free(self) -> None:
        """Says that the oldest result is no longer used."""
        self._room.release()

    def close(self) -> None:
        """Ends the thread, if it was started, and waits for that."""
        self.is_closed = True
        self._room.release()
        if self._thread.ident is not None:
            self._thread.join()
        self._made = SimpleQueue()

    def _run(self) -> None:
        try:
            for number, job in enumerate(self._jobs):
                self._room.acquire()
                if self.is_closed:
                    return
                self._made.put(self._make(job, number % SLOTS))
        except BaseException as error:  # it is raised where the result is waited for
            self._made.put(_Failure(error))

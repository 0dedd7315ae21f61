"""Ranks: what the ranks of an MPI communicator tell each other. mpi4py is used, but not loaded here.

Waiting is done by asking again and again, so that Ctrl-C is noticed and a processor is left to others, such as another
rank on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from pybackprop.core.arrays import Array

BLOCK = 256 * 1024  # bytes that travel at once
SPINS = 200  # questions before a rank sleeps between them
NAP = 50e-6  # seconds
Made = TypeVar("Made")
STOPPED = "KeyboardInterrupt"  # stands for a rank's Ctrl-C


class RankError(RuntimeError):
    """Raised on every rank when one of them failed, or when they do not agree on what to compute."""


class Ranks:
    """The ranks of a communicator.

    rank    this one's number, from 0;  size: how many there are
    """

    rank: int
    size: int

    def __init__(self, comm: Any) -> None:
        for name in ("Get_rank", "Get_size", "allgather", "Isend", "Irecv", "Ibcast"):
            if not hasattr(comm, name):
                raise TypeError(
                    f"compile: comm: found {type(comm).__name__}, expected a communicator of mpi4py, such as "
                    "mpi4py.MPI.COMM_WORLD; pip install 'pybackprop[mpi]'"
                )
        self.comm = _duplicate(comm)  # messages of the program's own cannot meet these
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())

    def share(self, segments: int) -> range:
        """The segments that this rank computes: neighbours, as many as the others' or one more."""
        each, more = divmod(segments, self.size)
        start = self.rank * each + min(self.rank, more)
        return range(start, start + each + (self.rank < more))

    def same(self, operation: str, facts: dict[str, Any]) -> None:
        """Raises RankError on all ranks, naming the first that differs, unless all of them have the same facts."""
        every = self.comm.allgather(facts)
        for name, mine in every[0].items():
            for rank, others in enumerate(every):
                if others.get(name) != mine:
                    raise RankError(
                        f"{operation}: the ranks do not agree: {name} is {mine} on rank 0 and {others.get(name)} on "
                        f"rank {rank}. Give every rank the same"
                    )

    def decide(self, decide: Callable[[], bool], alike: str = "") -> bool:
        """Calls a function on every rank; what it returned on rank 0.

        alike   what is wrong if it returned something else on another rank: RankError on all; empty: nothing
        Raises its exception on the ranks on which it failed, and RankError on the others; KeyboardInterrupt on all.
        """
        failure: BaseException | None = None
        result = False
        try:
            result = decide()
        except BaseException as error:  # also of sys.exit, which would leave the others waiting
            failure = error
        every = self.comm.allgather((result, None if failure is None else _text(failure)))
        if failure is not None:
            raise failure
        for rank, (_, text) in enumerate(every):
            if text is not None:
                raise KeyboardInterrupt if text == STOPPED else RankError(f"rank {rank} failed: {text}")
        for rank, (other, _) in enumerate(every):
            if alike and other is not every[0][0]:
                raise RankError(f"{alike}: {every[0][0]} on rank 0 and {other} on rank {rank}")
        return bool(every[0][0])

    def of_all(self, value: Any) -> list[Any]:
        """The values of all ranks."""
        values: list[Any] = self.comm.allgather(value)
        return values

    def from_first(self, value: Any) -> Any:
        """Rank 0's value."""
        return self.comm.bcast(value)

    def add_in_turn(self, parts: Sequence[Array], total: Array, segments: int) -> None:
        """total = the parts of all ranks, added in the order of the ranks and, within one, in theirs; on all ranks.

        parts      of this rank, each like total (size,): as many as `share(segments)` has segments
        """
        active = min(self.size, segments)
        last, size = active - 1, max(1, BLOCK // total.itemsize)
        running, requests = np.empty_like(total), []
        for start in range(0, len(total), size):
            block = running[start : start + size]
            if self.rank < active:
                self._add_block(parts, block, start, last)
            if self.rank == last:
                total[start : start + size] = block
            requests.append(self.comm.Ibcast(total[start : start + size], root=last))
        for request in requests:
            wait(request)

    def _add_block(self, parts: Sequence[Array], block: Array, start: int, last: int) -> None:
        """A block of the running total, from the rank before this one, with this rank's parts, to the next."""
        mine = [part[start : start + len(block)] for part in parts]
        if self.rank == 0:
            block[...] = mine.pop(0)
        else:
            wait(self.comm.Irecv(block, source=self.rank - 1))
        for part in mine:
            np.add(block, part, out=block)
        if self.rank < last:
            wait(self.comm.Isend(block, dest=self.rank + 1))


def together(agree: Callable[..., bool], make: Callable[[], Made]) -> Made:
    """What a function returns. agree: calls it, so that if it raises on one rank, none goes on; see Plan.agree."""
    made: list[Made] = []

    def decide() -> bool:
        made.append(make())
        return False

    agree(decide)
    return made[0]


def _duplicate(comm: Any) -> Any:
    """A communicator of the same ranks, the same one for each communicator: an MPI has only so many of them."""
    kind = type(comm)
    if kind not in _keys:
        _keys[kind] = kind.Create_keyval()
    twin = comm.Get_attr(_keys[kind])
    if twin is None:
        twin = comm.Dup()
        comm.Set_attr(_keys[kind], twin)
    return twin


_keys: dict[type, int] = {}  # under which a communicator keeps its duplicate


def _text(failure: BaseException) -> str:
    return STOPPED if isinstance(failure, KeyboardInterrupt) else f"{type(failure).__name__}: {failure}"


def wait(request: Any) -> None:
    """Waits for a message."""
    for _ in range(SPINS):
        if request.Test():
            return
    while not request.Test():
        time.sleep(NAP)

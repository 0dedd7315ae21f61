"""Ranks: what the ranks of an MPI communicator tell each other. mpi4py is used, but not loaded here.

Waiting is done by asking again and again, so that Ctrl-C is noticed and a processor is left to others, such as another
rank on it.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from pybackprop.core.arrays import Array

BLOCK = 256 * 1024  # bytes of the running total that travel at once
MESSAGE = 2**26  # bytes of outputs, at most, in a message
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
        for name in ("Get_rank", "Get_size", "Iallgather", "Iallgatherv", "Isend", "Irecv", "Ibcast"):
            if not hasattr(comm, name):
                raise TypeError(
                    f"compile: comm: found {type(comm).__name__}, expected a communicator of mpi4py, such as "
                    "mpi4py.MPI.COMM_WORLD; pip install 'pybackprop[mpi]'"
                )
        self.comm = _duplicate(comm)  # messages of the program's own cannot meet these
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())

    def share(self, segments: int, rank: int | None = None) -> range:
        """The segments, or blocks, that a rank computes: neighbours, as many as the others' or one more.

        rank  None: this one
        """
        rank, (each, more) = self.rank if rank is None else rank, divmod(segments, self.size)
        start = rank * each + min(rank, more)
        return range(start, start + each + (rank < more))

    def same(self, operation: str, facts: dict[str, Any]) -> None:
        """Raises RankError on all ranks, naming the first that differs, unless all of them have the same facts."""
        every = self._gathered(operation, facts)
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
        every = self._gathered("a callback or a check", (result, None if failure is None else _text(failure)))
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
        return self._gathered("a value", value)

    def _gathered(self, what: str, value: Any) -> list[Any]:
        """The values of all ranks. Raises RankError on all unless all of them are at the same point of the program."""
        every: list[tuple[str, Any]] = self._allgather((what, value))
        for rank, (other, _) in enumerate(every):
            if other != every[0][0]:
                raise RankError(
                    f"the ranks do not do the same: rank 0 is at {every[0][0]} and rank {rank} at {other}. Each method "
                    "of a plan is called by all ranks; model.predict computes on one alone"
                )
        return [value for _, value in every]

    def _allgather(self, value: Any) -> list[Any]:
        """As the communicator's own, but a rank that waits leaves its processor to others and notices Ctrl-C."""
        mine = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = np.empty(self.size, np.int64)
        wait(self.comm.Iallgather(np.array([mine.size]), sizes))
        ends = np.cumsum(sizes)
        every = np.empty(int(ends[-1]), np.uint8)
        wait(self.comm.Iallgatherv(mine, [every, (sizes.tolist(), (ends - sizes).tolist())]))
        return [pickle.loads(every[end - size : end].tobytes()) for size, end in zip(sizes, ends, strict=True)]

    def from_first(self, value: Any) -> Any:
        """Rank 0's value."""
        return self._gathered("rank 0's value", value if self.rank == 0 else None)[0]

    def add_in_turn(self, parts: Sequence[Array], total: Array, segments: int) -> None:
        """Makes total the sum of the segments of all ranks, in their order, on all ranks.

        An array (size,) is the gradients, and behind them a double, the sum of the losses.
        parts   of this rank, one for each of its segments; of rank 0 none: total has them already
        """
        active, behind = min(self.size, segments), 8 // total.itemsize
        last, size = active - 1, max(1, BLOCK // total.itemsize)
        requests = []
        for start in range(0, max(1, len(total) - behind), size):
            is_end = start + size >= len(total) - behind  # the double travels with the last block
            some = slice(start, len(total) if is_end else start + size)
            if self.rank < active:
                self._add_block([part[some] for part in parts], total[some], last, behind if is_end else 0)
            if self.size > 1:
                requests.append(self.comm.Ibcast(total[some], root=last))
        for request in requests:
            wait(request)

    def _add_block(self, parts: Sequence[Array], block: Array, last: int, behind: int) -> None:
        """A block of the running total, from the rank before this one, with this rank's parts, to the next.

        behind: how many numbers at its end are a double
        """
        if self.rank:
            wait(self.comm.Irecv(block, source=self.rank - 1))
        for part in parts:
            add(block, part, behind)
        if self.rank < last:
            wait(self.comm.Isend(block, dest=self.rank + 1))

    def give(self, array: Array, starts: Sequence[int]) -> None:
        """Makes an array (n,...) whole on all ranks, of which each has computed the rows from starts[rank] on."""
        requests = []
        each = max(1, MESSAGE // max(1, array[:1].nbytes))
        for root, (start, end) in enumerate(pairwise(starts)):
            for first in range(start, end, each):
                requests.append(self.comm.Ibcast(array[first : min(first + each, end)], root=root))
        for request in requests:
            wait(request)


def add(total: Array, part: Array, behind: int) -> None:
    """total += part, whose last `behind` numbers are a double each."""
    end = len(total) - behind
    np.add(total[:end], part[:end], out=total[:end])
    if behind:
        np.add(total[end:].view(np.float64), part[end:].view(np.float64), out=total[end:].view(np.float64))


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

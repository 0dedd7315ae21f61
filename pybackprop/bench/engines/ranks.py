"""This library on ranks of MPI, one thread each: as many as the others have threads.

The bench speaks with rank 0. The others wait for its word, sleeping, as other engines are timed meanwhile.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import pybackprop as bp
from pybackprop.bench.engines.engine import Call, Engine, named_gradients
from pybackprop.bench.engines.pybackprop import network
from pybackprop.core import settings
from pybackprop.core.arrays import Array, aligned_copy

GO, PREPARE, STOP = range(3)  # what rank 0 says
AWAKE = 0.5  # seconds after a word in which the next one is expected soon
SHORT, LONG = 20e-6, 5e-3  # sleeps between two looks for it


class Ranks(Engine):
    """The compiled plan, shared by all ranks."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        from mpi4py import MPI

        self.comm = MPI.COMM_WORLD
        bp.set_threads(1)

    def follow(self) -> bool:
        if self.comm.Get_rank() == 0:
            return False
        call: Call | None = None
        while (word := self._heard()) != STOP:
            if word == PREPARE:
                call = self._shared()
            elif call is not None:
                call()
        return True

    def _say(self, word: int) -> None:
        """Rank 0's word to all others."""
        for rank in range(1, self.comm.Get_size()):
            self.comm.Send(np.array([word]), dest=rank)

    def _heard(self) -> int:
        word, began = np.zeros(1, np.int64), time.monotonic()
        request = self.comm.Irecv(word, source=0)
        while not request.Test():
            time.sleep(SHORT if time.monotonic() - began < AWAKE else LONG)
        return int(word[0])

    def step(self, x: Array, targ: Array, **parameters: Array) -> Call:
        self._say(PREPARE)
        shared = self._shared((x, targ, parameters))

        def call() -> None:
            self._say(GO)
            shared()

        return call

    def _shared(self, data: Any = None) -> Call:
        """A step of all ranks, on rank 0's data."""
        x, targ, parameters = self.comm.bcast(data)
        x, targ = aligned_copy(x), aligned_copy(targ)
        model = network(parameters)
        plan = bp.compile(model, batch=len(x), comm=self.comm)

        def results() -> dict[str, Any]:
            gradients = [p.g for p in model.parameters()]
            return {"loss": np.array(self.last, x.dtype), **named_gradients(parameters, gradients)}

        def call() -> None:
            self.last = plan.grads(x, targ)

        self.results = results
        return call

    def close(self) -> None:
        self._say(STOP)

    def about(self) -> dict[str, Any]:
        return {**settings.info(), "ranks": self.comm.Get_size()}

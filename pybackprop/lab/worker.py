"""The process of a kernel: python -m pybackprop.lab.worker ANSWERS

For each line of JSON on stdin there is one on the descriptor ANSWERS. Before a kernel is called a line says
{"calling": {name: [address, bytes]}}, and if it then faults harness.c adds a line FAULT.

{"do": "open", "harness": path, "library": path, "operation": name, "dtype": d}  -> {"missing": bool} or {"failed": why}
{"do": "check", "case": {...}, "place": p, "fill": 0 or 1, "times": n, "seconds": s, "save": path}
                    -> {"results": different ones, "damaged": [names], "forked": bool, "flushes": bool}
{"do": "prepare", "name": n, "operation": o, "sizes": {...}, "dtype": d, "zeros": z, "threads": t} -> {"calls": c}
{"do": "time", "name": n, "calls": c}            -> {"seconds": s}      of c calls together
{"do": "peak", "dtype": d, "threads": t}         -> {"flops": f}        per second
{"do": "look", "threads": t, "best": {...}}      -> {"state": s}        of the machine; best: what it was before
{"do": "fitness"}                                -> what all looks saw

If a request raises, the answer is {"error": "..."}, with "errno" if it is an OSError. At the end of stdin it exits.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from pybackprop.bench import timer
from pybackprop.bench.requests import say, serve
from pybackprop.core import settings
from pybackprop.core.arrays import Array, aligned_copy, aligned_empty
from pybackprop.core.parent import end_with_parent
from pybackprop.lab import cases, memory, peers
from pybackprop.lab.fitness import Watch
from pybackprop.lab.memory import FFI
from pybackprop.lab.operation import Operation
from pybackprop.lab.operations import OPERATIONS

SLOW = 0.1  # seconds of a call from which it is not warmed up
FORKED = 77  # exit code of a child that a kernel made
MORE_MEMORY = 4 * 2**30  # bytes that a kernel may allocate
MOST_OUTPUT = 16 * 2**20  # bytes that it may print, or write to one file


class Worker:
    """The kernels of one operation. The public methods are the requests."""

    def __init__(self, answers: IO[str]) -> None:
        self.answers, self.pid = answers, os.getpid()
        self.ffi, self.kept = FFI(), list[Any]()
        self.functions: dict[str, Any] = {}
        self.calls: dict[str, Callable[[], Any]] = {}
        self.slow: set[str] = set()
        self.watch: Watch | None = None

    def open(
        self, library: str, operation: str, dtype: str, harness: str | None = None, name: str = "kernel"
    ) -> dict[str, Any]:
        """Loads a kernel, which already runs what its file does at loading."""
        op = OPERATIONS[operation]
        if harness is not None:
            ffi = FFI()
            ffi.cdef("void lab_catch(int);")
            self.kept.append(ffi.dlopen(harness))
            self.kept[-1].lab_catch(self.answers.fileno())
        if op.name not in self.kept:
            self.ffi.cdef(op.prototype(dtype))
            self.kept.append(op.name)
        say(self.answers, {"calling": {}})
        try:
            loaded = self.ffi.dlopen(library)
        except OSError as error:
            return {"failed": str(error).partition(".  Additionally")[0]}
        try:
            self.functions[name] = getattr(loaded, op.name)
        except AttributeError:
            return {"missing": True}
        self.kept.append(loaded)
        _limit_memory()
        return {"missing": False}

    def check(
        self, case: dict[str, Any], place: str, fill: int, times: int, seconds: float, save: str
    ) -> dict[str, Any]:
        """Calls the kernel on a case so many times, while these seconds pass; saves the results of the first call."""
        this = cases.Case(**case)
        op = OPERATIONS[this.operation]
        held = memory.allocate(op, this.sizes, this.dtype, place)
        for name, values in cases.inputs(op, this).items():
            held[name].array[...] = values
            held[name].read_only()
        say(self.answers, {"calling": {name: [each.address, each.nbytes] for name, each in held.items()}})
        pointers = [self._pointer(held[a.name].address, this.dtype) for a in op.arguments]
        different, forked, until = set[bytes](), False, time.perf_counter() + seconds
        for number in range(times):
            if forked or (number and time.perf_counter() > until):
                break
            for output in op.outputs:
                memory.fill(held[output.name].array, fill)
            self.functions["kernel"](*pointers, *this.sizes.values())
            if os.getpid() != self.pid:
                os._exit(FORKED)
            memory.libc.fflush(memory.ffi.NULL)
            forked = forked or _has_children()
            results = {output.name: held[output.name].array for output in op.outputs}
            different.add(b"".join(array.tobytes() for array in results.values()))
            if number == 0:
                _save(save, results)
        damaged = [name for name, each in held.items() if each.is_damaged()]
        for each in held.values():
            each.free()
        return {"results": len(different), "damaged": damaged, "forked": forked, "flushes": _flushes()}

    def prepare(
        self,
        name: str,
        operation: str,
        sizes: dict[str, int],
        dtype: str,
        zeros: float,
        threads: int,
        peer: str | None = None,
        save: str | None = None,
    ) -> dict[str, Any]:
        """Makes the data and calls once, a kernel or a peer; how many calls make a sample."""
        op = OPERATIONS[operation]
        values = {key: aligned_copy(value) for key, value in cases.timed_inputs(op, sizes, dtype, zeros).items()}
        outputs = {a.name: aligned_empty(a.of(sizes), np.dtype(dtype)) for a in op.outputs}
        for output in outputs.values():
            memory.fill(output, 0)
        if peer is not None:
            self.calls[name] = peers.prepare(peer, op, {**outputs, **values}, sizes, threads)
        else:
            self.calls[name] = self._kernel(name, op, {**outputs, **values}, sizes)
        first = timer.elapsed(self.calls[name], 1)
        if save is not None:
            _save(save, outputs)
        if first > SLOW:
            self.slow.add(name)
        calls = 1 if first > SLOW else timer.calls_for(self.calls[name])
        timer.quiet()
        return {"calls": calls}

    def _kernel(self, name: str, op: Operation, arrays: dict[str, Array], sizes: dict[str, int]) -> Callable[[], Any]:
        function, ordered = self.functions[name], [arrays[a.name] for a in op.arguments]
        passed = [self._pointer(array.ctypes.data, str(array.dtype)) for array in ordered]
        passed += [*sizes.values()]

        def call(kept: Any = ordered) -> None:
            function(*passed)

        return call

    def time(self, name: str, calls: int) -> dict[str, Any]:
        """Warms up with a quarter of the calls, where that matters, then times all of them."""
        return {"seconds": timer.sample(self.calls[name], calls, name not in self.slow)}

    def peak(self, dtype: str, threads: int) -> dict[str, Any]:
        """The machine's rate of fused multiply-adds."""
        settings.set_threads(threads)
        flops = timer.peak(dtype)
        timer.quiet()
        return {"flops": flops}

    def look(self, threads: int, best: dict[str, float]) -> dict[str, Any]:
        """The machine's state now."""
        self.watch = self.watch or Watch.knowing(threads, best)
        return {"state": self.watch.look()}

    def fitness(self) -> dict[str, Any]:
        """What was seen by all looks; there was at least one."""
        assert self.watch is not None
        return self.watch.report()

    def _pointer(self, address: int, dtype: str) -> Any:
        return self.ffi.cast("float *" if dtype == "float32" else "double *", address)


REQUESTS = ("open", "check", "prepare", "time", "peak", "look", "fitness")


def _save(path: str, results: dict[str, Array]) -> None:
    _limit(resource.RLIMIT_FSIZE, MOST_OUTPUT + 2 * sum(array.nbytes for array in results.values()))
    with Path(path).open("wb") as file:
        np.savez(file, **results)  # type: ignore[arg-type]
    _limit(resource.RLIMIT_FSIZE, MOST_OUTPUT)


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _flushes() -> bool:
    """Whether the processor now turns subnormal numbers into zero."""
    smallest = np.full(1, np.finfo(np.float32).tiny, np.float32)
    return bool((smallest / np.float32(2) == 0).any())


def _limit_memory() -> None:
    """Lets this process use at most MORE_MEMORY beyond what it has; not where AddressSanitizer reserves terabytes."""
    status = Path("/proc/self/statm")
    if status.exists() and "asan" not in os.environ.get("LD_PRELOAD", ""):
        used = int(status.read_text().split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, used + MORE_MEMORY)


def _limit(what: int, least: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (least if hard == resource.RLIM_INFINITY else min(least, hard), hard))


def main() -> None:
    """Serves until stdin ends."""
    end_with_parent()
    answers = os.fdopen(int(sys.argv[1]), "w")
    os.dup2(2, 1)  # what a kernel prints goes to stderr, a file
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, MOST_OUTPUT)
    serve(Worker(answers), REQUESTS, sys.stdin, answers)


if __name__ == "__main__":
    main()

"""The worker's process as its caller sees it: requests with a time limit, and what a kernel died of."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pybackprop.bench.processes import environment, only_cores
from pybackprop.lab import findings
from pybackprop.lab.findings import Finding
from pybackprop.lab.folder import NO_PLACE
from pybackprop.lab.memory import GUARD

LIMIT = 10.0  # seconds for a call
START = 60.0  # seconds more for the process to start
LAST_LINES = 12  # of what a kernel printed
BELOW, ABOVE = 64 * 1024, 64 * 2**20  # bytes around the stack pointer, where a fault means that the stack is full
FAULTS = {signal.SIGSEGV, signal.SIGBUS}
WHY = {
    signal.SIGILL: "an illegal instruction: the flags ask for an instruction set that this CPU lacks",
    signal.SIGFPE: "an integer was divided by zero",
    signal.SIGABRT: "abort(), a failed assert, or a heap that was written to where it must not be",
    signal.SIGXFSZ: "it printed or wrote more than 16 MiB",
    signal.SIGKILL: "it was killed, perhaps as there was no memory left",
    signal.SIGSEGV: "where, it could not say: perhaps a thread has no stack left, see OMP_STACKSIZE",
    signal.SIGTRAP: "a trap: the compiler saw that this code has no defined behaviour",
}


class RequestError(RuntimeError):
    """Raised for a request that the worker could not fulfil. A RuntimeError."""


class KernelError(Exception):
    """Raised where a kernel did not return; `finding` says what it did."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


@dataclass
class Fault:
    """What harness.c said of a fault."""

    signal: int
    address: int
    is_known: bool
    stack: int
    direction: str


class Process:
    """One worker. threads: for all libraries; cores: those it may run on (None: all). preload: a library, first."""

    def __init__(self, threads: int, cores: int | None, folder: Path, preload: Path | None = None) -> None:
        self.output: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close()
        self.read, write = os.pipe()
        variables = environment(threads, None) | {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}
        if preload is not None:
            options = "detect_leaks=0:allocator_may_return_null=1:abort_on_error=0:exitcode=99:color=never"
            variables |= {"LD_PRELOAD": str(preload), "ASAN_OPTIONS": options, "UBSAN_OPTIONS": "print_stacktrace=1"}
        try:
            with only_cores(cores or os.cpu_count() or 1):
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "pybackprop.lab.worker", str(write)],
                    stdin=subprocess.PIPE,
                    stdout=self.output,
                    stderr=self.output,
                    env=variables | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    cwd=folder,
                    pass_fds=[write],
                    start_new_session=True,
                )
        finally:
            os.close(write)
        self.buffer, self.started = b"", False
        self.arrays: dict[str, list[int]] = {}
        self.fault: Fault | None = None
        self.seen = 0  # bytes of output

    def ask(self, do: str, limit: float = LIMIT, at: str = "", **request: Any) -> dict[str, Any]:
        """The answer to a request; at: with what the kernel is called.

        Raises KernelError if the kernel ends the process or takes too long, RequestError if the request fails,
        OSError if there is no place for its files.
        """
        assert self.process.stdin is not None
        self.arrays, self.fault = {}, None
        until = time.monotonic() + limit + (0 if self.started else START)
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self.process.stdin.flush()
        while (line := self._line(until)) is not None:
            self.started = True
            if line.startswith(b"FAULT "):
                words = line.split()
                self.fault = Fault(int(words[1]), int(words[2]), words[3] == b"1", int(words[4]), words[5].decode())
                continue
            answer: dict[str, Any] = json.loads(line)
            if "calling" in answer:
                self.arrays = answer["calling"]
                until = time.monotonic() + limit
                continue
            if answer.get("errno") in NO_PLACE:
                raise OSError(answer["errno"], os.strerror(answer["errno"]))
            if "error" in answer:
                raise RequestError(answer["error"])
            return answer
        raise KernelError(self._ended(limit, at, time.monotonic() >= until))

    def _line(self, until: float) -> bytes | None:
        """The next line; None if none comes in time, or the process has ended."""
        while b"\n" not in self.buffer:
            left = until - time.monotonic()
            if left <= 0:
                return None
            has_ended = self.process.poll() is not None
            if select.select([self.read], [], [], 0 if has_ended else min(left, 0.1))[0]:
                part = os.read(self.read, 65536)
                if not part:
                    return None
                self.buffer += part
            elif has_ended:
                return None
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def printed(self) -> str:
        """What has been printed since the last time, shortened."""
        size = os.fstat(self.output.fileno()).st_size
        new = os.pread(self.output.fileno(), min(size - self.seen, 4000), self.seen) if size > self.seen else b""
        self.seen = size
        return new.decode(errors="replace")

    def _ended(self, limit: float, case: str, late: bool) -> Finding:
        if late:
            self.close(keep=True)
            return Finding(findings.ENDLESS, f"no result after {limit:g} s, and it was stopped", case)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        code = self.process.poll()
        said = self.printed()
        if "Sanitizer" in said or "runtime error" in said:
            return Finding(findings.SANITIZER, _last(said, LAST_LINES + 10, first=True), case)
        if code is None or code >= 0:
            return Finding(findings.EXITS, f"it ended the process with exit code {code}", case)
        number = signal.Signals(-code)
        if number in FAULTS and self.fault is not None:
            return self._touched(self.fault, case)
        why = WHY.get(number, "")
        text = f"{number.name}{': ' if why else ''}{why}"
        return Finding(findings.CRASH, text + (f"; it printed: {_last(said)}" if said.strip() else ""), case)

    def _touched(self, fault: Fault, case: str) -> Finding:
        """Which array an address belongs to, and where it lies."""
        name = signal.Signals(fault.signal).name
        if not fault.is_known:
            text = (
                f"{name}: an address that cannot be, or a vector instruction that wants an aligned one; "
                "arrays are aligned to their elements only"
            )
            return Finding(findings.CRASH, text, case)
        does = {"w": "writes", "r": "reads"}.get(fault.direction, "reads or writes")
        kinds = {"w": findings.OUT_OF_BOUNDS_WRITE, "r": findings.OUT_OF_BOUNDS_READ}
        for array, (start, count) in self.arrays.items():
            if start <= fault.address < start + count:
                return Finding(findings.WRITES_INPUT, f"{name}: {array} is an input, and must only be read", case)
            if start + count <= fault.address < start + count + GUARD:
                beyond = fault.address - start - count
                how_far = f"{beyond} bytes" if beyond else "right"
                text = f"{name}: {does} {how_far} after the end of {array} ({count} bytes)"
                return Finding(kinds.get(fault.direction, findings.OUT_OF_BOUNDS), text, case)
            if start - GUARD <= fault.address < start:
                text = f"{name}: {does} {start - fault.address} bytes before the beginning of {array} ({count} bytes)"
                return Finding(kinds.get(fault.direction, findings.OUT_OF_BOUNDS), text, case)
        if fault.stack and -BELOW <= fault.address - fault.stack < ABOVE:
            text = f"{name}: no stack is left: calls go too deep, or an array in a function is too large; use malloc"
            return Finding(findings.CRASH, text, case)
        text = f"{name}: {does} at address {fault.address:#x}, which belongs to none of the arrays"
        return Finding(findings.CRASH, text + ": NULL, or freed memory" * (fault.address < 4096), case)

    def close(self, keep: bool = False) -> None:
        """Kills the process and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        if keep:
            return
        with suppress(OSError):
            os.close(self.read)
        for stream in (self.process.stdin, self.output):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _last(text: str, count: int = LAST_LINES, first: bool = False) -> str:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[:count] if first else lines[-count:])

"""Counts of one call: of the processor by `perf stat`, or simulated by valgrind's cachegrind.

The program runs with more calls and with fewer, and the difference is divided by that of the calls: what Python and
the preparation cost is in both.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from pybackprop.bench.processes import only_cores
from pybackprop.core import settings
from pybackprop.lab import statistics
from pybackprop.lab.fitness import Watch
from pybackprop.lab.folder import temporary

EVENTS = (
    *("cycles", "instructions", "branch-misses", "L1-dcache-loads", "L1-dcache-load-misses"),
    *("cache-references", "cache-misses", "dTLB-load-misses"),
)
WORK = 2e9  # floating-point operations of a run that perf counts, about
MOST_CALLS = 200_000
FEW, SIMULATED = 2, 1e7  # calls that are simulated, and the operations of those beyond them, about
LARGEST = 2e8  # floating-point operations of a call that is simulated
LIMIT = 600.0  # seconds
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
NO_PERF = (
    "lab counters: there is no perf; install it (Debian: apt-get install linux-perf; Fedora: dnf install perf), or "
    "use --simulate"
)
NO_VALGRIND = (
    "lab counters --simulate: there is no valgrind; install it (Debian: apt-get install valgrind; Fedora: dnf install "
    "valgrind), or count with perf, without --simulate"
)


class UnsupportedError(RuntimeError):
    """The system does not let its counters be read; the message says why and what to do."""


@dataclass(frozen=True)
class Task:
    """An operation: matmul, linear, backward_w or backward_x, its sizes n, m, h, and settings."""

    op: str
    sizes: tuple[int, int, int]
    dtype: str
    kernel: str
    threads: int

    @property
    def flops(self) -> int:
        n, m, h = self.sizes
        return 2 * n * m * h

    def command(self, calls: int) -> list[str]:
        """The program with so many calls."""
        core, backend = util.find_spec("pybackprop._core"), util.find_spec("_cffi_backend")
        assert core is not None
        assert backend is not None
        task = {
            "core": core.origin,
            "folder": str(Path(str(backend.origin)).parent),
            "op": self.op,
            "sizes": self.sizes,
            "dtype": self.dtype,
            "kernel": settings.kernel_number(self.kernel),
            "threads": self.threads,
            "calls": calls,
        }
        return [sys.executable, "-S", str(Path(__file__).with_name("program.py")), json.dumps(task)]


# ---- perf ----


def by_perf(task: Task, rounds: int) -> dict[str, Any]:
    """Counts of a call, each with its spread, and in which state the machine was; events that the system does not
    count are left out.

    Raises FileNotFoundError without perf, UnsupportedError where it counts nothing, RuntimeError if the program fails.
    """
    perf = shutil.which("perf")
    if perf is None:
        raise FileNotFoundError(NO_PERF)
    calls = max(8, min(MOST_CALLS, round(WORK / task.flops)))
    samples: dict[str, list[float]] = {}
    watch = Watch(task.threads)
    for _ in range(rounds):
        watch.look()
        few, more = (_perf(perf, task, count) for count in (calls // 4, calls))
        for name in few.keys() & more.keys():
            samples.setdefault(name, []).append((more[name] - few[name]) / (calls - calls // 4))
    counted = {name: statistics.spread(samples[name]) for name in EVENTS if name in samples}
    missing = [event for event in EVENTS if event not in counted]
    return {"by": "perf stat", "calls": calls, "counts": counted, "missing": missing, "fitness": watch.report()}


def _perf(perf: str, task: Task, calls: int) -> dict[str, float]:
    text = _run([perf, "stat", "-x", ",", "-e", ",".join(EVENTS), *task.command(calls)], task.threads)
    counts = perf_counts(text)
    if not counts:
        raise UnsupportedError(why_unsupported(text))
    return counts


def perf_counts(text: str) -> dict[str, float]:
    """The counts in the output of `perf stat -x,`: event and number, without what was not counted."""
    found = {}
    for line in text.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and re.fullmatch(r"[0-9]+(\.[0-9]+)?", fields[0]):
            found[re.sub(r":\w+$", "", fields[2])] = float(fields[0])
    return found


def why_unsupported(text: str) -> str:
    """Why perf counted nothing, and the remedy."""
    if "perf_event_paranoid" in text or "Permission" in text or "No permission" in text:
        level = PARANOID.read_text().strip() if PARANOID.exists() else "unknown"
        why = (
            f"the system does not permit it (perf_event_paranoid is {level}): sudo sysctl kernel.perf_event_paranoid=1"
        )
    elif "not supported" in text:
        why = "this machine has no counters that perf can read, as is usual on virtual machines"
    else:
        why = " ".join(text.split()[-30:]) or "it said nothing"
    return f"lab counters: perf counted nothing: {why}; or --simulate a processor with valgrind"


# ---- cachegrind ----


def by_cachegrind(task: Task) -> dict[str, Any]:
    """Counts of a call on a simulated processor with this machine's caches, as far as valgrind knows it.

    Raises FileNotFoundError without valgrind, ValueError for a product that would take too long, RuntimeError if the
    program fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise FileNotFoundError(NO_VALGRIND)
    if task.flops > LARGEST:
        raise ValueError(
            f"lab counters --simulate: {task.flops:.2g} operations a call take too long, expected at most "
            f"{LARGEST:.0g}: smaller --sizes"
        )
    calls = max(2, round(SIMULATED / task.flops))
    few, more = (_cachegrind(valgrind, task.command(count)) for count in (FEW, FEW + calls))
    counts = {name: (more[name] - few[name]) / calls for name in CACHEGRIND.values()}
    return {"by": "valgrind's cachegrind", "calls": FEW + calls, "counts": counts, "missing": []}


CACHEGRIND = {
    "I refs": "instructions",
    "D refs": "loads and stores",
    "D1 misses": "L1 misses",
    "LLd misses": "last-level misses",
}


def _cachegrind(valgrind: str, command: Sequence[str]) -> dict[str, float]:
    with temporary() as folder:
        options = ["--tool=cachegrind", "--cache-sim=yes", f"--cachegrind-out-file={folder / 'out'}"]
        return cachegrind_counts(_run([valgrind, *options, *command], 1))


def cachegrind_counts(text: str) -> dict[str, float]:
    """The totals in what cachegrind says at its end. Raises RuntimeError if they are not there."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"==\d+== (I\s+refs|D\s+refs|D1\s+misses|LLd\s+misses):\s+([\d,]+)", line)
        if match:
            found[CACHEGRIND[" ".join(match[1].split())]] = float(match[2].replace(",", ""))
    if len(found) != len(CACHEGRIND):
        raise RuntimeError(f"lab counters --simulate: valgrind gave no counts: {' '.join(text.split()[-40:])}")
    return found


def _run(command: Sequence[str], cores: int) -> str:
    """What a program says on stderr. Raises RuntimeError if it fails or takes too long."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONHASHSEED": "0"}  # the same work in each run
    try:
        with only_cores(cores):
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=LIMIT, env=environment
            )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"lab counters: the program took more than {LIMIT:.0f} s; smaller --sizes") from None
    if done.returncode:
        said = " ".join(done.stderr.split()[-40:])
        if "perf" in Path(command[0]).name and not perf_counts(done.stderr):
            raise UnsupportedError(why_unsupported(done.stderr))
        raise RuntimeError(f"lab counters: the program ended with code {done.returncode}: {said}")
    return str(done.stderr)


def derived(task: Task, counts: Mapping[str, Any]) -> dict[str, float]:
    """What follows from counts: instructions a cycle, operations an instruction, misses by load and by instruction."""
    number = {name: float(value["median"] if isinstance(value, Mapping) else value) for name, value in counts.items()}
    ratios = {
        "instructions a cycle": ("instructions", "cycles"),
        "L1 misses a load": ("L1-dcache-load-misses", "L1-dcache-loads"),
        "cache misses a reference": ("cache-misses", "cache-references"),
        "L1 misses a load or store": ("L1 misses", "loads and stores"),
    }
    found = {n: number[a] / number[b] for n, (a, b) in ratios.items() if number.get(b) and a in number}
    for name in ("cycles", "instructions"):
        if number.get(name):
            found[f"floating-point operations {'a cycle' if name == 'cycles' else 'an instruction'}"] = (
                task.flops / number[name]
            )
    return found

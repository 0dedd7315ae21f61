"""Measured: what a way's step really takes, in a process of its own, where that fits in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from pybackprop.core import available_memory
from pybackprop.core.units import bytes_text
from pybackprop.memory.schemes import Way
from pybackprop.nn.network import Network

SHARE = 0.8  # of what is available, at most
LIMIT = 600.0  # seconds
OVERHEAD = 4 * 10**8  # bytes of a process with its libraries
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc gives arrays back when they go, so that holes are no buffers


@dataclass(frozen=True)
class Measured:
    """peak: bytes that were resident at most during the step, beyond data, parameters and their gradients.

    None where it was not measured; why says so then. traced: bytes that numpy asked for, if that was counted.
    """

    peak: int | None
    why: str = ""
    traced: int | None = None


def measure(way: Way, network: Network, batch: int, trace: bool = False) -> Measured:
    """Runs a way's step on random data. An mlp's layers are measured: every layer with a bias, relu between them."""
    why = way.missing() or _too_large(way.ledger(network, batch).whole)
    if why:
        return Measured(None, why)
    request = {"program": way.program, "widths": network.widths, "batch": batch, "dtype": network.dtype.name}
    command = [sys.executable, "-m", "pybackprop.bench.memory.worker", json.dumps({**request, "trace": trace})]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env={**os.environ, **AT_ONCE})
    except subprocess.TimeoutExpired:
        return Measured(None, f"it took more than {LIMIT:.0f} seconds")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        return Measured(None, f"its process failed: {last}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["resident"] is None:
        return Measured(None, "this system does not tell what is resident", answer.get("traced"))
    return Measured(max(0, answer["resident"] - _made_anew(way, network)), "", answer.get("traced"))


def _made_anew(way: Way, network: Network) -> int:
    """Bytes of parameters and gradients that a step makes once more: they count as held."""
    return network.parameter_bytes * {"plan": 2, "engine": 1}.get(way.program[0], 0)


def _too_large(needed: int) -> str:
    found = available_memory.available()
    if found is None or needed + OVERHEAD <= SHARE * found:
        return ""
    return f"it needs {bytes_text(needed)}, and {bytes_text(found)} are available"

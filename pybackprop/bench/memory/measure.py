"""Measures the peak memory of a scheme's step in a separate process, if it fits in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from pybackprop.core import available_memory
from pybackprop.core.units import bytes_text
from pybackprop.memory.schemes import Scheme
from pybackprop.nn.network import Network
from pybackprop.ops import RELU

SHARE = 0.8  # the largest share of the available memory to use
LIMIT = 600.0  # seconds
OVERHEAD = 4 * 10**8  # bytes of a process with its libraries
# makes glibc return large arrays to the system when they are freed, instead of keeping them resident
RETURN_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "131072"}


@dataclass(frozen=True)
class Measured:
    """peak: the most bytes that were resident during the step, beyond data, parameters and their gradients.

    If it was not measured, peak is None and why is the reason. traced: bytes that numpy allocated, if counted.
    """

    peak: int | None
    why: str = ""
    traced: int | None = None


def measure(scheme: Scheme, network: Network, batch: int, trace: bool = False) -> Measured:
    """Runs a scheme's step on random data, for a network of `of_sizes`: each layer with a bias, activations between."""
    why = scheme.missing(network) or _too_large(scheme.ledger(network, batch).whole)
    if why:
        return Measured(None, why)
    request = {
        "program": scheme.program,
        "widths": network.widths,
        "batch": batch,
        "dtype": network.dtype.name,
        "activation": (network.stages[0].activation or RELU).name,
        "loss": network.loss.name,
    }
    environment = {**os.environ, **RETURN_AT_ONCE}
    command = [sys.executable, "-m", "pybackprop.bench.memory.worker", json.dumps({**request, "trace": trace})]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment)
    except subprocess.TimeoutExpired:
        return Measured(None, f"it took more than {LIMIT:.0f} seconds")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        return Measured(None, f"its process failed: {last}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["resident"] is None:
        return Measured(None, "the resident memory is not known on this system", answer.get("traced"))
    return Measured(max(0, answer["resident"] - _allocated_again(scheme, network)), "", answer.get("traced"))


def _allocated_again(scheme: Scheme, network: Network) -> int:
    """Bytes of parameters and gradients that a step allocates again; they count as held."""
    return network.parameter_bytes * {"plan": 2, "engine": 1, "torch": 1}.get(scheme.program[0], 0)


def _too_large(needed: int) -> str:
    free = available_memory.available()
    if free is None or needed + OVERHEAD <= SHARE * free:
        return ""
    return f"it needs {bytes_text(needed)}, and {bytes_text(free)} are available"

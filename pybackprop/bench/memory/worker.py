"""A process that computes a step and reports its peak memory: python -m pybackprop.bench.memory.worker REQUEST

REQUEST is JSON: {"program": [name, argument], "widths": [...], "batch": n, "dtype": "float32", "activation": "relu",
"loss": "mse"}. The answer, on stdout:
{"resident": bytes or null, "traced": bytes}. Both are peaks beyond what was there before the step.
resident: what the process had in RAM. traced: what Python and numpy allocated, counted in a second step.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from pybackprop.bench import resident_memory
from pybackprop.bench.memory import programs

FEW = 8  # rows


def program_of(request: dict[str, Any]) -> Callable[[programs.Given], Callable[[], Any]]:
    """The scheme's program, from its name."""
    name, *arguments = request["program"]
    program = getattr(programs, name)
    chosen: Callable[[programs.Given], Callable[[], Any]] = program(arguments[0] or None) if arguments else program
    return chosen


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Measures a step. Runs one of a few rows first, so that libraries' one-time allocations are not measured."""
    rng, make = np.random.default_rng(0), program_of(request)
    batch = request["batch"]

    def given(rows: int) -> programs.Given:
        return programs.given(request["widths"], rows, request["dtype"], rng, request["activation"], request["loss"])

    make(given(min(FEW, batch)))()
    data = given(batch)
    data.touch_gradients()
    step = make(data)
    gc.collect()
    resident = resident_memory.extra(step)
    del step
    if not request.get("trace", False):
        return {"resident": resident}
    data.touch_gradients()
    return {"resident": resident, "traced": traced(make(data))}


def traced(step: Callable[[], Any]) -> int:
    """The most that Python and numpy had allocated during a step, beyond what they had before it."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    step()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))

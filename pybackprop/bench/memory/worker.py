"""A process that computes one step one way and says what that took: python -m pybackprop.bench.memory.worker REQUEST

REQUEST is JSON: {"program": [name, argument], "widths": [...], "batch": n, "dtype": "float32"}. The answer, on stdout:
{"resident": bytes or null, "traced": bytes}. Both are peaks beyond what was there before the step.
resident: that the process had in RAM. traced: that numpy asked for, of which a second step is counted.
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
    """The way's program, from its name."""
    name, *arguments = request["program"]
    found = getattr(programs, name)
    made: Callable[[programs.Given], Callable[[], Any]] = found(arguments[0] or None) if arguments else found
    return made


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Makes a step of a few rows, for what a library needs once in its life, and then the one to measure."""
    rng, make = np.random.default_rng(0), program_of(request)
    widths, batch = request["widths"], request["batch"]
    make(programs.given(widths, min(FEW, batch), request["dtype"], rng))()
    data = programs.given(widths, batch, request["dtype"], rng)
    data.touch_gradients()
    step = make(data)
    gc.collect()
    found = resident_memory.extra(step)
    del step
    if not request.get("trace", False):
        return {"resident": found}
    data.touch_gradients()
    return {"resident": found, "traced": traced(make(data))}


def traced(step: Callable[[], Any]) -> int:
    """The most that Python and numpy had asked for during a step, beyond what they had before it."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    step()
    found = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return found


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))

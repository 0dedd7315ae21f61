"""The process that measures: main() with sys.argv[1] = JOB, and its arguments as JSON on stdin.

On stdout one line of JSON each: {"step": text} as it goes on, then {"result": ...} or {"error": text}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from pybackprop.core.parent import end_with_parent

JOBS = {
    "machine": "pybackprop.lab.machine.measure:measure",
    "reading": "pybackprop.lab.machine.measure:reading",
    "fitness": "pybackprop.lab.fitness:watched",
    "sweep": "pybackprop.lab.sweep.run:run",
    "roofline": "pybackprop.lab.roofline.run:run",
}


def load(job: str) -> Callable[..., Any]:
    """The function that does a job; it takes on_step, which is called with a text as it goes on."""
    module, name = JOBS[job].split(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def main() -> None:
    end_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # stdout is for answers

    def say(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        arguments = json.loads(sys.stdin.read())
        say(result=load(sys.argv[1])(**arguments, on_step=lambda text: say(step=text)))
    except (ValueError, TypeError, RuntimeError, OSError, MemoryError, ImportError) as error:
        say(error=f"{error or type(error).__name__}")

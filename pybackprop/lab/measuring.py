"""Runs a job in a process of its own, with as many processors as threads: see `measuring_worker`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from pybackprop.bench.processes import DiedError, environment, only_cores
from pybackprop.core import settings
from pybackprop.lab.folder import remedied

ROOT = str(Path(__file__).parents[2])
# this package, whatever folder of its name the current one has
START = (
    f"import sys; sys.path = [{ROOT!r}, *filter(None, sys.path)]; "
    "from pybackprop.lab.measuring_worker import main; main()"
)
LAST_LINES = 5  # of stderr, reported for a process that died


def run(job: str, threads: int, arguments: Mapping[str, Any], on_step: Callable[[str], Any] = lambda text: None) -> Any:
    """A job's result. on_step(text): called as it goes on.

    Raises RuntimeError with what the job raised, DiedError if its process ended without an answer. An interrupt ends
    the process.
    """
    with remedied(), tempfile.TemporaryFile("w+", errors="replace") as words, only_cores(threads):
        process = subprocess.Popen(
            [sys.executable, "-c", START, job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env={**environment(threads, settings.kernel()), "PYBACKPROP_INSIST": "0"},
            text=True,
            start_new_session=True,
        )
        try:
            return _answer(process, arguments, on_step, words)
        finally:
            process.kill()
            process.wait()


def _answer(process: subprocess.Popen[str], arguments: Any, on_step: Callable[[str], Any], words: IO[str]) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            process.stdin.write(json.dumps(arguments))
            process.stdin.close()
        except OSError:
            pass  # it has ended: what it said follows
        for line in process.stdout:
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise RuntimeError(answer["error"])
            if "result" in answer:
                return answer["result"]
            on_step(answer["step"])
    process.wait()
    words.seek(0)
    last = [line.rstrip() for line in words if line.strip()][-LAST_LINES:]
    raise DiedError("\n".join([f"the process that measures ended with code {process.returncode}", *last]))

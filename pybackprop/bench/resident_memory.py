"""The peak of resident memory: of this process, and during a call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # written to RESET: sets the peak to the current resident size


def extra(call: Callable[[], Any]) -> int | None:
    """Makes the call; returns the peak of resident bytes during it, beyond those before. None if this is not known."""
    try:
        _return_free_memory()
        RESET.write_text(RESET_PEAK)
        before = _status("VmRSS")
    except (OSError, KeyError):
        call()
        return None
    call()
    return max(0, _status("VmHWM") - before)


def peak() -> int | None:
    """The peak of this process's resident bytes, or since `extra` was called last; None if it is not known.

    Not getrusage's: on Linux that begins with the peak of the process that started this one.
    """
    try:
        return _status("VmHWM")
    except (OSError, KeyError):
        return None


def _return_free_memory() -> None:
    """Returns free memory to the system; otherwise a call could reuse it and would seem to need less."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[name].split()[0]) * 1024

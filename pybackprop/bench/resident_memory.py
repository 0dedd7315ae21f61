"""Resident memory: how much of it something needs at its worst moment."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # to RESET: the peak is what is resident now


def extra(call: Callable[[], Any]) -> int | None:
    """Calls it; the most bytes that were resident meanwhile, beyond those before it. None where no kernel says so."""
    try:
        _give_back_what_is_free()
        RESET.write_text(RESET_PEAK)
        before = _status("VmRSS")
    except (OSError, KeyError):
        call()
        return None
    call()
    return max(0, _status("VmHWM") - before)


def _give_back_what_is_free() -> None:
    """What an earlier work freed would otherwise be there already for this one."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[name].split()[0]) * 1024

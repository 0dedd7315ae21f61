"""A process that computes ends with the one that started it, however that ended: SIGKILL runs no `finally`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

STARTED_BY = "PYBACKPROP_STARTED_BY"  # in the environment of such a process: the number of the one that started it
WHEN_PARENT_DIES = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
POLL = 0.5  # seconds between two looks, where the system does not tell


def started_by_this() -> dict[str, str]:
    """The variable that tells a process, which this one starts, with whom it shall end."""
    return {STARTED_BY: str(os.getpid())}


def end_with_parent() -> None:
    """From now on this process is killed when the one that started it ends; at once, if that has ended already."""
    parent = int(os.environ.get(STARTED_BY) or os.getppid())
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(WHEN_PARENT_DIES, signal.SIGKILL):
        threading.Thread(target=end_after, args=(parent,), daemon=True).start()
    elif os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def end_after(parent: int) -> None:
    """Waits until this process has another parent, and kills it."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os.kill(os.getpid(), signal.SIGKILL)

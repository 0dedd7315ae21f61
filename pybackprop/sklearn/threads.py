"""The number of threads while an estimator computes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pybackprop.core import settings


class _Setting:
    """The number of threads as it was before the first of the estimators that set it now, in threads of their own."""

    lock = threading.Lock()
    users = 0
    before = 0


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Computes with so many threads; None: with as many as otherwise."""
    if count is None:
        yield
        return
    with _Setting.lock:
        if _Setting.users == 0:
            _Setting.before = settings.threads()
        _Setting.users += 1
        settings.set_threads(count)
    try:
        yield
    finally:
        with _Setting.lock:
            _Setting.users -= 1
            if _Setting.users == 0:
                settings.set_threads(_Setting.before)

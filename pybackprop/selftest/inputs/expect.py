"""What reading may end in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pybackprop.selftest.case import Case

T = TypeVar("T")


def ended(case: Case, read: Callable[[], T], *errors: type[Exception]) -> T | None:
    """What `read` returns, None after one of these errors; any other exception is the case's failure.

    An error without words is a failure too.
    """
    case.check.count += 1
    try:
        return read()
    except errors as error:
        case.draw.note("ended in", f"{type(error).__name__}: {str(error)[:200]}")
        case.check.true(f"{type(error).__name__} says nothing", str(error).strip())
        return None

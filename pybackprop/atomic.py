"""A file written wholly or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

__all__ = ["replace"]


def replace(target: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Puts what write writes in the place of target, wholly or not at all. Raises OSError."""
    # a name may have all the 255 bytes that most file systems allow: only a part of it fits
    temporary = target.with_name(f".{target.name[:50]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    mode = target.stat().st_mode & 0o777 if target.exists() else None
    # created no wider than it shall be: someone could open it before a chmod
    create = partial(os.open, mode=0o666 if mode is None else mode)
    try:
        with open(temporary, "xb", opener=create) as stream:
            if mode is not None:
                with contextlib.suppress(OSError):  # some file systems have no permissions
                    os.chmod(temporary, mode)  # the umask took some
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        _sync(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Makes the rename itself durable, where folders can be flushed."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

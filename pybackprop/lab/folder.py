"""The folder for temporary files, and what helps where there is no place for any."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
NO_PLACE_TEXTS = (*(os.strerror(number) for number in NO_PLACE[:3]), "Cannot create temporary file")  # of a compiler
REMEDY = "set TMPDIR to a folder with space"


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that is removed at the end. Raises OSError, with the remedy, where it cannot be written."""
    with remedied(), tempfile.TemporaryDirectory(prefix="pybackprop-lab-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def remedied() -> Iterator[None]:
    """Adds the remedy to an OSError of this block that says that there is no place for temporary files."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_PLACE or "temporary directory" in str(error):
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"lab: temporary files cannot be written: {reason}; {REMEDY}") from error
        raise

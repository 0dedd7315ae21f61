"""The folder for temporary files of a trial or a ladder."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that is removed at the end. Raises OSError, with the remedy, where it cannot be written."""
    try:
        with tempfile.TemporaryDirectory(prefix="pybackprop-lab-", ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        if error.errno in NO_PLACE or "temporary directory" in str(error):
            reason = error.strerror or str(error)
            text = f"lab: temporary files cannot be written: {reason}; set TMPDIR to a folder with space"
            raise OSError(error.errno, text) from error
        raise

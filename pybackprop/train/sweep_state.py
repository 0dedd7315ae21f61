"""The state of a sweep: a file with a line of JSON for each candidate that was trained.

A line is appended at once, whole, and flushed to the disk. What a killed process may have left without its end is no
line, and is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.checks import check_folder
from pybackprop.core.errors import CheckpointError
from pybackprop.core.version import __version__
from pybackprop.data import Split
from pybackprop.train.sweep import Outcome
from pybackprop.train.trainer import Settings

ANOTHER = "give another --state, or delete the file"
NUMBERS = ("loss", "valid_loss", "accuracy", "r2", "seconds")


def data_digest(split: Split) -> str:
    """sha256 of what is trained on and validated with: names, dtypes, shapes and bytes."""
    state = hashlib.sha256()
    for name, array in split._asdict().items():
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        state.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        state.update(little.tobytes())
    return state.hexdigest()


class State:
    """The outcomes in a file, and those that are appended to it.

    data   the digest of the samples in each dtype that is trained in
    Raises CheckpointError for a file of another version or of other data, or that is no such file; OSError for one that
    cannot be read or written.
    """

    path: Path
    data: Mapping[str, str]
    outcomes: dict[str, Outcome]

    def __init__(self, path: Path, data: Mapping[str, str]) -> None:
        self.path, self.data = path, data
        check_folder("--state", path)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        lines = enumerate(whole.splitlines(), 1)
        self.outcomes = dict(self._read(line, number) for number, line in lines)
        if len(whole) < len(content):
            self._check_is_ours(content[len(whole) :])
            os.truncate(path, len(whole))

    def check_place(self) -> None:
        """Raises OSError for a file that `add` could not write to. Leaves none that was not there."""
        existed = self.path.exists()
        os.close(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666))
        if not existed:
            self.path.unlink()

    def get(self, settings: Settings) -> Outcome | None:
        """What a training with these settings came to, if it is known."""
        return self.outcomes.get(_key(asdict(settings)))

    def add(self, settings: Settings, outcome: Outcome) -> None:
        """Appends a line. Raises OSError if it cannot be written, and then leaves the file as it was."""
        told = {name: value for name, value in asdict(outcome).items() if name != "final"}
        record = {"pybackprop": __version__, "data": self.data[settings.dtype], "settings": asdict(settings), **told}
        line = json.dumps(record).encode() + b"\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            before = os.fstat(handle).st_size
            written = os.write(handle, line)  # one call: no interrupt comes between
            if written < len(line):
                os.ftruncate(handle, before)
                raise OSError(f"{self.path}: cannot be written: there is no space for another line")
            os.fsync(handle)
        finally:
            os.close(handle)
        self.outcomes[_key(asdict(settings))] = outcome

    def _read(self, line: bytes, number: int) -> tuple[str, Outcome]:
        try:
            record = json.loads(line)
            version, data, settings = record["pybackprop"], record["data"], record["settings"]
            outcome = _outcome(record)
            dtype, key = settings["dtype"], _key(settings)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise CheckpointError(
                f"{self.path}: line {number} is none of a sweep's state ({type(error).__name__}: {error}); {ANOTHER}"
            ) from error
        if version != __version__:
            raise CheckpointError(
                f"{self.path}: line {number} is of pybackprop {version}, and this is {__version__}; {ANOTHER}"
            )
        if data != self.data.get(dtype, data):
            raise CheckpointError(f"{self.path}: line {number} is of other data than this; {ANOTHER}")
        return key, outcome

    def _check_is_ours(self, rest: bytes) -> None:
        """What has no end of line is removed only if it began as a line of ours does."""
        start = b'{"pybackprop": '
        if rest[: len(start)] != start[: len(rest)]:
            raise CheckpointError(f"{self.path}: its last line is none of a sweep's state; {ANOTHER}")


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _outcome(record: Mapping[str, Any]) -> Outcome:
    told: dict[str, Any] = {name: record[name] for name in NUMBERS}
    told.update((name, record[name]) for name in ("digest", "error"))
    for name, value in told.items():
        kinds = (float, int) if name in NUMBERS else (str,)
        if not isinstance(value, kinds) and not (value is None and name != "seconds"):
            raise TypeError(f"{name}: found {value!r}")
    if (told["digest"] is None) == (told["error"] is None) or (told["loss"] is None) != (told["digest"] is None):
        raise ValueError("found neither an error nor a digest with a loss, or both")
    return Outcome(**told)


__all__ = ["State", "data_digest"]

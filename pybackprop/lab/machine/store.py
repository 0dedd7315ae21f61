"""The report of `lab machine`, kept in the user's cache folder, one file for each machine."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from pybackprop.core import files
from pybackprop.lab.machine.measure import SCHEMA, identity

OLD = 30 * 24 * 3600  # seconds
LISTS = ("peaks", "frequency", "bandwidth", "caches", "overheads", "states")
TABLES = ("latency", "pages", "fitness")


def folder() -> Path:
    """The library's cache folder: in XDG_CACHE_HOME if that is an absolute path, as its standard says, or ~/.cache."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path("~/.cache").expanduser()
    return base / "pybackprop"


def path() -> Path:
    """This machine's file."""
    key = hashlib.sha256(json.dumps(identity(), sort_keys=True).encode()).hexdigest()[:16]
    return folder() / f"machine-{key}.json"


def read(file: Path | None = None) -> tuple[dict[str, Any] | None, str]:
    """(the report that was kept, or None; why there is none that counts, or an empty text)."""
    file = path() if file is None else file
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None, "this machine has not been measured yet"
    except (OSError, ValueError, RecursionError) as error:
        return None, f"{file}: cannot be read ({error}), so the machine is measured again"
    fault = _fault(found)
    return (None, f"{file}: {fault}, so the machine is measured again") if fault else (found, "")


def _fault(found: Any) -> str:
    """What is wrong with a file's contents; empty if nothing is."""
    if not isinstance(found, Mapping) or found.get("schema") != SCHEMA:
        return "it is of another version of this library"
    if found.get("machine") != identity():
        return "it is of another machine"
    if any(not _is_table_list(found.get(name)) for name in LISTS) or any(
        not isinstance(found.get(name), Mapping) for name in TABLES
    ):
        return "parts of it are missing"
    if not found["peaks"] or not found["bandwidth"]:
        return "parts of it are missing"
    taken = found.get("taken")
    if not isinstance(taken, (int, float)) or not 0 <= time.time() - taken < OLD:
        return f"it is older than {OLD // 86400} days"
    return ""


def _is_table_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, Mapping) for row in value)


def _dump(report: Mapping[str, Any], stream: IO[bytes]) -> None:
    stream.write(json.dumps(report).encode())


def write(report: Mapping[str, Any], file: Path | None = None) -> str:
    """Keeps the report; why it could not be kept, or an empty text."""
    file = path() if file is None else file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.replace(file, partial(_dump, report))
    except OSError as error:
        return f"not kept for the next time: {error}"
    return ""

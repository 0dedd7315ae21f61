"""The result of a sweep as files: JSON, which `lab diff` reads again, and CSV, a row for each point."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from pybackprop.core import files
from pybackprop.core.checks import check_folder
from pybackprop.lab.sweep.grid import AXES, point, shape_text
from pybackprop.lab.sweep.run import SCHEMA

NUMBERS = (
    *("gflops_median", "gflops_low", "gflops_high", "median", "low", "high", "least", "most"),
    *("samples", "outliers", "drift", "not_quiet", "left_out"),
)


def check(path: Path) -> None:
    """Raises ValueError or OSError for a file that could not be written, before anything is measured."""
    if path.suffix.lower() not in WRITERS:
        raise ValueError(f"--out: found {path.name}, expected a name that ends in {' or '.join(WRITERS)}")
    if path.is_dir():
        raise IsADirectoryError(f"--out: {path} is a folder")
    check_folder("--out", path)


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Writes the result as the file's name says. Raises OSError, which names the file."""
    text = WRITERS[path.suffix.lower()](result)
    try:
        files.replace(path, partial(_dump, text))
    except OSError as error:
        raise OSError(error.errno, f"--out: {path} cannot be written: {error.strerror}") from error


def _dump(text: str, stream: IO[bytes]) -> None:
    stream.write(text.encode())


def _csv(result: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["op", *AXES, *NUMBERS])
    for row in result["points"]:
        axes = [shape_text(row[name]) if name == "shape" else row[name] for name in AXES]
        rows.writerow([row["op"], *axes, *(row[name] for name in NUMBERS)])
    return stream.getvalue()


def _json(result: Mapping[str, Any]) -> str:
    return json.dumps(result, indent=1) + "\n"


WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {".json": _json, ".csv": _csv}


def read(path: Path) -> dict[str, Any]:
    """A result from its JSON file. Raises OSError, and ValueError for a file that is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no result of a sweep, as JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("points"), list) or not found["points"]:
        raise ValueError(f"{path}: no result of 'pybackprop lab sweep': it has no points")
    if found.get("schema") != SCHEMA:
        raise ValueError(f"{path}: a result of another version of this library; run the sweep again")
    for number, row in enumerate(found["points"]):
        _check_row(f"{path}: point {number + 1}", row)
    return found


def _check_row(where: str, row: Any) -> None:
    try:
        point({name: row[name] for name in ("op", *AXES)})
        times = row["seconds"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{where}: {error or type(error).__name__}") from error
    numbers = isinstance(times, list) and all(isinstance(t, float) and 0 < t < float("inf") for t in times)
    if not numbers or not times:
        raise ValueError(f"{where}: found the times {times!r}, expected positive numbers of seconds")

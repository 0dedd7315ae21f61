"""Arrays in files: IDX, .npy, .npz, .csv, recognized by their content. Nothing is ever unpickled."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.files import NpyError, read_npy, read_npz
from pybackprop.data.errors import DataError
from pybackprop.data.idx import GZIP, read_idx


def load(path: str | Path) -> Array | dict[str, Array]:
    """The array in an IDX (also .gz), .npy or .csv file, in native byte order; of a .npz all arrays by name.

    A .csv is one matrix of float64, a first line of names left out. Raises DataError, naming file, field, what
    was found and what was expected, for a file that is damaged or of another kind.
    """
    path = Path(path)
    with named_errors(path), open(path, "rb") as stream:
        start = stream.read(6)
        if start == b"\x93NUMPY":
            stream.seek(0)
            return read_npy(stream, path.stat().st_size)
        if start[:2] == b"PK":
            return read_npz(path)
        if start[:2] in (GZIP, b"\0\0"):
            return read_idx(path)
        return read_csv(path)[0]


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turns errors of reading path into a DataError that names it."""
    try:
        yield
    except NpyError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_csv(path: Path) -> tuple[Array, list[str]]:
    """(float64 matrix, names of the columns or []). Raises DataError naming line and column."""
    try:
        with named_errors(path), open(path, encoding="utf-8-sig", newline="") as stream:
            first = next(csv.reader(stream), [])
            names = [] if any(is_number(cell) for cell in first) else first
            stream.seek(0)
            matrix = _matrix(path, stream, 1 if names else 0)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is neither IDX, .npy, .npz nor text ({error})") from error
    except csv.Error as error:
        raise DataError(f"{path}: line 1: {error}") from error
    if not matrix.size:
        raise DataError(f"{path}: found no line of numbers")
    if names and len(names) != matrix.shape[1]:
        raise DataError(f"{path}: line 1: found {len(names)} names for {matrix.shape[1]} columns")
    return matrix, names


def _matrix(path: Path, stream: Iterable[str], skip: int) -> Array:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")
            return np.loadtxt(stream, delimiter=",", skiprows=skip, comments=None, quotechar='"', ndmin=2)
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise DataError(f"{path}: {_first_fault(path, skip) or error}") from error


def _first_fault(path: Path, skip: int) -> str:
    """Line and column, counted from 1, of the first cell that is not a number, or row of another length."""
    with open(path, encoding="utf-8-sig", newline="") as stream:
        columns = None
        for cells in (reader := csv.reader(stream)):
            if reader.line_num <= skip or not cells:
                continue
            columns = columns or len(cells)
            if len(cells) != columns:
                return f"line {reader.line_num}: found {len(cells)} columns, expected {columns}"
            for k, cell in enumerate(cells, 1):
                if not is_number(cell):
                    return f"line {reader.line_num}, column {k}: found {cell!r}, expected a number"
    return ""


def is_number(cell: str) -> bool:
    """Whether the text of a cell is a number as float() reads it."""
    try:
        float(cell)
    except ValueError:
        return False
    return True

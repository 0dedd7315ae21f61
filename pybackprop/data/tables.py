"""Tables: columns of numbers or texts with names, from text with separators, and, through pandas, from other files."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import sys
import zlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.data.errors import DataError
from pybackprop.data.files import is_number, named_errors
from pybackprop.data.idx import GZIP

STDIN = Path("-")
SEPARATORS = (",", ";", "\t")
OPEN_QUOTE = re.compile(r'(?:^|[,;\t])\s*"')  # where a cell in quotes begins
MISSING = ("", "?", "na", "n/a", "nan", "null", "none")  # cells, in small letters
THROUGH_PANDAS = {
    ".parquet": "read_parquet",
    ".feather": "read_feather",
    ".xlsx": "read_excel",
    ".xls": "read_excel",
    ".ods": "read_excel",
    ".dta": "read_stata",
}
NO_PANDAS = "needs the library pandas (pip install 'pybackprop[tables]'); or write the table as a .csv"


class Table(NamedTuple):
    """The columns of a file.

    names    of the columns, [] if the file has none
    columns  each of float64, NaN where a cell is missing, or of texts, "" where one is missing
    lines    where each row stands in the file, counted from 1
    labels   of the classes 0, 1, ..., if the file tells them
    """

    path: Path
    names: list[str]
    columns: list[Array]
    lines: Sequence[int]
    labels: tuple[str, ...] = ()

    def title(self, k: int) -> str:
        """What to call a column in a message."""
        return f"column {k + 1}" + (f" ({self.names[k]})" if self.names else "")

    def has_slips(self, k: int) -> bool:
        """Whether a column of texts is one of numbers, most of its cells, with some that are none."""
        cells = [cell for cell in self.columns[k].tolist() if cell]
        return self.columns[k].dtype.kind == "U" and 2 * sum(map(_is_nearly_number, cells)) > len(cells)

    def slip(self, k: int) -> str:
        """Where the first cell of a column of texts stands that is no number, and what it is."""
        cells = self.columns[k].tolist()
        said = (row for no in (_is_nearly_number, is_number) for row, cell in enumerate(cells) if cell and not no(cell))
        row = next(said, 0)
        return f"{self.path}: line {self.lines[row]}, {self.title(k)}: found {cells[row]!r}"

    def numbers(self, chosen: Sequence[int]) -> Array:
        """Columns as a matrix of float64, or of integers if all its numbers are whole. Raises DataError for texts."""
        for k in chosen:
            if self.columns[k].dtype.kind == "U":
                raise DataError(f"{self.slip(k)}, expected a number, as in most of the column")
        matrix = np.column_stack([self.columns[k] for k in chosen])
        low, high = matrix.min(initial=0), matrix.max(initial=0)  # NaN if there is one
        if not (low > -(2**53) and high < 2**53 and (matrix == np.floor(matrix)).all()):
            return matrix
        return matrix.astype(np.int16 if low >= -(2**15) and high < 2**15 else np.int64)


def _is_nearly_number(cell: str) -> bool:
    """Whether a cell is a number, maybe with a decimal comma."""
    return is_number(cell) or is_number(cell.replace(",", "."))


def read_table(path: Path) -> Table:
    """The table in a file, or, for the path "-", on stdin.

    Text has cells between commas, semicolons, tabs or blanks, maybe in quotes, and may be compressed with gzip; lines
    that begin with # are comments. A first line of names is known by cells that are no numbers where the next line
    has numbers. Raises DataError, which names line and column; ImportError where pandas is needed and missing.
    """
    if path.suffix.lower() in THROUGH_PANDAS:
        return _through_pandas(path)
    lines = _lines(path)
    if not lines:
        raise DataError(f"{path}: found no line of numbers")
    separator = _separator([text for _, text in lines])
    head = [_cells(text, separator) for _, text in lines[:2]]
    counted = _is_count(head, len(lines) - 1)
    named = not counted and _has_names(head)
    names = [cell.strip() for cell in head[0]] if named else []
    body = lines[1:] if named or counted else lines
    if not body:
        raise DataError(f"{path}: found no line of numbers")
    columns = _fast_columns(body, separator) or _columns(path, body, separator)
    if names and len(names) != len(columns):
        raise DataError(
            f"{path}: found {len(names)} names in line {lines[0][0]}, and {len(columns)} columns in line {body[0][0]}"
        )
    return Table(path, names, columns, [at for at, _ in body], tuple(head[0][2:]) if counted else ())


def _lines(path: Path) -> list[tuple[int, str]]:
    """(number from 1, text) of each line that is neither empty nor a comment."""
    with named_errors(path):
        content = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    try:
        if content[:2] == GZIP:
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: gzip: {error}") from error
    except UnicodeDecodeError as error:
        if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise DataError(f"{path}: is text in UTF-16; save it as UTF-8") from error
        raise DataError(f"{path}: is neither IDX, .npy, .npz nor text ({error})") from error
    return [(at, line) for at, line in _records(path, text) if line.strip() and not line.startswith("#")]


def _records(path: Path, text: str) -> list[tuple[int, str]]:
    """(number of its first line, text) of each row: one line, or several where a cell in quotes spans them.

    Raises DataError for a quote that nothing closes.
    """
    lines = re.split(r"\r\n|\n|\r", text)
    found: list[tuple[int, str]] = []
    at = 0
    while at < len(lines):
        end = at + 1
        if not lines[at].startswith("#") and OPEN_QUOTE.search(lines[at]):
            marks = lines[at].count('"')
            while marks % 2 and end < len(lines):
                marks += lines[end].count('"')
                end += 1
            if marks % 2:
                raise DataError(
                    f"{path}: line {at + 1}: found a cell that begins with a quote, and no quote that ends it"
                )
        found.append((at + 1, "\n".join(lines[at:end])))
        at = end
    return found


def _separator(lines: Sequence[str]) -> str | None:
    """What is between the cells; None for blanks."""
    counts = [min(_count(line, mark) for line in lines[:2]) for mark in SEPARATORS]
    best = max(range(len(SEPARATORS)), key=counts.__getitem__)
    if counts[best] > 1 and (counts[1] < 2 or SEPARATORS[best] != ","):
        return SEPARATORS[best]
    if counts[1] > 1:  # with semicolons a comma may be a decimal point
        return ";"
    return None if len(lines[0].split()) > 1 and len(lines[-1].split()) > 1 else ","


def _count(line: str, separator: str) -> int:
    try:
        return len(_cells(line, separator))
    except csv.Error:  # what spans lines does so between other separators
        return 1


def _cells(line: str, separator: str | None) -> list[str]:
    return (
        line.split() if separator is None else next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    )


def _is_count(head: Sequence[list[str]], rows: int) -> bool:
    """Whether the first line says how many rows and features there are, then the classes, as scikit-learn's do."""
    first = [cell.strip() for cell in head[0]]
    classes, counts = first[2:], [str(rows), str(len(head[-1]) - 1)]
    return (
        first[:2] == counts and len(classes) > 1 and not any(map(is_number, classes)) and all(map(is_number, head[1]))
    )


def _has_names(head: Sequence[list[str]]) -> bool:
    first = head[0]
    if not any(is_number(cell) for cell in first):
        return not all(cell.strip().lower() in MISSING for cell in first)
    if len(head) < 2 or len(head[1]) != len(first):
        return False
    pairs = zip(first, head[1], strict=True)
    return any(not is_number(name) and name.strip().lower() not in MISSING and is_number(cell) for name, cell in pairs)


def _fast_columns(lines: Sequence[tuple[int, str]], separator: str | None) -> list[Array]:
    """The columns where every cell is a number; [] where one is not."""
    try:
        found = np.loadtxt((line for _, line in lines), delimiter=separator, comments=None, quotechar='"', ndmin=2)
    except ValueError:
        return []
    return list(found.T)


def _columns(path: Path, lines: Sequence[tuple[int, str]], separator: str | None) -> list[Array]:
    rows: list[list[str]] = []
    for at, line in lines:
        try:
            cells = _cells(line, separator)
        except csv.Error as error:
            raise DataError(f"{path}: line {at}: {error}") from error
        if rows and len(cells) != len(rows[0]):
            raise DataError(f"{path}: line {at}: found {len(cells)} columns, expected {len(rows[0])}")
        rows.append(cells)
    return [_column(cells, separator) for cells in zip(*rows, strict=True)]


def _column(cells: Sequence[str], separator: str | None) -> Array:
    """Numbers if all cells are that are not missing; else texts."""
    plain = np.asarray([cell.strip() for cell in cells], np.str_)
    there = np.asarray([cell.lower() not in MISSING for cell in plain.tolist()])
    numbers = np.full(len(plain), np.nan)
    spellings = [plain[there]]
    if separator == ";":
        spellings.append(np.asarray([cell.replace(",", ".") for cell in plain[there].tolist()], np.str_))
    for spelled in spellings:
        try:
            numbers[there] = spelled.astype(np.float64)
        except ValueError:
            continue
        return numbers
    return np.where(there, plain, "")


def _through_pandas(path: Path) -> Table:
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise ImportError(f"{path}: {NO_PANDAS}") from error
    with named_errors(path):
        content = path.read_bytes()
    try:
        frame = getattr(pandas, THROUGH_PANDAS[path.suffix.lower()])(io.BytesIO(content))
    except ImportError:
        raise
    except Exception as error:  # pandas and its engines let almost anything through for a damaged file
        raise DataError(f"{path}: cannot be read by pandas: {error}") from error
    if frame.empty:
        raise DataError(f"{path}: found no line of numbers")
    columns = [_pandas_column(frame.iloc[:, k]) for k in range(frame.shape[1])]
    return Table(path, [str(name) for name in frame.columns], columns, range(2, len(frame) + 2))


def _pandas_column(series: Any) -> Array:
    if series.dtype.kind in "fiub":
        return np.asarray(series.to_numpy(np.float64, na_value=np.nan))
    return _column(series.astype(object).where(series.notna(), "").map(str).tolist(), None)

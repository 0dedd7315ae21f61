"""Parquet files, read by pyarrow, a row group at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.core.row_blocks import Part, RowKind
from pybackprop.core.suggestions import suggest_among
from pybackprop.data.description import shortened
from pybackprop.data.errors import DataError
from pybackprop.data.files import named_errors
from pybackprop.data.kinds import Found, file_size, unchanged

NO_PYARROW = "needs the library pyarrow: pip install 'pybackprop[parquet]'"
AT_ONCE = 16  # columns that are read together: of a whole row group pyarrow would keep many times its bytes
PANDAS_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class Columns:
    """The columns of x, of targ and of the weights."""

    x: tuple[str, ...]
    targ: tuple[str, ...]
    weight: str | None

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.x, *self.targ, *([] if self.weight is None else [self.weight])]


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file, whose rows are counted from `first` on."""

    path: Path
    size: int
    number: int
    first: int
    rows: int
    columns: Columns

    def read(self, into: Part) -> None:
        """See core.row_blocks.Block."""
        columns, targ = self.columns, into.targ.reshape(self.rows, len(self.columns.targ))
        places = [into.x[:, k] for k in range(len(columns.x))] + [targ[:, k] for k in range(len(columns.targ))]
        if into.weight is not None:
            places.append(into.weight)
        with _parquet(self.path) as file:
            for start in range(0, len(places), AT_ONCE):
                names = columns.names[start : start + AT_ONCE]
                table = file.read_row_group(self.number, columns=names, use_threads=False)
                for name, place in zip(names, places[start:], strict=False):
                    place[:] = self._numbers(table, name)
        _release()

    def _numbers(self, table: Any, name: str) -> Any:
        column = table.column(name)
        if len(column) != self.rows:
            raise DataError(f"{self.path}: row group {self.number}: found {len(column)} rows, expected {self.rows}")
        if column.null_count:
            row = self.first + column.is_null().to_pylist().index(True)
            raise DataError(
                f"{self.path}: column {name!r}: found {column.null_count} missing numbers, the first at row {row} "
                "(counted from 0); fill them, or leave their rows out"
            )
        return column.to_numpy()

    def check(self) -> None:
        """See core.row_blocks.Block."""
        unchanged(self.path, self.size)


def parquet_files(paths: Sequence[Path], target: str | Sequence[str] | None, weight: str | None) -> list[Found]:
    """What each file holds. Raises DataError, ShapeError, DTypeError, and ImportError without pyarrow."""
    if target is None:
        raise ValueError("data.open: Parquet: found no target; name its column: data.open(path, target='price')")
    targets = (target,) if isinstance(target, str) else tuple(target)
    if not targets:
        raise ValueError("data.open: target: found an empty list, expected the name of at least one column")
    if len(set(targets)) < len(targets):
        raise ValueError(f"data.open: target: found {', '.join(targets)}, expected each column once")
    found: list[Found] = []
    expected: Columns | None = None
    for path in paths:
        size = file_size(path)
        with _parquet(path) as file:
            columns = _columns(path, file.schema_arrow.names, targets, weight)
            if expected is None:
                expected = columns
            elif len(columns.x) != len(expected.x):
                raise ShapeError(
                    f"{path}: found rows of {len(columns.x)} features, expected {len(expected.x)}, as in {paths[0]}"
                )
            elif columns != expected:
                raise DataError(
                    f"{path}: found the columns {shortened(list(columns.x))}, expected {shortened(list(expected.x))}, "
                    f"as in {paths[0]}"
                )
            kind = _kind(path, file.schema_arrow, columns, () if isinstance(target, str) else (len(targets),))
            found.append(Found(path, kind, list(_groups(path, size, file.metadata, columns))))
    return found


def column_names(path: Path) -> list[str]:
    """The columns of a file, without the index that pandas writes. Raises DataError; ImportError without pyarrow."""
    with _parquet(path) as file:
        return [name for name in file.schema_arrow.names if not PANDAS_INDEX.fullmatch(name)]


def _groups(path: Path, size: int, metadata: Any, columns: Columns) -> Iterator[RowGroup]:
    first = 0
    for number in range(metadata.num_row_groups):
        rows = metadata.row_group(number).num_rows
        yield RowGroup(path, size, number, first, rows, columns)
        first += rows


def _columns(path: Path, names: list[str], targets: tuple[str, ...], weight: str | None) -> Columns:
    named = [*targets, *([] if weight is None else [weight])]
    for name in named:
        if names.count(name) != 1:
            suggestion = "" if name in names else suggest_among(name, names)
            found = f"{path}: found the columns {shortened(names)}"
            raise DataError(f"{found}, expected one of the name {name!r}{suggestion}")
    features = tuple(name for name in names if name not in named and not PANDAS_INDEX.fullmatch(name))
    if not features:
        raise DataError(f"{path}: found no columns beside {', '.join(named)}, expected features")
    if len(set(features)) < len(features):
        raise DataError(f"{path}: found columns of the same name, expected different ones")
    return Columns(features, targets, weight)


def _kind(path: Path, schema: Any, columns: Columns, targ_shape: tuple[int, ...]) -> RowKind:
    dtypes = {name: _dtype(path, name, schema.field(name).type) for name in columns.names}
    x, targ = (np.result_type(*(dtypes[name] for name in names)) for names in (columns.x, columns.targ))
    weight = None if columns.weight is None else dtypes[columns.weight]
    return RowKind(len(columns.x), x, targ_shape, targ, weight)


def _dtype(path: Path, name: str, kind: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "fiub":
        raise DTypeError(f"{path}: column {name!r}: found {kind}, expected real numbers")
    return dtype


def _release() -> None:
    """Gives memory that pyarrow keeps for later back to the system."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """The open file. Turns what pyarrow raises into a DataError that names it."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f"{path}: {NO_PYARROW}") from error
    try:
        with named_errors(path), path.open("rb") as stream, parquet.ParquetFile(stream, pre_buffer=False) as file:
            yield file
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: cannot be read by pyarrow: {error}") from error

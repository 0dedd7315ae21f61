"""open: rows on disk as `plan.fit` reads them, block by block: a pair of .npy files, shards, or Parquet files.

The header of every file is checked when it is opened. Nothing is ever unpickled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from pybackprop.core.checks import whole
from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.core.files import NpyError, npy_header, npz_members, read_into
from pybackprop.core.row_blocks import Part, RowBlocks, RowKind
from pybackprop.data.errors import DataError
from pybackprop.data.files import named_errors
from pybackprop.data.kinds import Found, file_size, one_kind, unchanged
from pybackprop.data.parquet import parquet_files

BLOCK_BYTES = 4 * 2**20  # of x in a block of a .npy file, where block_rows is not given
WINDOW = 8
X, WEIGHT, TARGETS = "x", "sample_weight", ("targ", "y")
SHARDS = (".npz", ".npy", ".parquet")
Place = str | Path


def open(
    path: Place | Sequence[Place],
    targ: Place | None = None,
    *,
    target: str | Sequence[str] | None = None,
    sample_weight: Place | None = None,
    window: int = WINDOW,
    block_rows: int | None = None,
    shuffle: bool = True,
) -> RowBlocks:
    """Rows on disk, for `plan.fit(rows, epochs=...)`, its `validation=rows`, and `plan.predict(rows)`.

    path      x as a .npy file, with targ, another one; or a folder of shards, a shard, or a list of shards:
              .npz with x and targ (or y), maybe sample_weight; pairs of .npy, x-01.npy and targ-01.npy, maybe
              sample_weight-01.npy, of which a single shard is named by its x; .parquet, which need the extra
              `parquet`. The shards of a folder are taken in the order of their names; shards of two kinds are refused,
              files that are none are ignored
    target    Parquet: the column of the targets (n,), or a list of columns, (n,h); all others are features
    sample_weight  of a pair of .npy files: a third one; Parquet: a column
    window    how many blocks are in memory, and shuffled, together. A block is a .npz shard, a row group of a Parquet
              file, or `block_rows` rows of a .npy file
    block_rows  by default as many as take 4 MiB, at least one
    shuffle   False: the rows come in their order. Otherwise see pybackprop.core.row_blocks

    x holds real numbers of any dtype; they are converted to the parameters' dtype as they are read. `plan.fit` then
    has two windows of converted rows in memory, one in use and one that a thread reads ahead, and one block as stored.

    Raises DataError for files that are missing, damaged or truncated, ShapeError and DTypeError for a shard of another
    width or dtype than the first; all name the file. ValueError for options that do not fit; ImportError without
    pyarrow.
    """
    window = whole("data.open: window", window)
    if block_rows is not None:
        block_rows = whole("data.open: block_rows", block_rows)
    paths = shards(path, targ)
    kind = paths[0].suffix.lower()
    if kind == ".parquet":
        _refuse("Parquet files", targ=targ, block_rows=block_rows)
        found = parquet_files(paths, target, None if sample_weight is None else str(sample_weight))
    elif kind == ".npz":
        _refuse(".npz shards", targ=targ, target=target, sample_weight=sample_weight, block_rows=block_rows)
        found = [_npz_shard(one) for one in paths]
    else:
        _refuse(".npy files", target=target)
        if targ is None:
            _refuse(f"shards of .npy files, whose {WEIGHT}-... stand beside them", sample_weight=sample_weight)
        triples = _npy_triples(paths) if targ is None else [(paths[0], Path(targ), sample_weight)]
        found = [_npy_shard(x, y, None if w is None else Path(w), block_rows) for x, y, w in triples]
    row_kind = one_kind(found)
    blocks = [block for one in found for block in one.blocks if block.rows]
    if not blocks:
        raise DataError(f"{path}: found no rows, expected at least one")
    return RowBlocks(blocks, row_kind, window, bool(shuffle))


def _refuse(what: str, **options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"data.open: found {name}={value!r} with {what}, which it does not apply to; leave it out")


def shards(path: Place | Sequence[Place], targ: Place | None = None) -> list[Path]:
    """The files, all of one kind. Raises DataError."""
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(one) for one in path]
    if not paths:
        raise DataError("data.open: found no files, expected at least one")
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SHARDS and not p.name.startswith("."))
        if not paths:
            raise DataError(f"{folder}: found no shards, expected .npz, .npy or .parquet files")
    kinds = sorted({p.suffix.lower() for p in paths})
    if len(kinds) > 1 or kinds[0] not in SHARDS:
        raise DataError(f"{path}: found files of {', '.join(kinds)}, expected one of the kinds {', '.join(SHARDS)}")
    if targ is not None and len(paths) > 1:
        raise ValueError(f"data.open: found targ={targ} with {len(paths)} files, expected it with one .npy file")
    return paths


# ---- .npy ----


class _Stored(NamedTuple):
    """An array in a .npy file, whose data begin at `start`."""

    path: Path
    size: int
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class NpyBlock:
    """Rows from `first` on of x, targ and maybe weights in .npy files."""

    files: tuple[_Stored, ...]
    first: int
    rows: int

    @property
    def path(self) -> Path:
        """Of x."""
        return self.files[0].path

    def read(self, into: Part) -> None:
        """See core.row_blocks.Block."""
        for stored, array in zip(self.files, into, strict=False):
            if array is None:
                continue
            with named_errors(stored.path), stored.path.open("rb") as stream:
                stream.seek(stored.start + self.first * math.prod(stored.shape[1:]) * stored.dtype.itemsize)
                read_into(stream, array)

    def check(self) -> None:
        """See core.row_blocks.Block."""
        for stored in self.files:
            unchanged(stored.path, stored.size)


def _npy_triples(paths: list[Path]) -> list[tuple[Path, Path, Path | None]]:
    """x, targ and weights of each shard, by their names: x-01.npy, targ-01.npy, sample_weight-01.npy."""
    known = set(paths)
    if len(paths) == 1 and paths[0].name.startswith(X):  # one shard of several: its others stand beside it
        known |= {beside for beside in _beside(paths[0]) if beside.exists()}
    triples = []
    for path in paths:
        kind = next((kind for kind in (*TARGETS, WEIGHT, X) if path.name.startswith(kind)), None)
        if kind is None:
            raise DataError(f"{path}: found this name, expected one that begins with x, targ or {WEIGHT}")
        rest = path.name[len(kind) :]
        if path.with_name(X + rest) not in known:
            raise DataError(f"{path.with_name(X + rest)}: is missing, and {path.name} is there")
        if kind == X:
            targ = next((one for one in (path.with_name(name + rest) for name in TARGETS) if one in known), None)
            if targ is None:
                expected = "expected it beside its x; or give data.open(x, targ)"
                raise DataError(f"{path.with_name(TARGETS[0] + rest)}: is missing, {expected}")
            weight = path.with_name(WEIGHT + rest)
            triples.append((path, targ, weight if weight in known else None))
    return triples


def _beside(x: Path) -> list[Path]:
    """Where the targets and weights of x-01.npy may be."""
    return [x.with_name(name + x.name[len(X) :]) for name in (*TARGETS, WEIGHT)]


def has_targets(x: Path) -> bool:
    """Whether x-01.npy has its targets beside it."""
    return x.name.startswith(X) and any(path.is_file() for path in _beside(x)[: len(TARGETS)])


def _npy_shard(x: Path, targ: Path, weight: Path | None, block_rows: int | None) -> Found:
    files = tuple(_stored(path) for path in (x, targ, weight) if path is not None)
    rows, kind = _row_kind(x, *((stored.shape, stored.dtype) for stored in files))
    size = block_rows or max(1, BLOCK_BYTES // (kind.features * kind.dtype.itemsize))
    blocks = [NpyBlock(files, first, min(size, rows - first)) for first in range(0, rows, size)]
    return Found(x, kind, blocks)


def _stored(path: Path) -> _Stored:
    size = file_size(path)
    with named_errors(path), path.open("rb") as stream:
        shape, by_columns, dtype = npy_header(stream, size)
        if by_columns and len(shape) > 1:
            raise NpyError("order: found columns one after another, expected rows; save np.ascontiguousarray(...)")
        return _Stored(path, size, stream.tell(), shape, dtype)


# ---- .npz ----


@dataclass(frozen=True)
class NpzBlock:
    """A .npz shard. names: of x, targ and maybe weights in it."""

    path: Path
    rows: int
    size: int
    names: tuple[str, ...]

    def read(self, into: Part) -> None:
        """See core.row_blocks.Block."""
        wanted = dict(zip(self.names, into, strict=False))

        def read(name: str, stream: IO[bytes], size: int) -> None:
            array = wanted.pop(name, None)
            if array is None:
                return
            shape, _, dtype = npy_header(stream, size)
            if (shape, dtype) != (array.shape, array.dtype):
                raise NpyError(
                    f"found {shape} of {dtype}, expected {array.shape} of {array.dtype}, as when it was opened"
                )
            read_into(stream, array)
            stream.read(1)  # at the end the checksum is compared

        with named_errors(self.path):
            npz_members(self.path, read)
            missing = [name for name, array in wanted.items() if array is not None]
            if missing:
                raise NpyError(f"found no {' and no '.join(missing)}, expected it, as when it was opened")

    def check(self) -> None:
        """See core.row_blocks.Block."""
        unchanged(self.path, self.size)


def _npz_shard(path: Path) -> Found:
    size = file_size(path)
    with named_errors(path):
        headers = npz_members(path, lambda name, stream, size: npy_header(stream, size))
    targ = next((name for name in TARGETS if name in headers), None)
    if X not in headers or targ is None:
        raise DataError(f"{path}: found {', '.join(headers) or 'nothing'}, expected x and targ")
    names = (X, targ, WEIGHT) if WEIGHT in headers else (X, targ)
    for name in names:
        if headers[name][1] and len(headers[name][0]) > 1:
            raise DataError(f"{path}: {name}: found columns one after another, expected rows; save a contiguous array")
    rows, kind = _row_kind(path, *((headers[name][0], headers[name][2]) for name in names))
    return Found(path, kind, [NpzBlock(path, rows, size, names)])


Header = tuple[tuple[int, ...], np.dtype[Any]]


def _row_kind(path: Path, x: Header, targ: Header, weight: Header | None = None) -> tuple[int, RowKind]:
    """(rows, their kind), after the checks of a shard's arrays. path: of x."""
    shape, dtype = x
    if len(shape) != 2 or not shape[1]:
        raise ShapeError(f"{path}: found x of shape {shape}, expected rows of features, (n,m)")
    if len(targ[0]) not in (1, 2):
        raise ShapeError(f"{path}: found targ of shape {targ[0]}, expected (n,h) or (n,)")
    for name, header in (("targ", targ), (WEIGHT, weight)):
        if header is not None and header[0][:1] != shape[:1]:
            raise ShapeError(f"{path}: found {shape[0]} rows of x and {name} of shape {header[0]}, expected as many")
    if weight is not None and len(weight[0]) != 1:
        raise ShapeError(f"{path}: found {WEIGHT} of shape {weight[0]}, expected a number for each row")
    for name, header in ((X, x), ("targ", targ), (WEIGHT, weight)):
        if header is not None and header[1].kind not in "fiub":
            raise DTypeError(f"{path}: {name}: found {header[1]}, expected real numbers")
    return shape[0], RowKind(shape[1], dtype, targ[0][1:], targ[1], None if weight is None else weight[1])

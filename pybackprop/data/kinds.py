"""What a file of rows was found to hold, and whether all files hold rows of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pybackprop.core.errors import DTypeError, ShapeError
from pybackprop.core.row_blocks import Block, RowKind
from pybackprop.data.errors import DataError
from pybackprop.data.files import named_errors


class Found(NamedTuple):
    """A shard: its file, the kind of its rows, and its blocks."""

    path: Path
    kind: RowKind
    blocks: Sequence[Block]


def one_kind(found: Sequence[Found]) -> RowKind:
    """The kind of all shards. Raises ShapeError and DTypeError, which name the first that differs."""
    first = found[0]
    for one in found:
        where, like = f"{one.path}: found", f"as in {first.path}"
        kind, expected = one.kind, first.kind
        if kind.features != expected.features:
            raise ShapeError(f"{where} rows of {kind.features} features, expected {expected.features}, {like}")
        if kind.targ_shape != expected.targ_shape:
            raise ShapeError(f"{where} targ (n{_sizes(kind)}), expected (n{_sizes(expected)}), {like}")
        if (kind.weight_dtype is None) != (expected.weight_dtype is None):
            given = "no sample_weight" if kind.weight_dtype is None else "sample_weight"
            raise DataError(f"{where} {given}, expected all shards to be alike: {first.path} is not so")
        for name in ("dtype", "targ_dtype", "weight_dtype"):
            if getattr(kind, name) != getattr(expected, name):
                what = {"dtype": "x", "targ_dtype": "targ", "weight_dtype": "sample_weight"}[name]
                raise DTypeError(f"{where} {what} of {getattr(kind, name)}, expected {getattr(expected, name)}, {like}")
    return first.kind


def _sizes(kind: RowKind) -> str:
    return "".join(f",{size}" for size in kind.targ_shape) or ","


def file_size(path: Path) -> int:
    """The bytes of a file. Raises DataError if it is missing."""
    with named_errors(path):
        return path.stat().st_size


def unchanged(path: Path, size: int) -> None:
    """Raises DataError for a file that is missing, or no longer has so many bytes."""
    found = file_size(path)
    if found != size:
        raise DataError(f"{path}: found {found} bytes, expected {size}, as when it was opened; open it again")

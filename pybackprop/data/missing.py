"""Missing cells: counted and refused, left out with their rows, or filled with the mean of their column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.data.categories import firsts
from pybackprop.data.errors import DataError
from pybackprop.data.parts import check_finite
from pybackprop.data.sources import Source, flat


class Treated(NamedTuple):
    """A source whose missing cells were treated, and what was done, in words; empty where nothing was."""

    source: Source
    told: str


def treat(source: Source, choice: str | None) -> Treated:
    """The source, checked; "drop": without its rows of missing cells; "mean": without those that lack a target.

    The same is done to the validation part, where the source has one. Raises DataError.
    """
    if choice is None:
        _check_whole(source)
        return Treated(source, "")
    parts = [(source.x, source.y), *([] if source.others is None else [source.others])]
    kept, left_out = [], 0
    for x, y in parts:
        for name, part in (("x", x), ("y", y)):
            if part is not None and part.dtype.kind == "f":
                check_finite(f"{source.where}: {name}", np.where(np.isnan(part), 0, part))
        bad = _rows_with_gaps(x, y) if choice == "drop" else _rows_with_gaps(y, flat(x)[:, :0])
        if bad.all():
            raise DataError(f"{source.where}: found a missing cell in every row")
        left_out += int(bad.sum())
        kept.append((x[~bad], None if y is None else y[~bad]))
    filled = 0 if choice == "drop" else sum(_count(x, source) for x, _ in kept)
    rows = sum(len(x) for x, _ in parts)
    filled_in = f"{filled} cell{'s' * (filled != 1)} filled"
    told = [f"{left_out} of {rows} rows left out"] * bool(left_out) + [filled_in] * bool(filled)
    (x, y), others = kept[0], kept[1] if len(kept) > 1 else None
    return Treated(source._replace(x=x, y=y, others=others), ", ".join(told))  # type: ignore[arg-type]


def to_predict(source: Source, choice: str | None) -> Treated:
    """A source to predict from; "drop": without its rows of missing cells. Targets with gaps are left aside."""
    x, y = source.x, source.y
    if y is not None and _gap(y).any():
        y = None
    bad = _rows_with_gaps(x) if choice == "drop" else np.zeros(len(x), bool)
    told = f"{int(bad.sum())} of {len(x)} rows left out" if bad.any() else ""
    return Treated(source._replace(x=x[~bad], y=None if y is None else y[~bad]), told)


def _check_whole(source: Source) -> None:
    """Raises DataError for missing cells, which it counts, and for NaN and infinity in arrays, which it locates."""
    x, y = source.x, source.y
    gaps = _count(x, source) + (0 if y is None else int(_gap(y).sum()))
    if gaps and source.is_table:
        raise DataError(
            f"{source.where}: found {_cells(gaps)} in {int(_rows_with_gaps(x, y).sum())} of {len(x)} rows; "
            "choose --missing drop (leave those rows out) or --missing mean (of the column)"
        )
    for name, part in (("x", x), ("y", y), *zip("xy", source.others or (), strict=False)):
        if part is not None:
            check_finite(f"{source.where}: {name}", part)


def _count(x: Array, source: Source) -> int:
    """The missing cells of the file: one of a text is missing in several columns of x."""
    gaps = _gap(x)
    return int((gaps[:, firsts(source.categories)] if source.categories else gaps).sum())


def _cells(gaps: int) -> str:
    return f"{gaps} missing cell{'s' * (gaps != 1)}"


def _gap(array: Array) -> Array:
    """Where cells are missing: NaN, or an empty text."""
    if array.dtype.kind == "U":
        return np.asarray(array == "")
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)


def _rows_with_gaps(*arrays: Array | None) -> Array:
    """Whether each row has a missing cell in one of them."""
    found = [flat(_gap(array)).any(1) for array in arrays if array is not None]
    return np.asarray(np.logical_or.reduce(found))


def check_none(source: Source, x: Array, what: str) -> None:
    """Raises DataError, which counts them, for missing cells in x, the source's features. what: to do about them."""
    gaps = _count(x, source)
    if gaps:
        raise DataError(f"{source.where}: found {_cells(gaps)}; {what}")


def means(x: Array) -> tuple[float, ...]:
    """Of each column, without its missing cells; 0 for a column that has nothing else."""
    there = np.isfinite(x)
    sums = np.where(there, x, 0).sum(0, dtype=np.float64)
    return tuple((sums / np.maximum(there.sum(0), 1)).tolist())


def filled(x: Array, fill: tuple[float, ...]) -> Array:
    """x with fill, a number for each column, in the place of its missing cells."""
    return np.where(np.isnan(x), np.asarray(fill), x) if fill and x.dtype.kind == "f" else x


__all__ = ["Treated", "check_none", "filled", "means", "to_predict", "treat"]

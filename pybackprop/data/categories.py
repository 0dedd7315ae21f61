"""Columns of texts as features: each category becomes a column of its own, 1 where the cell has it and 0 elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.suggestions import suggest_among
from pybackprop.data.description import plain_labels, shortened
from pybackprop.data.errors import DataError
from pybackprop.data.tables import Table

MOST = 50  # categories of a column; names, tickets and other texts that hardly repeat have more

Categories = tuple[tuple[str, ...], ...]


def categories_of(table: Table, chosen: Sequence[int]) -> Categories:
    """The categories of each chosen column, sorted, () for one of numbers; () where all are of numbers.

    Raises DataError for a column of numbers with a cell that is none, and for one of too many categories.
    """
    found = tuple(_categories(table, k) for k in chosen)
    return found if any(found) else ()


def _categories(table: Table, k: int) -> tuple[str, ...]:
    column = table.columns[k]
    if column.dtype.kind != "U":
        return ()
    cells = [cell for cell in column.tolist() if cell]
    if table.has_slips(k):
        table.numbers([k])
    known = tuple(sorted(set(cells)))
    if len(known) > MOST:
        raise DataError(
            f"{table.path}: {table.title(k)}: found {len(known)} different texts ({shortened(known, 3)}); at most "
            f"{MOST} become a column of 0 and 1 each. Leave this column out of the file, or write numbers in it"
        )
    return known


def encoded(table: Table, chosen: Sequence[int], categories: Categories) -> Array:
    """The chosen columns as numbers (n,m), those of texts as one column for each category; NaN for missing cells.

    Raises DataError for a text that is none of the categories, and for texts in a column that has none.
    """
    if not categories:
        return table.numbers(chosen)
    blocks = [
        _indicators(table, k, known) if known else table.numbers([k]).astype(np.float64)
        for k, known in zip(chosen, categories, strict=True)
    ]
    return np.concatenate(blocks, axis=1)


def _indicators(table: Table, k: int, known: tuple[str, ...]) -> Array:
    column = table.columns[k]
    cells = column if column.dtype.kind == "U" else _texts(column)
    there = cells != ""
    unknown = there & ~np.isin(cells, known)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise DataError(
            f"{table.path}: line {table.lines[row]}, {table.title(k)}: found {str(cells[row])!r}, which the model was "
            f"not trained with; it knows {shortened(known, 10)}{suggest_among(str(cells[row]), known)}"
        )
    block: Array = np.asarray(cells[:, None] == np.asarray(known), np.float64)
    block[~there] = np.nan
    return block


def _texts(column: Array) -> Array:
    """Numbers as the texts that a file would have, "" for a missing one."""
    return np.asarray(["" if np.isnan(cell) else str(plain_labels(np.asarray([cell]))[0]) for cell in column], np.str_)


def firsts(categories: Categories) -> list[int]:
    """Which of the encoded columns are the first of a column of the file."""
    widths = [len(known) or 1 for known in categories]
    return [sum(widths[:k]) for k in range(len(widths))]


__all__ = ["Categories", "categories_of", "encoded", "firsts"]

"""How many rows of the data a page has room for.

A page is at most LIMIT bytes. Where the parameters of a network leave no room for FEW rows in it, the page has FEW rows
(or all, or as many as fit), and is at most LARGEST bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.page.packed import size

__all__ = ["FEW", "LARGEST", "LIMIT", "NUMBERS", "PAGE", "ROWS", "limit_of", "rows_with_room"]

LIMIT = 400_000  # bytes of a page
LARGEST = 1_000_000  # bytes of a page of at most FEW rows
PAGE = 186_000  # bytes of either that the page takes without its numbers, at most
ROWS = 100  # of the data in a page: each is a term of every weight's gradient, and people read them one by one
FEW = 10  # rows that a page should have, if there are as many
NUMBERS = 500_000  # in a page: zeros take few bytes, but the page computes with them at every step of a drag


def limit_of(rows: int) -> int:
    """The bytes that a page of so many rows may take."""
    return LIMIT if rows > FEW else LARGEST


def rows_with_room(parameters: Iterable[Tensor], x: Array, targ: Array) -> int:
    """How many of the first rows of x (n,m) and targ (n,h) or (n,) a page shows, at most ROWS.

    Raises ValueError if the parameters and a row do not fit into a page.
    """
    arrays = [p.data for p in parameters]
    count = sum(array.size for array in arrays)
    used = sum(map(size, arrays)) if count < NUMBERS else LARGEST

    def fits(rows: int, limit: int) -> bool:
        data = (x[:rows], targ[:rows])
        if used >= limit - PAGE or count + sum(array.size for array in data) > NUMBERS:
            return False
        return used + sum(map(size, data)) <= limit - PAGE

    most = min(len(x), ROWS)
    rows = _largest(most, lambda rows: fits(rows, LIMIT))
    if rows < min(FEW, most):
        rows = _largest(min(FEW, most), lambda rows: fits(rows, LARGEST))
    if rows == 0:
        raise ValueError(
            f"scene: the {count} parameters and a row of the data do not fit into a page, of at most {LARGEST} bytes "
            f"and {NUMBERS} numbers. Show a smaller network, e.g. pybackprop.mlp([64, 50, 10])"
        )
    return rows


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number of rows that fits, 0 to most. Doubled at first: what is far too large is never packed."""
    fit, tried = 0, 1
    while fits(tried):
        fit, tried = tried, min(2 * tried, most)
        if fit == most:
            return most
    while tried - fit > 1:
        middle = (fit + tried) // 2
        fit, tried = (middle, tried) if fits(middle) else (fit, middle)
    return fit

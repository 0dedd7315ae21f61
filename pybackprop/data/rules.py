"""What is decided about data where nobody says: which column is the target, and whether it names classes.

Each rule gives the decision and its reason, in words for the summary. docs/command-line.md has them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.suggestions import suggest_among
from pybackprop.data.description import CLASSIFICATION, REGRESSION, shortened
from pybackprop.data.errors import DataError

TARGET_NAMES = ("label", "labels", "class", "target", "y")
ID_NAMES = ("", "id", "index", "unnamed: 0")
FEW, MANY = 20, 100  # different whole numbers that may name classes; more than FEW only if they count without a gap
ROWS_EACH = 5  # rows that a class has on average, where the numbers do not count without a gap
ROWS_EACH_OF_MANY = 10


def target_column(choice: str | None, names: Sequence[str], columns: Sequence[Array]) -> tuple[int, str]:
    """(the target's column, why). choice: a name, a number from 0 (negative: from the end), "first" or "last".

    Raises DataError for a choice that is not there, and where the data leave it open.
    """
    if choice is not None:
        return chosen_column(choice, names, len(columns)), "as asked for"
    last = len(columns) - 1
    if not names:
        return _unnamed(columns)
    plain = [name.strip().lower() for name in names]
    found = [k for k in (0, last) if plain[k] in TARGET_NAMES]
    found = found or [k for k, name in enumerate(plain) if name in TARGET_NAMES]
    if len(found) > 1:
        listed = " or ".join(f"--target {names[k].strip()}" for k in found)
        raise DataError(f"target: found {len(found)} columns that may be it; choose with {listed}")
    if found:
        return found[0], "by its name"
    return last, "the last column"


def chosen_column(choice: str, names: Sequence[str], count: int) -> int:
    """The column that a choice means: a name first, else "first", "last" or a number."""
    plain = [name.strip() for name in names]
    if choice in plain:
        if plain.count(choice) > 1:
            raise DataError(f"--target {choice}: found {plain.count(choice)} columns of that name; give its number")
        return plain.index(choice)
    if choice in ("first", "last"):
        return 0 if choice == "first" else count - 1
    if choice.removeprefix("-").isdecimal() and -count <= int(choice) < count:
        return int(choice) % count
    there = shortened(plain) if plain else f"{count} columns without names"
    expected = f"expected a name, a number from 0 to {count - 1}, first or last"
    raise DataError(f"--target {choice}: found {there}; {expected}{suggest_among(choice, plain)}")


def _unnamed(columns: Sequence[Array]) -> tuple[int, str]:
    first, last = columns[0], columns[-1]
    if last.dtype.kind == "U":
        return len(columns) - 1, "the last column, which has texts"
    if first.dtype.kind == "U":
        return 0, "the first column, which has texts"
    if _may_name_classes(first):
        if (last == last[0]).all():
            return 0, "the first column: whole numbers that may name classes; the last one is constant"
        raise DataError(
            "target: the columns have no names, and the first and the last may be it; choose with --target first "
            "or --target last"
        )
    return len(columns) - 1, "the last column"


def _may_name_classes(column: Array) -> bool:
    known = column[np.isfinite(column)]
    repeats = 1 < len(np.unique(known)) <= len(known) / 2
    return repeats and is_whole(known) and task_of(known)[0] == CLASSIFICATION


def id_columns(names: Sequence[str], columns: Sequence[Array]) -> list[int]:
    """Columns that only number the rows: the first, without a name or named id, if it counts up by one."""
    if len(columns) < 3 or not names or names[0].strip().lower() not in ID_NAMES or columns[0].dtype.kind == "U":
        return []
    return [0] if len(columns[0]) > 1 and (np.diff(columns[0]) == 1).all() else []


def is_whole(y: Array) -> bool:
    """Whether all numbers are whole."""
    return y.dtype.kind in "iub" or bool((np.isfinite(y) & (y == np.floor(y)) & (np.abs(y) < 2**53)).all())


def task_of(y: Array) -> tuple[str, str]:
    """(task, why) for targets y, of numbers or texts.

    Texts are classes, and numbers that are not whole are a regression. Whole numbers are classes if there are
    at most 20 different ones, each of them in 5 rows on average or counting from 0 or 1 without a gap; or at most
    100, counting without a gap, each in 10 rows on average.
    """
    if y.dtype.kind in "US":
        return CLASSIFICATION, "texts"
    if y.ndim > 1 and y.size != len(y):
        return REGRESSION, f"{y.shape[1:]} numbers for each row"
    if not is_whole(y):
        return REGRESSION, "numbers that are not all whole"
    return task_of_values(np.unique(y.astype(np.int64)), y.size)


def task_of_values(values: Array, count: int) -> tuple[str, str]:
    """(task, why) for so many whole numbers, of which these are the different ones, in ascending order."""
    k, each = len(values), count / max(len(values), 1)
    counts = k > 0 and values[0] in (0, 1) and values[-1] - values[0] == k - 1
    if (k <= FEW and (counts or each >= ROWS_EACH)) or (k <= MANY and counts and each >= ROWS_EACH_OF_MANY):
        return CLASSIFICATION, f"{k} different whole numbers"
    return REGRESSION, f"{k} different whole numbers in {count} rows"

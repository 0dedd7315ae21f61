"""Reading samples to train on, with a description of them, and rows to predict from as that description says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pybackprop.core.arrays import Array, float_type
from pybackprop.core.suggestions import suggest_among
from pybackprop.data import missing as gaps
from pybackprop.data import rules, scaling
from pybackprop.data.description import CLASSIFICATION, REGRESSION, TASKS, Description, plain_labels, shortened
from pybackprop.data.errors import DataError
from pybackprop.data.files import is_number, load
from pybackprop.data.parts import Split, check_finite, split
from pybackprop.data.scaling import Range, Scaling
from pybackprop.data.sources import LONE, Source, flat, from_arrays, is_table, mnist_source, read_source, table_source
from pybackprop.data.tables import Table, read_table

PIXELS = "pixels"  # a choice of scale: bytes are divided by 255, and all else is kept
MISSING = ("mean", "drop")


@dataclass(frozen=True)
class Choices:
    """What is asked for rather than left to the rules.

    target   the column with the labels or targets: its name, its number from 0 or from -1 at the end, as text, "first"
             or "last". None: the one with a usual name, such as label or target, else the last
    task     what the target is: "classification" or "regression". None: by its values
    scale    of the features: "standard" (mean 0 and deviation 1, column by column), "bytes" (divided by 255), "none"
             (kept as they are) or "pixels" (bytes divided by 255, all else kept). None: bytes divided by 255, numbers
             from 0 to 1 kept, all else standard. With "none" and "pixels" the targets of a regression are kept, too
    missing  for cells without a value: "mean" (the column's mean in the training part) or "drop" (the row is left
             out). None: they are an error

    docs/command-line.md says by which rules what is None is decided. Raises DataError for any other value.
    """

    target: str | None = None
    task: str | None = None
    scale: str | None = None
    missing: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("task", TASKS), ("scale", (*scaling.CHOICES, PIXELS)), ("missing", MISSING)):
            found = getattr(self, name)
            if found is not None and found not in known:
                suggestion = suggest_among(str(found), known)
                raise DataError(f"{name}: found {found!r}, expected one of {', '.join(known)}{suggestion}")

    def otherwise(self, known: Description | None) -> Choices:
        """These, and what a description tells where nothing is asked for. Without one: as before there were any."""
        if known is None:
            return self if self.scale else replace(self, scale=PIXELS)
        kind = known.scaling.kind
        return Choices(
            self.target or (None if known.target_at is None else str(known.target_at)),
            self.task or known.task,
            self.scale or (None if kind == "unit" else kind),
            self.missing or known.missing or ("mean" if known.fill else None),
        )


class Rows(NamedTuple):
    """Rows to predict from, scaled, with their targets if there are any; told: what was done about missing cells."""

    x: Array
    y: Array | None
    told: str


class Samples(NamedTuple):
    """What to train on, scaled, and what it is."""

    split: Split
    description: Description


def read(
    path: str | Path,
    dtype: Any = np.float32,
    choices: Choices | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    scale: str | None = None,
    missing: str | None = None,
) -> Samples:
    """Samples from a folder in MNIST's format, a .npz or a table ("-": on stdin), as `pybackprop train` reads them.

    What is said neither in choices nor by target, task, scale and missing follows the rules in docs/command-line.md.
    Classes become 0, 1, ... in the order of their labels. Features are scaled, and so are the targets of a regression;
    means and deviations are those of the training part. Raises DataError.
    """
    real, asked = float_type(dtype), choices or Choices(target, task, scale, missing)
    if choices is not None and (target, task, scale, missing) != (None,) * 4:
        raise TypeError("read: found choices and target, task, scale or missing beside them; give one or the other")
    source = read_source(Path(path), asked.target, asked.task)
    whole, treated = gaps.treat(source, asked.missing)
    assert whole.y is not None
    decided, why = (asked.task, "as asked for") if asked.task else _task(whole)
    labels, y, y_others = _targets(whole, decided)
    x = flat(whole.x)
    others = () if whole.others is None else (flat(whole.others[0]), y_others)
    parts = Split(x, y, *others) if others else split(x, y)
    fill = gaps.means(parts.x_train) if asked.missing == "mean" else ()
    x_train, x_valid = (gaps.filled(part, fill) for part in (parts.x_train, parts.x_valid))
    standard = partial(scaling.standard, x_train)
    features, why_scale = scaling_of(scaling.range_of(x_train), asked.scale, bool(whole.categories), standard)
    kept = keeps_targets(scaling.range_of(parts.y_train), decided, asked.scale)
    targets = Scaling() if kept else scaling.standard(parts.y_train)
    y_train, y_valid = parts.y_train, parts.y_valid
    if decided == REGRESSION:
        y_train, y_valid = (_scaled(f"{path}: target", targets, part, real) for part in (y_train, y_valid))
    x_train, x_valid = (_scaled(str(path), features, part, real) for part in (x_train, x_valid))
    scaled = Split(x_train, y_train, x_valid, y_valid)
    reasons = {"target": whole.why, "task": why, "scale": why_scale, **({"missing": treated} if treated else {})}
    told = Description(
        x.shape[1], decided, whole.columns, whole.target, whole.target_at, labels, features, targets, whole.left_out,
        fill, reasons, whole.categories, asked.missing,
    )  # fmt: skip
    return Samples(scaled, told)


def read_features(
    path: str | Path, description: Description, dtype: Any = np.float32, missing: str | None = None
) -> tuple[Array, Array | None]:
    """(x, y) of `read_rows`."""
    rows = read_rows(path, description, dtype, missing)
    return rows.x, rows.y


def read_rows(path: str | Path, description: Description, dtype: Any = np.float32, missing: str | None = None) -> Rows:
    """(x (n,m), y or None) to predict from, read and scaled as the model's own data were, and what is missing.

    y is the number of each row's class, -1 for one that the model does not know (None if it knows none of them), or
    the targets as they are in the file. Of data with a validation part, that part. Columns with names are put into
    the model's order, texts become the columns of their categories. missing: by default as in training.
    Raises DataError for columns, texts that are missing, unknown or too many, and for cells that are missing.
    """
    path, real = Path(path), float_type(dtype)
    source = to_predict(path, description)
    x = flat(source.x) if source.x.ndim > 1 else source.x
    if x.ndim != 2 or x.shape[1] != description.features:
        found = f"{x.shape[1]} features in a row" if x.ndim == 2 else f"{x.dtype} of shape {x.shape}"
        raise DataError(f"{path}: found {found}, expected {description.features}")
    choice = missing or description.missing
    x = x if choice == "drop" else gaps.filled(x, description.fill)
    source, told = gaps.to_predict(source._replace(x=x), choice)
    x, y = source.x, source.y
    gaps.check_none(source, x, "the model was trained with none; --missing drop leaves such rows out")
    check_finite(str(path), x)
    scaled = _scaled(str(path), description.scaling, x, real)
    if y is None or (not description.classifies and y.dtype.kind not in "fiub"):
        return Rows(scaled, None, told)
    if not description.classifies:
        return Rows(scaled, flat(y), told)
    classes = description.indices(y.reshape(len(y)))
    return Rows(scaled, None if (classes < 0).all() else classes, told)


# ---- tasks, targets and scales ----


def _task(source: Source) -> tuple[str, str]:
    if source.task is not None:
        return source.task, source.why
    assert source.y is not None
    return rules.task_of(source.y)


def _targets(source: Source, task: str) -> tuple[tuple[str | int, ...], Array, Array]:
    """(labels of the classes, y, y of the other part): classes by number, or targets (n,h) of float64."""
    assert source.y is not None
    y, rest = source.y, source.y[:0] if source.others is None else source.others[1]
    if task == REGRESSION:
        if y.dtype.kind == "U":
            slip = next((cell for cell in y.tolist() if cell and not is_number(cell)), str(y[0]))
            raise DataError(f"{source.where}: {source.target}: found {slip!r}, expected numbers for a regression")
        return (), flat(y).astype(np.float64), flat(rest).astype(np.float64)
    if y.size != len(y):
        raise DataError(f"{source.where}: {source.target}: found shape {y.shape}, expected one label for each row")
    known = np.unique(np.concatenate([y.reshape(-1), rest.reshape(-1)]))
    if len(known) < 2 and source.target_at is not None:
        raise DataError(
            f"{source.where}: {source.target}: found {shortened(plain_labels(known))} in every row, "
            "expected at least two classes; choose the target with --target NAME, INDEX, first or last"
        )
    named = source.labels if known.dtype.kind != "U" and known.tolist() == list(range(len(source.labels))) else ()
    labels = tuple(named or plain_labels(known))
    return labels, np.searchsorted(known, y.reshape(-1)), np.searchsorted(known, rest.reshape(-1))


def scaling_of(
    x: Range, choice: str | None, has_categories: bool, standard: Callable[[], Scaling]
) -> tuple[Scaling, str]:
    """(how to scale features of this range, why). Columns of 0 and 1 make no bytes of the others."""
    if choice not in (None, PIXELS):
        return (standard() if choice == "standard" else Scaling(choice or "none")), "as asked for"
    if x.bytes and not has_categories:
        return Scaling("bytes"), "bytes: whole numbers from 0 to 255"
    if x.units:
        return Scaling("unit"), "from 0 to 1 already"
    if choice == PIXELS:
        return Scaling(), "no bytes"
    return standard(), "neither bytes nor from 0 to 1"


def _scaled(where: str, how: Scaling, x: Array, dtype: Any) -> Array:
    """x scaled, in dtype. Raises DataError for a number that is too large for it."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = how.apply(x, dtype)
    check_finite(f"{where}: scaled, as {np.dtype(dtype)}", result)
    return result


def keeps_targets(y: Range, task: str, choice: str | None) -> bool:
    """Whether targets of this range stay as they are; else they are standardised."""
    return task == CLASSIFICATION or choice in ("none", PIXELS) or y.high < y.low or y.units


# ---- rows to predict from ----


def to_predict(path: Path, description: Description) -> Source:
    """Rows to predict from, as they are in a file, their columns in the order of the description."""
    if path.is_dir():
        return _validation_part(mnist_source(path))
    if is_table(path):
        return _of_table(path, read_table(path), description)
    content = load(path)
    if isinstance(content, dict):
        samples = from_arrays(path, content)
        if samples is not None:
            return _validation_part(samples)
        lone = next((array for name, array in content.items() if name.lower() in LONE), None)
        if lone is None:
            raise DataError(f"{path}: found {shortened(list(content)) or 'nothing'}, expected x, or x and y")
        content = lone
    if content.dtype.kind not in "fiub" or content.ndim < 2:
        found = f"{content.dtype} of shape {content.shape}"
        raise DataError(f"{path}: found {found}, expected rows of {description.features} numbers")
    return Source(str(path), content, None)


def _validation_part(source: Source) -> Source:
    if source.others is None:
        return _last_part(source) if source.trains else source
    return source._replace(x=source.others[0], y=source.others[1], others=None)


def _last_part(source: Source) -> Source:
    assert source.y is not None
    parts = split(source.x, source.y)
    return source._replace(x=parts.x_valid, y=parts.y_valid)


def _of_table(path: Path, table: Table, description: Description) -> Source:
    names = [name.strip() for name in table.names]
    if names and description.columns:
        try:
            order = description.order(names)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        at = names.index(description.target) if description.target in names else None
        return table_source(path, table, order, at, description.categories)
    target = _unnamed_target(table, description)
    ids = [0] if len(table.columns) > description.cells + (target is not None) and description.left_out else []
    chosen = [k for k in range(len(table.columns)) if k != target and k not in ids]
    if description.categories and len(chosen) != description.cells:
        raise DataError(f"{path}: found {len(chosen)} features in a row, expected {description.cells}")
    return table_source(path, table, chosen, target, description.categories)


def _unnamed_target(table: Table, description: Description) -> int | None:
    """The target's column in a table whose columns have no names that the model knows."""
    count = len(table.columns)
    if count <= description.cells:
        return None
    at = description.target_at
    if at is not None:
        at -= len(description.left_out) if count <= description.cells + 1 else 0
        return at if at < count else count - 1
    try:
        return rules.target_column(None, table.names, table.columns)[0]
    except DataError:
        return count - 1


__all__ = ["Choices", "Rows", "Samples", "read", "read_features", "read_rows"]

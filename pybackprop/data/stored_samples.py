"""Samples on disk, more than memory holds, with the description that the same samples in memory would have.

The rows are those of `open`; a block is scaled when it is read. Of one pass over all of them follows what must be known
before; standard scaling takes a second one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pybackprop.core.arrays import Array, float_type
from pybackprop.core.row_blocks import Block, Part, RowBlocks, RowKind
from pybackprop.data import rules
from pybackprop.data.description import CLASSIFICATION, REGRESSION, Description, plain_labels, shortened
from pybackprop.data.errors import DataError
from pybackprop.data.parquet import RowGroup, column_names
from pybackprop.data.parts import EVERY, VALIDATION
from pybackprop.data.reading import Choices, keeps_targets, scaling_of
from pybackprop.data.scaling import Scaling, divided
from pybackprop.data.sources import has_mnist
from pybackprop.data.stored import SHARDS, WINDOW, has_targets, open, shards
from pybackprop.data.survey import MOST_LABELS, Survey

Change = Callable[[Array], Array]


class StoredSplit(NamedTuple):
    """Rows on disk, as a model takes them: x in its dtype, scaled, and targets (n,h), where labels are rows of the
    identity matrix.

    valid   every fifth row;  None: there are fewer than five
    digest  sha256 of the numbers, of how they lie in blocks, and of what was decided about them
    """

    train: RowBlocks
    valid: RowBlocks | None
    digest: str


class StoredRows(NamedTuple):
    """Rows on disk to predict from: x scaled, and each row's label or target as it is stored."""

    rows: RowBlocks
    labels: Callable[[Array], Array]


def is_stored(path: Path, window: int | None = None) -> bool:
    """Whether a path leads to rows that are read from disk in blocks: a folder of shards, x of a pair of .npy files,
    or, if a window is asked for, any single shard.
    """
    if path.is_dir():
        return not has_mnist(path) and any(one.suffix.lower() in SHARDS for one in path.iterdir())
    suffix = path.suffix.lower()
    return suffix in SHARDS and (window is not None or (suffix == ".npy" and has_targets(path)))


def read_stored(
    path: str | Path, dtype: Any = np.float32, choices: Choices | None = None, window: int | None = None
) -> tuple[StoredSplit, Description]:
    """(rows on disk to train on and to validate with, what they are): as `reading.read` decides it. window: of `open`.

    A column of Parquet is the target by the same rules as in a table. Raises DataError, ShapeError, DTypeError.
    """
    path, real, asked = Path(path), float_type(dtype), choices or Choices()
    target = _Target.of(path, asked.target)
    _refuse_missing(path, asked.missing)
    rows = _opened(path, target, window)
    survey = Survey(rows)
    names = _names(rows)
    left_out = names[:1] if names and rows.features > 1 and names[0].lower() in rules.ID_NAMES and survey.counts else ()
    task, why, labels = _task(path, target, survey, asked.task, rows)
    found = survey.x_from(len(left_out))
    features, why_scale = scaling_of(found, asked.scale, False, lambda: survey.standard[0])
    kept = keeps_targets(survey.y, task, asked.scale)
    targets = Scaling() if kept else survey.standard[1]
    if left_out and features.kind == "standard":
        features = Scaling("standard", features.mean[1:], features.deviation[1:])
    told = Description(
        rows.features - len(left_out), task, names[len(left_out) :], target.name, target.at,
        tuple(plain_labels(labels)) if task == CLASSIFICATION else (), features, targets, left_out,
        reasons={"target": target.why, "task": why, "scale": why_scale},
    )  # fmt: skip
    order = slice(len(left_out), None)
    x = _scaled(order, features, features.divides(found), real)
    y = _one_hot(labels, real) if task == CLASSIFICATION else _scaled(slice(None), targets, False, real)
    width = max(len(labels), 2) if task == CLASSIFICATION else rows.kind.targ_shape[0] if rows.kind.targ_shape else 1
    kind = rows.kind._replace(features=told.features, dtype=real, targ_shape=(width,), targ_dtype=real)
    whole = _Whole(rows, kind, x, y)
    decided = json.dumps({name: value for name, value in told.to_json().items() if name != "reasons"})
    digest = hashlib.sha256(f"{survey.digest} {real} {decided}".encode()).hexdigest()
    valid = None if rows.rows < EVERY else whole.part(lambda number: number % EVERY == VALIDATION, shuffle=False)
    return StoredSplit(whole.part(lambda number: number % EVERY != VALIDATION), valid, digest), told


def stored_to_predict(
    path: str | Path, description: Description | None, features: int, dtype: Any, window: int | None = None
) -> StoredRows:
    """Rows on disk to predict from, scaled as the model's own were. features: that the model takes.

    Columns with names are put into the model's order. Without a description only numbers of type uint8 are divided by
    255. Raises DataError.
    """
    path, real = Path(path), float_type(dtype)
    told = description or Description(features, CLASSIFICATION)
    target = _Target.of(path, told.target if description is not None and told.columns else None)
    rows = _opened(path, target, window)
    names = _names(rows)
    order: Any = told.order(names) if names and told.columns else slice(None)
    count = len(order) if isinstance(order, list) else rows.features
    if count != features:
        raise DataError(f"{path}: found {count} features in a row, expected {features}")
    if description is None:
        change = _scaled(order, Scaling(), rows.dtype == np.uint8, real)
    else:
        divides = told.scaling.kind in ("unit", "bytes") and told.scaling.divides(Survey(rows).x_from(0))
        change = _scaled(order, told.scaling, divides, real)
    kind = rows.kind._replace(features=features, dtype=real)
    return StoredRows(_Whole(rows, kind, change, np.asarray).part(lambda number: number >= 0), _labels(description))


# ---- what is decided ----


@dataclass(frozen=True)
class _Target:
    """Which column the targets are; name None: the array targ of shards."""

    column: str | None
    name: str
    at: int | None
    why: str

    @classmethod
    def of(cls, path: Path, choice: str | None) -> _Target:
        first = shards(path)[0]
        if first.suffix.lower() != ".parquet":
            if choice is not None:
                raise ValueError(f"--target: {first.name} holds the targets as targ or y; leave it out")
            return cls(None, "targ", None, "by its name")
        names = column_names(first)
        try:
            at, why = rules.target_column(choice, names, [np.empty(0)] * len(names))
        except DataError as error:
            raise DataError(f"{first}: {error}") from error
        return cls(names[at], names[at], at, why)


def _refuse_missing(path: Path, missing: str | None) -> None:
    if missing is not None:
        raise ValueError(
            f"--missing: {path} is read in blocks, and a missing number is an error there; fill it in the file, or "
            "leave its row out"
        )


def _opened(path: Path, target: _Target, window: int | None) -> RowBlocks:
    return open(path, target=target.column, window=WINDOW if window is None else window)


def _names(rows: RowBlocks) -> tuple[str, ...]:
    first = rows.blocks[0]
    return tuple(name.strip() for name in first.columns.x) if isinstance(first, RowGroup) else ()


def _task(path: Path, target: _Target, survey: Survey, asked: str | None, rows: RowBlocks) -> tuple[str, str, Array]:
    """(task, why, the values of the classes), by the rules for targets in memory."""
    values = np.empty(0) if survey.values is None else survey.values
    if rows.kind.targ_shape not in ((), (1,)):
        found, why = REGRESSION, f"{rows.kind.targ_shape} numbers for each row"
    elif survey.values is None:
        found, why = REGRESSION, "numbers that are not all whole"
        if survey.y.whole:
            why = f"more than {MOST_LABELS} different whole numbers"
    else:
        found, why = rules.task_of_values(survey.values, rows.rows)
    if asked is not None:
        if asked == CLASSIFICATION and survey.values is None:
            raise DataError(f"{path}: {target.name}: found {why}, expected whole numbers, the labels of classes")
        found, why = asked, "as asked for"
    if found == CLASSIFICATION and len(values) < 2 and target.at is not None:
        raise DataError(
            f"{path}: {target.name}: found {shortened(plain_labels(values))} in every row, expected at least two "
            "classes; choose the target with --target NAME, INDEX, first or last"
        )
    return found, why, values


# ---- blocks as a model takes them ----


@dataclass(frozen=True)
class _Whole:
    """All rows, and what is done to x and targ when a block is read; kind: of the rows then."""

    rows: RowBlocks
    kind: RowKind
    x: Change
    targ: Change

    def part(self, chooses: Change, shuffle: bool = True) -> RowBlocks:
        """The rows whose numbers, counted from 0, are chosen."""
        blocks, first = [], 0
        for block in self.rows.blocks:
            count = int(chooses(np.arange(first, first + block.rows)).sum())
            if count:
                blocks.append(_ChosenBlock(self, block, first, chooses, count))
            first += block.rows
        return RowBlocks(blocks, self.kind, self.rows.window, shuffle)


@dataclass(frozen=True)
class _ChosenBlock:
    """The chosen rows of a block, whose rows are counted from `first` on."""

    whole: _Whole
    block: Block
    first: int
    chooses: Change
    rows: int

    @property
    def path(self) -> Path:
        """Of the block."""
        return self.block.path

    def read(self, into: Part) -> None:
        """See core.row_blocks.Block."""
        part = self.whole.rows.read(self.block)
        chosen = self.chooses(np.arange(self.first, self.first + self.block.rows))
        into.x[...] = self.whole.x(part.x[chosen])
        into.targ[...] = self.whole.targ(part.targ[chosen])
        if into.weight is not None and part.weight is not None:
            into.weight[...] = part.weight[chosen]

    def check(self) -> None:
        """See core.row_blocks.Block."""
        self.block.check()


def _scaled(columns: Any, scaling: Scaling, divides: bool, dtype: np.dtype[Any]) -> Change:
    """Chooses columns, and scales them. Numbers that are too large for dtype become infinite."""

    def change(array: Array) -> Array:
        flat = array.reshape(len(array), -1)[:, columns]
        if divides:
            return divided(flat, dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            return scaling.apply(flat, dtype) if scaling.kind == "standard" else np.asarray(flat, dtype)

    return change


def _one_hot(values: Array, dtype: np.dtype[Any]) -> Change:
    """Labels as rows of the identity matrix."""

    def change(y: Array) -> Array:
        targets = np.zeros((len(y), max(len(values), 2)), dtype)
        targets[np.arange(len(y)), np.searchsorted(values, y.reshape(-1).astype(np.int64))] = 1
        return targets

    return change


def _labels(description: Description | None) -> Change:
    """The number of each label, or each row's targets (n,h)."""

    def change(y: Array) -> Array:
        if description is not None and description.classifies:
            return description.indices(y.reshape(len(y)))
        if description is None and y.size == len(y) and y.dtype.kind in "iub":
            return y.reshape(len(y)).astype(np.int64)
        return y.reshape(len(y), -1).astype(np.float64)

    return change


__all__ = ["StoredRows", "StoredSplit", "is_stored", "read_stored", "stored_to_predict"]

"""Description: what a model was trained on, so that others' rows can be read and scaled as those were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.data.errors import DataError
from pybackprop.data.scaling import Scaling

CLASSIFICATION, REGRESSION = "classification", "regression"
TASKS = (CLASSIFICATION, REGRESSION)


@dataclass(frozen=True)
class Description:
    """What the columns of a model's data are, and what was done to them.

    features   how many numbers a row has;  columns: their names in order, () where they have none
    target     the target's name, or what it is instead;  target_at: its column in the file, None where it has none
    task       "classification" or "regression"
    labels     of the classes, in the order of the model's outputs: texts or whole numbers
    scaling    of the features;  target_scaling: of the targets
    left_out   names of columns that are neither features nor the target
    fill       what stands in for a missing cell, for each feature; () where none may be missing
    reasons    why, for people: by "target", "task" and "scale"; by "missing" what was done about missing cells
    categories  of each column of the file, in sorted order, () for one of numbers; () where all are of numbers
    missing    "mean" or "drop", as asked for, or None
    """

    features: int
    task: str
    columns: tuple[str, ...] = ()
    target: str = ""
    target_at: int | None = None
    labels: tuple[str | int, ...] = ()
    scaling: Scaling = field(default_factory=Scaling)
    target_scaling: Scaling = field(default_factory=Scaling)
    left_out: tuple[str, ...] = ()
    fill: tuple[float, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    categories: tuple[tuple[str, ...], ...] = ()
    missing: str | None = None

    @property
    def cells(self) -> int:
        """How many columns of a file are features: fewer than `features` where some are of texts."""
        return len(self.categories) or self.features

    @property
    def classifies(self) -> bool:
        """Whether the outputs are the scores of classes."""
        return self.task == CLASSIFICATION

    def indices(self, y: Array) -> Array:
        """The number of each label of y (n,), int64; -1 for one that the model does not know.

        Where the labels are texts and y is of numbers, those are the numbers of the classes.
        """
        numbered = y.dtype.kind not in "US" and all(isinstance(label, str) for label in self.labels)
        labels: Sequence[str | int] = range(len(self.labels)) if numbered else self.labels
        known = {label: k for k, label in enumerate(labels)}
        return np.asarray([known.get(label, -1) for label in plain_labels(y)], np.int64)

    def order(self, names: Sequence[str]) -> list[int]:
        """Where each feature stands among the columns of a file that has these names.

        Raises DataError for a feature that is missing or there twice, and for a column that is none.
        """
        plain = [name.strip() for name in names]
        ignored = {self.target, *self.left_out}
        missing = [name for name in self.columns if name not in plain]
        extra = [name for name in plain if name not in self.columns and name not in ignored]
        twice = sorted({name for name in plain if plain.count(name) > 1})
        said = [(missing, "no column"), (extra, "unknown"), (twice, "twice")]
        faults = [f"{how} {shortened(found)}" for found, how in said if found]
        if faults:
            raise DataError(f"columns: found {', '.join(faults)}; the model was trained on {shortened(self.columns)}")
        return [plain.index(name) for name in self.columns]

    def to_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "features": self.features,
            "columns": list(self.columns),
            "target": self.target,
            "target_at": self.target_at,
            "task": self.task,
            "labels": list(self.labels),
            "scaling": self.scaling.to_json(),
            "target_scaling": self.target_scaling.to_json(),
            "left_out": list(self.left_out),
            "fill": list(self.fill),
            "reasons": dict(self.reasons),
            "categories": [list(known) for known in self.categories],
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Description:
        """What `to_json` told. Raises KeyError, TypeError or ValueError for anything else."""
        if told["task"] not in TASKS:
            raise ValueError(f"task: found {told['task']!r}, expected {' or '.join(TASKS)}")
        return cls(
            features=int(told["features"]),
            task=told["task"],
            columns=tuple(map(str, told["columns"])),
            target=str(told["target"]),
            target_at=None if told["target_at"] is None else int(told["target_at"]),
            labels=tuple(told["labels"]),
            scaling=Scaling.from_json(told["scaling"]),
            target_scaling=Scaling.from_json(told["target_scaling"]),
            left_out=tuple(map(str, told["left_out"])),
            fill=tuple(map(float, told["fill"])),
            reasons=dict(told["reasons"]),
            categories=tuple(tuple(map(str, known)) for known in told.get("categories", ())),
            missing=told.get("missing"),
        )


def plain_labels(y: Array) -> list[str | int]:
    """Labels as texts, or as whole numbers where they are such: those that files of all kinds have in common."""
    if y.dtype.kind in "US":
        return [str(label) for label in y.tolist()]
    return [int(label) if float(label).is_integer() else repr(label) for label in y.tolist()]


def shortened(names: Sequence[Any], most: int = 6) -> str:
    """Names for a message; of many the first ones, and how many more there are."""
    said = ", ".join(map(str, names[:most]))
    return said if len(names) <= most else f"{said} and {len(names) - most} more"

"""The training and the validation part of a Trainer's data, in memory or on disk."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.data import DataError, Split, StoredSplit, check_finite

MOST_CLASSES = 100_000


class Parts(ABC):
    """What is trained on and what is not.

    features, outputs  of a row;  rows: to train on;  valid_rows: for validation
    classifies  whether the targets are labels, as rows of the identity matrix
    other       what else must be as it was to go on from a checkpoint, for a message
    """

    features: int
    outputs: int
    rows: int
    valid_rows: int
    classifies: bool
    other: str = ""

    @property
    @abstractmethod
    def to_fit(self) -> tuple[Any, ...]:
        """(x, targets) or (rows,), as plan.fit takes them."""

    @property
    @abstractmethod
    def x_valid(self) -> Any:
        """As plan.predict takes it."""

    @property
    @abstractmethod
    def y_valid(self) -> Array:
        """Labels (n,), or targets (n,h), of the validation part."""

    @property
    @abstractmethod
    def targets_valid(self) -> Array:
        """The targets (n,h) of the validation part, where labels are rows of the identity matrix."""

    @abstractmethod
    def first(self, most: int) -> Array:
        """Some of the first rows of x to train on."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """sha256 of the data to train on, and of their order if that depends on more than the seed."""


class InMemory(Parts):
    """x (n,m) and labels y (n,) of integers, or targets (n,h).

    Raises DataError for NaN or infinity in the data, and for labels that cannot be classes.
    """

    def __init__(self, split: Split, dtype: np.dtype[Any]) -> None:
        self.split = _checked(split, dtype)
        classes = _classes(self.split)
        self.classifies = classes is not None
        self.targets, self._targets_valid = (
            _targets(y, classes, dtype) for y in (self.split.y_train, self.split.y_valid)
        )
        self.features, self.outputs = self.split.x_train.shape[1], self.targets.shape[1]
        self.rows, self.valid_rows = len(self.targets), len(self.split.x_valid)

    @property
    def to_fit(self) -> tuple[Any, ...]:
        return self.split.x_train, self.targets

    @property
    def x_valid(self) -> Array:
        return self.split.x_valid

    @property
    def y_valid(self) -> Array:
        return self.split.y_valid

    @property
    def targets_valid(self) -> Array:
        return self._targets_valid

    def first(self, most: int) -> Array:
        return self.split.x_train[:most]

    @property
    def digest(self) -> str:
        state = hashlib.sha256()
        for name, array in {"x": self.split.x_train, "y": self.targets}.items():
            state.update(f"{name}{array.shape}".encode())
            state.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).data)
        return state.hexdigest()


class OnDisk(Parts):
    """Rows on disk. The targets of the validation part are kept in memory once they were asked for."""

    other = ", in the same files, and the same --window"

    def __init__(self, split: StoredSplit, classifies: bool) -> None:
        self.split, self.classifies = split, classifies
        self.features, (self.outputs,) = split.train.features, split.train.kind.targ_shape
        self.rows, self.valid_rows = split.train.rows, 0 if split.valid is None else split.valid.rows
        self._targets_valid: Array | None = None

    @property
    def to_fit(self) -> tuple[Any, ...]:
        return (self.split.train,)

    @property
    def x_valid(self) -> Any:
        return self.split.valid

    @property
    def y_valid(self) -> Array:
        targets = self.targets_valid
        return targets.argmax(1) if self.classifies else targets

    @property
    def targets_valid(self) -> Array:
        if self._targets_valid is None:
            valid = self.split.valid
            blocks = [] if valid is None else [valid.read(block).targ for block in valid.blocks]
            self._targets_valid = np.concatenate(blocks)
        return self._targets_valid

    def first(self, most: int) -> Array:
        train = self.split.train
        return train.read(train.blocks[0]).x[:most]

    @property
    def digest(self) -> str:
        return self.split.digest


def parts_of(split: Split | StoredSplit, dtype: np.dtype[Any], classifies: bool) -> Parts:
    """The parts of a split. classifies: whether rows on disk have labels; those in memory tell."""
    return OnDisk(split, classifies) if isinstance(split, StoredSplit) else InMemory(split, dtype)


def _checked(split: Split, dtype: np.dtype[Any]) -> Split:
    if split.x_train.ndim != 2 or not split.x_train.size:
        raise DataError(f"x_train: found shape {split.x_train.shape}, expected samples by features, at least one each")
    for name, array in split._asdict().items():
        check_finite(name, array)
    return Split(
        split.x_train.astype(dtype, copy=False), split.y_train, split.x_valid.astype(dtype, copy=False), split.y_valid
    )


def _classes(split: Split) -> int | None:
    """The number of classes that the labels imply; None for targets that are not labels."""
    if split.y_train.dtype.kind not in "iu":
        return None
    labels = np.concatenate([split.y_train.ravel(), split.y_valid.ravel()])
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= MOST_CLASSES:
        raise DataError(
            f"labels: found {low} to {high}, expected 0 to {MOST_CLASSES - 1}; convert them to targets of floats"
        )
    return max(high + 1, 2)


def _targets(y: Array, classes: int | None, dtype: Any) -> Array:
    if classes is None:
        return np.ascontiguousarray(y.reshape(len(y), -1), dtype)
    targets = np.zeros((len(y), classes), dtype)
    targets[np.arange(len(y)), y.ravel()] = 1
    return targets


__all__ = ["InMemory", "OnDisk", "Parts", "parts_of"]

"""Splitting samples into a training and a validation part, and checks of both."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.checks import first_not_finite
from pybackprop.data.errors import DataError

EVERY, VALIDATION = 5, 4  # the last of every five rows is for validation


class Split(NamedTuple):
    """x (n,m), one row for each sample; y (n,) of int64 class labels, or (n,h) of float targets."""

    x_train: Array
    y_train: Array
    x_valid: Array
    y_valid: Array


def split(x: Array, y: Array) -> Split:
    """Every fifth row (4, 9, 14, ...) for validation, the others for training.

    Raises DataError for lengths that differ or fewer than five rows.
    """
    check_lengths("x", x, "y", y)
    if len(x) < EVERY:
        raise DataError(f"split: found {len(x)} rows, expected at least {EVERY}")
    valid = np.arange(len(x)) % EVERY == VALIDATION
    return Split(x[~valid], y[~valid], x[valid], y[valid])


def check_lengths(x_name: str, x: Array, y_name: str, y: Array) -> None:
    if np.ndim(x) == 0 or np.ndim(y) == 0 or len(x) != len(y):
        raise DataError(
            f"{y_name}: found shape {np.shape(y)} for {x_name} of shape {np.shape(x)}; expected one for each row"
        )


def check_finite(name: str, array: Array) -> None:
    """Raises a DataError that says where the first NaN or infinity is, and how many there are."""
    found = first_not_finite(array)
    if found:
        raise DataError(f"{name}: {found}")

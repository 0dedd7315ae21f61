"""Checks of what the caller gives: sizes, counts and seeds, arrays of finite numbers, and places for files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array

SEEDS = 2**64


def is_whole(value: Any, least: int = 1, most: int | None = None) -> bool:
    """Whether value is an integer (Python's or numpy's, not a bool) from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        return False
    return most is None or bool(value <= most)


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """value as an int from `least` to `most`; ValueError for anything else."""
    if not is_whole(value, least, most):
        limit = "" if most is None else f" to {most}"
        raise ValueError(f"{name}: found {value!r}, expected a whole number from {least}{limit}")
    return int(value)


def width(name: str, size: Any, most: int | None = None) -> int:
    """A layer's number of inputs or outputs as an int from 1; ValueError for anything else."""
    if not is_whole(size, 1, most):
        raise ValueError(f"{name}: found a size of {size!r}, expected a whole number from 1")
    return int(size)


def check_seed(seed: Any) -> int:
    """seed as an int from 0 to 2**64 - 1; ValueError for anything else."""
    if not is_whole(seed, 0, SEEDS - 1):
        raise ValueError(f"seed: found {seed!r}, expected a whole number from 0 to 2**64 - 1")
    return int(seed)


def first_not_finite(array: Array) -> str | None:
    """Where the first NaN or infinity of array is, and how many there are; None if all numbers are finite."""
    if array.dtype.kind != "f":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
    if np.isfinite(total):  # NaN and infinity never leave a sum again; and it needs no memory
        return None
    finite = np.isfinite(array)
    if finite.all():
        return None
    index = np.unravel_index(int(np.argmin(finite)), array.shape)
    place = ", ".join(f"{axis} {at}" for axis, at in zip(("row", "column", "axis 2", "axis 3"), index, strict=False))
    return (
        f"found {array[index]} at {place} (counted from 0), "
        f"{int((~finite).sum())} such values of {array.size} in all; expected finite numbers"
    )


def check_folder(option: str, path: Path) -> None:
    """Raises OSError, which begins with option, for a file whose folder is missing or cannot be written."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{option}: the folder {path.parent} cannot be written")

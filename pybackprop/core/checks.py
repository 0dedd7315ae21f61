"""Checks of numbers given by the caller: sizes, counts and seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

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

"""The options that say how to read data, for the commands that take --data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pybackprop import data
from pybackprop.cli.arguments import whole_number
from pybackprop.data import Choices

MISSING_HELP = "for cells without a value: the column's mean, or leave the row out (an error)"
WINDOW_HELP = "read a file from disk in blocks, as shards are, so many of them in memory and shuffled together (8)"


def add_choices(add: Callable[..., Any]) -> None:
    """Adds --target, --task, --scale and --missing."""
    add("--target", metavar="NAME|INDEX|first|last", help="column with the labels or targets (by its name, else last)")
    add("--task", choices=data.TASKS, help="what the target is (decided by its values)")
    add("--scale", choices=data.SCALES, help="of the features (bytes / 255; 0 to 1 kept; all else standardised)")
    add("--missing", choices=data.MISSING, help=MISSING_HELP)


def add_window(add: Callable[..., Any]) -> None:
    """Adds --window."""
    add("--window", type=whole_number, metavar="N", help=WINDOW_HELP)


def choices_of(options: argparse.Namespace) -> Choices:
    """What was asked for."""
    return Choices(options.target, options.task, options.scale, options.missing)


def refuse_choices(asked: Choices, why: str) -> None:
    """Raises ValueError if anything is asked for where there is nothing to choose."""
    for name, value in asdict(asked).items():
        if value is not None:
            raise ValueError(f"--{name}: {why}; give --data")


def refuse_window(options: argparse.Namespace) -> None:
    """Raises ValueError if a window is asked for where nothing is read in blocks."""
    if options.window is not None:
        raise ValueError(
            f"--window: {options.data or 'the digits'}: found no shards and no .npz, .npy or .parquet; leave it out"
        )

"""Samples: the checked data of a fit, and a part of it that is held out for validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pybackprop.core import native
from pybackprop.core.arrays import Array
from pybackprop.core.errors import ShapeError
from pybackprop.engine.batch import StepData, pair, targets, weights_of_rows
from pybackprop.engine.lazy_rows import LazyRows, lazy_rows
from pybackprop.engine.sources import check_finite

HELD_OUT_STREAM = 2**64 - 1  # the seed's random stream that chooses the rows; the epochs' are counted from 1


@dataclass(frozen=True)
class Samples:
    """x (n,m) and targ (n,h), or (n,) where h is 1 or for labels. weight (n): how much each row counts; None: alike."""

    x: Array | LazyRows
    targ: Array
    weight: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def check_finite(self, part: str = "") -> None:
        """Raises ValueError for NaN and infinity. part: of the data, for the message."""
        if isinstance(self.x, LazyRows):
            self.x.check(f"{part}x")
            check_finite({f"{part}targ": self.targ})
        else:
            check_finite({f"{part}x": self.x, f"{part}targ": self.targ})

    def taken(self, rows: Array) -> Samples:
        """Some of the rows, copied if they are in memory."""
        x = self.x.subset(rows) if isinstance(self.x, LazyRows) else self.x[rows]
        return Samples(x, self.targ[rows], None if self.weight is None else self.weight[rows])


def samples(operation: str, x: Any, targ: Any, expected: StepData, weight: Any = None) -> Samples:
    """Checked data. Raises ShapeError, DTypeError, ValueError and GradientError for what does not fit."""
    found = lazy_rows(operation, x, expected)
    if found is None:
        data = Samples(*pair(operation, x, targ, expected))
    else:
        data = Samples(found, targets(operation, len(found), targ, expected))
    if weight is None:
        return data
    checked = weights_of_rows(operation, weight, len(data), expected.dtype)
    if not checked.any():
        raise ValueError(
            f"{operation}: sample_weight is 0 for each of the {len(data)} rows, so nothing could be learnt"
        )
    return replace(data, weight=checked)


def split(data: Samples, share: float, seed: int) -> tuple[Samples, Samples]:
    """(data to train on, data held out): rows chosen at random by the seed, each part in the order of the data.

    Raises ShapeError for data of one row.
    """
    n = len(data)
    if n < 2:
        raise ShapeError(
            "plan.fit: validation_split: found 1 row, expected at least two: one is held out, one trained on"
        )
    order = native.indices(n)
    native.permute(order, n, seed, HELD_OUT_STREAM)
    count = min(max(round(share * n), 1), n - 1)
    shuffled = native.as_index(order)
    return data.taken(np.sort(shuffled[count:])), data.taken(np.sort(shuffled[:count]))

"""The rows as they stand, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array


def in_order(x: Any, targ: Array, weight: Array | None, batch: int) -> Sequence[tuple[Any, ...]]:
    """The batches of the rows as they stand."""
    parts: list[Callable[[slice], Any]] = [x.__getitem__, targ.__getitem__]
    if weight is not None:
        parts.append(weight.__getitem__)
    cuts = [slice(start, start + batch) for start in range(0, x.shape[0], batch)]
    return [tuple(part(cut) for part in parts) for cut in cuts]


def without_idle(x: Any, targ: Array, weight: Array, batch: int) -> tuple[Any, Array, Array]:
    """Without those batches of the rows as they stand that have no row which counts: there is nothing to step for."""
    counts = np.add.reduceat(weight, np.arange(0, len(weight), batch)) > 0
    if counts.all():
        return x, targ, weight
    rows = np.repeat(counts, batch)[: len(weight)]
    return x[rows], targ[rows], weight[rows]

"""The scores of scikit-learn, of rows that are checked already: they are computed after each epoch."""

from __future__ import annotations

import numpy as np

from pybackprop.core.arrays import Array


def accuracy(right: Array, found: Array, weight: Array | None) -> float:
    """The share of rows (n,), or of labels (n,k), that are found as they are; sklearn.metrics.accuracy_score."""
    same = np.asarray(right == found)
    return float(np.average(same if same.ndim == 1 else same.all(1), weights=weight))


def r2(right: Array, found: Array, weight: Array | None) -> float:
    """The mean over the outputs (n,h) of the coefficient of determination; sklearn.metrics.r2_score.

    An output that is the same in all rows has 1 where it was found, else 0.
    """
    right = np.asarray(right, np.float64)
    errors = np.average((right - found) ** 2, axis=0, weights=weight)
    spread = np.average((right - np.average(right, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(spread > 0, 1 - errors / spread, errors == 0)
    return float(scores.mean())

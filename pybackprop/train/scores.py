"""How good predictions are."""

from __future__ import annotations

import numpy as np

from pybackprop.core.arrays import Array


def accuracy(outputs: Array, labels: Array) -> float:
    """The share of rows whose largest output is their label's."""
    return float(np.mean(outputs.argmax(1) == labels))


def r2(outputs: Array, targets: Array) -> float | None:
    """R², the coefficient of determination: 1 - (sum of squared errors) / (sum of squares around the mean).

    Of outputs and targets (n,h) the mean over the columns, without those that are constant; None if all are.
    """
    outputs, targets = np.asarray(outputs, np.float64), np.asarray(targets, np.float64).reshape(outputs.shape)
    errors, spread = ((outputs - targets) ** 2).sum(0), ((targets - targets.mean(0)) ** 2).sum(0)
    varied = spread > 0
    return float(np.mean(1 - errors[varied] / spread[varied])) if varied.any() else None

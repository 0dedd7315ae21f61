"""scikit-learn: its MLPRegressor, which trains whole epochs."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np

from pybackprop.bench.engines.engine import Call, Engine
from pybackprop.bench.workloads import LR, MOMENTUM
from pybackprop.core.arrays import Array


class Sklearn(Engine):
    """Plain SGD with momentum and no penalty, from the given parameters; only its BLAS uses threads."""

    def epoch(self, x: Array, targ: Array, batch: int, **parameters: Array) -> Call:
        arrays = list(parameters.values())
        hidden = tuple(len(b) for b in arrays[1:-1:2])
        rates = {"learning_rate_init": LR, "momentum": MOMENTUM, "nesterovs_momentum": False, "alpha": 0.0}
        kind: Any = import_module("sklearn.neural_network").MLPRegressor
        options = {"solver": "sgd", "batch_size": batch, "max_iter": 1, "warm_start": True, "random_state": 0}
        model = kind(hidden_layer_sizes=hidden, **options, **rates)
        model.partial_fit(x[:1], targ[:1])  # allocates its arrays
        for mine, given in zip((*model.coefs_, *model.intercepts_), (*arrays[::2], *arrays[1::2]), strict=True):
            mine[...] = given
        self.results = lambda: {"loss": np.array(2 * model.loss_, x.dtype)}  # its loss is half the mean square

        def call() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns that one epoch was not enough
                model.fit(x, targ)

        return call

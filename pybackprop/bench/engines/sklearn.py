"""scikit-learn: its MLPRegressor, which trains whole epochs, and its MLPClassifier."""

from __future__ import annotations

import warnings
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from pybackprop.bench.engines.engine import Call, Engine
from pybackprop.bench.workloads import ADAM_LR, EPOCHS, LR, MOMENTUM
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

        return partial(fit_quietly, model, x, targ)

    def classify(self, x: Array, targ: Array, batch: int, **parameters: Array) -> Call:
        kind: Any = import_module("sklearn.neural_network").MLPClassifier
        model = classifier(kind, x, targ, batch, list(parameters.values()))
        self.results = lambda: {"loss": np.array(model.loss_, x.dtype)}
        return partial(fit_quietly, model, x, targ)


def classifier(kind: Any, x: Array, targ: Array, batch: int, parameters: list[Array], **more: Any) -> Any:
    """An estimator of this class that goes on from these parameters whenever it is fitted, for EPOCHS epochs."""
    hidden = tuple(len(b) for b in parameters[1:-1:2])
    rates = {"learning_rate_init": ADAM_LR, "alpha": 0.0, "tol": 0.0, "n_iter_no_change": 2 * EPOCHS}
    options = {"batch_size": min(batch, len(x)), "max_iter": EPOCHS, "random_state": 0}
    model = kind(hidden_layer_sizes=hidden, **options, **rates, **more)
    model.set_params(batch_size="auto").partial_fit(x[:1], targ[:1], classes=np.arange(len(parameters[-1])))
    model.set_params(batch_size=options["batch_size"], warm_start=True)
    for mine, given in zip((*model.coefs_, *model.intercepts_), (*parameters[::2], *parameters[1::2]), strict=True):
        mine[...] = given
    return model


def fit_quietly(model: Any, x: Array, targ: Array) -> None:
    """Fits without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that so few epochs were not enough
        model.fit(x, targ)

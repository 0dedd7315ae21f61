"""This library's MLPClassifier, as users of scikit-learn call it."""

from __future__ import annotations

from functools import partial

import numpy as np

from pybackprop.bench.engines.engine import Call
from pybackprop.bench.engines.pybackprop import Pybackprop
from pybackprop.bench.engines.sklearn import classifier, fit_quietly
from pybackprop.core.arrays import Array
from pybackprop.sklearn import MLPClassifier


class Estimator(Pybackprop):
    """The same call as scikit-learn's."""

    def classify(self, x: Array, targ: Array, batch: int, **parameters: Array) -> Call:
        model = classifier(MLPClassifier, x, targ, batch, list(parameters.values()))
        self.results = lambda: {"loss": np.array(model.loss_, x.dtype)}
        return partial(fit_quietly, model, x, targ)

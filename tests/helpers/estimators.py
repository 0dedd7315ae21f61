"""For tests of the estimators: rows, a small estimator, and the parameters of a fitted one."""

import numpy as np

X = np.random.default_rng(0).standard_normal((60, 4))
Y = (X[:, 0] > 0).astype(int)


def estimator(kind, **parameters):
    return kind(**{"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0, **parameters})


def parameters_of(fit):
    return np.concatenate([p.ravel() for p in (*fit.coefs_, *fit.intercepts_)])

"""MLPRegressor: a multilayer perceptron for numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import MultiOutputMixin, RegressorMixin

from pybackprop.core.arrays import Array
from pybackprop.sklearn.base import BaseMLP
from pybackprop.sklearn.network import SQUARED_ERROR, Objective
from pybackprop.sklearn.scores import r2


class MLPRegressor(MultiOutputMixin, RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multilayer perceptron that minimises the squared error; a drop-in for scikit-learn's MLPRegressor.

    hidden_layer_sizes  the units of each hidden layer: (100,), or a number for one layer
    activation          "relu", "tanh", "logistic", "leaky_relu" or "identity", after each hidden layer
    solver              "adam" or "sgd"
    alpha               of the penalty, alpha / 2 times the sum of the squared weights, over the rows of a batch
    batch_size          rows in a step; "auto": 200, or all if there are fewer
    learning_rate       of sgd: "constant", "invscaling" (learning_rate_init / t ** power_t) or "adaptive" (a fifth of
                        it whenever the loss no longer falls)
    learning_rate_init, momentum, nesterovs_momentum, beta_1, beta_2, epsilon  of the solvers
    max_iter            at most so many epochs
    tol, n_iter_no_change  stop when the loss has not fallen by tol for so many epochs
    early_stopping      instead: when the score of a validation_fraction of the rows has not risen; the parameters are
                        then the best ones
    shuffle             whether each epoch takes the rows in another order
    random_state        of the first parameters, the order of the rows and the rows that are held out. A number gives
                        the same bits on every machine
    warm_start          fit goes on from the parameters of the last call
    verbose             print the loss of each epoch
    threads             for this estimator; None: bp.threads()
    dtype               in which it computes, "float32" or "float64"; None: float32 if X is, else float64. float32 is up
                        to twice as fast

    After fit: coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_,
    t_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_; and model_, the bp.Model.
    Raises ValueError with scikit-learn's messages for parameters and data that do not fit, and when the loss or the
    parameters are no longer finite. Sources: Glorot & Bengio (2010) for the first parameters, Kingma & Ba
    (arXiv:1412.6980) for adam.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Trains on X (n,m), an array, a table or a sparse matrix, and y (n,) or (n,h). sample_weight (n,), from 0."""
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch on X and y, continuing from the last call. k calls with the same data are fit with max_iter=k."""
        self._fit(X, y, sample_weight, epochs=1)
        return self

    def predict(self, X: Any) -> Array:
        """The outputs (n,), or (n,h) if y had two axes, for X (n,m)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _checked(self, x: Any, y: Any, first: bool, **checks: Any) -> tuple[Any, Any]:
        if issparse(y):
            raise TypeError("Sparse y was passed, but dense y is required. Use '.toarray()' to convert it.")
        return super()._checked(x, y, first, y_numeric=True, **checks)

    def _targets(self, y: Any, dtype: np.dtype[Any], first: bool) -> tuple[Array, int, Objective]:
        with np.errstate(over="ignore"):
            targ = np.ascontiguousarray(y.reshape(len(y), -1), dtype)
        if not np.isfinite(targ).all():
            raise ValueError(f"Input y contains infinity or a value too large for {dtype!r}.")
        if not first and targ.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {targ.shape[1]} outputs, but this MLPRegressor was fitted with {self.n_outputs_}.")
        return targ, targ.shape[1], SQUARED_ERROR

    def _score_of(self, outputs: Array, y: Any, weight: Array | None) -> float:
        return r2(y.reshape(len(y), -1), outputs, weight)

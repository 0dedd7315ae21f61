"""MLPClassifier: a multilayer perceptron for classes, two or more, or several labels at once."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from pybackprop.core.arrays import Array
from pybackprop.ops import log_softmax, sigmoid, softmax
from pybackprop.sklearn.base import BaseMLP
from pybackprop.sklearn.network import CLASSES, YES_OR_NO, Objective
from pybackprop.sklearn.scores import accuracy


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multilayer perceptron that minimises the cross-entropy; a drop-in for scikit-learn's MLPClassifier.

    class_weight  weights of the classes, {class: weight}, or a list of such for the labels; or "balanced": so that each
                  class counts alike, sample_weight included. They multiply sample_weight

    The other parameters, and the attributes after fit, are those of MLPRegressor; classes_ (k,) besides. Two classes
    are one yes-or-no question, as are the columns of a y (n,k) of zeros and ones, a multi-label classification; more
    classes exclude each other.
    Raises ValueError with scikit-learn's messages for parameters and data that do not fit, also for a single class, and
    when the loss or the parameters are no longer finite.
    """

    classes_: Array
    _is_multilabel: bool
    _given_classes: Array | None = None  # those of the first partial_fit

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, None, StrOptions({"balanced"})],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        class_weight: Any = None,
        threads: int | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            threads=threads,
            dtype=dtype,
        )
        self.class_weight = class_weight

    # ---- what is called ----

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Trains on X (n,m), an array, a table or a sparse matrix, and y: classes (n,), or labels (n,k) of 0 and 1.
        sample_weight (n,), from 0.
        """
        self._given_classes = None
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """One epoch on X and y, continuing from the last call. classes: all that may come, needed by the first call."""
        self._validate_params()
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use "
                "weights = compute_class_weight('balanced', classes=classes, y=y) on all of y, and pass "
                "class_weight=dict(zip(classes, weights))."
            )
        self._set_classes(y, classes)
        self._fit(X, y, sample_weight, epochs=1)
        return self

    def predict(self, X: Any) -> Array:
        """The classes (n,), or the labels (n,k) of 0 and 1, of X (n,m)."""
        return self._decided(self._outputs(X))

    def predict_proba(self, X: Any) -> Array:
        """The probabilities (n,k) of the classes, in the order of classes_, each row's sum 1; or of the labels."""
        outputs = self._outputs(X)
        if self._is_multilabel:
            return sigmoid(outputs).data
        return softmax(_of_all_classes(outputs)).data

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms (n,k) of the probabilities, also of those that are too small for a number."""
        outputs = self._outputs(X)
        if self._is_multilabel:
            return -np.logaddexp(0, -outputs)
        return log_softmax(_of_all_classes(outputs)).data

    # ---- training ----

    def _set_classes(self, y: Any, classes: Any) -> None:
        """Notes the classes of the first call of partial_fit. Raises ValueError for none, or others than before."""
        if self.__sklearn_is_fitted__():
            if classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
                )
            return
        if classes is None and not type_of_target(y).startswith("multilabel"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        self._given_classes = None if classes is None else unique_labels(classes)

    def _targets(self, y: Any, dtype: np.dtype[Any], first: bool) -> tuple[Array, int, Objective]:
        check_classification_targets(y)
        is_multilabel = type_of_target(y).startswith("multilabel")
        if not is_multilabel and y.ndim > 1:
            raise ValueError("Multioutput target data is not supported with label binarization")
        self._note_classes(np.arange(y.shape[1]) if is_multilabel else np.unique(y), is_multilabel, first)
        if is_multilabel:
            labels = y.toarray() if issparse(y) else y
            if not np.isin(labels, (0, 1)).all():
                raise ValueError(f"The labels of a multi-label y must be 0 and 1, got {np.unique(labels)}.")
            return np.ascontiguousarray(labels, dtype), labels.shape[1], YES_OR_NO
        index = np.searchsorted(self.classes_, y).astype(dtype)
        if len(self.classes_) == 2:
            return index[:, None], 1, YES_OR_NO
        return index, len(self.classes_), CLASSES

    def _note_classes(self, found: Array, is_multilabel: bool, first: bool) -> None:
        """Sets classes_, or compares it with the classes found in y. Raises ValueError for one class, or for others."""
        if not first:
            classes, was_multilabel = self.classes_, self._is_multilabel
        else:
            classes, was_multilabel = found if self._given_classes is None else self._given_classes, is_multilabel
        if is_multilabel is not was_multilabel:
            was = (
                "not fitted with multilabel input"
                if is_multilabel
                else "fitted with multilabel input, but `y` has none"
            )
            raise ValueError(f"The object was {was}.")
        if is_multilabel:
            if len(found) != len(classes):
                raise ValueError(f"classes {classes} mismatch with the labels {found} found in the data")
        else:
            self._check_classes(classes, found, first)
        self.classes_, self._is_multilabel = classes, is_multilabel

    def _check_classes(self, classes: Array, found: Array, first: bool) -> None:
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the data, but the data contains only "
                f"one class: {classes[0]!r}"
            )
        if self.warm_start and not first and set(found) != set(classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                f"got {classes}, `y` has {found}"
            )
        if len(np.setdiff1d(found, classes)):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {classes}. 'y' has {found}.")

    def _weights(self, sample_weight: Any, x: Any, y: Any) -> Array | None:
        weight = super()._weights(sample_weight, x, y)
        if self.class_weight is None:
            return weight
        if self._is_multilabel:
            of_class = compute_sample_weight(self.class_weight, y)
        elif self.class_weight == "balanced":
            of_class = _balanced(np.searchsorted(self.classes_, y), weight)
        else:
            each = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            of_class = each[np.searchsorted(self.classes_, y)]
        if not (np.isfinite(of_class).all() and of_class.min() >= 0):
            raise ValueError(f"The weights of class_weight must be finite and at least 0, got {self.class_weight!r}.")
        result: Array = of_class if weight is None else weight * of_class
        return result

    def _stratum(self, y: Any) -> Any:
        return None if self._is_multilabel or len(self.classes_) > 2 else y

    def _score_of(self, outputs: Array, y: Any, weight: Array | None) -> float:
        return accuracy(y, self._decided(outputs), weight)

    # ---- decisions ----

    def _decided(self, outputs: Array) -> Array:
        """The classes, or labels, that outputs (n,h) speak for."""
        if self._is_multilabel:
            return (outputs > 0).astype(int)
        index = (outputs[:, 0] > 0).astype(int) if outputs.shape[1] == 1 else outputs.argmax(1)
        decided: Array = self.classes_[index]
        return decided

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags


def _balanced(index: Array, weight: Array | None) -> Array:
    """Weights (n,) with which each class, by its index (n,), counts alike: a row of weight 2 is two rows."""
    total = np.bincount(index, weights=weight)
    each: Array = total.sum() / np.count_nonzero(total) / np.where(total > 0, total, 1)
    return each[index]


def _of_all_classes(outputs: Array) -> Array:
    """The scores (n,k) of the classes: of two, the second's score is the one output, and the first's 0."""
    if outputs.shape[1] > 1:
        return outputs
    return np.concatenate([np.zeros_like(outputs), outputs], axis=1)

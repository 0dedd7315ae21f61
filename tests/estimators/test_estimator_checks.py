"""scikit-learn's own checks of an estimator, at the default settings and at others."""

import numpy as np
import pytest

neural_network = pytest.importorskip("sklearn.neural_network")
from sklearn.utils.class_weight import compute_sample_weight  # noqa: E402
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks  # noqa: E402

from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # what the checks' data are warned of, and what scikit-learn deprecates

SETTINGS = [
    {},
    {"dtype": "float32"},
    {"solver": "sgd"},
    {"early_stopping": True},
    {"class_weight": "balanced"},
    {"shuffle": False, "threads": 2},
    *({"activation": name} for name in ("identity", "logistic", "tanh", "leaky_relu")),
]
ESTIMATORS = [
    kind(**settings)
    for settings in SETTINGS
    for kind in (MLPClassifier, MLPRegressor)
    if kind is MLPClassifier or "class_weight" not in settings
]

PRECISION = "compares to 1e-7, which is float32's precision"
CONTINUES = "partial_fit refuses it"
FEW_ROWS = "too few rows to hold some out"
HELD_OUT = "other rows are held out when rows are repeated or removed"
WEIGHTS = {"check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"}
PARTIAL_FIT = {
    "check_fit_score_takes_y",
    "check_n_features_in_after_fitting",
    "check_estimators_partial_fit_n_features",
}


def expected_failures(estimator):
    """{check: reason} at these settings; scikit-learn's own fail them too, see below."""
    reasons = {}
    if estimator.dtype is not None:
        reasons.update(dict.fromkeys(WEIGHTS, PRECISION))
        if isinstance(estimator, MLPRegressor):
            reasons["check_regressor_multioutput"] = "wants float64 out where float64 goes in"
    if getattr(estimator, "class_weight", None) == "balanced":
        reasons.update(dict.fromkeys(PARTIAL_FIT, CONTINUES))
    if estimator.early_stopping:
        reasons.update(dict.fromkeys(WEIGHTS, HELD_OUT))
        reasons.update(dict.fromkeys(PARTIAL_FIT, CONTINUES))
        reasons.update(dict.fromkeys(["check_estimators_nan_inf", "check_fit2d_1feature"], FEW_ROWS))
        reasons["check_regressors_no_decision_function"] = FEW_ROWS
    if estimator.activation == "tanh" or estimator.early_stopping:
        reasons["check_class_weight_classifiers"] = "wants almost all of one class, from a training that stops early"
    return reasons


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_checks(estimator, check):
    check(estimator)


class Weighted(neural_network.MLPClassifier):
    """scikit-learn's with class_weight."""

    def __init__(
        self,
        class_weight=None,
        activation="relu",
        early_stopping=False,
        max_iter=200,
        n_iter_no_change=10,
        random_state=None,
    ):
        super().__init__(
            activation=activation,
            early_stopping=early_stopping,
            max_iter=max_iter,
            n_iter_no_change=n_iter_no_change,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X, y):
        return super().fit(X, y, sample_weight=compute_sample_weight(self.class_weight, y))


class Single(neural_network.MLPRegressor):
    """scikit-learn's in float32."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(_single(X), y, sample_weight)

    def predict(self, X):
        return super().predict(_single(X))


def _single(x):
    return x.astype(np.float32) if hasattr(x, "astype") else np.asarray(x, np.float32)


ALONE = {"check_class_weight_classifiers"}
NEEDS_ROWS = {"check_estimators_nan_inf", "check_fit2d_1feature"}


@pytest.mark.parametrize(
    ("right", "names"),
    [
        (
            neural_network.MLPRegressor(early_stopping=True),
            WEIGHTS | PARTIAL_FIT | NEEDS_ROWS | {"check_regressors_no_decision_function"},
        ),
        (neural_network.MLPClassifier(early_stopping=True), PARTIAL_FIT | NEEDS_ROWS),
        (Weighted(early_stopping=True), ALONE),
        (Weighted(activation="tanh"), ALONE),
        (Single(), WEIGHTS),
    ],
    ids=["early regressor", "early classifier", "early weights", "tanh", "float32"],
)
def test_scikit_learns_own_fail_too(right, names):
    pytest.importorskip("sklearn", "1.7", reason="scikit-learn's own has sample_weight from 1.7 on")
    generated, failed = set(), set()
    for estimator, check in estimator_checks_generator(right):
        name = getattr(check, "func", check).__name__
        if name in names:
            generated.add(name)
            try:
                check(estimator)
            except (AssertionError, ValueError):
                failed.add(name)
    assert failed == generated != set()

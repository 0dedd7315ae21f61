"""partial_fit, warm_start and copies continue with the same bits, and refuse in scikit-learn's words."""

import copy
import pickle
import warnings

import numpy as np
import pytest

from helpers.estimators import parameters_of

neural_network = pytest.importorskip("sklearn.neural_network")
pd = pytest.importorskip("pandas")
joblib = pytest.importorskip("joblib")
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402

from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
CLASSES = np.arange(60) % 3
LABELS = (X[:, :3] > 0).astype(int)
NUMBERS = X @ RNG.standard_normal((4, 2))
CASES = [(MLPClassifier, CLASSES), (MLPClassifier, CLASSES % 2), (MLPClassifier, LABELS), (MLPRegressor, NUMBERS)]
IDS = ["classes", "two classes", "labels", "numbers"]
SETTINGS = [
    {"batch_size": 7},
    {"solver": "sgd", "batch_size": 16},
    {"solver": "sgd", "learning_rate": "invscaling", "nesterovs_momentum": False},
    {"shuffle": False, "batch_size": 7, "alpha": 0.5},
    {"dtype": "float32"},
]


def estimator(kind, **parameters):
    return kind(**{"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0, **parameters})


def continued(fit, y, calls=1, rows=slice(None)):
    """After so many calls of partial_fit."""
    for _ in range(calls):
        is_first = isinstance(fit, MLPClassifier) and not hasattr(fit, "classes_")
        fit.partial_fit(
            X[rows], y[rows], **({"classes": np.arange(y.max() + 1 if y.ndim == 1 else 3)} if is_first else {})
        )
    return fit


def assert_same(one, other):
    np.testing.assert_array_equal(parameters_of(one), parameters_of(other))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_calls_of_partial_fit_are_epochs(kind, y, settings):
    fit = estimator(kind, **settings).fit(X, y)
    parts = continued(estimator(kind, **settings), y, 5)
    assert_same(fit, parts)
    assert_same(fit, continued(estimator(kind, **settings, warm_start=True), y, 5))
    assert_same(fit, continued(estimator(kind, **{**settings, "max_iter": 3}).fit(X, y), y, 2))
    assert parts.loss_curve_ == fit.loss_curve_
    assert parts.t_ == fit.t_ == 300
    assert (parts.n_iter_, fit.n_iter_) == (1, 5)  # of the last call, as scikit-learn counts


COPIES = {
    "pickle": lambda fit, _: pickle.loads(pickle.dumps(fit)),
    "deepcopy": lambda fit, _: copy.deepcopy(fit),
    "joblib": lambda fit, path: joblib.load(joblib.dump(fit, path / "fit.joblib", compress=3)[0]),
    "memory map": lambda fit, path: joblib.load(joblib.dump(fit, path / "fit.joblib")[0], mmap_mode="r"),
}


@pytest.mark.filterwarnings("ignore:numpy.core.numeric is deprecated")
@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_copies_continue(how, kind, y, settings, tmp_path):
    fit = continued(estimator(kind, **settings), y, 2)
    twin = COPIES[how](fit, tmp_path)
    assert_same(fit, twin)
    before = parameters_of(twin)
    continued(fit, y, 1, slice(0, 20))
    np.testing.assert_array_equal(parameters_of(twin), before)  # nothing is shared
    continued(twin, y, 1, slice(0, 20))
    assert_same(continued(fit, y), continued(twin, y))
    assert twin.get_params() == fit.get_params()


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
def test_clone_is_not_fitted_and_fits_alike(kind, y):
    fit = estimator(kind).fit(X, y)
    twin = clone(fit)
    assert not hasattr(twin, "coefs_")
    with pytest.raises(NotFittedError, match=f"This {kind.__name__} instance is not fitted yet"):
        twin.predict(X)
    assert_same(fit, twin.fit(X, y))


def test_predictions_do_not_share_memory():
    fit = estimator(MLPRegressor).fit(X, NUMBERS)
    first = fit.predict(X[:5])
    kept = first.copy()
    fit.predict(X[5:10])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
def test_warm_start_goes_on_with_a_new_optimizer(kind, y):
    warm = estimator(kind, warm_start=True, max_iter=4).fit(X, y)
    before = parameters_of(warm)
    loss = warm.loss_curve_[0]
    warm.set_params(max_iter=3).fit(X, y)
    assert len(warm.loss_curve_) == 7
    assert (warm.n_iter_, warm.t_) == (3, 420)
    assert warm.loss_ < loss
    assert np.abs(parameters_of(warm) - before).max() <= 0.0031  # three first steps of Adam
    assert_same(estimator(kind, max_iter=3).fit(X, y), warm.set_params(warm_start=False).fit(X, y))


def test_warm_start_keeps_the_best_of_early_stopping():
    """Where a second fit finds nothing better, scikit-learn too goes back to the best there was."""
    warm = MLPRegressor(
        (5,), max_iter=40, early_stopping=True, random_state=0, learning_rate_init=0.02, warm_start=True
    )
    warm.fit(X, NUMBERS)
    best, score = parameters_of(warm), warm.best_validation_score_
    warm.set_params(learning_rate_init=50.0, max_iter=2).fit(X, NUMBERS)
    assert warm.best_validation_score_ == score
    np.testing.assert_array_equal(parameters_of(warm), best)


def test_early_stopping_may_begin_and_end_between_fits():
    warm = estimator(MLPClassifier, warm_start=True).fit(X, CLASSES)
    warm.set_params(early_stopping=True).fit(X, CLASSES)
    assert len(warm.validation_scores_) == 5
    assert warm.best_loss_ is None
    warm.set_params(early_stopping=False).partial_fit(X, CLASSES)
    assert warm.validation_scores_ is None
    assert warm.best_loss_ == warm.loss_


def test_few_rows_of_many_classes_may_be_held_out():
    """Only two classes are held out in proportion, as in scikit-learn."""
    fit = estimator(MLPClassifier, early_stopping=True, validation_fraction=0.1).fit(X, np.arange(60) % 12)
    assert len(fit.validation_scores_) == 5
    fit = estimator(MLPClassifier, early_stopping=True, validation_fraction=0.1).fit(X, np.arange(60) < 10)
    assert {round(score * 6, 9) % 1 for score in fit.validation_scores_} == {0}
    with pytest.raises(ValueError, match="The least populated class"):
        fit.fit(X, np.arange(60) < 1)


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
def test_early_stopping_returns_to_the_best(kind, y):
    y = np.random.default_rng(3).permutation(y)  # noise, so that the score soon falls
    fit = estimator(kind, early_stopping=True, max_iter=30, learning_rate_init=0.1, validation_fraction=0.3).fit(X, y)
    assert len(fit.validation_scores_) == fit.n_iter_ == len(fit.loss_curve_)
    assert fit.best_validation_score_ == max(fit.validation_scores_)
    best = 1 + int(np.argmax(fit.validation_scores_))
    assert best < fit.n_iter_
    again = estimator(kind, early_stopping=True, max_iter=best, learning_rate_init=0.1, validation_fraction=0.3).fit(
        X, y
    )
    assert_same(fit, again)


CLASS_STEPS = {
    "no classes": [(CLASSES, None)],
    "unseen at once": [(CLASSES, [0, 1])],
    "other classes": [(CLASSES, [0, 1, 2]), (CLASSES, [0, 1])],
    "unseen later": [(CLASSES, [0, 1, 2]), (CLASSES + 1, None)],
    "labels fewer": [(LABELS, [0, 1, 2]), (LABELS[:, :2], None)],
}


@pytest.mark.parametrize("steps", CLASS_STEPS.values(), ids=CLASS_STEPS)
def test_classes_that_partial_fit_refuses(steps):
    messages = []
    for module_class in (MLPClassifier, neural_network.MLPClassifier):
        with pytest.raises(ValueError) as raised:  # noqa: PT011, PT012
            fit = estimator(module_class)
            for y, classes in steps:
                fit.partial_fit(X, y, classes=classes)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_a_refused_call_changes_nothing():
    fit = continued(estimator(MLPClassifier), CLASSES)
    before, n = parameters_of(fit), fit.t_
    for x, y in ((X, CLASSES + 1), (X[:, :2], CLASSES), (X * np.nan, CLASSES), (X, LABELS), (X, CLASSES[:5])):
        with pytest.raises(ValueError):  # noqa: PT011
            fit.partial_fit(x, y)
    np.testing.assert_array_equal(parameters_of(fit), before)
    assert fit.t_ == n
    for x, y, weight, sizes in (
        (X, np.zeros(60), None, (5,)),
        (X[:, :2], np.full(60, np.nan), None, (5,)),
        (pd.DataFrame(X[:, :2], columns=["a", "b"]), CLASSES + 7, np.zeros(60), (5,)),
        (X[:, :2], LABELS, None, (0,)),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            fit.set_params(hidden_layer_sizes=sizes).fit(x, y, weight)
        assert fit.n_features_in_ == 4
        assert not hasattr(fit, "feature_names_in_")
        np.testing.assert_array_equal(fit.classes_, [0, 1, 2])
        np.testing.assert_array_equal(parameters_of(fit), before)
        assert fit.predict(X).shape == (60,)


def test_classes_may_be_missing_from_parts():
    names = np.array(["a", "b", "c"])
    fit = estimator(MLPClassifier, learning_rate_init=0.05)
    for _ in range(100):
        for k in range(3):
            fit.partial_fit(X[k == CLASSES] + 3 * np.eye(4)[k], names[[k] * 20], classes=["c", "a", "b", "z"])
    np.testing.assert_array_equal(fit.classes_, ["a", "b", "c", "z"])
    np.testing.assert_array_equal(fit.predict(9 * np.eye(4)[:3]), names)
    fit.partial_fit(X, names[CLASSES], classes=["z", "c", "b", "a"])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (CLASSES, CLASSES % 2, "warm_start can only be used where `y` has the same classes as in the previous call"),
        (CLASSES % 2, CLASSES, r"Previously got \[0 1\], `y` has \[0 1 2\]"),
        (CLASSES, LABELS, "The object was not fitted with multilabel input"),
        (LABELS, CLASSES, "The object was fitted with multilabel input, but `y` has none"),
    ],
)
def test_classes_that_a_warm_start_refuses(first, second, message):
    fit = estimator(MLPClassifier, warm_start=True).fit(X, first)
    with pytest.raises(ValueError, match=message):
        fit.fit(X, second)
    np.testing.assert_array_equal(fit.fit(X, first).classes_, np.unique(CLASSES if first.ndim == 2 else first))


def test_other_numbers_of_outputs_are_refused():
    fit = estimator(MLPRegressor).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="y has 1 outputs, but this MLPRegressor was fitted with 2"):
        fit.partial_fit(X, NUMBERS[:, 0])


TABLE = pd.DataFrame(X, columns=list("abcd"))
TABLES = {
    "reordered": TABLE[list("dcba")],
    "renamed": TABLE.rename(columns={"a": "z"}),
    "fewer": TABLE[["a", "b"]],
    "more": TABLE.assign(e=1.0),
    "fewer, no names": X[:, :3],
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "partial_fit", "score"])
def test_other_features_are_refused_in_scikit_learns_words(table, method):
    messages = []
    for module_class in (MLPClassifier, neural_network.MLPClassifier):
        fit = estimator(module_class).fit(TABLE, CLASSES)
        assert fit.n_features_in_ == 4
        np.testing.assert_array_equal(fit.feature_names_in_, list("abcd"))
        arguments = (table,) if method.startswith("predict") else (table, CLASSES)
        with pytest.raises(ValueError) as raised, warnings.catch_warnings():  # noqa: PT011, PT012
            warnings.simplefilter("ignore")
            getattr(fit, method)(*arguments)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_names_that_come_or_go_are_warned_of():
    fit = estimator(MLPClassifier).fit(TABLE, CLASSES)
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPClassifier was fitted with"):
        fit.predict(X)
    fit = estimator(MLPClassifier).fit(X, CLASSES)
    assert not hasattr(fit, "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names, but MLPClassifier was fitted without feature names"):
        fit.predict(TABLE)

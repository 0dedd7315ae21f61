"""sample_weight and class_weight."""

import numpy as np
import pytest

from helpers.estimators import parameters_of

pytest.importorskip("sklearn")
pd = pytest.importorskip("pandas")
from scipy import sparse  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.utils.class_weight import compute_sample_weight  # noqa: E402

from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
CLASSES = np.array(["a", "b", "c"])[RNG.integers(3, size=60)]
LABELS = (X[:, :3] > 0.5).astype(int)
NUMBERS = X @ RNG.standard_normal((4, 2))
WEIGHT = RNG.integers(0, 4, size=60)
CASES = [(MLPClassifier, CLASSES), (MLPClassifier, LABELS), (MLPRegressor, NUMBERS), (MLPRegressor, NUMBERS[:, 0])]
IDS = ["classes", "labels", "numbers", "one number"]


def fitted(kind, x, y, sample_weight=None, **parameters):
    parameters = {"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0, **parameters}
    return kind(**parameters).fit(x, y, sample_weight=sample_weight)


def assert_same(one, other):
    np.testing.assert_array_equal(parameters_of(one), parameters_of(other))


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
@pytest.mark.parametrize("as_given", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_whole_numbers_repeat_rows_of_one_batch(kind, y, as_given):
    repeated = fitted(kind, as_given(np.repeat(X, WEIGHT, 0)), np.repeat(y, WEIGHT, 0))
    weighted = fitted(kind, as_given(X), y, WEIGHT)
    np.testing.assert_allclose(parameters_of(weighted), parameters_of(repeated), rtol=1e-9)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
def test_rows_of_weight_zero_are_left_out(kind, y):
    counts = WEIGHT > 0
    damaged = np.where(counts[:, None], X, 1e3)
    np.testing.assert_allclose(
        parameters_of(fitted(kind, damaged, y, counts)), parameters_of(fitted(kind, X[counts], y[counts])), rtol=1e-9
    )


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
@pytest.mark.parametrize(
    ("shuffle", "as_given"),
    [
        (True, np.asarray),
        (False, np.asarray),
        (False, sparse.csr_matrix),
        (True, sparse.csr_matrix),
    ],
    ids=["dense", "dense in order", "sparse in order", "sparse"],
)
def test_batches_without_any_weight(kind, y, shuffle, as_given):
    weight = np.repeat([0, 2, 0, 1], 15)
    fit = fitted(kind, as_given(X), y, weight, batch_size=3, shuffle=shuffle, alpha=0.0)
    assert np.isfinite(parameters_of(fit)).all()
    if not shuffle:
        assert_same(fit, fitted(kind, X[weight > 0], y[weight > 0], weight[weight > 0], **fit_parameters(fit)))


def fit_parameters(estimator):
    return {name: getattr(estimator, name) for name in ("batch_size", "shuffle", "alpha")}


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
def test_only_the_ratios_of_weights_count_but_for_the_penalty(kind, y):
    one, other = fitted(kind, X, y, WEIGHT, alpha=0.0), fitted(kind, X, y, WEIGHT * 64.0, alpha=0.0)
    assert_same(one, other)
    decayed = [fitted(kind, X, y, WEIGHT * factor, alpha=2.0 * factor) for factor in (1.0, 64.0)]
    assert_same(*decayed)


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
def test_weights_may_be_a_list_a_series_or_one_number(kind, y):
    for given in (WEIGHT.tolist(), pd.Series(WEIGHT), WEIGHT.astype(np.float32)):
        assert_same(fitted(kind, X, y, WEIGHT), fitted(kind, X, y, given))
    assert_same(fitted(kind, X, y), fitted(kind, X, y, 1.0))


@pytest.mark.parametrize(("kind", "y"), CASES, ids=IDS)
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(60), "Negative values in data passed to `sample_weight`"),
        (np.ones(59), r"sample_weight.shape == \(59,\), expected \(60,\)"),
        (np.ones((60, 1)), "1D array or scalar"),
        (np.zeros(60), "Sample weights must contain at least one non-zero number"),
        (np.full(60, np.nan), "Input sample_weight contains NaN"),
        (np.full(60, np.inf), "Input sample_weight contains infinity"),
    ],
    ids=["negative", "short", "column", "zero", "nan", "infinity"],
)
def test_weights_that_do_not_fit(kind, y, weight, message):
    with pytest.raises(ValueError, match=message):
        fitted(kind, X, y, weight)


def test_classes_of_no_weight_keep_their_place():
    fit = fitted(MLPClassifier, X, CLASSES, CLASSES == "b", max_iter=200, learning_rate_init=0.05)
    np.testing.assert_array_equal(fit.classes_, ["a", "b", "c"])
    np.testing.assert_array_equal(fit.predict(X), np.full(60, "b"))


def test_the_score_of_rows_held_out_is_weighted():
    weight = np.where(CLASSES == "a", 5.0, 1.0)
    fit = fitted(MLPClassifier, X, CLASSES, weight, early_stopping=True, validation_fraction=0.5)
    assert any(round(score * 30, 9) % 1 for score in fit.validation_scores_)
    plain = fitted(MLPClassifier, X, CLASSES, early_stopping=True, validation_fraction=0.5)
    assert not any(round(score * 30, 9) % 1 for score in plain.validation_scores_)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("class_weight", ["balanced", {"a": 1, "b": 0.25, "c": 8}])
def test_class_weight_is_a_sample_weight(solver, class_weight):
    by_hand = compute_sample_weight(class_weight, CLASSES)
    weighted = fitted(MLPClassifier, X, CLASSES, class_weight=class_weight, solver=solver)
    assert_same(weighted, fitted(MLPClassifier, X, CLASSES, by_hand, solver=solver))
    if class_weight != "balanced":
        both = fitted(MLPClassifier, X, CLASSES, WEIGHT, class_weight=class_weight, solver=solver)
        assert_same(both, fitted(MLPClassifier, X, CLASSES, WEIGHT * by_hand, solver=solver))


def test_balanced_counts_the_weights_of_rows():
    weight = np.where(CLASSES == "a", 3.0, 1.0)
    total = {name: weight[name == CLASSES].sum() for name in "abc"}
    by_hand = weight * [weight.sum() / 3 / total[name] for name in CLASSES]
    balanced = fitted(MLPClassifier, X, CLASSES, weight, class_weight="balanced")
    np.testing.assert_allclose(
        parameters_of(balanced), parameters_of(fitted(MLPClassifier, X, CLASSES, by_hand)), rtol=1e-9
    )
    without_a = fitted(MLPClassifier, X, CLASSES, CLASSES != "a", class_weight="balanced")
    assert np.isfinite(parameters_of(without_a)).all()


def test_class_weights_of_labels():
    for class_weight in ("balanced", [{0: 1, 1: 2}, {0: 3, 1: 1}, {0: 1, 1: 1}]):
        by_hand = compute_sample_weight(class_weight, LABELS)
        assert_same(
            fitted(MLPClassifier, X, LABELS, class_weight=class_weight), fitted(MLPClassifier, X, LABELS, by_hand)
        )


@pytest.mark.parametrize(
    ("class_weight", "y", "message"),
    [
        ({"a": 1}, np.where(CLASSES == "a", "x", "y"), "are not in class_weight"),
        ([1, 2, 3], CLASSES, "class_weight"),
        ({"a": -1}, CLASSES, "class_weight must be finite and at least 0, got"),
        ({"a": np.nan}, CLASSES, "class_weight must be finite and at least 0, got"),
        ({"a": 0, "b": 0, "c": 0}, CLASSES, "at least one non-zero number"),
        ({0: 1, 1: 2}, LABELS, "For multi-output, class_weight should be a list of dicts"),
        ([{0: 1, 1: 2}], LABELS, "number of elements in class_weight should match number of outputs"),
        ("even", CLASSES, "The 'class_weight' parameter of MLPClassifier must be"),
    ],
)
def test_class_weights_that_do_not_fit(class_weight, y, message):
    with pytest.raises(ValueError, match=message):
        fitted(MLPClassifier, X, y, class_weight=class_weight)


def test_class_weight_with_partial_fit():
    weights = {"a": 1, "b": 0.25, "c": 8}
    one = MLPClassifier((5,), random_state=0, class_weight=weights)
    other = MLPClassifier((5,), random_state=0)
    by_hand = compute_sample_weight(weights, CLASSES)
    for part in (slice(0, 40), slice(40, 60)):
        one.partial_fit(X[part], CLASSES[part], classes=["a", "b", "c"])
        other.partial_fit(X[part], CLASSES[part], by_hand[part], classes=["a", "b", "c"])
    assert_same(one, other)
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
        one.set_params(class_weight="balanced").partial_fit(X, CLASSES)


def test_held_out_rows_without_any_weight_are_refused_before_training():
    """No score could tell when to stop."""
    y = np.arange(len(X)) % 2
    random = np.random.RandomState(0)
    random.randint(2**31 - 1)  # the network's seed
    _, held = train_test_split(np.arange(len(X)), random_state=random, test_size=0.1, stratify=y)
    weight = np.ones(len(X))
    weight[held] = 0
    estimator = MLPClassifier(early_stopping=True, random_state=0)
    with pytest.raises(ValueError, match="of the validation set must contain at least one non-zero"):
        estimator.fit(X, y, sample_weight=weight)
    assert not hasattr(estimator, "loss_")

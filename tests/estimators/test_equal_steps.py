"""The estimators' steps are scikit-learn's: from the same parameters, in the same order, to the same values."""

import warnings

import numpy as np
import pytest

neural_network = pytest.importorskip("sklearn.neural_network")
from pybackprop import sklearn as ours  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
SOLVERS = [
    {"solver": "adam"},
    {"solver": "adam", "alpha": 0.5, "beta_1": 0.8, "beta_2": 0.99},
    {"solver": "sgd", "learning_rate_init": 0.05},
    {"solver": "sgd", "nesterovs_momentum": False, "alpha": 1.0},
    {"solver": "sgd", "momentum": 0.0, "learning_rate": "invscaling", "learning_rate_init": 0.5},
]
TARGETS = {
    "MLPRegressor": ["one", "several"],
    "MLPClassifier": ["two classes", "four classes", "labels"],
}
CASES = [(name, target) for name, targets in TARGETS.items() for target in targets]


def data(target, n=60):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 5))
    return x, {
        "one": x[:, 0] * 2 + rng.standard_normal(n),
        "several": x @ rng.standard_normal((5, 3)),
        "two classes": np.array(["no", "yes"])[(x[:, 0] > 0).astype(int)],
        "four classes": rng.integers(4, size=n) * 10,
        "labels": (x[:, :3] > 0).astype(int),
    }[target]


def trained_alike(name, target, epochs=4, sample_weight=None, **parameters):
    """(ours, scikit-learn's), each after `epochs` epochs from the same parameters."""
    x, y = data(target)
    shared = {"epsilon": 1e-60, "hidden_layer_sizes": (7, 4), "shuffle": False, "batch_size": 20, "warm_start": True}
    shared["max_iter"] = 1
    both = [getattr(module, name)(**{**shared, **parameters}, random_state=0) for module in (ours, neural_network)]
    for estimator in both:
        estimator.fit(x, y)
    for mine, right in zip(parameters_of(both[0]), parameters_of(both[1]), strict=True):
        mine[...] = right
    both[0].best_loss_ = both[1].best_loss_
    for estimator in both:
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        estimator.set_params(max_iter=epochs).fit(x, y, **weights)
    return both


def parameters_of(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


def assert_alike(mine, right, rtol=1e-9):
    for p, q in zip(parameters_of(mine), parameters_of(right), strict=True):
        np.testing.assert_allclose(p, q, rtol=rtol, atol=rtol * np.abs(q).max())


@pytest.mark.parametrize(("name", "target"), CASES)
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_every_solver(name, target, solver):
    mine, right = trained_alike(name, target, **solver)
    assert_alike(mine, right)
    assert mine.n_iter_ == right.n_iter_ == 4
    assert mine.t_ == right.t_ == 300
    assert mine.out_activation_ == right.out_activation_
    assert mine.n_layers_ == right.n_layers_ == 4
    assert mine.n_outputs_ == right.n_outputs_
    x, y = data(target)
    np.testing.assert_array_equal(mine.predict(x).shape, right.predict(x).shape)
    assert mine.score(x, y) == pytest.approx(right.score(x, y), rel=1e-6)


@pytest.mark.parametrize(("name", "target"), CASES)
def test_adams_epsilon(name, target):
    """scikit-learn adds it before the correction of the means, this library, as PyTorch, after it. That matters where
    a gradient is about as small; here by less than half of the twelve steps, each of 0.001.
    """
    mine, right = trained_alike(name, target, epsilon=1e-8)
    for p, q in zip(parameters_of(mine), parameters_of(right), strict=True):
        np.testing.assert_allclose(p, q, rtol=0, atol=0.006)


@pytest.mark.parametrize(("name", "target"), CASES)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh"])
def test_every_activation(name, target, activation):
    assert_alike(*trained_alike(name, target, activation=activation))


@pytest.mark.parametrize(("name", "target"), CASES)
def test_sample_weights_of_one_batch(name, target):
    """scikit-learn divides by the weights of a batch, which are those of all rows where there is one batch."""
    pytest.importorskip("sklearn", "1.7", reason="scikit-learn's own has sample_weight from 1.7 on")
    weight = np.random.default_rng(1).integers(0, 4, size=60).astype(float)
    assert_alike(*trained_alike(name, target, batch_size=60, sample_weight=weight, alpha=0.1))


@pytest.mark.parametrize(("name", "target"), CASES)
def test_the_loss_is_scikit_learns(name, target):
    """Without a penalty to 1e-9. That is taken after each epoch, where scikit-learn takes it before each step."""
    mine, right = trained_alike(name, target, alpha=0.0)
    np.testing.assert_allclose(mine.loss_curve_[1:], right.loss_curve_[1:], rtol=1e-9)
    mine, right = trained_alike(name, target, alpha=0.3, learning_rate_init=1e-5, epochs=2)
    np.testing.assert_allclose(mine.loss_curve_[-1], right.loss_curve_[-1], rtol=2e-2)


@pytest.mark.parametrize(("name", "target"), CASES)
def test_probabilities_and_predictions(name, target):
    mine, right = trained_alike(name, target)
    x, _ = data(target)
    if name == "MLPRegressor":
        np.testing.assert_allclose(mine.predict(x), right.predict(x), rtol=1e-8, atol=1e-9)
        return
    np.testing.assert_array_equal(mine.predict(x), right.predict(x))
    np.testing.assert_allclose(mine.predict_proba(x), right.predict_proba(x), rtol=1e-8)
    np.testing.assert_allclose(mine.predict_log_proba(x), right.predict_log_proba(x), rtol=1e-7)
    np.testing.assert_array_equal(mine.classes_, right.classes_)


def test_stopping_is_scikit_learns():
    """From the same parameters both stop at the same epoch, and adapt the learning rate at the same epochs."""
    for parameters in (
        {"tol": 0.01, "n_iter_no_change": 3, "learning_rate_init": 0.01},
        {"solver": "sgd", "learning_rate": "adaptive", "momentum": 0.0, "tol": 0.02, "n_iter_no_change": 2},
    ):
        mine, right = trained_alike("MLPClassifier", "two classes", epochs=500, alpha=0.0, **parameters)
        assert mine.n_iter_ == right.n_iter_ < 500
        assert_alike(mine, right, rtol=1e-6)
        assert mine.best_loss_ == pytest.approx(right.best_loss_, rel=1e-6)


def test_partial_fit_continues_as_scikit_learns_does():
    x, y = data("four classes")
    both = [
        module.MLPClassifier((6,), shuffle=False, random_state=0, batch_size=20) for module in (ours, neural_network)
    ]
    for estimator in both:
        estimator.partial_fit(x, y, classes=np.unique(y))
    for mine, right in zip(parameters_of(both[0]), parameters_of(both[1]), strict=True):
        mine[...] = right
    for estimator in both:  # the optimizers' moments differ, so that two epochs are near, not equal
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            estimator.partial_fit(x, y).partial_fit(x, y)
        assert estimator.t_ == 180
    np.testing.assert_allclose(both[0].predict_proba(x), both[1].predict_proba(x), atol=0.02)

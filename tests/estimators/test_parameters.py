"""The parameters: what they refuse, what they do, what they print; the same bits for the same random_state."""

import contextlib
import io
import itertools
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

from helpers.estimators import X, Y, estimator, parameters_of

neural_network = pytest.importorskip("sklearn.neural_network")
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.utils._param_validation import InvalidParameterError  # noqa: E402

import pybackprop as bp  # noqa: E402
from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

KINDS = [MLPClassifier, MLPRegressor]
quiet = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def own(kind):
    """scikit-learn's estimator of the same name."""
    return getattr(neural_network, kind.__name__)


OUT_OF_RANGE = {
    "hidden_layer_sizes": [0, -1, "a", None, 5.5],
    "alpha": [-1, "a", None],
    "batch_size": [0, -1, 2.5, "all", None],
    "learning_rate": ["fast", None],
    "learning_rate_init": [0, -0.1, "a"],
    "power_t": [-1, "a"],
    "max_iter": [0, -1, 2.5, None],
    "shuffle": [2, "a", None],
    "random_state": ["a", -1, 1.5],
    "tol": [-1, "a", None],
    "verbose": [-1, "a"],
    "warm_start": ["a", None],
    "nesterovs_momentum": ["a", None],
    "early_stopping": ["a", None],
    "beta_1": [-0.1, 1, "a"],
    "beta_2": [-0.1, 1, "a"],
    "epsilon": [0, -1, "a"],
    "n_iter_no_change": [0, -1, 2.5, "a"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in OUT_OF_RANGE.items() for value in values]
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_scikit_learn_refuses_is_refused_in_its_words(kind, name, value):
    with pytest.raises(InvalidParameterError) as mine:
        estimator(kind, **{name: value}).fit(X, Y)
    with pytest.raises(InvalidParameterError) as right:
        estimator(own(kind), **{name: value}).fit(X, Y)
    assert _sorted(mine.value) == _sorted(right.value)


def _sorted(error):
    """The message, with sets in one order."""
    return re.sub(r"\{(.*?)\}", lambda found: str(sorted(found[1].split(", "))), str(error))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("activation", "softplus", "must be a str among"),
        ("solver", "lbfgs", "must be a str among"),
        ("momentum", -0.1, r"must be a float in the range \[0.0, 1.0\)"),
        ("momentum", 1, r"must be a float in the range \[0.0, 1.0\)"),
        ("validation_fraction", 1, r"must be a float in the range"),
        ("validation_fraction", -0.1, r"must be a float in the range"),
        ("threads", 0, r"must be None or an int in the range \[1, 1024\]"),
        ("threads", 1.5, r"must be None or an int in the range \[1, 1024\]"),
        ("threads", 4096, r"must be None or an int in the range \[1, 1024\]"),
        ("dtype", "float16", "must be None, a str among"),
        ("dtype", int, "must be None, a str among"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_else_is_refused(kind, name, value, expected, method):
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {kind.__name__} {expected}"):
        getattr(estimator(kind, **{name: value}), method)(X, Y)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((0,), r"must be > 0, got \[0\]"), ((5, -1), r"must be > 0, got \[5, -1\]"), ((5.0,), "must be whole numbers")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_hidden_layers_that_are_none(kind, sizes, message):
    with pytest.raises(ValueError, match=f"hidden_layer_sizes {message}"):
        estimator(kind, hidden_layer_sizes=sizes).fit(X, Y)


@quiet
@pytest.mark.parametrize(
    ("sizes", "layers"), [((), 2), (3, 3), (np.int64(3), 3), ([3, 2], 4), (np.array([3, 2]), 4), ((3, 2, 4), 5)]
)
def test_hidden_layers(sizes, layers):
    fit = estimator(MLPRegressor, hidden_layer_sizes=sizes).fit(X, Y)
    assert fit.n_layers_ == layers
    units = [4, *np.atleast_1d(sizes).astype(int), 1]
    assert [w.shape for w in fit.coefs_] == list(itertools.pairwise(units))


def test_every_parameter_of_scikit_learn_is_here_but_for_its_other_solver_and_loss():
    for kind in KINDS:
        mine, right = kind().get_params(), own(kind)().get_params()
        assert set(right) - set(mine) <= {"max_fun", "loss"}
        assert {name: right[name] for name in right if name in mine} == {
            name: mine[name] for name in right if name in mine
        }
        assert set(mine) - set(right) <= {"threads", "dtype", "class_weight"}


# ---- randomness ----


@quiet
@pytest.mark.parametrize("kind", KINDS)
def test_random_state(kind):
    one, same, other = (parameters_of(estimator(kind, random_state=s).fit(X, Y)) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    by_state = [parameters_of(estimator(kind, random_state=np.random.RandomState(7)).fit(X, Y)) for _ in range(2)]
    np.testing.assert_array_equal(*by_state)
    shared = np.random.RandomState(7)
    first, second = (parameters_of(estimator(kind, random_state=shared).fit(X, Y)) for _ in range(2))
    assert (first != second).any()
    unseeded = [parameters_of(estimator(kind, random_state=None).fit(X, Y)) for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).any()
    np.random.seed(5)  # noqa: NPY002
    again = [parameters_of(estimator(kind, random_state=None).fit(X, Y))]
    np.random.seed(5)  # noqa: NPY002
    again.append(parameters_of(estimator(kind, random_state=None).fit(X, Y)))
    np.testing.assert_array_equal(*again)


SCRIPT = """
import sys, warnings
import numpy as np
from pybackprop.sklearn import MLPClassifier
warnings.simplefilter("ignore")
x = np.random.default_rng(0).standard_normal((60, 4))
fit = MLPClassifier((5,), max_iter=4, random_state=0, early_stopping=True, threads=int(sys.argv[1]))
fit.fit(x, (x[:, 0] > 0).astype(int))
print(np.concatenate([p.ravel() for p in (*fit.coefs_, *fit.intercepts_)]).tobytes().hex())
"""


@quiet
def test_the_same_bits_in_another_process():
    here = parameters_of(estimator(MLPClassifier, early_stopping=True).fit(X, Y)).tobytes().hex()
    for threads in "12":
        there = subprocess.run([sys.executable, "-c", SCRIPT, threads], capture_output=True, text=True, check=True)
        assert there.stdout.strip() == here


@quiet
@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_bits_and_are_restored(kind):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3000, 40)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    bp.set_threads(2)
    fits = [estimator(kind, threads=threads, hidden_layer_sizes=(64,)).fit(x, y) for threads in (None, 1, 2, 3)]
    for fit in fits[1:]:
        np.testing.assert_array_equal(parameters_of(fit), parameters_of(fits[0]))
        np.testing.assert_array_equal(fit.predict(x), fits[0].predict(x))
        assert bp.threads() == 2
    with pytest.raises(ValueError, match="non-finite"):
        estimator(MLPRegressor, threads=1).fit(x * np.float32(1e30), y)
    assert bp.threads() == 2


# ---- schedules and stopping ----


@quiet
@pytest.mark.parametrize("kind", KINDS)
def test_learning_rates(kind):
    """What the optimizer's rate is after 5 epochs of 60 rows, as scikit-learn counts it."""
    for schedule, expected in [("constant", 0.1), ("invscaling", 0.1 / 301**0.25), ("adaptive", 0.1 / 5**2)]:
        parameters = {"tol": 100.0, "n_iter_no_change": 1} if schedule == "adaptive" else {}
        both = [
            estimator(
                k, solver="sgd", learning_rate=schedule, learning_rate_init=0.1, power_t=0.25, max_iter=5, **parameters
            ).fit(X, Y)
            for k in (kind, own(kind))
        ]
        rate = both[0]._network.optimizer.lr * both[0]._network.scale
        assert rate == pytest.approx(expected)
        assert both[1]._optimizer.learning_rate == pytest.approx(expected)


def printed(fit, y=Y):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit.fit(X, y)
    return re.sub(r"-?\d+\.(\d+)", lambda found: "#" * len(found[1]), text.getvalue())


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"early_stopping": True},
        {"tol": 100.0, "n_iter_no_change": 2, "max_iter": 20},
        {"tol": 100.0, "n_iter_no_change": 2, "max_iter": 20, "early_stopping": True, "solver": "sgd"},
        {"tol": 100.0, "n_iter_no_change": 1, "max_iter": 50, "solver": "sgd", "learning_rate": "adaptive"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verbose", [False, True, 10])
def test_the_lines_are_scikit_learns(kind, parameters, verbose):
    """Numbers are written with as many digits."""
    mine, right = (printed(estimator(k, verbose=verbose, **parameters)) for k in (kind, own(kind)))
    assert mine == right
    assert bool(mine) is bool(verbose)


def test_not_converged_is_warned_of():
    for kind in KINDS:
        for k in (kind, own(kind)):
            with pytest.warns(
                ConvergenceWarning,
                match=r"Maximum iterations \(4\) reached and the optimization hasn't converged yet",
            ):
                estimator(k).fit(X, Y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit = estimator(kind, tol=100.0, n_iter_no_change=2, max_iter=9).fit(X, Y)
            assert fit.n_iter_ == 4
            estimator(kind).partial_fit(X, Y, **({"classes": [0, 1]} if kind is MLPClassifier else {}))


@quiet
@pytest.mark.parametrize("kind", KINDS)
def test_n_iter_no_change_may_be_infinite(kind):
    fit = estimator(kind, n_iter_no_change=np.inf, tol=100.0, max_iter=30).fit(X, Y)
    assert fit.n_iter_ == 30


@quiet
@pytest.mark.parametrize("kind", KINDS)
def test_attributes(kind):
    fit, right = estimator(kind).fit(X, Y), estimator(own(kind)).fit(X, Y)
    mine, theirs = ({name for name in vars(f) if name.endswith("_") and not name.startswith("_")} for f in (fit, right))
    assert theirs - mine <= {"coefs_", "intercepts_"}  # properties here
    for name in theirs:
        assert isinstance(getattr(right, name), type(getattr(fit, name))), name
    assert fit.loss_ == fit.loss_curve_[-1]
    assert fit.best_loss_ == min(fit.loss_curve_)
    assert fit.validation_scores_ is fit.best_validation_score_ is None
    early = estimator(kind, early_stopping=True, validation_fraction=0.25).fit(X, Y)
    assert early.best_loss_ is None
    assert early.best_validation_score_ == max(early.validation_scores_)
    assert early.t_ == 4 * 45
    assert isinstance(fit.model_, bp.Model)
    np.testing.assert_array_equal(fit.coefs_[0], fit.model_.parameters()[0].data)

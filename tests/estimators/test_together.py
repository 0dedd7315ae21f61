"""The estimators within scikit-learn: pipelines, searches, other processes and threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

config_context = pytest.importorskip("sklearn").config_context
pd = pytest.importorskip("pandas")
joblib = pytest.importorskip("joblib")
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor  # noqa: E402
from sklearn.datasets import load_iris, make_regression  # noqa: E402
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier  # noqa: E402
from sklearn.inspection import permutation_importance  # noqa: E402
from sklearn.model_selection import (  # noqa: E402
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: E402

import pybackprop as bp  # noqa: E402
from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
IRIS = load_iris()
X, Y = IRIS.data, IRIS.target_names[IRIS.target]


def classifier(**parameters):
    return MLPClassifier(
        **{"hidden_layer_sizes": (8,), "max_iter": 60, "random_state": 0, "learning_rate_init": 0.02, **parameters}
    )


def test_a_pipeline_of_tables():
    table = pd.DataFrame(X, columns=IRIS.feature_names)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), classifier()).fit(table, Y)
    assert pipeline.score(table, Y) > 0.95
    np.testing.assert_array_equal(pipeline[-1].feature_names_in_, IRIS.feature_names)
    for transform in ("pandas", "polars", "default"):
        pipeline.set_output(transform=transform).fit(table, Y)
        scaled = np.asarray(pipeline[0].transform(table))
        plain = classifier().fit(scaled, Y)
        np.testing.assert_array_equal(pipeline.predict_proba(table), plain.predict_proba(scaled))


def test_columns_of_both_kinds():
    table = pd.DataFrame({"length": X[:, 2], "colour": np.array(["red", "blue"])[IRIS.target % 2]})
    columns = ColumnTransformer([("a", StandardScaler(), ["length"]), ("b", OneHotEncoder(), ["colour"])])
    pipeline = make_pipeline(columns, classifier()).fit(table, Y)
    assert pipeline.score(table, Y) > 0.95


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_searches(backend):
    x = StandardScaler().fit_transform(X)
    grid = {"alpha": [1e-4, 10.0], "hidden_layer_sizes": [(4,), (8,)]}
    with joblib.parallel_backend(backend):
        searches = [
            GridSearchCV(classifier(max_iter=20, threads=threads), grid, n_jobs=n_jobs, cv=3, error_score="raise").fit(
                x, Y
            )
            for n_jobs, threads in ((1, None), (2, None), (2, 1))
        ]
        for search in searches[1:]:
            np.testing.assert_array_equal(
                search.cv_results_["mean_test_score"], searches[0].cv_results_["mean_test_score"]
            )
        assert searches[0].best_score_ > 0.8
        found = RandomizedSearchCV(
            classifier(max_iter=20), grid, n_iter=2, n_jobs=2, cv=3, random_state=0, error_score="raise"
        ).fit(x, Y)
        assert found.best_score_ > 0.6


def test_processes_have_a_thread_each():
    """joblib gives each of two processes half of the processors."""

    def threads(*_):
        """As a score: how many threads the process computes with."""
        return float(bp.threads())

    bp.set_threads(2)
    share = max(1, joblib.cpu_count() // 2)
    scores = cross_val_score(classifier(max_iter=1), X, Y, scoring=threads, n_jobs=2, cv=4)
    assert set(scores) <= {1.0, float(share)}
    assert bp.threads() == 2
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        scores = cross_val_score(classifier(max_iter=1), X, Y, scoring=threads, n_jobs=2, cv=4)
        np.testing.assert_array_equal(scores, 1.0)


def test_large_data_reach_processes_as_read_only_memory():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20000, 20)).astype(np.float32)  # above joblib's limit of 1 MB
    y = x[:, 0]
    scores = [
        cross_val_score(MLPRegressor((4,), max_iter=2, random_state=0), x, y, n_jobs=n, cv=2, error_score="raise")
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(*scores)


def test_other_tools():
    assert cross_val_predict(classifier(), X, Y, method="predict_proba", cv=3).shape == (150, 3)
    assert cross_val_predict(classifier(), X, Y, method="predict_log_proba", cv=3).shape == (150, 3)
    _, train, _ = learning_curve(
        classifier(max_iter=20), X, Y, train_sizes=[0.5, 1.0], cv=3, shuffle=True, random_state=0
    )
    assert train.shape == (2, 3)
    _, train, _ = learning_curve(
        classifier(),
        X,
        Y,
        train_sizes=[0.5, 1.0],
        cv=3,
        exploit_incremental_learning=True,
        shuffle=True,
        random_state=0,
    )
    assert train.shape == (2, 3)
    x = StandardScaler().fit_transform(X)
    for ensemble in (
        BaggingClassifier(classifier(), n_estimators=3, random_state=0),
        VotingClassifier([("a", classifier()), ("b", classifier(random_state=1))], voting="soft"),
        StackingClassifier([("a", classifier()), ("b", classifier(solver="sgd", learning_rate_init=0.1))], cv=3),
        OneVsRestClassifier(classifier(random_state=1)),
        CalibratedClassifierCV(classifier(), cv=3),
    ):
        assert ensemble.fit(x, Y).score(x, Y) > 0.9
    fit = classifier().fit(X, Y)
    importances = permutation_importance(fit, X, Y, n_repeats=3, random_state=0).importances_mean
    assert importances[2:].sum() > importances[:2].sum()


def test_targets_transformed():
    x, y = make_regression(200, 5, noise=0.1, random_state=0)
    regressor = MLPRegressor((16,), max_iter=200, random_state=0, learning_rate_init=0.02)
    fit = TransformedTargetRegressor(regressor, transformer=StandardScaler()).fit(x, y)
    assert fit.score(x, y) > 0.99


def test_weights_by_metadata_routing():
    weight = np.arange(150) % 3 + 1.0
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, classifier().set_fit_request(sample_weight=True))
        pipeline.fit(X, Y, sample_weight=weight)
    plain = classifier().fit(StandardScaler().fit_transform(X), Y, weight)
    np.testing.assert_array_equal(plain.predict_proba(pipeline[0].transform(X)), pipeline.predict_proba(X))


def test_two_fits_at_once_in_threads():
    seeds = range(6)
    alone = [classifier(random_state=seed).fit(X, Y).predict_proba(X) for seed in seeds]
    bp.set_threads(2)
    for threads in (None, 1, 2):
        fits = joblib.Parallel(n_jobs=3, backend="threading")(
            joblib.delayed(classifier(random_state=seed, threads=threads).fit)(X, Y) for seed in seeds
        )
        for fit, expected in zip(fits, alone, strict=True):
            np.testing.assert_array_equal(fit.predict_proba(X), expected)
        assert bp.threads() == 2


def test_threads_are_restored_by_the_last_of_several():
    bp.set_threads(2)
    inside, leave = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    class Waits(MLPClassifier):
        def _run(self, *arguments):
            inside[self.random_state].set()
            assert leave[self.random_state].wait(60)
            super()._run(*arguments)

    others = []
    for seed in (0, 1):
        fit = Waits((4,), max_iter=2, random_state=seed, threads=1)
        others.append(threading.Thread(target=fit.fit, args=(X, Y)))
        others[seed].start()
        assert inside[seed].wait(60)
    for seed, expected in ((0, 1), (1, 2)):
        assert bp.threads() == 1
        leave[seed].set()
        others[seed].join()
        assert bp.threads() == expected


def test_one_estimator_predicts_in_several_threads():
    fit = classifier().fit(X, Y)
    parts = [X[start : start + 40] for start in range(0, 110, 5)]
    expected = [fit.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(20):
            for found, right in zip(pool.map(fit.predict_proba, parts), expected, strict=True):
                np.testing.assert_array_equal(found, right)

"""Many fits at once, in processes and on a Dask cluster: the same bits, one thread each."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

model_selection = pytest.importorskip("sklearn.model_selection")
joblib = pytest.importorskip("joblib")
import pybackprop as bp  # noqa: E402
from helpers.clusters import local_cluster  # noqa: E402
from helpers.observed import Observed  # noqa: E402
from pybackprop.core import settings  # noqa: E402
from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
GRID = {  # 48 candidates
    "hidden_layer_sizes": [(4,), (6,), (5, 3)],
    "learning_rate_init": [0.01, 0.03],
    "solver": ["adam", "sgd"],
    "alpha": [0.0, 0.01],
    "activation": ["relu", "tanh"],
}
ESTIMATORS = [MLPClassifier, MLPRegressor]


def data():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((60, 5))
    return x, (x[:, 0] + x[:, 1] > 0).astype(int)


def searched(estimator, **options):
    search = model_selection.GridSearchCV(estimator(max_iter=3, random_state=0), GRID, cv=2, **options)
    return search.fit(*data())


@contextmanager
def dask_cluster(**options):
    with local_cluster(**options) as cluster:
        from dask.distributed import Client

        with Client(cluster) as client, joblib.parallel_config(backend="dask"):
            yield client


def assert_same_bits(found, right):
    assert len(right.cv_results_["params"]) == 48
    assert found.best_params_ == right.best_params_
    for name in ("split0_test_score", "split1_test_score", "mean_test_score", "rank_test_score"):
        np.testing.assert_array_equal(found.cv_results_[name], right.cv_results_[name])
    assert len(set(right.cv_results_["mean_test_score"])) > 5
    for part in ("coefs_", "intercepts_"):
        for mine, other in zip(getattr(found.best_estimator_, part), getattr(right.best_estimator_, part), strict=True):
            assert mine.tobytes() == other.tobytes()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_processes_change_no_bit(estimator):
    assert_same_bits(searched(estimator, n_jobs=2), searched(estimator))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_dask_cluster_changes_no_bit(estimator):
    right = searched(estimator)
    with dask_cluster():
        assert_same_bits(searched(estimator), right)


def threads_in_fits(n_jobs=None):
    scores = model_selection.cross_val_score(Observed(max_iter=1), *data(), cv=4, n_jobs=n_jobs)
    return set(scores.astype(int).tolist())


@pytest.fixture
def _no_wish(monkeypatch):
    """Nobody has said how many threads there are to be."""
    for name in ("OMP_NUM_THREADS", "PYBACKPROP_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_wish")
def test_processes_share_the_processors():
    bp.set_threads(7)  # of this process alone
    jobs = joblib.cpu_count()
    assert threads_in_fits(n_jobs=max(jobs, 2)) == {1}


@pytest.mark.usefixtures("_no_wish")
@pytest.mark.parametrize("threads_per_worker", [1, 2])
def test_dask_workers_have_one_thread_each(threads_per_worker):
    bp.set_threads(7)
    with dask_cluster(threads_per_worker=threads_per_worker) as client:
        assert set(client.run(bp.threads).values()) == {1}


def test_of_several_wishes_the_least_counts_and_the_number_before_comes_back():
    bp.set_threads(7)
    inside, ends = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def ask(k, count):
        with settings.using_threads(count):
            inside[k].set()
            ends[k].wait(60)

    askers = [threading.Thread(target=ask, args=(k, count)) for k, count in enumerate((2, 3))]
    for asker, began in zip(askers, inside, strict=True):
        asker.start()
        assert began.wait(60)
        assert bp.threads() == 2
    ends[0].set()
    askers[0].join()
    assert bp.threads() == 3
    ends[1].set()
    askers[1].join()
    assert bp.threads() == 7


def test_fits_in_several_threads_leave_the_number_as_it_was():
    bp.set_threads(5)
    with joblib.parallel_config(backend="threading", n_jobs=4):
        model_selection.cross_val_score(MLPClassifier(max_iter=2, threads=1), *data(), cv=8)
    assert bp.threads() == 5

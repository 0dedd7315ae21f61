"""A fit copies large data no more than scikit-learn does: float32 or float64 in C's order is used where it is."""

import tracemalloc

import numpy as np
import pytest

neural_network = pytest.importorskip("sklearn.neural_network")
from scipy import sparse  # noqa: E402

from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
N, M = 20000, 100


def peak(call):
    """The most bytes that numpy held during the call, beyond those before it."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def data(dtype):
    x = np.random.default_rng(0).standard_normal((N, M)).astype(dtype)
    return x, np.arange(N) % 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_fit_and_predict_do_not_copy_x(name, dtype, shuffle):
    x, y = data(dtype)
    fits = [
        kind(hidden_layer_sizes=(8,), max_iter=1, random_state=0, shuffle=shuffle)
        for kind in (globals()[name], getattr(neural_network, name))
    ]
    mine, right = (peak(lambda fit=fit: fit.fit(x, y)) for fit in fits)
    assert mine < x.nbytes / 4
    assert mine < right + 48 * N  # the order of the rows, and y as numbers
    mine, right = (peak(lambda fit=fit: fit.predict(x)) for fit in fits)
    assert mine < min(x.nbytes / 4, right + 48 * N)


def test_a_read_only_memory_map_is_not_copied(tmp_path):
    x, y = data(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert peak(lambda: MLPRegressor((8,), max_iter=1).fit(mapped, y)) < x.nbytes / 4


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_rows_held_out_copy_the_rest_once(name):
    x, y = data(np.float32)
    for kind in (globals()[name], getattr(neural_network, name)):
        fit = kind(hidden_layer_sizes=(8,), max_iter=1, early_stopping=True)
        assert x.nbytes < peak(lambda fit=fit: fit.fit(x, y)) < 1.3 * x.nbytes


def test_sparse_data_stay_sparse():
    x, y = data(np.float32)
    thin = sparse.csr_matrix(np.where(x > 2.5, x, 0))
    for shuffle in (True, False):
        fit = MLPClassifier((8,), max_iter=1, random_state=0, shuffle=shuffle)
        assert peak(lambda fit=fit: fit.fit(thin, y)) < x.nbytes / 4
        assert peak(lambda fit=fit: fit.predict(thin)) < x.nbytes / 4

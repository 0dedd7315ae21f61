"""What X and y may be: tables, sparse matrices, numbers of every kind; and what they may not."""

import warnings

import numpy as np
import pytest

neural_network = pytest.importorskip("sklearn.neural_network")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
from scipy import sparse  # noqa: E402
from sklearn.exceptions import DataConversionWarning  # noqa: E402

from pybackprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
CLASSES = np.arange(60) % 3
NAMES = np.array(["low", "mid", "top"])[CLASSES]
LABELS = (X[:, :3] > 0).astype(int)
NUMBERS = X @ RNG.standard_normal((4, 2))


def fitted(kind, x, y, **parameters):
    return kind(**{"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0, **parameters}).fit(x, y)


def assert_same(one, other):
    for p, q in zip([*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_], strict=True):
        np.testing.assert_array_equal(p, q)


def both_refuse(name, x, y):
    """The two messages, ours and scikit-learn's."""
    messages = []
    for kind in (globals()[name], getattr(neural_network, name)):
        with pytest.raises((ValueError, TypeError)) as raised, warnings.catch_warnings():  # noqa: PT012
            warnings.simplefilter("ignore")
            fitted(kind, x, y)
        messages.append(str(raised.value))
    return messages


# ---- X ----

SAME_X = {
    "list": X.tolist(),
    "DataFrame": pd.DataFrame(X),
    "nullable": pd.DataFrame(X).astype("Float64"),
    "objects": pd.DataFrame(X).astype(object),
    "polars": pl.DataFrame(X),
    "Fortran": np.asfortranarray(X),
    "reversed": X[::-1][::-1],
    "other byte order": X.astype(">f8"),
    "read-only": np.frombuffer(X.tobytes()).reshape(X.shape),
    "long double": X.astype(np.longdouble),
    **{
        f.__name__: f(X)
        for f in (
            sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix, sparse.lil_matrix, sparse.bsr_matrix,
            sparse.csr_array, sparse.csc_array, sparse.coo_array,
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("x", SAME_X.values(), ids=SAME_X)
@pytest.mark.parametrize(("kind", "y"), [(MLPClassifier, NAMES), (MLPRegressor, NUMBERS)])
def test_the_same_numbers_give_the_same_bits(x, kind, y):
    plain, fit = fitted(kind, X, y), fitted(kind, x, y)
    assert_same(plain, fit)
    np.testing.assert_array_equal(fit.predict(x), plain.predict(X))
    assert fit.score(x, y) == plain.score(X, y)


@pytest.mark.parametrize("settings", [{"early_stopping": True}, {"shuffle": False}, {"dtype": "float32"}], ids=str)
@pytest.mark.parametrize(("kind", "y"), [(MLPClassifier, NAMES), (MLPClassifier, LABELS), (MLPRegressor, NUMBERS)])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_is_dense(settings, kind, y, index):
    x = np.where(RNG.random((60, 30)) < 0.2, 1.5, 0.0)
    csr = sparse.csr_matrix(x)
    csr.indices, csr.indptr = csr.indices.astype(index), csr.indptr.astype(index)
    assert_same(fitted(kind, csr, y, batch_size=7, **settings), fitted(kind, x, y, batch_size=7, **settings))


def test_whole_numbers_and_halves_are_converted():
    whole = np.round(X * 3)
    for dtype in (np.int8, np.int64, np.float16, object):
        assert_same(fitted(MLPRegressor, whole.astype(dtype), NUMBERS), fitted(MLPRegressor, whole, NUMBERS))
    assert_same(fitted(MLPRegressor, X > 0, NUMBERS), fitted(MLPRegressor, (X > 0) * 1.0, NUMBERS))


def test_a_memory_map(tmp_path):
    for dtype in (np.float64, np.float32):
        mapped = np.memmap(tmp_path / np.dtype(dtype).name, dtype, "w+", shape=X.shape)
        mapped[...] = X
        mapped.flush()
        only = np.memmap(mapped.filename, dtype, "r", shape=X.shape)
        for settings in ({}, {"dtype": "float32"}, {"early_stopping": True}):
            plain, fit = (
                fitted(MLPRegressor, np.array(only), NUMBERS, **settings),
                fitted(MLPRegressor, only, NUMBERS, **settings),
            )
            assert_same(plain, fit)
            np.testing.assert_array_equal(plain.predict(np.array(only)), fit.predict(only))


def test_dtypes():
    for given, dtype, computed in [
        (np.float64, None, np.float64), (np.float32, None, np.float32), (int, None, np.float64),
        (np.float64, "float32", np.float32), (np.float32, "float64", np.float64),
        (np.float64, np.float32, np.float32), (np.float64, np.dtype("float32"), np.float32),
    ]:  # fmt: skip
        fit = fitted(MLPRegressor, X.astype(given), NUMBERS, dtype=dtype)
        assert {p.dtype for p in (*fit.coefs_, *fit.intercepts_)} == {np.dtype(computed)}
        assert fit.predict(X).dtype == computed
        assert fitted(MLPClassifier, X.astype(given), CLASSES, dtype=dtype).predict_proba(X).dtype == computed


WRONG_X = {
    "NaN": np.where(np.eye(60, 4) > 0, np.nan, X),
    "infinity": np.where(np.eye(60, 4) > 0, np.inf, X),
    "sparse NaN": sparse.csr_matrix(np.where(np.eye(60, 4) > 0, np.nan, 0)),
    "missing": pd.DataFrame(X).astype("Float64").mask(X > 2),
    "null": pl.DataFrame(X).with_columns(pl.when(pl.col("column_0") > 0).then(pl.col("column_0"))),
    "one axis": X[:, 0],
    "three axes": X[:, :, None],
    "words": pd.DataFrame({"a": ["x", "y", "z"] * 20}),
    "category": pd.DataFrame({"a": pd.Categorical(["x", "y", "z"] * 20)}),
    "mixed names": pd.DataFrame(X, columns=["a", 1, "b", 2]),
    "no columns": X[:, :0],
    "complex": X * 1j,
    "fewer rows": X[:-1],
}


@pytest.mark.parametrize("x", WRONG_X.values(), ids=WRONG_X)
@pytest.mark.parametrize(("name", "y"), [("MLPClassifier", CLASSES), ("MLPRegressor", NUMBERS)])
def test_x_that_does_not_fit(x, name, y):
    mine, right = both_refuse(name, x, y)
    assert mine.replace(" csr_matrix", "") == right.replace(" csr_matrix", "")


@pytest.mark.parametrize("x", [X[:0], X * np.nan], ids=["no rows", "NaN"])
def test_predict_refuses(x):
    fit, right = fitted(MLPClassifier, X, NAMES), fitted(neural_network.MLPClassifier, X, NAMES)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(ValueError, match=r"Found array with 0 sample|Input X contains NaN") as mine:
            getattr(fit, method)(x)
        with pytest.raises(ValueError) as theirs:  # noqa: PT011
            getattr(right, method)(x)
        assert str(mine.value) == str(theirs.value)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast", "ignore:invalid value encountered in reduce")
def test_numbers_too_large_for_float32():
    with pytest.raises(ValueError, match=r"Input X contains infinity or a value too large for dtype\('float32'\)"):
        fitted(MLPRegressor, X * 1e200, NUMBERS, dtype="float32")
    with pytest.raises(ValueError, match=r"Input y contains infinity or a value too large for dtype\('float32'\)"):
        fitted(MLPRegressor, X, NUMBERS * 1e200, dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_too_large_to_train_on(dtype):
    huge = X * (1e30 if dtype == "float32" else 1e200)
    with pytest.raises(ValueError, match=r"Solver produced non-finite parameter weights.*in iteration 1"):
        fitted(MLPRegressor, huge, NUMBERS, dtype=dtype)
    fit = fitted(MLPRegressor, X, NUMBERS, dtype=dtype)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        fit.fit(huge, NUMBERS)
    assert np.isfinite(fit.fit(X, NUMBERS).predict(X)).all()


# ---- y ----

SAME_NAMES = {
    "list": NAMES.tolist(),
    "objects": NAMES.astype(object),
    "Series": pd.Series(NAMES),
    "string": pd.Series(NAMES, dtype="string"),
    "category": pd.Series(NAMES, dtype="category"),
    "polars": pl.Series(NAMES),
    "polars category": pl.Series(NAMES, dtype=pl.Categorical),
}


@pytest.mark.parametrize("y", SAME_NAMES.values(), ids=SAME_NAMES)
def test_classes_with_names(y):
    fit = fitted(MLPClassifier, X, y, max_iter=300, learning_rate_init=0.05)
    np.testing.assert_array_equal(fit.classes_, ["low", "mid", "top"])
    assert_same(fit, fitted(MLPClassifier, X, CLASSES, max_iter=300, learning_rate_init=0.05))
    predicted = fit.predict(X)
    assert set(predicted) == {"low", "mid", "top"}
    assert fit.score(X, y) == np.mean(predicted == NAMES) > 0.6


@pytest.mark.parametrize(
    "y",
    [
        CLASSES.astype(np.int8),
        CLASSES + 0.0,
        CLASSES.astype(np.uint64) + 2**63,
        pd.Series(CLASSES, dtype="Int64"),
        CLASSES - 5,
    ],
    ids=["int8", "float", "uint64", "Int64", "negative"],
)
def test_classes_with_numbers(y):
    fit = fitted(MLPClassifier, X, y)
    np.testing.assert_array_equal(fit.classes_, np.unique(np.asarray(y, dtype=fit.classes_.dtype)))
    assert set(fit.predict(X)) <= set(fit.classes_)
    assert_same(fit, fitted(MLPClassifier, X, CLASSES))


@pytest.mark.parametrize("y", [X[:, 0] > 0, pd.Series(X[:, 0] > 0, dtype="boolean")], ids=["bool", "nullable"])
def test_truth_values(y):
    fit = fitted(MLPClassifier, X, y, max_iter=200, learning_rate_init=0.05)
    np.testing.assert_array_equal(fit.classes_, [False, True])
    assert fit.predict(X).dtype == fit.classes_.dtype == (bool if isinstance(y, np.ndarray) else float)
    assert fit.predict_proba(X).shape == (60, 2)
    assert fit.score(X, y) > 0.95


SAME_LABELS = {
    "list": LABELS.tolist(),
    "bool": LABELS.astype(bool),
    "float": LABELS.astype(float),
    "DataFrame": pd.DataFrame(LABELS),
    "polars": pl.DataFrame(LABELS),
    "csr": sparse.csr_matrix(LABELS),
    "csc": sparse.csc_array(LABELS),
}


@pytest.mark.parametrize("y", SAME_LABELS.values(), ids=SAME_LABELS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_labels(y, early_stopping):
    fit = fitted(MLPClassifier, X, y, early_stopping=early_stopping)
    assert_same(fit, fitted(MLPClassifier, X, LABELS, early_stopping=early_stopping))
    predicted = fit.predict(X)
    assert predicted.shape == (60, 3)
    assert set(np.unique(predicted)) == {0, 1}
    np.testing.assert_array_equal(predicted, fit.predict_proba(X) > 0.5)
    assert fit.score(X, LABELS) == np.mean((predicted == LABELS).all(1))


@pytest.mark.parametrize(
    "y",
    [
        NUMBERS.tolist(),
        pd.DataFrame(NUMBERS),
        pd.DataFrame(NUMBERS).astype("Float64"),
        pl.DataFrame(NUMBERS),
        NUMBERS.astype(object),
    ],
    ids=["list", "DataFrame", "nullable", "polars", "objects"],
)
def test_numbers(y):
    fit = fitted(MLPRegressor, X, y)
    assert_same(fit, fitted(MLPRegressor, X, NUMBERS))
    assert fit.predict(X).shape == (60, 2)
    one = fitted(MLPRegressor, X, NUMBERS[:, 0])
    assert one.predict(X).shape == (60,)
    assert one.n_outputs_ == 1


@pytest.mark.parametrize(("kind", "y"), [(MLPClassifier, NAMES), (MLPRegressor, NUMBERS[:, 0])])
def test_y_as_a_column_is_warned_of(kind, y):
    for column in (y[:, None], pd.DataFrame({"y": y})):
        with pytest.warns(DataConversionWarning, match="A column-vector y was passed when a 1d array was expected"):
            fit = fitted(kind, X, column)
        assert_same(fit, fitted(kind, X, y))
        assert fit.predict(X).shape == (60,)


WRONG_Y = {
    "NaN": np.where(np.arange(60) == 3, np.nan, CLASSES),
    "missing": pd.Series(CLASSES, dtype="Int64").mask(CLASSES == 2),
    "missing name": pd.Series(NAMES, dtype=object).mask(CLASSES == 2),
    "none": None,
    "one number": 3,
    "three axes": np.zeros((60, 2, 2)),
    "several classes": np.c_[CLASSES, CLASSES],
    "complex": CLASSES * 1j,
    "too few": CLASSES[:-1],
}


@pytest.mark.parametrize("y", WRONG_Y.values(), ids=WRONG_Y)
def test_classes_that_do_not_fit(y):
    mine, right = both_refuse("MLPClassifier", X, y)
    assert mine == right


@pytest.mark.parametrize("y", [v for k, v in WRONG_Y.items() if k not in ("several classes", "missing name")])
def test_numbers_that_do_not_fit(y):
    mine, right = both_refuse("MLPRegressor", X, y)
    assert mine == right


@pytest.mark.parametrize(
    ("kind", "y", "message"),
    [
        (MLPClassifier, X[:, 0], "Unknown label type: continuous"),
        (
            MLPClassifier,
            np.zeros(60),
            "needs samples of at least 2 classes in the data, but the data contains only one",
        ),
        (MLPClassifier, 2 * LABELS - 1, r"The labels of a multi-label y must be 0 and 1, got \[-1  1\]"),
        (MLPRegressor, NAMES, "could not convert string to float"),
        (MLPRegressor, np.full(60, np.inf), "Input y contains infinity"),
    ],
)
def test_y_that_does_not_fit(kind, y, message):
    with pytest.raises(ValueError, match=message):
        fitted(kind, X, y)
    with pytest.raises(TypeError, match="Sparse y was passed, but dense y is required"):
        fitted(MLPRegressor, X, sparse.csr_matrix(NUMBERS))


# ---- few rows ----


def test_one_row_and_two():
    assert fitted(MLPRegressor, X[:1], [2.0], max_iter=2000, learning_rate_init=0.01, alpha=0).predict(
        X[:1]
    ) == pytest.approx(2.0, abs=0.1)
    fit = fitted(MLPClassifier, X[:2], ["a", "b"], max_iter=300, learning_rate_init=0.05)
    np.testing.assert_array_equal(fit.predict(X[:2]), ["a", "b"])


def test_fewer_rows_than_a_batch_are_warned_of():
    message = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
    with pytest.warns(UserWarning, match=message):
        fit = fitted(MLPRegressor, X, NUMBERS, batch_size=61)
    assert_same(fit, fitted(MLPRegressor, X, NUMBERS, batch_size=60))
    assert_same(fit, fitted(MLPRegressor, X, NUMBERS))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_too_few_rows_to_hold_some_out(kind):
    with pytest.raises(
        ValueError, match=r"The validation set is too small. Increase 'validation_fraction' or the size"
    ):
        fitted(kind, X[:9], CLASSES[:9], early_stopping=True)

"""Data as people have them: each kind trains to the bits of the same numbers in an array."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from pybackprop.core import sparse


@pytest.fixture
def data(rng):
    x = np.maximum(rng.standard_normal((70, 4)), 0).astype("f")
    return x, (x[:, :1] * 2 - x[:, 3:]).astype("f")


def plan_of(dtype="float32"):
    return bp.compile(bp.mlp([4, 5, 1], 0, dtype), batch=16, optimizer=bp.SGD(lr=0.05, momentum=0.9))


def trained(x, targ, **options):
    """(losses, validation losses, parameters)"""
    plan = plan_of()
    history = plan.fit(x, targ, epochs=3, seed=5, **options)
    return [(e.loss, e.validation) for e in history], [p.data.copy() for p in plan.model.parameters()]


def assert_same(found, expected):
    assert found[0] == expected[0]
    for p, q in zip(found[1], expected[1], strict=True):
        assert_same_bits(p, q)


def pandas_frame(x):
    return pytest.importorskip("pandas").DataFrame(x.astype("float64"), index=range(len(x), 0, -1))


def pandas_nullable(x):
    return pytest.importorskip("pandas").DataFrame(x).astype("Float32")


def polars_frame(x):
    return pytest.importorskip("polars").DataFrame(x)


def torch_tensor(x):
    return pytest.importorskip("torch").tensor(x)


def jax_array(x):
    return pytest.importorskip("jax.numpy").asarray(x)


def csr(x):
    return pytest.importorskip("scipy.sparse").csr_array(x)


def csc_doubles(x):
    return pytest.importorskip("scipy.sparse").csc_matrix(x.astype("float64"))


@pytest.fixture(params=[pandas_frame, pandas_nullable, polars_frame, torch_tensor, jax_array, csr, csc_doubles])
def kind(request):
    return request.param


def test_each_kind_has_the_bits_of_an_array(data, kind):
    x, targ = data
    assert_same(trained(kind(x), targ), trained(x, targ))
    assert_same(trained(kind(x), targ, batch=7), trained(x, targ, batch=7))
    given = (kind(x[:20]), targ[:20])
    assert_same(trained(kind(x), targ, validation=given), trained(x, targ, validation=(x[:20], targ[:20])))
    assert_same(trained(kind(x), targ, validation_split=0.3), trained(x, targ, validation_split=0.3))
    plan = plan_of()
    assert_same_bits(plan.predict(kind(x)).data, plan.predict(x).data)
    assert plan.grads(kind(x[:9]), targ[:9]) == plan.grads(x[:9], targ[:9])
    assert float(plan.model(kind(x), targ)) == float(plan.model(x, targ))


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_memory_maps(data, tmp_path, dtype):
    x, targ = (data[0] * 20).astype(dtype), data[1]
    mapped = np.memmap(tmp_path / "x", dtype, "w+", shape=x.shape)
    mapped[:] = x
    x = x.astype("f") / 1
    assert_same(trained(mapped, targ, validation_split=0.2), trained(x, targ, validation_split=0.2))


def test_a_sparse_matrix_is_never_dense_as_a_whole(data, monkeypatch):
    x, seen, usual = csr(data[0]), [], sparse.dense
    monkeypatch.setattr(
        "pybackprop.engine.batch.dense", lambda what, rows: seen.append(len(rows.data)) or usual(what, rows)
    )
    rows = []
    kind = type(x)
    monkeypatch.setattr(
        kind, "toarray", lambda self, *a, _of=kind.toarray, **k: rows.append(self.shape[0]) or _of(self, *a, **k)
    )
    plan_of().fit(x, data[1], epochs=1, validation=(x, data[1]))
    assert seen
    assert max(rows) == 16
    assert sum(rows) == 140


def test_missing_numbers_are_found(data):
    x, targ = csr(data[0]), data[1]
    x.data[4] = np.nan
    row, column = np.argwhere(np.isnan(x.toarray()))[0]
    with pytest.raises(ValueError, match=rf"plan\.fit: x: found nan at row {row}, column {column} "):
        plan_of().fit(x, targ, epochs=1)
    table = pytest.importorskip("pandas").DataFrame(data[0]).astype("Float32")
    table.iloc[2, 1] = None
    with pytest.raises(ValueError, match="x: found nan at row 2, column 1"):
        plan_of().fit(table, targ, epochs=1)


def test_a_memory_map_is_checked_batch_by_batch(data, tmp_path):
    mapped = np.memmap(tmp_path / "x", "float64", "w+", shape=data[0].shape)
    mapped[3] = np.inf
    with pytest.raises(ValueError, match=r"plan\.fit: batch \d: x: found inf at row"):
        plan_of().fit(mapped, data[1], epochs=1)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_that_hold_no_numbers_are_named(library):
    table = pytest.importorskip(library).DataFrame({"age": [1.0, 2.0], "town": ["x", "y"]})
    with pytest.raises(bp.DTypeError, match=r"the columns 'town' \(.*\) hold no numbers; select those that do"):
        bp.tensor(table)


def test_what_does_not_fit_is_refused(data):
    x, targ = csr(data[0]), data[1]
    plan = plan_of()
    with pytest.raises(bp.ShapeError, match=r"found x \(70, 3\), expected rows of 4 features"):
        plan.fit(x[:, :3], targ, epochs=1)
    with pytest.raises(bp.ShapeError, match=r"found out \(70, 1\) and targ \(69, 1\)"):
        plan.fit(x, targ[1:], epochs=1)
    with pytest.raises(bp.DTypeError, match="complex"):
        plan.fit(x.astype(complex), targ, epochs=1)
    with pytest.raises(bp.DTypeError, match=r"sparse csr_array \(70, 4\).*x\[:100\]\.toarray\(\)"):
        bp.relu(x)
    torch = pytest.importorskip("torch")
    with pytest.raises(bp.DTypeError, match="requires grad"):
        plan.fit(torch.ones((70, 4), requires_grad=True), targ, epochs=1)

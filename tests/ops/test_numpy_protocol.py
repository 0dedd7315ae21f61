"""numpy's own functions on tensors: recorded, or a backward through them raises; else numpy's own results."""

import numpy as np
import pytest

import pybackprop as bp

RECORDED = {
    "maximum": lambda z: np.maximum(z, 0),
    "maximum the other way": lambda z: np.maximum(0.0, z),
    "maximum of an array": lambda z: np.maximum(z, np.float32(0)),
    "clip": lambda z: np.clip(z, 0, None),
    "add": lambda z: np.add(z, 1),
    "add to an array": lambda z: np.ones(z.shape, z.dtype) + z,
    "copy": np.copy,
    "matmul": lambda z: np.matmul(z, np.eye(4, dtype=z.dtype)),
    "dot": lambda z: np.dot(z, np.eye(4, dtype=z.dtype)),
    "array @": lambda z: np.eye(len(z), dtype=z.dtype) @ z,
}
CUT = {
    "exp": np.exp,
    "tanh": np.tanh,
    "where": lambda z: np.where(z > 0, z, 0),
    "where by an array": lambda z: np.where(np.asarray(z) > 0, z, 0),
    "clip above": lambda z: np.clip(z, 0, 1),
    "maximum of two": lambda z: np.maximum(z, np.ones(z.shape, z.dtype)),
    "concatenate": lambda z: np.concatenate([z]),
    "stack": lambda z: np.stack([z, z])[0],
    "add.reduce": lambda z: np.add.reduce(z, keepdims=True),
    "einsum": lambda z: np.einsum("ij->ij", z),
    "split": lambda z: np.split(z, 1)[0],
    "sort": np.sort,
    "sum of chosen elements": lambda z: np.sum(z, axis=0, keepdims=True, where=np.ones(z.shape, bool)),
    "mean in another dtype": lambda z: np.mean(z, axis=0, keepdims=True, dtype=z.dtype),
    "transpose by axes": lambda z: np.transpose(z, (1, 0)),
    "linalg": lambda z: z.data * np.linalg.norm(z),
    "apply_along_axis": lambda z: np.apply_along_axis(lambda row: row, 0, z),
}


@pytest.fixture
def net(rng, dtype):
    """(x, w, targ), after one earlier backward, whose w.g must not be used again."""
    x, w = rng.standard_normal((8, 3)).astype(dtype), bp.param(rng.standard_normal((3, 4)), dtype, name="w")
    targ = rng.standard_normal((8, 4)).astype(dtype)
    bp.mse(x @ w, targ).backward()
    return x, w, targ


@pytest.mark.parametrize("name", RECORDED)
def test_what_has_a_derivative_is_recorded(net, name):
    x, w, targ = net
    out = RECORDED[name](3 * x @ w)
    bp.mse(out, targ).backward()
    z = (3 * x) @ w.data
    local = (z > 0) if name.startswith(("max", "clip")) else np.ones(z.shape)
    value = np.maximum(z, 0) if name.startswith(("max", "clip")) else z + name.startswith("add")
    assert np.allclose(out, value, rtol=1e-5)
    assert np.allclose(w.g, (3 * x).T @ (2 * (value - targ) / targ.size * local), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CUT)
def test_what_has_none_cuts_the_tape_loudly(net, name):
    x, w, _ = net
    before = w.g.data.copy()
    out = CUT[name](3 * x @ w)
    assert isinstance(out, bp.Tensor)
    loss = bp.mse(out, np.zeros(out.shape, out.dtype))
    with pytest.raises(bp.GradientError, match="no derivative is known here for '"):
        loss.backward()
    assert np.array_equal(w.g, before)


@pytest.mark.parametrize("name", [*RECORDED, *CUT])
def test_values_are_numpys(net, name):
    x, w, _ = net
    function = {**RECORDED, **CUT}[name]
    z = 3 * x @ w
    found = function(z)
    expected = function(bp.tensor(z))  # a tensor that wants no gradient
    assert np.asarray(found).dtype == np.asarray(expected).dtype == w.dtype
    assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_without_a_gradient_to_lose_numpys_results_are_numpys(rng):
    t = bp.tensor(rng.standard_normal((4, 3)))
    assert isinstance(np.exp(t), np.ndarray)
    assert np.sum(t) == t.data.sum()
    assert np.mean(t > 0) == (t.data > 0).mean()
    assert np.sum(t > 0, axis=0).tolist() == (t.data > 0).sum(0).tolist()
    assert np.array_equal(np.concatenate([t, t]), np.concatenate([t.data, t.data]))
    assert np.isfinite(t).all()


def test_what_is_no_float_is_not_marked(rng):
    z = rng.standard_normal((4, 3)) @ bp.param(rng.standard_normal((3, 2)))
    assert type(np.argmax(z, axis=1)) is np.ndarray
    assert np.array_equal(z, z) is True
    assert np.shape(z) == (4, 2)
    assert np.isnan(z).dtype == bool
    assert isinstance(np.array2string(z), str)


def test_predicting_wants_no_gradient(rng):
    class Exp(bp.Module):
        def forward(self, inp):
            return bp.as_tensor(np.exp(inp))

    model = bp.Model([bp.Lin(rng.standard_normal((3, 2))), Exp()])
    assert np.allclose(model.predict(np.zeros((2, 3))), 1)


def test_the_ways_out_are_off_the_tape(rng):
    z = rng.standard_normal((4, 3)) @ bp.param(rng.standard_normal((3, 2)))
    for way in (np.asarray(z), np.array(z), z.data):
        assert type(way) is np.ndarray


def test_out_loses_no_gradient_and_tells_the_tape(rng):
    w = bp.param(rng.standard_normal((3, 2)), name="w")
    z, array = rng.standard_normal((4, 3)) @ w, np.empty((4, 2))
    with pytest.raises(bp.GradientError, match=r"np\.exp\(out=\).*would be lost"):
        np.exp(z, out=array)
    with pytest.raises(bp.GradientError, match="would be lost"):
        array += z
    t = bp.tensor(np.zeros((4, 2)))
    loss = bp.mse(bp.lin(t, bp.param(np.ones((2, 1)))), np.zeros((4, 1)))
    assert np.exp(np.ones((4, 2)), out=t) is t
    assert np.array_equal(t, np.exp(np.ones((4, 2))))
    with pytest.raises(bp.GradientError, match=r"overwritten after 'lin' read it, by np\.exp\(out=\)"):
        loss.backward()


def test_arrays_and_scalars_on_the_left(rng, dtype):
    t = bp.tensor(rng.standard_normal((4, 3)), dtype)
    array = rng.standard_normal((4, 3)).astype(dtype)
    for found, expected in (
        (array + t, array + t.data),
        (array - t, array - t.data),
        (array * t, array * t.data),
        (array / t, array / t.data),
        (array.T @ t, bp.matmul(array.T, t)),
        (np.float64(0.5) * t, dtype(0.5) * t.data),
    ):
        assert isinstance(found, bp.Tensor)
        assert found.dtype == dtype
        assert np.array_equal(found, expected)
    for found, expected in ((array > t, array > t.data), (array <= t, array <= t.data), (array == t, array == t.data)):
        assert np.array_equal(found, expected)
        assert np.array_equal(found.float(), expected.astype(dtype))

"""Terms that are exactly zero may be left out of a step: the bits are those of all terms."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.plans import Pair
from helpers.twins import assert_same_gradients, twins

WIDTHS = (100, 40, 3)
DENSITIES = [0, 0.02, 0.1, 0.24, 0.4, 0.6, 1]  # they are left out up to 0.2 to 0.5 in a pass, else up to a third


@pytest.fixture(params=["fused", "split"])
def strategy(request):
    return request.param


def thinned(rng, x, density):
    """x with that share of its numbers left: the others are +0 or -0."""
    zeros = np.where(rng.random(x.shape) < 0.5, 0, -0.0).astype(x.dtype)
    return np.where(rng.random(x.shape) < density, x, zeros)


@pytest.mark.parametrize("density", DENSITIES)
def test_data_with_zeros(rng, strategy, dtype, density, each_setting):
    for n in (1, 63, 65, 513, 1100):
        pair = Pair(rng, WIDTHS, dtype, n, 0.001, strategy=strategy)
        x, targ = pair.data(n)
        for _ in range(2):
            pair.step(thinned(rng, x, density), targ)


@pytest.mark.parametrize(
    "widths",
    [(64, 32, 1), (65, 33, 2), (784, 50, 10), (200, 64, 40, 2), (63, 40, 1), (100, 7, 1), (129, 130, 1), (70, 260, 1)],
)
def test_widths(rng, strategy, dtype, widths):
    pair = Pair(rng, widths, dtype, 300, 0.001, strategy=strategy)
    x, targ = pair.data(300)
    pair.step(thinned(rng, x, 0.1), targ)


def test_tiles_of_both_kinds_in_a_segment(rng, strategy, dtype, each_setting):
    pair = Pair(rng, WIDTHS, dtype, 1030, 0.001, strategy=strategy)
    x, targ = pair.data(1030)
    for start in range(0, 1030, 64):
        if rng.random() < 0.6:
            x[start : start + 64] = thinned(rng, x[start : start + 64], 0.1)
    pair.step(x, targ)
    x[:512] = thinned(rng, x[:512], 0.1)
    pair.step(x, targ)


def test_rows_that_look_sparse_and_are_not(rng, strategy, dtype):
    pair = Pair(rng, WIDTHS, dtype, 128, 0.001, strategy=strategy)
    x, targ = pair.data(128)
    x[::4] = 0
    pair.step(x, targ)


def test_widths_and_tails_of_all_kinds(rng, dtype, each_setting):
    """Vectors and masks that are full, begun, or empty: 1 to 260 inputs, 1 to 130 units, tails of 1 to 130 rows."""
    for _ in range(12):
        m, h, n = (int(size) for size in rng.integers(1, [261, 131, 131]))
        m = m if rng.random() < 0.5 else max(16, m // 16 * 16)  # rows of whole vectors are read where they lie
        pair = Pair(rng, (m, h, 1 + h % 5), dtype, n + 512, 0.001, strategy="fused")
        x, targ = pair.data(n + 512)
        pair.step(x, targ)
        pair.step(thinned(rng, x, 0.15)[:n], targ[:n])


@pytest.mark.parametrize("widths", [(128, 33, 2), (140, 33, 2), (64, 140, 20, 2)])
def test_units_that_no_one_or_all_rows_activate(rng, dtype, widths, each_setting):
    pair = Pair(rng, widths, dtype, 600, 0.001, strategy="fused")
    x, targ = pair.data(600)
    for model in (pair.model, pair.twin):
        w, b = model.parameters()[:2]
        b.data[:6] = -1000, 1000, -1000, 1000, -1000, -1000
        w.data[:, 4], w.data[5, 4], b.data[4] = 0, 1, -0.5
    x[:, 5], x[[0, 63, 64, 599], 5] = 0, 1  # the only rows of unit 4: the first and last of tiles
    active = x @ pair.twin.parameters()[0].data + pair.twin.parameters()[1].data > 0
    assert [int(count) for count in active.sum(0)[:6]] == [0, 600, 0, 600, 4, 0]
    pair.step(x, targ)
    pair.step(thinned(rng, x, 0.1), targ)


def test_data_at_any_address(rng, dtype, each_setting):
    for m in (64, 784, 100):
        pair = Pair(rng, (m, 37, 2), dtype, 150, 0.001, strategy="fused")
        x, targ = pair.data(150)
        memory = np.zeros(x.size + 64, dtype)
        for off in range(0, 64 // dtype().itemsize, 3):
            start = (-memory.ctypes.data // memory.itemsize) % 16 + off
            moved = memory[start : start + x.size].reshape(x.shape)
            moved[...] = x
            pair.step(moved, targ)


@pytest.mark.parametrize("m", [144, 140])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, "huge"])
def test_data_that_is_not_finite(rng, dtype, m, value, each_setting):
    """A zero in the gradient times that is a NaN. Where the first unit's sums overflow, all terms are added too."""
    value = np.finfo(dtype).max if value == "huge" else value
    for row, column in ((0, 0), (63, m - 1), (300, 7), (599, m // 2)):
        for density in (1, 0.1):
            pair = Pair(rng, (m, 40, 3), dtype, 600, 0.001, strategy="fused")
            x, targ = pair.data(600)
            for model in (pair.model, pair.twin):
                model.parameters()[0].data[column, :2] = 0, -1  # 0 * inf; and a unit that relu stops
            x = thinned(rng, x, density)
            x[row, column] = value
            pair.step(x, targ)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_between_layers_that_are_not_finite(rng, dtype, value, each_setting):
    pair = Pair(rng, (20, 140, 33, 2), dtype, 600, 0.001, strategy="fused")
    x, targ = pair.data(600)
    x[300, 7] = value
    pair.step(x, targ)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "targ", "w", "b"])
def test_numbers_that_are_not_finite(rng, strategy, dtype, where, value, each_setting):
    pair = Pair(rng, WIDTHS, dtype, 600, 0.001, strategy=strategy)
    x, targ = pair.data(600)
    x = thinned(rng, x, 0.1)
    if where == "x":
        x[300, 7] = value
    elif where == "targ":
        targ[300, 1] = value
    else:
        for model in (pair.model, pair.twin):
            model.parameters()[0 if where == "w" else 1].data[..., 5] = value
    pair.step(x, targ)


def test_numbers_that_underflow(rng, strategy, dtype):
    pair = Pair(rng, WIDTHS, dtype, 600, 0.001, strategy=strategy)
    pair.step(*pair.data(600, "small"))


def test_accumulation_and_the_gradient_of_the_data(rng, strategy, dtype, each_setting):
    model, twin = twins(rng, WIDTHS, dtype)
    plan = bp.compile(model, batch=600, strategy=strategy)
    x = thinned(rng, rng.standard_normal((600, 100)).astype(dtype), 0.1)
    targ = rng.standard_normal((600, 3)).astype(dtype)
    mine, its = bp.tensor(x, requires_g=True), bp.tensor(x, requires_g=True)
    for accumulate in (False, True):
        plan.grads(mine, targ, accumulate)
        twin(its, targ).backward(accumulate=accumulate)
        assert_same_gradients(model, twin)
        np.testing.assert_array_equal(mine.g.data, its.g.data)


def test_it_may_be_switched_off(rng, strategy, dtype):
    x = thinned(rng, rng.standard_normal((600, 100)).astype(dtype), 0.1)
    targ = rng.standard_normal((600, 3)).astype(dtype)
    (model, twin), plans = twins(rng, WIDTHS, dtype), []
    for one, sparse in ((model, True), (twin, False)):
        plan = bp.compile(bp.Model(one.layers), batch=600, strategy=strategy, sparse=sparse)
        plans.append((plan.memory()["workspace"], plan.grads(x, targ), plan.predict(x).data.tobytes()))
    assert plans[0][1:] == plans[1][1:]
    assert plans[0][0] > plans[1][0]  # no room for lists or masks
    assert_same_gradients(model, twin)


def test_predict(rng, strategy, dtype, each_setting):
    model, twin = twins(rng, WIDTHS, dtype)
    plan = bp.compile(model, batch=512, strategy=strategy)
    x = thinned(rng, rng.standard_normal((1300, 100)).astype(dtype), 0.1)
    assert plan.predict(x).data.tobytes() == twin.predict(x).data.tobytes()


@pytest.mark.parametrize("where", ["targ", "w"])
def test_what_overflows_is_not_left_out(rng, strategy, dtype, where, each_setting):
    """Zeros of the data times gradients or weights that are not finite are NaN."""
    model, twin = twins(rng, WIDTHS, dtype)
    plan = bp.compile(model, batch=100, strategy=strategy)
    x, targ = thinned(rng, rng.standard_normal((100, 100)).astype(dtype), 0.1), np.ones((100, 3), dtype)
    x[:, 9] = 0
    if where == "targ":
        targ[:] = -np.finfo(dtype).max
    for one in (model, twin):
        if where == "w":
            one.parameters()[0].data[9, 3] = np.inf
        one.parameters()[2].data[...] *= 10**6
    for accumulate in (False, True):
        plan.grads(x, targ, accumulate)
        twin(x, targ).backward(accumulate=accumulate)
        assert_same_gradients(model, twin)
    assert not np.isfinite(model.parameters()[0].g.data[9]).all()


def test_accumulation_into_negative_zero(rng, strategy, dtype, each_setting):
    """A gradient that underflows to -0 becomes +0 at the next term that is +0, if that is not left out."""
    model, twin = twins(rng, WIDTHS, dtype)
    plan = bp.compile(model, batch=100, strategy=strategy)
    tiny = float(np.finfo(dtype).tiny) ** 0.75
    x = thinned(rng, (tiny * rng.standard_normal((100, 100))).astype(dtype), 0.03)
    targ = (tiny * rng.standard_normal((100, 3))).astype(dtype)
    for one in (model, twin):
        one.parameters()[1].data[...] = tiny
        one.parameters()[3].data[...] = 0
    plan.grads(x, targ)
    twin(x, targ).backward()
    for one in (model, twin):
        one.parameters()[0].g.data[...] = -0.0
    plan.grads(x, targ, True)
    twin(x, targ).backward(accumulate=True)
    assert_same_gradients(model, twin)
    assert np.signbit(model.parameters()[0].g.data).any()
    assert not np.signbit(model.parameters()[0].g.data).all()

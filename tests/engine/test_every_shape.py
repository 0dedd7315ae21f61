"""Every width, every tail of rows, and numbers that are special in every place: a step's bits are the definition's."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.plans import Pair
from helpers.twins import assert_same_gradients, twins

MOST = 130  # more than a word of a mask has bits for, and than any kernel's tiles are wide
SPECIAL = (np.nan, np.inf, -np.inf)


@pytest.fixture(params=["fused", "split"])
def strategy(request):
    return request.param


@pytest.mark.parametrize("density", [1, 0.15])
def test_every_hidden_width(rng, strategy, dtype, each_setting, density):
    for width in range(1, MOST + 1):
        pair = Pair(rng, (67, width, 2), dtype, 70, 0.001, strategy=strategy)
        x, targ = pair.data(70)
        x[rng.random(x.shape) >= density] = 0
        pair.step(x, targ)


@pytest.mark.parametrize("density", [1, 0.15])
def test_every_input_width(rng, strategy, dtype, each_setting, density):
    for width in range(1, MOST + 1):
        pair = Pair(rng, (width, 33, 1), dtype, 70, 0.001, strategy=strategy)
        x, targ = pair.data(70)
        x[rng.random(x.shape) >= density] = 0
        pair.step(x, targ)


def test_every_middle_and_last_width(rng, strategy, dtype, each_setting):
    for width in range(1, MOST + 1, 3):
        pair = Pair(rng, (8, 7, width, MOST + 1 - width), dtype, 40, 0.001, strategy=strategy)
        pair.step(*pair.data(40))


@pytest.mark.parametrize("density", [1, 0.15])
def test_every_tail_of_rows(rng, strategy, dtype, each_setting, density):
    pair = Pair(rng, (70, 34, 2), dtype, 1100, 0.001, strategy=strategy)
    whole, targ = pair.data(1100)
    whole[rng.random(whole.shape) >= density] = 0
    for n in (*range(1, 70), *range(505, 520), 575, 577, 1023, 1024, 1025, 1087, 1088, 1089):
        pair.step(whole[:n], targ[:n])


class Grads:
    """A plan's gradients beside those of the definition, from parameters that stay as they are."""

    def __init__(self, rng, widths, dtype, batch, strategy):
        self.model, self.twin = twins(rng, widths, dtype)
        self.plan = bp.compile(self.model, batch=batch, strategy=strategy)

    def biases(self, values):
        for one in (self.model, self.twin):
            one.parameters()[1].data[...] = values

    def compare(self, x, targ):
        loss = self.plan.grads(x, targ)
        expected = self.twin(x, targ)
        expected.backward()
        assert_same_bits(np.asarray(expected.data), np.asarray(loss, expected.data.dtype))
        assert_same_gradients(self.model, self.twin)


@pytest.mark.parametrize("density", [1, 0.15])
def test_units_that_all_rows_no_row_and_one_row_activate(rng, strategy, dtype, each_setting, density):
    n, inputs, units = 150, 65, 40
    grads = Grads(rng, (inputs, units, 2), dtype, n, strategy)
    x, targ = rng.standard_normal((n, inputs)).astype(dtype), rng.standard_normal((n, 2)).astype(dtype)
    x[rng.random(x.shape) >= density] = 0
    grads.biases(np.where(np.arange(units) % 3, -1e4, 1e4))
    grads.compare(x, targ)
    grads.biases(-1e4)
    grads.compare(x, targ)
    for row in (0, 1, 15, 16, 31, 32, 62, 63, 64, 65, 127, 128, n - 1):
        x[:, 0] = 0
        x[row, 0] = 1e7  # times a weight of about 0.1: of some units, only this row is active
        grads.compare(x, targ)


def test_columns_of_the_data_with_no_one_and_all_bits(rng, strategy, dtype, each_setting):
    n, inputs = 150, 200
    grads = Grads(rng, (inputs, 40, 2), dtype, n, strategy)
    targ = rng.standard_normal((n, 2)).astype(dtype)
    x = np.zeros((n, inputs), dtype)
    grads.compare(x, targ)
    x[:, ::7] = rng.standard_normal((n, len(range(0, inputs, 7))))
    x[np.arange(n), (np.arange(n) * 5 + 1) % inputs] = 2
    grads.compare(x, targ)
    x[...] = -0.0
    x[77] = 1
    grads.compare(x, targ)


@pytest.mark.parametrize("density", [1, 0.15])
@pytest.mark.parametrize("value", SPECIAL)
def test_a_number_that_is_not_finite_in_every_row_and_column(rng, strategy, dtype, each_setting, value, density):
    n, inputs = 70, 66
    grads = Grads(rng, (inputs, 34, 2), dtype, n, strategy)
    x, targ = rng.standard_normal((n, inputs)).astype(dtype), rng.standard_normal((n, 2)).astype(dtype)
    x[rng.random(x.shape) >= density] = 0
    for place in range(max(n, inputs)):
        row, column = place % n, (place * 29 + 3) % inputs
        kept, x[row, column] = x[row, column], value
        grads.compare(x, targ)
        x[row, column] = kept
    grads.compare(x, targ)


@pytest.mark.parametrize("where", [0, 1, 2, 3])
@pytest.mark.parametrize("value", SPECIAL)
def test_a_parameter_that_is_not_finite(rng, strategy, dtype, each_setting, where, value):
    n = 70
    grads = Grads(rng, (66, 34, 2), dtype, n, strategy)
    x, targ = rng.standard_normal((n, 66)).astype(dtype), rng.standard_normal((n, 2)).astype(dtype)
    x[rng.random(x.shape) >= 0.15] = 0
    for at in range(0, grads.model.parameters()[where].data.size, 13):
        for one in (grads.model, grads.twin):
            numbers = one.parameters()[where].data.reshape(-1)
            kept, numbers[at] = numbers[at], value
        grads.compare(x, targ)
        for one in (grads.model, grads.twin):
            one.parameters()[where].data.reshape(-1)[at] = kept


@pytest.mark.parametrize("density", [1, 0.15])
def test_denormal_numbers(rng, strategy, dtype, each_setting, density):
    n = 70
    grads = Grads(rng, (66, 34, 2), dtype, n, strategy)
    tiny = np.finfo(dtype).tiny
    x = (tiny * rng.standard_normal((n, 66))).astype(dtype)
    x[rng.random(x.shape) >= density] = 0
    targ = (tiny * rng.standard_normal((n, 2))).astype(dtype)
    grads.biases(tiny / 4)
    grads.compare(x, targ)
    grads.compare(x * np.dtype(dtype).type(2**20), targ)


def test_data_that_is_not_on_a_cache_line(rng, strategy, dtype, each_setting):
    n, inputs = 70, 96
    grads = Grads(rng, (inputs, 34, 2), dtype, n, strategy)
    memory = rng.standard_normal(n * inputs + 16).astype(dtype)
    targ = rng.standard_normal((n, 2)).astype(dtype)
    for start in range(16):
        grads.compare(memory[start : start + n * inputs].reshape(n, inputs), targ)

"""The same assertions over every form of the network."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pybackprop as bp
from helpers.compare import assert_same_bits, special
from helpers.networks import FORMS, NAMES, numbers, right_gradients, right_loss


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def form(request):
    return request.param


def gradients_of(t):
    return {name: t[name].g.data for name in NAMES}


def check(form, arrays):
    t, expected = form(arrays), right_gradients(arrays)
    assert_same_bits(np.float64(float(t["loss"])), np.float64(right_loss(arrays)))
    for name, found in gradients_of(t).items():
        assert_same_bits(found, expected[name])


def test_equals_the_definition(form, dtype, rng, each_setting):
    check(form, numbers(dtype, 13, 7, 5, 3, rng))


def test_equals_the_definition_where_threads_work(form, dtype, rng):
    bp.set_threads(3)
    check(form, numbers(dtype, 1100, 65, 33, 4, rng))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(0, 20), st.integers(0, 20), st.integers(1, 9), st.integers(0, 10**6))
def test_equals_the_definition_for_any_size(n, m, h, o, seed):
    arrays = numbers(np.float32, n, m, h, o, seed)
    for form in FORMS:
        check(form, arrays)


def test_not_a_number_and_infinity_go_where_the_definition_says(form, dtype, rng):
    arrays = numbers(dtype, 13, 7, 5, 3, rng)
    check(form, arrays | {name: special(rng, arrays[name].shape, dtype) for name in ("x", "targ")})


def test_gradients_agree_with_measured_slopes(form, dtype, rng):
    arrays = numbers(dtype, 13, 7, 5, 3, rng)
    gradients = gradients_of(form(arrays))

    def f(w1, b1, w2, b2, x, targ):
        return bp.mse(bp.relu(x @ w1 + b1) @ w2 + b2, targ)

    tensors = [bp.tensor(arrays[name], name=name) for name in (*NAMES, "x", "targ")]
    assert bp.gradcheck(f, *tensors, grads=[*gradients.values(), None, None])


def test_a_learning_step_lowers_the_loss(form, rng):
    arrays = numbers(np.float32, 13, 7, 5, 3, rng)
    t = form(arrays)
    moved = {name: arrays[name] - np.float32(0.001) * g for name, g in gradients_of(t).items()}
    assert float(form(arrays | moved)["loss"]) < float(t["loss"])

"""The same assertions over every form of the network."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pybackprop as bp
from helpers.compare import assert_same_bits, special
from helpers.forms import FORMS, NAMES, network, reference


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def form(request):
    return request.param


def check(form, x, parameters, targ):
    loss, gradients = form(x, parameters, targ)
    expected_loss, expected = reference(x, parameters, targ)
    assert_same_bits(np.float64(loss), np.float64(expected_loss))
    for found, right in zip(gradients, expected, strict=True):
        assert_same_bits(found, right)


def test_equals_the_definition(form, dtype, rng, each_setting):
    check(form, *network(rng, dtype=dtype))


def test_equals_the_definition_where_threads_work(form, dtype, rng):
    bp.set_threads(3)
    check(form, *network(rng, n=1100, m=65, h=33, o=4, dtype=dtype))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(0, 20), st.integers(0, 20), st.integers(1, 9), st.integers(0, 10**6))
def test_equals_the_definition_for_any_size(n, m, h, o, seed):
    rng = np.random.default_rng(seed)
    x, parameters, targ = network(rng, n, m, h, o)
    for form in FORMS:
        check(form, x, parameters, targ)


def test_not_a_number_and_infinity_go_where_the_definition_says(form, dtype, rng):
    x, parameters, targ = network(rng, dtype=dtype)
    check(form, special(rng, x.shape, dtype), parameters, special(rng, targ.shape, dtype))


def test_gradients_agree_with_measured_slopes(form, dtype, rng):
    x, parameters, targ = network(rng, dtype=dtype)
    _, gradients = form(x, parameters, targ)

    def f(w1, b1, w2, b2, x, targ):
        return bp.mse(bp.relu(x @ w1 + b1) @ w2 + b2, targ)

    tensors = [bp.tensor(p, name=name) for p, name in zip(parameters, NAMES, strict=True)]
    assert bp.gradcheck(f, *tensors, bp.tensor(x), bp.tensor(targ), grads=[*gradients, None, None])


def test_a_learning_step_lowers_the_loss(form, rng):
    x, parameters, targ = network(rng)
    loss, gradients = form(x, parameters, targ)
    moved = [p - np.float32(0.001) * g for p, g in zip(parameters, gradients, strict=True)]
    assert form(x, moved, targ)[0] < loss

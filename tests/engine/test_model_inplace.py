"""Model(inplace=True): the bits of the ordinary way, where gradients and activations share memory; what it saves."""

import copy
import json
import pickle
import sys

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits, special
from helpers.processes import python
from helpers.twins import (
    Ordinary,
    ScaleByHand,
    assert_same_gradients,
    assert_same_steps,
    data,
    is_short,
    layers_of,
    step,
    twins,
)


def in_place(rng, *args, **options):
    """A Model in place, and its ordinary twin out of place."""
    model, twin = twins(rng, *args, **options)
    model.inplace = True
    return model, twin


@pytest.mark.parametrize("n", [1, 2, 63, 64, 513, 1025])
@pytest.mark.parametrize("widths", [(1, 1), (3, 1), (4, 5, 2), (1, 3, 1, 2), (17, 16, 33, 7, 3), (5, 300, 129, 2)])
@pytest.mark.parametrize(("bias", "relu_last"), [(True, False), (False, True)])
def test_equals_the_ordinary_way(rng, n, widths, dtype, bias, relu_last):
    model, twin = in_place(rng, widths, dtype, bias=bias, relu_last=relu_last)
    x, targ = data(rng, n, widths[0], widths[-1], dtype)
    assert_same_steps(model, twin, x, targ)


def test_equals_the_ordinary_way_for_every_kernel_and_thread(rng, dtype, each_setting):
    model, twin = in_place(rng, (64, 150, 33, 40, 10), dtype, relu_last=True)
    x, targ = data(rng, 900, 64, 10, dtype)
    assert_same_bits(step(model, x, targ).data, step(twin, x, targ).data)
    assert_same_gradients(model, twin)


def test_not_a_number_and_infinity(rng, dtype):
    model, twin = in_place(rng, (4, 5, 3, 2), dtype, relu_last=True)
    x, targ = special(rng, (60, 4), dtype), special(rng, (60, 2), dtype)
    assert_same_bits(step(model, x, targ).data, step(twin, x, targ).data)
    assert_same_gradients(model, twin)


def test_relu_after_some_layers_only(rng):
    lin = layers_of(rng, (4, 3, 3, 3, 2), np.float32)[::2]
    layers = [lin[0], lin[1], bp.Relu(), lin[2], lin[3], bp.Relu()]
    model, twin = bp.Model(layers, inplace=True), Ordinary(copy.deepcopy(layers))
    x, targ = data(rng)
    assert is_short(step(model, x, targ))
    step(twin, x, targ)
    assert_same_gradients(model, twin)


def test_a_training_run_has_the_same_bits(rng, dtype):
    model, twin = in_place(rng, dtype=dtype)
    x, targ = data(rng, 50, dtype=dtype)
    optimizers = [bp.SGD(one, lr=0.05, momentum=0.9) for one in (model, twin)]
    for _ in range(5):
        for rows in (slice(0, 20), slice(20, 40), slice(40, 50)):
            for one, sgd in zip((model, twin), optimizers, strict=True):
                assert is_short(step(one, x[rows], targ[rows])) == (one is model)
                sgd.step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(p.data, q.data)


# ---- where one call is not enough ----


ORDINARY = {
    "a layer by hand behind Lin": lambda layers: layers.insert(1, ScaleByHand(np.full(5, 0.5, "f"))),
    "a layer by hand behind Relu": lambda layers: layers.insert(2, ScaleByHand(np.full(5, 0.5, "f"))),
    "a function": lambda layers: layers.insert(2, bp.relu),
    "a frozen weight": lambda layers: setattr(layers[0].w, "requires_g", False),
    "a model among them": lambda layers: layers.__setitem__(slice(0, 2), [bp.Model(layers[:2], inplace=True)]),
    "a Relu first": lambda layers: layers.insert(0, bp.Relu()),
}


@pytest.mark.parametrize("how", ORDINARY)
def test_layers_of_other_kinds(rng, how):
    layers = layers_of(rng, (4, 5, 2), np.float32)
    ORDINARY[how](layers)
    model, twin = bp.Model(layers, inplace=True), Ordinary(copy.deepcopy(layers))
    x, targ = data(rng)
    untouched = x.copy()
    for _ in range(2):
        assert_same_bits(step(model, x, targ).data, step(twin, x, targ).data)
        assert_same_gradients(model, twin)
    assert_same_bits(x, untouched)
    assert_same_bits(model.predict(x).data, twin.predict(x).data)


def test_keep_and_data_that_wants_a_gradient(rng):
    model, twin = in_place(rng)
    x, targ = data(rng)
    for one in (model, twin):
        step(one, x, targ, keep=True)
    assert_same_gradients(model, twin)
    assert_same_bits(model.layers[2].out.g.data, twin.layers[2].out.g.data)
    tensors = bp.param(x), bp.param(x)
    for one, tensor in zip((model, twin), tensors, strict=True):
        step(one, tensor, targ)
    assert_same_gradients(model, twin)
    assert_same_bits(tensors[0].g.data, tensors[1].g.data)


def test_an_activation_looked_at_before_backward_is_what_relu_left(rng):
    model, twin = in_place(rng)
    x, targ = data(rng)
    for one in (model, twin):
        one(x, targ)
    assert_same_bits(model.layers[0].out.data, twin.layers[1].out.data)
    assert model.layers[0].out is model.layers[1].out
    assert_same_bits(model.layers[2].args[0].data, twin.layers[1].out.data)
    for _ in range(2):  # the tape is written down: gradients have memory of their own now
        for one in (model, twin):
            one.backward()
        assert_same_gradients(model, twin)
    assert is_short(step(model, x, targ))


def test_a_second_backward_needs_another_forward(rng):
    model, twin = in_place(rng)
    x, targ = data(rng)
    step(model, x, targ)
    for again in (model.backward, lambda: model.backward(keep=True), lambda: model.backward(accumulate=True)):
        with pytest.raises(bp.GradientError, match=r"gradients took their place.*forward again"):
            again()
    for one in (model, twin):
        step(one, x, targ, accumulate=True) if one is model else (
            step(one, x, targ),
            step(one, x, targ, accumulate=True),
        )
    assert_same_gradients(model, twin)


def test_an_earlier_loss_still_goes_back(rng):
    model, twin = in_place(rng)
    for one in (model, twin):
        batches = [data(np.random.default_rng(k)) for k in range(3)]
        losses = [one(*batch) for batch in batches]
        losses[1].backward()
        losses[0].backward(accumulate=True)
        losses[2].backward(accumulate=True)
    assert_same_gradients(model, twin)


def test_switched_on_and_off_between_passes(rng):
    model, twin = twins(rng)
    x, targ = data(rng)
    for inplace in (False, True, False):
        model.inplace = inplace
        for one in (model, twin):
            step(one, x, targ)
        assert_same_gradients(model, twin)
        if not inplace:
            model.backward()
            assert_same_gradients(model, twin)


def test_copies_are_in_place_too(rng):
    model = bp.mlp([4, 5, 2], inplace=True)
    x, targ = data(rng)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.double()):
        assert other.inplace
        step(other, x.astype(other.layers[0].w.dtype), targ.astype(other.layers[0].w.dtype))
        with pytest.raises(bp.GradientError, match="gradients took their place"):
            other.backward()


# ---- out of place: the gradients of hidden layers take the place of what relu gives again ----


def test_a_second_backward_out_of_place_finds_its_activations(rng, dtype):
    model, twin = twins(rng, (4, 5, 3, 2), dtype, relu_last=True)
    x, targ = data(rng, 9, dtype=dtype)
    for one in (model, twin):
        step(one, x, targ)
        one.backward(accumulate=True)
    assert_same_gradients(model, twin)
    for one in (model, twin):
        one.backward(keep=True)
    assert_same_gradients(model, twin)
    for k in range(len(model.layers)):
        assert_same_bits(model.layers[k].out.g.data, twin.layers[k].out.g.data)


# ---- memory ----

PROGRAM = """
import json, sys
import numpy as np
import pybackprop as bp
from pybackprop.bench.resident_memory import extra

n, inplace = 50_000, sys.argv[1] == "True"
rng = np.random.default_rng(0)
x, targ = rng.standard_normal((n, 784), dtype=np.float32), rng.standard_normal((n, 1), dtype=np.float32)
model = bp.mlp([784, 50, 1], inplace=inplace)
for p in model.parameters():
    p.g = np.zeros(p.shape, p.dtype)
small = bp.mlp([784, 50, 1], inplace=inplace)
small(x[:600], targ[:600])
small.backward()


def step():
    model(x, targ)
    model.backward()


print(json.dumps(extra(step)))
"""

N = 50_000
NUMPY_IN_PLACE = 2 * 4 * N * 50 + N * 50 + 4 * N  # l1 and its gradient, the mask, out


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for resident memory")
@pytest.mark.parametrize(("inplace", "limit"), [(False, 1.1 * NUMPY_IN_PLACE), (True, 0.6 * NUMPY_IN_PLACE)])
def test_the_peak_of_the_lessons_step(inplace, limit):
    """Beyond inputs, parameters and gradients, in resident bytes."""
    done = python(PROGRAM, inplace, PYBACKPROP_THREADS="2")
    assert done.returncode == 0, done.stderr
    peak = json.loads(done.stdout)
    if peak is None:
        pytest.skip("this kernel does not tell the peak")
    assert 4 * N * 50 <= peak <= limit

"""A Model in one call: the bits of the ordinary way, and the memory that it takes."""

import copy

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits, special
from helpers.twins import (
    Ordinary,
    assert_same_gradients,
    assert_same_layers,
    assert_same_steps,
    data,
    is_short,
    layers_of,
    step,
    twins,
)
from pybackprop.engine import one_pass, placement
from pybackprop.nn import network


@pytest.mark.parametrize("n", [1, 2, 511, 512, 513, 1025])
@pytest.mark.parametrize("widths", [(1, 1), (3, 1), (4, 5, 2), (1, 3, 1, 2), (17, 16, 33, 7, 3)])
@pytest.mark.parametrize(("bias", "relu_last"), [(True, False), (False, True)])
def test_equals_the_ordinary_way(rng, n, widths, dtype, bias, relu_last):
    model, twin = twins(rng, widths, dtype, bias=bias, relu_last=relu_last)
    x, targ = data(rng, n, widths[0], widths[-1], dtype)
    assert_same_steps(model, twin, x, targ)
    assert_same_layers(model, twin)


def test_equals_the_ordinary_way_for_every_kernel_and_thread(rng, dtype, each_setting):
    model, twin = twins(rng, (64, 50, 33, 10), dtype)
    x, targ = data(rng, 700, 64, 10, dtype)
    assert_same_bits(step(model, x, targ).data, step(twin, x, targ).data)
    assert_same_gradients(model, twin)
    assert_same_layers(model, twin)


def test_not_a_number_and_infinity(rng, dtype):
    model, twin = twins(rng, dtype=dtype)
    x, targ = special(rng, (60, 4), dtype), special(rng, (60, 2), dtype)
    assert_same_bits(step(model, x, targ).data, step(twin, x, targ).data)
    assert_same_gradients(model, twin)
    assert_same_layers(model, twin)


def assert_one_call_agrees(model, twin, x, targ):
    assert is_short(step(model, x, targ))
    step(twin, x, targ)
    assert_same_gradients(model, twin)
    assert_same_layers(model, twin)


def test_relu_after_some_layers_only(rng):
    lin = layers_of(rng, (4, 3, 3, 3, 2), np.float32)[::2]
    model = bp.Model([lin[0], lin[1], bp.Relu(), lin[2], lin[3], bp.Relu()])
    twin = Ordinary(copy.deepcopy(model.layers))
    assert_one_call_agrees(model, twin, *data(rng))


def test_one_relu_in_two_places(rng):
    lin, relu = layers_of(rng, (4, 3, 5, 2), np.float32)[::2], bp.Relu()
    model = bp.Model([lin[0], relu, lin[1], relu, lin[2]])
    twin = Ordinary(copy.deepcopy(model.layers))
    assert_one_call_agrees(model, twin, *data(rng))


def test_a_training_run_has_the_same_bits(rng, dtype):
    model, twin = twins(rng, dtype=dtype)
    x, targ = data(rng, 50, dtype=dtype)
    optimizers = [bp.SGD(one, lr=0.05, momentum=0.9) for one in (model, twin)]
    for _ in range(5):
        for rows in (slice(0, 20), slice(20, 40), slice(40, 50)):
            for one, sgd in zip((model, twin), optimizers, strict=True):
                loss = step(one, x[rows], targ[rows])
                sgd.step()
                assert is_short(loss) == (one is model)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert_same_bits(p.data, q.data)


def test_batches_of_changing_size(pair, rng):
    model, twin = pair
    for n in (6, 6, 2, 6, 1, 9, 6, 2, 1025, 3):
        batch = data(rng, n)
        assert_same_bits(step(model, *batch).data, step(twin, *batch).data)
        assert_same_gradients(model, twin)


def test_a_small_last_batch_takes_no_new_memory(pair, rng):
    model, _ = pair
    step(model, *data(rng, 64))
    memory = model._shortcut.last.workspace.memory
    for n in (10, 64, 10, 64):
        step(model, *data(rng, n))
        assert model._shortcut.last.workspace.memory is memory


def test_much_memory_is_not_kept_for_little(pair, rng):
    model, _ = pair
    step(model, *data(rng, 100_000))
    step(model, *data(rng, 6))
    assert model._shortcut.last.workspace.memory.nbytes < 4096


@pytest.mark.parametrize(("inplace", "hidden", "last"), [(False, 2, 2), (True, 1, 1)])
def test_memory_of_a_pass_is_that_of_its_values(inplace, hidden, last):
    """A hidden layer's z and a, whose place its gradient takes; the output and its gradient. In place: one each."""
    layers = [bp.Lin(np.ones((784, 50), "f")), bp.Relu(), bp.Lin(np.ones((50, 1), "f"))]
    assert placement.of_pass(network.network_of(layers[:2], bp.Mse()), 1000, inplace)[1] == hidden * 50_000
    both = network.network_of(layers, bp.Mse())
    assert placement.of_pass(both, 50_000 // 16 * 16, inplace)[1] == hidden * 50 * 50_000 + last * 50_000


def test_places_do_not_overlap(rng):
    lins = layers_of(rng, (3, 7, 2, 9, 1), np.float64)[::2]
    parts = network.network_of(lins, bp.Mse())
    found, size = placement.of_pass(parts, 13)
    z_and_a = sorted({at for z, a, _ in found for at in (z, a)})
    assert z_and_a[-1] < size
    for (_, _, dz), (_, _, other), stage in zip(found, found[1:], parts.stages, strict=False):
        assert dz != other
        assert dz + 13 * stage.w.shape[1] <= z_and_a[0]


def test_memory_that_cannot_be_had(pair, x, targ, monkeypatch):
    model, twin = pair

    def none_left(shape, dtype, what, rows):
        raise MemoryError

    monkeypatch.setattr(one_pass, "aligned_empty", none_left)
    loss = step(model, x, targ)
    assert not is_short(loss)
    step(twin, x, targ)
    assert_same_gradients(model, twin)

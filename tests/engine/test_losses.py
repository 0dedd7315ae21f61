"""cross_entropy at the end of a network, and activations made of exp, in Models, plans and fit: by bits."""

import itertools

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from pybackprop.core import native
from pybackprop.ops import CROSS_ENTROPY, MSE, SIGMOID, TANH
from pybackprop.selftest.definition import Definition, Layer

STRATEGIES = ["layers", "split", "fused"]


def network(rng, dtype, sizes=(9, 12, 5), loss=CROSS_ENTROPY, last=None):
    """(layers, their definition): lin, tanh, lin, sigmoid, ... and `last` at the end."""
    layers, made = [], []
    pairs = list(itertools.pairwise(sizes))
    for k, shape in enumerate(pairs):
        w, b = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape[1]).astype(dtype)
        activation = last if k == len(pairs) - 1 else (bp.Tanh, bp.Sigmoid)[k % 2]
        op = None if activation is None else activation().op
        layers.append(Layer(w, b, op))
        made += [bp.Lin(w, b), *([activation()] if activation else [])]
    return made, Definition(layers, loss)


def data(rng, n, m, h, dtype):
    labels = rng.integers(h, size=n)
    chances = rng.random((n, h)) + 0.01
    chances = (chances / chances.sum(1, keepdims=True)).astype(dtype)
    return rng.standard_normal((n, m)).astype(dtype), labels, chances


def same(found, definition):
    for g, right in zip(found, definition.flat_gradients(), strict=True):
        assert_same_bits(g.g.data, right)


@pytest.mark.parametrize("n", [1, 5, 600, 1100])
@pytest.mark.parametrize("last", [None, bp.Tanh, bp.Relu])
def test_models_and_plans_give_the_definitions_bits(each_setting, rng, dtype, n, last):
    made, definition = network(rng, dtype, last=last)
    x, labels, chances = data(rng, n, 9, 5, dtype)
    for targ in (labels, labels.astype(dtype), chances):
        right = definition.loss(x, targ)
        definition.backward()
        for inplace in (False, True):
            model = bp.Model(made, loss=bp.CrossEntropy(), inplace=inplace)
            assert_same_bits(model(x, targ).data, right)
            model.backward()
            same(model.parameters(), definition)
        for strategy in STRATEGIES:
            plan = bp.compile(model, batch=n, strategy=strategy)
            assert_same_bits(dtype(plan.grads(x, targ)), right)
            same(model.parameters(), definition)


@pytest.mark.parametrize("n", [1, 64, 700])
@pytest.mark.parametrize("last", [None, bp.Sigmoid])
def test_activations_made_of_exp_work_in_one_pass(each_setting, rng, dtype, n, last):
    made, definition = network(rng, dtype, sizes=(9, 8, 7, 3), loss=MSE, last=last)
    x, targ = rng.standard_normal((n, 9)).astype(dtype), rng.standard_normal((n, 3)).astype(dtype)
    right = definition.loss(x, targ)
    definition.backward()
    model = bp.Model(made)
    for _ in range(3):  # the first pass, the second, which makes short calls, and a short one
        assert_same_bits(model(x, targ).data, right)
        model.backward()
        same(model.parameters(), definition)
    loss = model(x, targ)
    loss.backward(keep=True)  # along the tape, written down afterwards
    same(model.parameters(), definition)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fit_is_the_steps_of_the_definition(each_setting, rng, dtype, strategy):
    made, definition = network(rng, dtype)
    x, labels, _ = data(rng, 70, 9, 5, dtype)
    model, sgd = bp.Model(made, loss=bp.CrossEntropy()), bp.SGD(lr=0.1, momentum=0.9)
    plan = bp.compile(model, batch=16, optimizer=sgd, strategy=strategy)
    history = plan.fit(x, labels, epochs=2, seed=3, validation=(x, labels))
    for epoch in range(2):
        order = native.indices(70)
        native.permute(order, 70, 3, 1 + epoch)
        total = 0.0
        for start in range(0, 70, 16):
            rows = list(order[start : min(start + 16, 70)])
            total += float(definition.loss(x[rows], labels[rows])) * len(rows)
            definition.backward()
            definition.update(sgd)
        assert history[epoch].loss == total / 70
    for p, right in zip(model.parameters(), definition.parameters(), strict=True):
        assert_same_bits(p.data, right)
    assert history[-1].validation == float(definition.loss(x, labels))


def test_fit_by_units_gives_the_same_bits(rng, dtype):
    """Long rows and small batches, where C runs fit's steps on copies of the parameters."""
    made, definition = network(rng, dtype, sizes=(784, 20, 10))
    x, labels, _ = data(rng, 300, 784, 10, dtype)
    model = bp.Model(made, loss=bp.CrossEntropy())
    plan = bp.compile(model, batch=32, optimizer=bp.SGD(lr=0.01))
    plan.fit(x, labels, epochs=1, seed=0)
    assert plan.layout.copies.nbytes > 0  # else this test is of nothing
    order = native.indices(300)
    native.permute(order, 300, 0, 1)
    for start in range(0, 300, 32):
        rows = list(order[start : min(start + 32, 300)])
        definition.loss(x[rows], labels[rows])
        definition.backward()
        definition.update(plan.optimizer)
    for p, right in zip(model.parameters(), definition.parameters(), strict=True):
        assert_same_bits(p.data, right)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_kind_of_targets_may_change_from_step_to_step(rng, strategy):
    made, definition = network(rng, np.float32)
    x, labels, chances = data(rng, 20, 9, 5, np.float32)
    model = bp.Model(made, loss=bp.CrossEntropy())
    plan = bp.compile(model, batch=20, optimizer=bp.SGD(lr=0.1), strategy=strategy)
    for targ in (labels, chances, chances, labels, np.eye(5, dtype=np.float32)[labels], labels):
        assert plan.step(x, targ) == float(definition.loss(x, targ))
        definition.backward()
        definition.update(plan.optimizer)


def test_targets_are_checked_at_each_step_though_the_array_is_the_same(rng):
    made, _ = network(rng, np.float32)
    x, labels, chances = data(rng, 20, 9, 5, np.float32)
    plan = bp.compile(bp.Model(made, loss=bp.CrossEntropy()), batch=20, optimizer=bp.SGD(lr=0.1))
    for targ in (labels.astype(np.float32), chances):
        for _ in range(3):
            plan.step(x, targ)
        targ[3] = 7
        with pytest.raises(ValueError, match=r"plan\.step: "):
            plan.step(x, targ)


@pytest.mark.parametrize("h", [3, 700])
@pytest.mark.parametrize("kind", native.LOSSES["cross_entropy"] + native.LOSSES["mse"][:1])
@pytest.mark.parametrize("activation", [SIGMOID, TANH])
def test_a_gradient_written_over_its_output(rng, dtype, h, kind, activation):
    """A chain in C whose last layer has z, a and dz in one array, for rows that fit on the stack and that do not."""
    n, m = 6, 4
    x, w = rng.standard_normal((n, m)).astype(dtype), rng.standard_normal((m, h)).astype(dtype)
    labels = rng.integers(h, size=n)
    is_labels = kind == native.LOSSES["cross_entropy"][1]
    is_mse = kind == native.LOSSES["mse"][0]
    targ = labels.astype(dtype) if is_labels else np.eye(h, dtype=dtype)[labels]
    definition = Definition([Layer(w, None, activation)], MSE if is_mse else CROSS_ENTROPY)
    right = definition.loss(x, targ)
    dx = definition.backward()
    z, loss, found, dw = np.empty((n, h), dtype), np.empty(1, dtype), np.empty((n, m), dtype), np.empty((m, h), dtype)
    (layer,) = layers = native.layers(1)
    layer.m, layer.h, layer.w, layer.dw, layer.loss = m, h, native.pointer(w), native.pointer(dw), kind
    layer.activation = native.ACTIVATIONS[activation.activation]
    layer.z = layer.a = layer.dz = native.pointer(z)
    given = native.pointer(x), native.pointer(targ), n
    kind_of = np.dtype(dtype)
    native.check(native.chain_forward[kind_of](native.pointer(loss), layers, 1, *given))
    native.check(native.chain_backward[kind_of](native.pointer(found), layers, 1, *given, False))
    assert_same_bits(loss[0], right[()])
    assert_same_bits(found, dx)
    assert_same_bits(dw, definition.gradients[0][0])


def test_an_unknown_loss_is_refused_in_c():
    one = np.zeros(4, np.float32)
    layers = native.layers(1)
    at = native.pointer(one)
    layers[0].m = layers[0].h = 1
    layers[0].w = layers[0].z = layers[0].dz = at
    for unknown in (-1, 4, 64 + 4):
        layers[0].loss = unknown
        with pytest.raises(ValueError, match="out of its range"):
            native.check(native.chain_forward[one.dtype](at, layers, 1, at, at, 1))


def test_a_model_with_a_loss_of_ones_own_says_how_its_memory_can_be_counted(rng):
    made, _ = network(rng, np.float32)
    with pytest.raises(TypeError, match=r"memory: the loss is nll.*Count a real step"):
        bp.Model(made, loss=bp.nll).memory(batch=8)


def test_training_lowers_the_loss_and_finds_the_classes(rng):
    centers = rng.standard_normal((4, 6)) * 4
    labels = rng.integers(4, size=400)
    x = centers[labels] + rng.standard_normal((400, 6))
    model = bp.Model([bp.Lin(6, 16, seed=1), bp.Tanh(), bp.Lin(16, 4, seed=2)], loss=bp.CrossEntropy())
    plan = bp.compile(model, batch=50, optimizer=bp.SGD(lr=0.2))
    history = plan.fit(x, labels, epochs=20)
    assert history[-1].loss < history[0].loss / 3
    assert (plan.predict(x).data.argmax(1) == labels).mean() > 0.95

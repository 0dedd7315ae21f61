"""Predictions ask the network's description: any activation is named as its operation is."""

from dataclasses import replace

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.memory import predict_lesson, predict_model, schemes
from pybackprop.memory.views import Ledger
from pybackprop.nn import network
from pybackprop.ops import registry

BY_HAND = {
    "first": predict_lesson.first,
    "matmul": predict_lesson.matmul,
    "functions": predict_lesson.functions,
    "inplace": predict_lesson.inplace,
    "model": predict_model.model,
    "model_inplace": predict_model.model_inplace,
    "numpy": predict_model.numpy,
    "torch": predict_model.torch,
}


@pytest.fixture
def softly():
    """An activation of one's own, known until the test ends."""
    yield bp.define_op(
        "softly",
        forward=lambda x: np.log1p(np.exp(x)),
        backward=lambda dout, x: dout / (1 + np.exp(-x)),
        elementwise=True,
    )
    del registry["softly"]


@pytest.fixture
def relu_network():
    return network.of_sizes([30, 20, 10, 3])


@pytest.fixture
def other_network(relu_network, softly):
    stages = (replace(stage, activation=softly, inplace=None) for stage in relu_network.stages[:-1])
    return network.Network((*stages, relu_network.stages[-1]), relu_network.dtype)


@pytest.mark.parametrize("name", BY_HAND)
def test_an_activation_is_named_as_its_operation_is(other_network, name):
    log = BY_HAND[name](other_network, 100)
    texts = [buffer.name for buffer in log.buffers] + [step.operation for step in log.steps]
    assert any("softly" in text.lower() for text in texts)
    assert not any("relu" in text.lower() or "clamp" in text or "> 0" in text for text in texts)


@pytest.mark.parametrize("name", BY_HAND)
def test_another_activation_needs_no_less_than_relu(relu_network, other_network, name):
    """relu has a mask where others have numbers, and an operation in place."""
    relu, other = (Ledger("", BY_HAND[name](net, 1000)) for net in (relu_network, other_network))
    assert relu.peak <= other.peak <= 2 * relu.peak
    assert relu.held == other.held


@pytest.mark.parametrize("name", BY_HAND)
def test_everything_but_results_and_gradients_is_freed(other_network, name):
    log = BY_HAND[name](other_network, 1000)
    assert all(b.freed is not None for b in log.buffers if b.kind == "temporary" and name != "numpy")
    for buffer in log.buffers:
        assert buffer.first_use is None or buffer.made <= buffer.first_use <= buffer.last_use
        assert buffer.freed is None or buffer.last_use is None or buffer.last_use <= buffer.freed


def test_what_pytorch_saves_is_freed_after_its_last_use(relu_network, other_network):
    for net in (relu_network, other_network):
        activations = [b for b in predict_model.torch(net, 100).buffers if b.kind == "activations" and b.shape]
        assert [b.name for b in activations if b.freed is None] == []


def test_every_ledger_is_of_one_class():
    model = bp.mlp([3, 2])
    with bp.ledger() as recorded:
        pass
    ledgers = [model.memory(5), bp.compile(model, batch=5).memory(), recorded, schemes.named("first").ledger]
    assert all(type(ledger) is bp.Ledger for ledger in ledgers[:3])
    assert all(type(other) is bp.Ledger for other in model.memory(5).alternatives.values())


@pytest.mark.parametrize("layer", [bp.Relu, bp.LeakyRelu])
@pytest.mark.parametrize("inplace", [False, True])
def test_a_real_pass_is_as_it_is_predicted(rng, layer, inplace):
    """Up to what was packed for the last time: the record has each product, the prediction the largest ones."""
    x, targ = rng.normal(size=(3000, 30)).astype("f"), rng.normal(size=(3000, 2)).astype("f")
    w = [rng.normal(size=size).astype("f") for size in [(30, 20), (20, 2)]]
    model = bp.Model([bp.Lin(w[0]), layer(), bp.Lin(w[1])], inplace=inplace)
    for p in model.parameters():
        p.g = np.zeros(p.shape, "f")
    with bp.ledger() as recorded:
        model(x, targ)
        model.backward()
    predicted = model.memory(3000)
    assert recorded.peak == pytest.approx(predicted.peak, abs=3000)
    activation = f"{model.layers[1].op.name}(l1)"
    names = [buffer.name for ledger in (recorded, predicted) for buffer in ledger.buffers]
    assert any(name.startswith(activation) for name in names)
    assert all(name.startswith(activation) for name in names if "(l1)" in name)

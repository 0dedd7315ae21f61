"""What cannot be compiled, and what a plan says about a model that was edited since."""

import copy
import pickle

import numpy as np
import pytest

import pybackprop as bp
from helpers.plans import STRATEGIES, Pair, values
from helpers.twins import twins


@pytest.fixture(params=STRATEGIES)
def pair(request, rng):
    return Pair(rng, strategy=request.param)


def lin(m=4, h=2, dtype="f"):
    return bp.Lin(bp.param(np.ones((m, h)), dtype, name="w"), bp.param(np.ones(h), dtype, name="b"))


class Mine(bp.Relu):
    pass


SHARED = bp.param(np.ones((4, 4)), "f", name="shared")
READ_ONLY = np.ones((4, 2), "f")
READ_ONLY.flags.writeable = False
NO_CHAIN = [
    ([lin(), Mine()], TypeError, r"layers\[1\] is Mine"),
    ([lin(), bp.relu], TypeError, r"layers\[1\] is relu"),
    ([bp.Relu(), lin()], TypeError, r"layers\[0\] is a Relu with no Lin before it"),
    ([lin(), bp.Relu(), bp.Relu()], TypeError, r"layers\[2\] is a Relu with no Lin before it"),
    ([], TypeError, "no layers"),
    ([bp.Lin(SHARED), bp.Lin(SHARED)], ValueError, "'shared' of shape .* is used twice"),
    ([lin(4, 3), lin(2, 2)], bp.ShapeError, r"Lin 2: found w \(2, 2\) and b \(2,\), expected 3 inputs"),
    ([lin(4, 3), lin(3, 2, "d")], bp.DTypeError, "is float64, .* is float32"),
    ([bp.Lin(bp.as_tensor(READ_ONLY))], ValueError, "read-only"),
]


@pytest.mark.parametrize(("layers", "error", "words"), NO_CHAIN)
def test_what_is_no_chain_is_refused_and_the_layer_named(layers, error, words):
    with pytest.raises(error, match=f"compile: .*{words}"):
        bp.compile(bp.Model(layers), batch=4)


def test_other_things_that_cannot_be_compiled(rng):
    model, twin = twins(rng)
    sgd = bp.SGD(lr=0.1)
    for given, options, error, words in [
        (twin, {}, TypeError, "Ordinary has a forward of its own"),
        (bp.Model(model.layers, loss=bp.mse), {}, TypeError, "the loss is mse"),
        (model.layers, {}, TypeError, "found list, expected a bp.Model"),
        (model, {"optimizer": bp.SGD(twin, lr=0.1)}, ValueError, "which the model does not have"),
        (model, {"optimizer": 0.1}, TypeError, "found optimizer float"),
        (model, {"optimizer": sgd, "strategy": "magic"}, ValueError, "'magic', expected one of layers, fused, split"),
        (model, {"batch": 0}, ValueError, "batch: found 0"),
        (model, {"batch": 2.5}, ValueError, "batch: found 2.5"),
        (model, {"batch": 2**60, "strategy": "layers"}, bp.ShapeError, "too large"),
    ]:
        arrays = [p.data for p in model.parameters()]
        with pytest.raises(error, match=words):
            bp.compile(given, **{"batch": 4, **options})
        assert all(p.data is array for p, array in zip(model.parameters(), arrays, strict=True))


def test_a_layer_with_a_method_of_its_own(rng):
    model, _ = twins(rng)
    model.layers[1].forward = lambda inp: inp
    with pytest.raises(TypeError, match=r"layers\[1\], Relu, has a method of its own"):
        bp.compile(model, batch=4)


def test_a_step_needs_an_optimizer(rng):
    model, _ = twins(rng)
    plan = bp.compile(model, batch=4)
    with pytest.raises(ValueError, match="compiled without an optimizer"):
        plan.step(np.ones((4, 4), "f"), np.ones((4, 2), "f"))
    assert plan.grads(np.ones((4, 4), "f"), np.ones((4, 2), "f")) > 0


def test_a_plan_is_no_copy(pair):
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            make(pair.plan)
    twin = copy.deepcopy(pair.model)
    before = values(twin)
    pair.step(*pair.data())
    assert all((a == b).all() for a, b in zip(values(twin), before, strict=True))
    pickle.loads(pickle.dumps(pair.sgd))


EDITS = {
    "it has 4 layers instead of 3": lambda m: m.layers.append(bp.Relu()),
    r"layers\[1\] is another Relu": lambda m: m.layers.__setitem__(1, bp.Relu()),
    r"layers\[0\] is another Lin": lambda m: m.layers.__setitem__(0, lin(4, 5)),
    r"layers\[2\].w is not the tensor 'w2'": lambda m: setattr(m.layers[2], "w", bp.param(np.ones((5, 2)), "f")),
    r"layers\[0\].b is not the tensor 'b1'": lambda m: setattr(m.layers[0], "b", None),
    "the loss is another Mse": lambda m: setattr(m, "loss", bp.Mse()),
    "requires_g of the tensor 'b1' .* is now False": lambda m: setattr(m.layers[0].b, "requires_g", False),
    "'w1' of shape .* has other memory": lambda m: bp.compile(m, batch=4),
}


@pytest.mark.parametrize("words", EDITS)
def test_a_model_that_was_edited_is_noticed(pair, words):
    x, targ = pair.data()
    pair.plan.step(x, targ)
    EDITS[words](pair.model)
    for run in (pair.plan.step, pair.plan.grads, lambda x, _: pair.plan.predict(x)):
        with pytest.raises(RuntimeError, match=f"the model was edited after compile: .*{words}"):
            run(x, targ)


def test_parameters_that_share_memory_are_refused(rng):
    w = bp.param(rng.normal(size=(3, 3)))
    v = bp.as_tensor(w.data)
    v.requires_g = True
    model = bp.Model([bp.Lin(w, None), bp.Relu(), bp.Lin(v, None)], loss=bp.Mse())
    with pytest.raises(ValueError, match="share memory"):
        bp.compile(model, batch=4)


@pytest.mark.parametrize("strategy", [None, "fused", "split", "layers"])
@pytest.mark.parametrize("batch", [2**62, 2**63, 2**64, 10**100])
def test_a_batch_that_cannot_be_addressed_is_refused(strategy, batch):
    model = bp.mlp([4, 3, 2])
    with pytest.raises(bp.ShapeError, match="too large to be addressed"):
        bp.compile(model, batch=batch, strategy=strategy)
    with pytest.raises(bp.ShapeError, match="too large to be addressed"):
        model.memory(batch)

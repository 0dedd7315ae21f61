"""After a pass in one call nobody can tell: layers, tape, copies, lifetimes."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.twins import assert_same_gradients, assert_same_layers, data, is_gone, is_short, layers_of, step, twins


def test_layers_and_loss_are_on_the_tape(pair, x, targ):
    model, _ = pair
    loss = model(x, targ)
    first, relu, last = model.layers
    assert relu.args[0] is first.out
    assert last.args[0] is relu.out
    assert model.loss.args[0] is last.out
    assert model.loss.out is loss
    assert np.shares_memory(first.args[0].data, x)
    assert np.shares_memory(model.loss.args[1].data, targ)
    assert not is_short(loss)
    assert first.out._node.inputs == (first.args[0], first.w, first.b)


def test_a_loss_of_ones_own_from_a_layers_output(pair, x, targ):
    model, twin = pair
    for one in (model, twin):
        one(x, targ)
        bp.mse(one.layers[1].out, np.ones((6, 5), "f")).backward()
        assert one.layers[2].w.g is None
    assert_same_bits(model.layers[0].w.g.data, twin.layers[0].w.g.data)


@pytest.mark.parametrize("after", [False, True], ids=["instead", "afterwards"])
def test_every_layer_walked_back_by_hand(pair, x, targ, after):
    model, twin = pair
    for one in (model, twin):
        one(x, targ)
        if after:
            one.backward()
        for layer in [one.loss, *reversed(one.layers)]:
            layer.backward()
    assert_same_gradients(model, twin)
    for layer, other in zip(model.layers, twin.layers, strict=True):
        assert_same_bits(layer.out.g.data, other.out.g.data)
        assert_same_bits(layer.args[0].g.data, other.args[0].g.data)


def test_keep(pair, x, targ):
    model, twin = pair
    for one in (model, twin):
        loss = step(one, x, targ, keep=True)
        assert float(loss.g) == 1
    assert_same_gradients(model, twin)
    for layer, other in zip(model.layers, twin.layers, strict=True):
        assert_same_bits(layer.out.g.data, other.out.g.data)
    model.backward()
    assert model.layers[0].out.g is None
    assert loss.g is not None
    assert model.loss.out.g is None


def test_keep_after_a_backward(pair, x, targ):
    model, twin = pair
    for one in (model, twin):
        step(one, x, targ)
        one.backward(keep=True)
        one.backward(accumulate=True)
    assert_same_gradients(model, twin)


def test_a_loss_in_a_bigger_expression(pair, x, targ):
    model, twin = pair
    for one in (model, twin):
        total = one(x, targ) + 2 + one(x[:3], targ[:3])
        total.backward()
        assert_same_gradients(one, one)
    assert_same_gradients(model, twin)


def test_relu_in_place_on_the_loss(pair, x, targ):
    model, twin = pair
    for one in (model, twin):
        loss = one(x, targ)
        bp.relu_(loss)
        loss.backward()
    assert_same_gradients(model, twin)


def test_writing_to_the_loss_is_refused(pair, x, targ):
    model, _ = pair
    loss = model(x, targ)
    with pytest.raises(bp.GradientError, match="result of 'mse'"):
        loss *= 2
    assert is_short(loss)


def test_values_that_were_looked_at_stay(pair, rng, x, targ):
    model, twin = pair
    kept = []
    for one in (model, twin):
        kept.append([(one(x, targ), *(layer.out for layer in one.layers)), one.layers[0].out.data[1:]])
        one.backward()
        for n in (6, 3, 6):
            step(one, *data(np.random.default_rng(n), n))
    for found, right in zip(*(first for first, _ in kept), strict=True):
        assert_same_bits(found.data, right.data)
    assert_same_bits(kept[0][1], kept[1][1])


def test_looking_after_the_parameters_have_changed(pair, x, targ):
    model, twin = pair
    for one in (model, twin):
        step(one, x, targ)
        for p in one.parameters():
            p += 1
    assert_same_layers(model, twin)


def test_a_layer_called_by_itself_between(pair, x, targ):
    model, twin = pair
    for one in (model, twin):
        one(x, targ)
        one.layers[0](x[:2])
        assert one.layers[0].out.shape == (2, 5)
        one.backward()
        assert one.layers[1].out.shape == (6, 5)
    assert_same_gradients(model, twin)


def test_predict_and_an_output_without_targets(pair, x, targ):
    model, twin = pair
    loss = model(x, targ)
    assert_same_bits(model.predict(x[:2]).data, twin.predict(x[:2]).data)
    assert is_short(loss)
    model.backward()
    step(twin, x, targ)
    assert_same_gradients(model, twin)
    assert_same_bits(model(x).data, twin(x).data)
    assert_same_bits(model.layers[1].out.data, twin.layers[1].out.data)
    with pytest.raises(bp.GradientError, match="no loss yet"):
        model.backward()
    loss.backward()
    assert_same_gradients(model, twin)


def test_a_relu_in_place_on_a_layers_output(pair, x, targ):
    for one in pair:
        one(x, targ)
        bp.relu_(one.layers[2].out)
        with pytest.raises(bp.GradientError, match="overwritten after 'mse'"):
            one.backward()


# ---- data, copies, lifetimes ----


def test_an_array_that_is_overwritten_between_is_not_noticed(pair, x, targ):
    for one in pair:
        given = x.copy()
        one(given, targ)
        given += 1
        one.backward()
    assert_same_gradients(*pair)


def test_a_layers_output_as_data(pair, rng, targ):
    model, twin = pair
    for one in (model, twin):
        first = bp.mlp([4, 4], seed=1)
        step(first, *data(np.random.default_rng(1), h=4))
        out = first.layers[0].out.data
        step(first, *data(np.random.default_rng(2), h=4))
        step(one, out, targ)
    assert_same_gradients(model, twin)


def test_copies_and_pickles_leave_the_last_pass_behind(pair, x, targ):
    model, twin = pair
    loss = model(x, targ)
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.copy(model)):
        assert made._shortcut is None
        assert made._result is None
        with pytest.raises(bp.GradientError, match="no loss yet"):
            made.backward()
        assert is_short(step(made, x, targ))
    assert pickle.loads(pickle.dumps(loss)) == float(loss)
    assert copy.deepcopy(model).layers[0].out is None
    assert copy.deepcopy(model.layers[0]).out is None
    model.backward()
    step(twin, x, targ)
    assert_same_gradients(model, twin)
    double = model.double()
    assert is_short(step(double, x.astype(np.float64), targ.astype(np.float64)))


def test_two_models_with_one_layer(rng, x, targ):
    layers = layers_of(rng, (4, 5, 2), np.float32)
    one, two = bp.Model(layers), bp.Model(list(layers))
    first, second = one(x, targ), two(x[:2], targ[:2])
    assert layers[0].out.shape == (2, 5)
    first.backward()
    g = layers[0].w.g.data.copy()
    step(one, x, targ)
    assert_same_bits(layers[0].w.g.data, g)
    assert layers[0].out.shape == (6, 5)
    second.backward()


def test_gradcheck(rng, x, targ):
    model, _ = twins(rng, (4, 5, 3, 2), relu_last=False)
    assert bp.gradcheck(model, x, targ)
    model(x, targ)
    model.backward()
    loss = float(model.loss.out)
    grads = [p.g for p in model.parameters()]
    assert bp.gradcheck(model, x, targ, grads=[None, None, *grads])
    assert float(model(x, targ)) == loss


@pytest.mark.parametrize("looked", [False, True])
def test_everything_is_freed_without_the_garbage_collector(rng, looked):
    gc.disable()
    try:
        model, _ = twins(rng)
        x, targ = map(bp.tensor, data(rng))
        loss = step(model, x, targ)
        if looked:
            assert model.layers[0].out is not None
        watched = [weakref.ref(t) for t in (x, loss, model, model.layers[0].w)]
        del x, targ, loss, model
        assert [ref() for ref in watched] == [None] * 4
    finally:
        gc.enable()


def test_a_pass_that_nobody_needs_gives_its_memory_to_the_next(pair, x, targ):
    model, _ = pair
    for _ in range(3):
        float(model(x, targ))
    memory = model._shortcut.last.workspace.memory
    float(model(x, targ))
    assert model._shortcut.last.workspace.memory is memory


@pytest.mark.parametrize("as_list", [False, True])
def test_data_is_not_kept_longer_than_until_the_next_pass(pair, rng, as_list):
    model, _ = pair
    data_of_old, targ = map(bp.tensor, data(rng))
    watched = weakref.ref(data_of_old)
    old = step(model, data_of_old, targ)
    del data_of_old
    if as_list:
        del old
        model(data(rng)[0].tolist(), targ)
    else:
        step(model, data(rng)[0], targ)
        assert is_gone(old)
    assert watched() is None


def test_args_and_out_may_be_set():
    layer = bp.Relu()
    layer.args, layer.out = [bp.tensor([1.0])], bp.tensor([2.0])
    layer.out.g = [3.0]
    layer.backward()
    assert layer.args[0].g.tolist() == [3]
    layer.args = ()
    assert layer.out.tolist() == [2]

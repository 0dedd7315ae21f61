"""What a pass in one call does about values that were overwritten, and about losses of earlier passes."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.twins import assert_same_gradients, data, is_short, step

# ---- stale values ----

OVERWRITES = {
    "a later w": lambda model, x, targ: model.layers[2].w.__iadd__(1),
    "the first w": lambda model, x, targ: model.layers[0].w.__iadd__(1),
    "a b": lambda model, x, targ: model.layers[2].b.__iadd__(1),
    "x": lambda model, x, targ: x.__iadd__(1),
    "targ": lambda model, x, targ: targ.zero_(),
    "a view of x": lambda model, x, targ: x.T.__imul__(2),
    "relu_(x)": lambda model, x, targ: bp.relu_(x),
    "sgd": lambda model, x, targ: (give_gradients(model), bp.SGD(model, lr=0.1).step()),
    "array of x": lambda model, x, targ: x.data.__iadd__(1),
    "x wants a gradient": lambda model, x, targ: setattr(x, "requires_g", True),
    "targ wants a gradient": lambda model, x, targ: setattr(targ, "requires_g", True),
    "a frozen w": lambda model, x, targ: setattr(model.layers[2].w, "requires_g", False),
    "a loss without": lambda model, x, targ: setattr(model.layers[0].out, "requires_g", False),
    "g gone": lambda model, x, targ: setattr(model.layers[0].w, "g", None),
    "g set": lambda model, x, targ: give_gradients(model),
    "another w": lambda model, x, targ: setattr(model.layers[2], "w", bp.param(np.ones((5, 2), "f"))),
    "no layers": lambda model, x, targ: model.layers.clear(),
}


def give_gradients(model):
    for p in model.parameters():
        p.g = np.ones(p.shape, p.dtype)


@pytest.mark.parametrize("options", [{}, {"accumulate": True}, {"keep": True}], ids=["", "accumulate", "keep"])
@pytest.mark.parametrize("looked", [False, True], ids=["", "looked"])
@pytest.mark.parametrize("how", OVERWRITES)
@pytest.mark.parametrize("before", [False, True], ids=["first", "second"])
def test_a_change_between_forward_and_backward(pair, x, targ, how, looked, options, before):
    outcomes = []
    for one in pair:
        tensors = bp.tensor(x, name="x"), bp.tensor(targ, name="targ")
        parameters = one.parameters()
        one(*tensors)
        if before:
            one.backward()
        OVERWRITES[how](one, *tensors)
        if looked and one.layers:
            assert one.layers[0].out is not None
        try:
            one.backward(**options)
            message = ""
        except bp.GradientError as error:
            message = str(error)
        outcomes.append((message, [t.g for t in (*parameters, *tensors)]))
    assert outcomes[0][0] == outcomes[1][0]
    assert ("overwritten" in message) == (how in ("a later w", "x", "targ", "a view of x", "relu_(x)", "sgd"))
    for found, right in zip(outcomes[0][1], outcomes[1][1], strict=True):
        assert (found is None) == (right is None)
        if found is not None:
            assert_same_bits(found.data, right.data)


def test_a_loss_that_was_given_a_gradient(pair, x, targ):
    for one in pair:
        loss = one(x, targ)
        loss.g = 3.0
        loss.backward()
        assert loss.g is None
        loss.requires_g = False
        with pytest.raises(TypeError):
            loss.backward()


def test_backward_twice_gives_the_same_and_keeps_its_buffers(pair, x, targ):
    model, _ = pair
    step(model, x, targ)
    once, buffers = [p.g.data.copy() for p in model.parameters()], [p.g for p in model.parameters()]
    model.backward()
    for p, g, buffer in zip(model.parameters(), once, buffers, strict=True):
        assert_same_bits(p.g.data, g)
        assert p.g is buffer


# ---- earlier losses ----


def test_an_earlier_loss_whose_backward_is_still_to_come(pair, rng, x, targ):
    model, twin = pair
    other = data(rng)
    for one in (model, twin):
        first, second = one(x, targ), one(*other)
        first.backward()
    assert is_short(first) == is_short(second) == (one is model)
    assert_same_gradients(model, twin)
    for one in (model, twin):
        one.backward()
    assert_same_gradients(model, twin)


def test_many_losses_backward_in_any_order(pair, rng):
    batches = [data(rng, n) for n in (3, 6, 3, 1, 6)]
    kept = [[one(*batch) for batch in batches] for one in pair]
    for k in (2, 0, 4, 1, 3, 0):
        for losses in kept:
            losses[k].backward()
        assert_same_gradients(*pair)


def test_an_earlier_loss_whose_values_were_looked_at(pair, rng, x, targ):
    model, twin = pair
    for one in (model, twin):
        first = step(one, x, targ)
        assert one.layers[0].out is not None
        step(one, *data(np.random.default_rng(3)))
        first.backward()
    assert_same_gradients(model, twin)


def test_an_earlier_loss_whose_backward_has_run_says_that_its_values_are_gone(pair, rng, x, targ):
    model, _ = pair
    first = step(model, x, targ)
    value = float(first)
    model(*data(rng))
    assert float(first) == value
    g = model.layers[0].w.g.data.copy()
    for again in (first.backward, (first + 1).backward, lambda: first.backward(keep=True)):
        with pytest.raises(bp.GradientError, match=r"gone: its backward has run.*forward again"):
            again()
    assert_same_bits(model.layers[0].w.g.data, g)


def test_losses_keep_their_values(pair, rng):
    model, twin = pair
    batches = [data(rng, n) for n in (6, 6, 2, 6)]
    kept = [[step(one, *batch) for batch in batches] for one in (model, twin)]
    for found, right in zip(*kept, strict=True):
        assert_same_bits(found.data, right.data)

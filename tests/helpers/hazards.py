"""Ways to spoil a gradient in place, each by what the learner did, and the story that is told instead of a number.

A hazard gets the lesson's network, does its harm, and returns the call that must refuse: with these words, and
with every gradient and parameter as it was.
"""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits


class Hazards(dict):
    """(function, words) of each hazard by its name."""

    def hazard(self, *words):
        def add(function):
            self[function.__name__.replace("_", " ")] = function, words
            return function

        return add

    def check(self, name, net, debug):
        """The story is told and nothing is written."""
        do, words = self[name]
        if debug and "place" in name and "gradients took their place" in words:
            pytest.skip("the layers are called one by one, so nothing was lost: see test_debug.py")
        with bp.debug(debug):
            refuses = do(net)
            before = state(net)
            with pytest.raises((bp.GradientError, ValueError)) as caught:
                refuses()
        for word in words:
            assert word in str(caught.value), caught.value
        if debug and "was overwritten after" in str(caught.value):
            assert re.search(r"by .* at \w*hazards\w*\.py:\d+", str(caught.value)), caught.value
        assert_unchanged(before)


def lesson(rng):
    """The lesson's network, forward."""
    digits = bp.data.digits()
    found = SimpleNamespace(x=bp.tensor(digits.x_train[:6], name="x"))
    found.targ = bp.tensor(np.eye(10, dtype=np.float32)[digits.y_train[:6]], name="targ")
    for name, shape in {"w1": (64, 5), "b1": (5,), "w2": (5, 10), "b2": (10,)}.items():
        setattr(found, name, bp.param(rng.normal(0, 0.3, shape), np.float32, name=name))
    return forward(found)


def forward(net):
    net.l1 = bp.lin(net.x, net.w1, net.b1)
    net.l2 = bp.relu(net.l1)
    net.out = bp.lin(net.l2, net.w2, net.b2)
    net.loss = bp.mse(net.out, net.targ)
    return net


def forward_in_place(net):
    net.l1 = net.l2 = bp.relu_(bp.lin(net.x, net.w1, net.b1))
    net.out = bp.lin(net.l2, net.w2, net.b2)
    net.loss = bp.mse(net.out, net.targ)
    return net


def backward_from_loss(net):
    bp.mse_grad(net.out, net.targ)
    bp.lin_grad(net.l2, net.out, net.w2, net.b2)


def model_of(net, **options):
    layers = [bp.Lin(net.w1, net.b1), bp.Relu(), bp.Lin(net.w2, net.b2)]
    return bp.Model(layers, **options)


def state(net):
    tensors = [value for value in vars(net).values() if isinstance(value, bp.Tensor)]
    return [(t, t.data.copy(), None if t.g is None else (t.g, t.g.data.copy())) for t in tensors]


def assert_unchanged(before):
    for t, data, g in before:
        assert_same_bits(t.data, data)
        assert (t.g is None) == (g is None)
        if g is not None:
            assert t.g is g[0]
            assert_same_bits(t.g.data, g[1])

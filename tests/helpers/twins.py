"""A Model and its ordinary twin, whose layers are called one by one: the same program must do the same on both."""

import copy
from itertools import pairwise

import numpy as np

import pybackprop as bp
from helpers.compare import assert_same_bits
from pybackprop.engine.one_pass import Pass


class Ordinary(bp.Model):
    """A Model that never takes the short way, as its forward is not bp.Model's."""

    def forward(self, x):
        return super().forward(x)


class ScaleByHand(bp.Module):
    """out = inp * s, with its gradients by hand."""

    def __init__(self, s):
        self.s = bp.param(s, name="s")

    def forward(self, inp):
        return inp * self.s

    def bwd(self, out, inp):
        inp.g = out.g * self.s
        self.s.g = (inp * out.g).sum(0)


def layers_of(rng, widths, dtype, bias=True, relu_last=False):
    layers = []
    for k, (m, h) in enumerate(pairwise(widths), 1):
        w = bp.param(rng.standard_normal((m, h)), dtype, name=f"w{k}")
        b = bp.param(rng.standard_normal(h), dtype, name=f"b{k}") if bias else None
        layers += [bp.Lin(w, b), bp.Relu()]
    return layers if relu_last else layers[:-1]


def twins(rng, widths=(4, 5, 2), dtype=np.float32, **options):
    """A Model and its ordinary twin."""
    model = bp.Model(layers_of(rng, widths, dtype, **options))
    return model, Ordinary(copy.deepcopy(model.layers))


def data(rng, n=6, m=4, h=2, dtype=np.float32):
    return rng.standard_normal((n, m)).astype(dtype), rng.standard_normal((n, h)).astype(dtype)


def is_short(loss):
    """Whether a loss came from one call, and its tape is not written down."""
    return isinstance(loss._node, Pass) and loss._node.workspace is not None


def is_gone(loss):
    return isinstance(loss._node, Pass) and loss._node.workspace is None and loss._node._inputs is None


def assert_same_gradients(model, twin):
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert (p.g is None) == (q.g is None)
        if p.g is not None:
            assert_same_bits(p.g.data, q.g.data)


def assert_same_layers(model, twin):
    for layer, other in zip([*model.layers, model.loss], [*twin.layers, twin.loss], strict=True):
        assert len(layer.args) == len(other.args)
        if other.out is None:
            assert layer.out is None
        else:
            assert_same_bits(layer.out.data, other.out.data)
        for found, right in zip(layer.args, other.args, strict=True):
            assert_same_bits(found.data, right.data)


def step(model, x, targ, **options):
    loss = model(x, targ)
    model.backward(**options)
    return loss


def assert_same_steps(model, twin, x, targ):
    """One call each for the model, with the twin's losses and gradients: anew, added, anew."""
    for options in ({}, {"accumulate": True}, {}):
        loss = step(model, x, targ, **options)
        assert is_short(loss)
        assert_same_bits(loss.data, step(twin, x, targ, **options).data)
        assert_same_gradients(model, twin)

"""A process forked between two steps of a training goes on with it, with the same short calls and bits."""

import os

import numpy as np
import pytest

import pybackprop as bp
from helpers.products import run_processes
from helpers.short_training import Taken
from pybackprop.core import short_calls

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.skipif(not short_calls.on, reason="a build without short calls, or they are switched off"),
]


class Training:
    def __init__(self):
        rng = np.random.default_rng(0)
        self.x, self.targ = rng.standard_normal((4, 3)).astype("f"), rng.standard_normal((4, 2)).astype("f")
        self.model = bp.mlp([3, 4, 2])
        self.sgd = bp.SGD(self.model, lr=0.1, momentum=0.9)

    def by_model(self):
        loss = self.model(self.x, self.targ)
        self.model.backward()
        self.sgd.step()
        return loss

    def by_hand(self):
        w1, b1, w2, b2 = self.model.parameters()
        x = bp.tensor(self.x)
        l1 = bp.lin(x, w1, b1)
        l2 = bp.relu(l1)
        out = bp.lin(l2, w2, b2)
        loss = bp.mse(out, self.targ)
        bp.mse_grad(out, self.targ)
        bp.lin_grad(l2, out, w2, b2)
        bp.relu_grad(l1, l2)
        bp.lin_grad(x, l1, w1, b1)
        self.sgd.step()
        return loss

    def steps(self, count):
        """The bits of so many steps of each kind."""
        losses = [np.asarray(step()).tobytes() for _ in range(count) for step in (self.by_model, self.by_hand)]
        return losses, [np.asarray(p).tobytes() for p in self.model.parameters()]


def test_a_fork_between_two_steps(monkeypatch):
    taken, training, alone = Taken(monkeypatch), Training(), Training()
    alone.steps(5)
    expected = alone.steps(5)
    training.steps(5)

    def child():
        taken.taken.clear()
        assert training.steps(5) == expected
        assert all(taken.taken[name] for name in ("forward", "backward", "update"))

    run_processes("fork", child, 2)
    assert training.steps(5) == expected

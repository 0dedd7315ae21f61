"""What tests of a plan's short calls share."""

from itertools import pairwise

import numpy as np

import pybackprop as bp

F = np.float32


class Counted:
    """Counts the checks that precede each step of a plan that is no short call."""

    def __init__(self, plan):
        self.structure, self.count = plan._structure, 0
        plan._structure = self

    def check(self, operation):
        self.count += 1
        self.structure.check(operation)

    def watched(self):
        return self.structure.watched()


def compiled(widths=(3, 5, 2), batch=4, dtype=F, momentum=0.9, lr=0.01):
    rng, layers = np.random.default_rng(3), []
    for m, h in pairwise(widths):
        layers += [bp.Lin(rng.standard_normal((m, h)).astype(dtype), rng.standard_normal(h).astype(dtype)), bp.Relu()]
    model = bp.Model(layers[:-1])
    return bp.compile(model, batch=batch, optimizer=bp.SGD(lr=lr, momentum=momentum))


def samples(n=4, m=3, h=2, dtype=F, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, m)).astype(dtype), rng.standard_normal((n, h)).astype(dtype)


def state(plan):
    """Everything that a step writes."""
    parameters = plan.arena.parameters
    velocities = [plan.optimizer.velocity(p).data for p in parameters]
    return [*(p.data for p in parameters), *(p.g.data for p in parameters), *velocities]

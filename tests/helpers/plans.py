"""A plan and the ordinary twin of its model: the same steps of both must give the same bits."""

import numpy as np

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.matrix import numbers
from helpers.twins import assert_same_gradients, twins
from pybackprop.core import native

STRATEGIES = ["layers", "fused", "split"]


class Pair:
    """A compiled Model, and its twin that computes each operation by itself."""

    def __init__(
        self, rng, widths=(4, 5, 2), dtype="f", batch=16, lr=0.01, momentum=0.9, strategy=None, optimizer=None,
        clip_norm=None, **options,
    ):  # fmt: skip
        def usual(model):
            return bp.SGD(model, lr=lr, momentum=momentum)

        self.rng, self.widths, self.dtype = rng, widths, dtype
        self.model, self.twin = twins(rng, widths, dtype, **options)
        self.sgd, self.other = ((optimizer or usual)(one) for one in (self.model, self.twin))
        self.optimizer, self.clip_norm = self.sgd, clip_norm
        self.plan = bp.compile(self.model, batch=batch, optimizer=self.sgd, clip_norm=clip_norm, strategy=strategy)

    def data(self, n=6, kind="plain"):
        return tuple(numbers(self.rng, (n, width), self.dtype, kind) for width in (self.widths[0], self.widths[-1]))

    def step(self, x, targ):
        """One step of both."""
        loss = self.plan.step(x, targ)
        self.ordinary_step(x, targ, loss)
        self.assert_same()
        return loss

    def ordinary_step(self, x, targ, loss=None):
        found = self.twin(x, targ)
        if loss is not None:
            assert_same_bits(found.data, found.data.dtype.type(loss))
        self.twin.backward()
        self.ordinary_update()

    def ordinary_update(self):
        if self.clip_norm is not None:
            bp.clip_grad_norm(self.twin, self.clip_norm)
        self.other.step()

    def assert_same(self):
        assert_same_gradients(self.model, self.twin)
        for p, q in zip(self.model.parameters(), self.twin.parameters(), strict=True):
            assert_same_bits(p.data, q.data)
            for mine, theirs in zip(self.sgd.kept(p), self.other.kept(q), strict=True) if self.sgd.keeps else ():
                assert_same_bits(mine.data, theirs.data)


def values(model):
    return [p.data.copy() for p in model.parameters()]


def shuffled(n, seed, epoch):
    """The order of the rows in an epoch, from 1."""
    order = native.indices(n)
    native.permute(order, n, seed, epoch)
    return np.array(list(order))


def ordinary_fit(pair, x, targ, epochs, batch, seed=0, lr=None, before=None):
    """The same by the twin, step by step; the mean losses. before: called before each step."""
    losses = []
    for epoch in epochs:
        if lr is not None:
            pair.other.lr = lr(epoch)
        order, total = shuffled(len(x), seed, epoch), 0.0
        for start in range(0, len(x), batch):
            if before is not None:
                before()
            rows = order[start : start + batch]
            total += float(pair.twin(x[rows], targ[rows])) * len(rows)
            pair.twin.backward()
            pair.ordinary_update()
        losses.append(total / len(x))
    return losses

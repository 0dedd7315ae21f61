"""Random programs in which a plan, its model, its optimizer and its tensors are used in turn."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.plans import STRATEGIES, Pair, ordinary_fit


class Program:
    """Does the same to a pair's plan and to its twin."""

    def __init__(self, rng, strategy, dtype):
        self.rng = rng
        widths = [int(width) for width in rng.integers(1, 9, rng.integers(2, 6))]
        options = {"bias": bool(rng.integers(2)), "relu_last": bool(rng.integers(2))}
        self.pair = Pair(rng, widths, dtype, 12, 0.01, strategy=strategy, **options)
        self.sides = (self.pair.model, self.pair.sgd), (self.pair.twin, self.pair.other)
        self.again = self.pair.data(5)

    def some_data(self):
        return self.again if self.rng.integers(2) else self.pair.data(int(self.rng.integers(1, 13)))

    def step(self):
        self.pair.step(*self.some_data())

    def grads(self):
        x, targ = self.some_data()
        accumulate = bool(self.rng.integers(2))
        loss = self.pair.plan.grads(x, targ, accumulate)
        assert loss == float(self.pair.twin(x, targ))
        self.pair.twin.backward(accumulate=accumulate)

    def fit(self):
        x, targ = self.pair.data(30)
        seed, batch = int(self.rng.integers(9)), int(self.rng.integers(1, 13))
        history = self.pair.plan.fit(x, targ, epochs=1, seed=seed, batch=batch)
        assert [epoch.loss for epoch in history] == ordinary_fit(self.pair, x, targ, [1], batch, seed)

    def model_step(self):
        x, targ = self.some_data()
        for model, sgd in self.sides:
            model(x, targ)
            model.backward()
            sgd.step()

    def rates(self):
        lr, momentum = self.rng.choice([0, 0.01, 0.03]), self.rng.choice([0, 0.5, 0.9])
        for _, sgd in self.sides:
            sgd.lr, sgd.momentum = float(lr), float(momentum)

    def write(self):
        k = int(self.rng.integers(len(self.pair.model.parameters())))
        change = int(self.rng.integers(4))
        for model, _ in self.sides:
            p = model.parameters()[k]
            if change == 0:
                p *= 0.9
            elif change == 1:
                p.data[...] = p.data[::-1].copy()
            elif change == 2:
                p.g = None
            else:
                p.g = np.full(p.shape, 0.25, p.dtype)

    def other_data(self):
        for array in self.again:
            array *= -1

    def run(self, length):
        actions = [self.step, self.grads, self.fit, self.model_step, self.rates, self.write, self.other_data]
        for _ in range(length):
            actions[self.rng.integers(len(actions))]()
            self.pair.assert_same()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(20))
def test_programs(strategy, seed, dtype):
    rng = np.random.default_rng(seed)
    bp.use_kernel(str(rng.choice(bp.kernels())))
    Program(rng, strategy, dtype).run(60)

"""Random networks with shared tensors: every element's explanation has the bits of its gradient."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits

WIDTH = 3  # everything is (n,3) or (3,3), so that everything can be used everywhere


class Network:
    """Random steps over a few shared weights, one loss or a sum of two, forward and backward."""

    def __init__(self, seed):
        self.rng = rng = np.random.default_rng(seed)
        self.dtype = [np.float32, np.float64][seed % 2]
        self.n = int(rng.choice([1, 3, 5]))
        self.weights = [bp.param(rng.standard_normal((WIDTH, WIDTH)), self.dtype) for _ in range(2)]
        self.biases = [bp.param(rng.standard_normal(WIDTH), self.dtype) for _ in range(2)]
        self.x = bp.tensor(rng.standard_normal((self.n, WIDTH)).astype(self.dtype))
        self.results = [self.x]
        self.dead = set()  # overwritten by relu_
        for _ in range(rng.integers(2, 7)):
            self.step()
        self.loss = self.mse()
        if rng.integers(3) == 0:
            self.loss = self.loss + self.mse()
        self.loss.backward(keep=bool(rng.integers(2)))

    def any(self, among):
        return among[self.rng.integers(len(among))]

    def step(self):
        inp, w, b = self.any(self.results), self.any(self.weights), self.any(self.biases)
        steps = [
            lambda: bp.lin(inp, w, b),
            lambda: bp.lin(inp, w),
            lambda: inp @ w,
            lambda: bp.lin(inp, w, b) + b,
            lambda: bp.relu(bp.lin(inp, w, b)),
            lambda: bp.relu_(bp.lin(inp, w, b)),
            lambda: bp.lin(inp, w) + self.any(self.results[1:] or self.results),
            lambda: bp.lin(inp, w).clone() + 0.5,
            lambda: bp.lin(inp, bp.lin(w, self.any(self.weights))),
        ]
        self.results.append(self.any(steps)())

    def mse(self):
        target = self.rng.standard_normal((self.n, WIDTH)).astype(self.dtype)
        return bp.mse(self.results[-1] if self.rng.integers(2) else bp.lin(self.results[-1], self.weights[0]), target)

    def used(self):
        """The tensors that the loss was computed from."""
        order, stack = {}, [self.loss]
        while stack:
            t = stack.pop()
            if id(t) not in order:
                order[id(t)] = t
                stack.extend(t._node.inputs if t._node is not None else ())
        mine = [*self.weights, *self.biases, *self.results]
        return [t for t in mine if id(t) in order]


@pytest.mark.parametrize("seed", range(60))
def test_every_element_of_a_random_network(seed):
    network = Network(seed)
    used = network.used()
    assert used
    for t in used:
        at = tuple(int(network.rng.integers(size)) for size in t.shape)
        e = bp.explain(t, at=at, loss=network.loss)
        assert e.agrees, (seed, e.name, at)
        if t.g is not None:
            assert_same_bits(t.dtype.type(e.total), t.g.data[at])
        assert sum(term.product for term in e.terms) == pytest.approx(e.total, rel=1e-3, abs=1e-4)
        if not e.measured.kink and not e.measured.flipped:
            assert abs(e.measured.slope - e.total) < 1e-4 * (1 + abs(e.total)), (seed, e.name, e.measured)
        assert all(len(line) <= 100 for line in str(e).splitlines())
        assert e.latex()
        assert e.mathml()
    assert str(bp.explain(network.loss))

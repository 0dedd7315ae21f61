"""Random programs on a Model and on its ordinary twin."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.twins import assert_same_gradients, assert_same_layers, data, is_gone, is_short, twins


def outcome(action):
    try:
        return action()
    except (bp.GradientError, bp.ShapeError) as error:
        return str(error)


class Program:
    """Random steps, the same for a Model and its twin."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.pair = twins(self.rng, self.rng.choice([1, 2, 3, 5], self.rng.integers(2, 5)))
        self.sgd = [bp.SGD(one, lr=0.01, momentum=0.5 * (seed % 2)) for one in self.pair]
        self.losses, self.tensors, self.short = [], [], 0

    def compare(self, action):
        found, right = outcome(lambda: action(0)), outcome(lambda: action(1))
        if isinstance(found, bp.Tensor):
            found, right = found.data, right.data
        if isinstance(found, np.ndarray):
            assert_same_bits(found, right)
        else:
            assert found == right
        assert_same_gradients(*self.pair)

    def forward(self):
        n = int(self.rng.integers(1, 4))
        (m, *_), (*_, h) = [self.pair[0].layers[k].w.shape for k in (0, -1)]
        arrays = data(self.rng, n, m, h)
        kind = self.rng.integers(3)
        made = [[bp.tensor(a) if kind else a.copy() for a in arrays] for _ in self.pair]
        if kind == 2 and self.tensors and self.tensors[-1][0][0].shape == made[0][0].shape:
            made = self.tensors[-1]
        if kind:
            self.tensors.append(made)
        losses = [one(*given) for one, given in zip(self.pair, made, strict=True)]
        self.short += is_short(losses[0])
        assert_same_bits(losses[0].data, losses[1].data)
        self.losses.append(losses)

    def backward(self):
        options = {name: bool(self.rng.integers(4) == 0) for name in ("keep", "accumulate")}
        self.compare(lambda which: self.pair[which].backward(**options))

    def old_backward(self):
        if not self.losses:
            return
        losses = self.losses[self.rng.integers(len(self.losses))]
        if is_gone(losses[0]):
            with pytest.raises(bp.GradientError, match="are gone"):
                losses[0].backward()
        else:
            self.compare(lambda which: losses[which].backward())

    def sum_of_losses(self):
        if len(self.losses) > 1 and not any(is_gone(losses[0]) for losses in self.losses[-2:]):
            self.compare(lambda which: (self.losses[-1][which] + self.losses[-2][which]).backward())

    def learn(self):
        self.compare(lambda which: self.sgd[which].step())

    def look(self):
        if self.losses and self.pair[0]._result is not None:
            assert_same_layers(*self.pair)
            for layer, other in zip(self.pair[0].layers, self.pair[1].layers, strict=True):
                assert (layer.out is None or layer.out.g is None) == (other.out is None or other.out.g is None)

    def write(self):
        k = self.rng.integers(len(self.pair[0].parameters()))
        self.compare(lambda which: self.pair[which].parameters()[k].__imul__(1.5))

    def write_data(self):
        if self.tensors:
            given = self.tensors[self.rng.integers(len(self.tensors))]
            k = self.rng.integers(2)
            self.compare(lambda which: given[which][k].__imul__(1.5))

    def set_g(self):
        k, value = self.rng.integers(len(self.pair[0].parameters())), self.rng.choice([None, 2.0])
        for one in self.pair:
            p = one.parameters()[k]
            p.g = None if value is None else np.full(p.shape, value, p.dtype)

    def predict(self):
        given = self.rng.standard_normal((2, self.pair[0].layers[0].w.shape[0])).astype("f")
        self.compare(lambda which: self.pair[which].predict(given))

    def replace(self):
        k = 2 * int(self.rng.integers((len(self.pair[0].layers) + 1) // 2))
        for one, sgd in zip(self.pair, self.sgd, strict=True):
            one.layers[k] = bp.Lin(one.layers[k].w.data, one.layers[k].b.data)
            sgd.parameters = one.parameters()

    def lose(self):
        del self.losses[:-1]

    def run(self, steps):
        actions = [self.backward, self.old_backward, self.sum_of_losses, self.look, self.write, self.write_data]
        actions += [self.set_g, self.predict, self.replace, self.lose] + 4 * [self.backward, self.learn]
        for _ in range(steps):
            (self.forward if self.rng.integers(3) == 0 else actions[self.rng.integers(len(actions))])()


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    program = Program(seed)
    program.run(60)
    assert program.short > 5

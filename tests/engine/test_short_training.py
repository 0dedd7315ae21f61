"""Short calls of a Model's backward and of SGD: taken in a training loop, and in all the same as the usual ones."""

import gc
import random
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.short_training import Taken
from pybackprop.autograd import spent, tape
from pybackprop.core import observer, short_calls

pytestmark = pytest.mark.skipif(not short_calls.on, reason="a build without short calls, or they are switched off")


@pytest.fixture
def taken(monkeypatch):
    return Taken(monkeypatch)


class Ledger:
    """An observer that counts."""

    def __init__(self):
        self.count = 0

    def ran(self, *_, **__):
        self.count += 1

    def ran_pass(self, *_):
        self.count += 1

    allocated = named = ran


def observed(call):
    before, observer.active = observer.active, Ledger()
    try:
        call()
        return observer.active.count
    finally:
        observer.active = before


class Program:
    """Random steps of training, right and wrong."""

    def __init__(self, seed, dtype):
        spent._thread.losses.clear()  # those of earlier programs
        self.random, rng = random.Random(seed), np.random.default_rng(seed)
        self.model = bp.mlp([3, 4, 2], seed=seed, dtype=dtype)
        self.sgd = bp.SGD(self.model, lr=0.1, momentum=self.random.choice([0.0, 0.5]))
        self.data = rng.standard_normal((4, 3)).astype(dtype), rng.standard_normal((4, 2)).astype(dtype)
        self.p, self.losses, self.walks = self.model.parameters(), [], tape.walks
        self.forward()

    def forward(self):
        self.x, self.targ = (
            self.random.choice([array, array, bp.tensor(array), bp.as_tensor(array)]) for array in self.data
        )
        return self.loss_of(self.x, self.targ)

    def loss_of(self, x, targ):
        self.losses = [*self.losses[-2:], self.loss] if hasattr(self, "loss") else []
        self.x, self.targ = x, targ
        self.loss = self.model(x, targ)
        return self.loss.data.tobytes()

    def backward(self):
        self.loss.backward(keep=self.random.random() < 0.1, accumulate=self.random.random() < 0.2)

    def train(self):
        for _ in range(3):
            self.forward()
            self.model.backward()
            self.sgd.step()

    def train_on_slices(self):
        """Batches that are views, of one size or of two."""
        x, targ = self.data
        for _ in range(4):
            k, n = self.random.choice([(0, 2), (1, 2), (2, 2), (0, 3)])
            self.loss_of(x[k : k + n], targ[k : k + n])
            self.model.backward()
            self.sgd.step()

    def odd_data(self):
        """What a short call leaves alone, and what is refused."""
        x, targ = self.data
        odd = [
            (x.tolist(), targ),
            (np.asfortranarray(x), targ),
            (x, np.repeat(targ, 2, 1)[:, ::2]),
            (x.view(type("Mine", (np.ndarray,), {})), targ),
            (x.astype(np.float16), targ),
            (x, bp.param(targ)),
            (bp.relu(bp.param(x)), targ),
            (bp.tensor(x, np.float64 if x.dtype == np.float32 else np.float32), targ),
            (x[:, :2].copy(), targ),
            (x[:0], targ[:0]),
            (x, targ[:3]),
            (x, targ[:, 0].copy()),
            (x[0], targ[0]),
            (x, None),
        ]
        return self.loss_of(*self.random.choice(odd))

    def outputs(self):
        """What the layers say of their last call; makes the tensors and nodes of all of them."""
        layers = [*self.model.layers, self.model.loss]
        return [(layer.out is not None and layer.out.data.tobytes(), len(layer.args)) for layer in layers]

    def alone(self):
        layer = self.random.choice(self.model.layers)
        return layer(np.ones((2, 3 if layer is self.model.layers[0] else 4), self.data[0].dtype)).data.tobytes()

    def off_the_tape(self):
        with tape.paused():
            return self.forward()

    def an_old_loss(self):
        loss = self.random.choice([self.loss, *self.losses])
        loss.backward()
        return loss.data.tobytes()

    def reshaped(self):
        self.data[0].shape = self.random.choice([(4, 3), (4, 3), (3, 4)])

    def overridden(self):
        if vars(self.model).pop("forward", None) is None:
            self.model.forward = lambda x: type(self.model).forward(self.model, x)

    def debugged(self):
        with bp.debug():
            self.backward()
            self.sgd.step()

    def moved(self):
        p = self.random.choice(self.p)
        p._become(p.data.copy())

    def read_only(self):
        p = self.random.choice(self.p)
        p.data.flags.writeable = not p.data.flags.writeable

    def listed(self):
        self.sgd.parameters = self.random.choice([self.p, self.p[:2], self.p[::-1], [*self.p]])

    def step(self):
        p, r = self.random.choice(self.p), self.random.random()
        odd = [
            self.forward,
            self.backward,
            self.forward,
            self.backward,
            self.sgd.step,
            lambda: observed(self.backward),
            lambda: observed(self.forward),
            lambda: setattr(self.x, "requires_g", True),
            lambda: self.x.__setitem__(0, 0.5),
            lambda: self.targ.__setitem__(0, 0.5),
            lambda: self.p[2].__setitem__(0, 0.5),
            lambda: setattr(self.model, "inplace", not self.model.inplace),
            lambda: self.sgd.step(self.model),
            lambda: setattr(p, "g", None),
            lambda: setattr(p, "g", np.ones(p.shape, p.dtype)),
            lambda: setattr(p, "requires_g", not p.requires_g),
            lambda: setattr(self.sgd, "momentum", self.random.choice([0.0, 0.5, 0])),
            lambda: setattr(self.sgd, "lr", self.random.choice([0.1, 0.01, 1])),
            lambda: observed(self.sgd.step),
            lambda: setattr(self.model.layers[0], "w", bp.param(self.p[0])),
            lambda: setattr(self.model.layers[0], "w", self.p[0]),
            lambda: setattr(self.model, "loss", bp.Mse()),
            lambda: setattr(self.model.layers[0], "mine", 1),
            lambda: self.model.layers.reverse(),
            lambda: self.data[0].__setitem__(0, 0.25),
            lambda: self.model.backward(keep=True),
            lambda: self.model.backward(accumulate=True),
            self.model.backward,
            self.model.backward,
            self.odd_data,
            self.odd_data,
            self.outputs,
            self.outputs,
            self.alone,
            self.off_the_tape,
            self.an_old_loss,
            self.an_old_loss,
            self.reshaped,
            self.overridden,
            self.debugged,
            self.moved,
            self.read_only,
            self.listed,
        ]
        return self.train() if r < 0.3 else self.train_on_slices() if r < 0.5 else self.random.choice(odd)()

    def outcome(self, steps=30):
        lines = []
        for _ in range(steps):
            try:
                lines.append(self.step())
            except Exception as error:
                lines.append((type(error), str(error)))
            lines.append([seen(p) for p in self.p] + [seen(v) for _, v in self.sgd._kept.values()])
            lines.append((tape.walks - self.walks, seen(self.loss)))
        return lines


def seen(t):
    version, g = t._version, t._g
    return (
        t.data.tobytes(),
        version.count,
        version.by,
        version.log and 1,
        g is not None and (g.data.tobytes(), g._version.count),
    )


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_do_the_same(seed, monkeypatch, dtype):
    with monkeypatch.context() as patch:
        taken = Taken(patch)
        short = [Program(100 * seed + k, dtype).outcome() for k in range(5)]
    with monkeypatch.context() as patch:
        patch.setattr(short_calls, "on", False)
        usual = [Program(100 * seed + k, dtype).outcome() for k in range(5)]
    for k, (one, other) in enumerate(zip(short, usual, strict=True)):
        for line, expected in zip(one, other, strict=True):
            assert line == expected, f"program {100 * seed + k}"
    assert min(taken.taken.values()) > 0


def test_programs_also_leave_them(taken, dtype):
    for seed in range(40):
        Program(seed, dtype).outcome()
    for name in ("update", "forward", "backward"):
        assert min(taken.taken[name], taken.left[name]) > 10


def test_they_are_taken_from_the_second_or_third_step(taken):
    program = Program(0, np.float32)
    for _ in range(10):
        program.forward()
        program.model.backward()
        program.sgd.step()
    assert taken.taken == {"update": 8, "forward": 8, "backward": 9, "gradients": 9}
    assert not taken.left


def test_parameters_of_two_dtypes_and_large_ones_keep_to_the_usual_way(taken):
    for shapes in ([((2,), np.float32), ((2,), np.float64)], [((200, 200), np.float32)]):
        parameters = [bp.param(np.ones(shape, dtype)) for shape, dtype in shapes]
        sgd = bp.SGD(parameters, lr=0.1)
        for _ in range(4):
            for p in parameters:
                p.g = np.ones(p.shape, p.dtype)
            sgd.step()
    assert not taken.taken


def test_they_die_with_model_and_optimizer():
    program = Program(0, np.float32)
    program.train()
    gone = [weakref.ref(p) for p in program.p]
    gc.disable()
    try:
        del program
        assert [each() is None for each in gone] == [True] * 4
    finally:
        gc.enable()


def test_large_passes_keep_to_the_usual_way(taken):
    model = bp.mlp([200, 50, 1])
    x, targ = np.ones((64, 200), "f"), np.ones((64, 1), "f")
    for n in (64, 64, 2, 2):
        model(x[:n], targ[:n])
        model.backward()
    assert taken.taken == {"forward": 1, "backward": 2, "gradients": 2}

"""Short calls of a Model's backward and of SGD: taken in a training loop, and in all the same as the usual ones."""

import gc
import random
import weakref
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.core import observer, short_calls

pytestmark = pytest.mark.skipif(not short_calls.on, reason="a build without short calls, or they are switched off")


class Taken:
    """How often each short call was taken, and how often not."""

    def __init__(self, patch):
        self.made, self.taken, self.left = short_calls.writer, Counter(), Counter()
        patch.setattr(short_calls, "writer", self.writer)

    def writer(self, *given):
        writer = self.made(*given)
        return writer and SimpleNamespace(
            update=self.counted("update", writer.update), backward=self.counted("backward", writer.backward)
        )

    def counted(self, name, call):
        def counting(*operands):
            done = call(*operands)
            (self.left if done is None else self.taken)[name] += 1
            return done

        return counting


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
        self.random, rng = random.Random(seed), np.random.default_rng(seed)
        self.model = bp.mlp([3, 4, 2], seed=seed, dtype=dtype)
        self.sgd = bp.SGD(self.model, lr=0.1, momentum=self.random.choice([0.0, 0.5]))
        self.data = rng.standard_normal((4, 3)).astype(dtype), rng.standard_normal((4, 2)).astype(dtype)
        self.p = self.model.parameters()
        self.forward()

    def forward(self):
        x, targ = (self.random.choice([array, array, bp.tensor(array), bp.as_tensor(array)]) for array in self.data)
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
            self.debugged,
            self.moved,
            self.read_only,
            self.listed,
        ]
        return self.train() if r < 0.5 else self.random.choice(odd)()

    def outcome(self, steps=30):
        lines = []
        for _ in range(steps):
            try:
                lines.append(self.step())
            except Exception as error:
                lines.append((type(error), str(error)))
            lines.append([seen(p) for p in self.p] + [seen(v) for _, v in self.sgd._velocity.values()])
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
    for name in ("update", "backward"):
        assert min(taken.taken[name], taken.left[name]) > 10


def test_they_are_taken_from_the_second_or_third_step(taken):
    program = Program(0, np.float32)
    for _ in range(10):
        program.forward()
        program.model.backward()
        program.sgd.step()
    assert taken.taken == {"update": 8, "backward": 9}
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
    assert taken.taken == {"backward": 2}

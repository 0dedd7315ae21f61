"""SGD's short update: taken in a training loop, and in everything the same as the usual one."""

import gc
import random
import weakref

import numpy as np
import pytest

import pybackprop as bp
from pybackprop.core import observer, short_calls

pytestmark = pytest.mark.skipif(not short_calls.on, reason="a build without short calls, or they are switched off")


class Taken:
    """How often a short update was taken, and how often not."""

    def __init__(self, patch):
        self.made, self.taken, self.left = short_calls.update, 0, 0
        patch.setattr(short_calls, "update", self.update)

    def update(self, *given):
        run = self.made(*given)

        def counting(*operands):
            done = run(*operands)
            self.taken += done is True
            self.left += done is None
            return done

        return run and counting


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

    def backward(self):
        loss = self.model(*self.data)
        loss.backward(accumulate=self.random.random() < 0.1)
        return float(loss)

    def train(self):
        for _ in range(3):
            self.backward()
            self.sgd.step()

    def debugged(self):
        with bp.debug():
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
            lambda: self.backward(),
            lambda: self.sgd.step(),
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
    assert taken.taken > 5


def test_programs_also_leave_it(taken, dtype):
    for seed in range(40):
        Program(seed, dtype).outcome()
    assert min(taken.taken, taken.left) > 40


def test_it_is_taken_from_the_third_step(taken):
    program = Program(0, np.float32)
    for _ in range(10):
        program.backward()
        program.sgd.step()
    assert (taken.taken, taken.left) == (8, 0)


def test_parameters_of_two_dtypes_and_large_ones_keep_to_the_usual_way(taken):
    for shapes in ([((2,), np.float32), ((2,), np.float64)], [((200, 200), np.float32)]):
        parameters = [bp.param(np.ones(shape, dtype)) for shape, dtype in shapes]
        sgd = bp.SGD(parameters, lr=0.1)
        for _ in range(4):
            for p in parameters:
                p.g = np.ones(p.shape, p.dtype)
            sgd.step()
    assert (taken.taken, taken.left) == (0, 0)


def test_it_dies_with_its_optimizer():
    program = Program(0, np.float32)
    program.train()
    gone = [weakref.ref(p.data) for p in program.p]
    gc.disable()
    try:
        del program
        assert [each() for each in gone] == [None] * 4
    finally:
        gc.enable()

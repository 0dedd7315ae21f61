"""plan.fit(loader): batches from any iterable give the bits of as many steps."""

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits


@pytest.fixture
def data(rng):
    x = rng.standard_normal((50, 4)).astype("f")
    return x, x[:, :1] * 2


@pytest.fixture
def plan():
    return bp.compile(bp.mlp([4, 5, 1]), batch=16, optimizer=bp.SGD(lr=0.05, momentum=0.9))


def cut(x, targ, sizes):
    ends = np.cumsum(sizes)
    return [(x[e - n : e], targ[e - n : e]) for n, e in zip(sizes, ends, strict=True)]


def stepped(batches, epochs):
    """The same by plan.step: (mean losses, parameters)."""
    plan = bp.compile(bp.mlp([4, 5, 1]), batch=16, optimizer=bp.SGD(lr=0.05, momentum=0.9))
    losses = []
    for _ in range(epochs):
        total = 0.0
        for x, targ in batches:
            total += plan.step(x, targ) * len(x)
        losses.append(total / sum(len(x) for x, _ in batches))
    return losses, [p.data.copy() for p in plan.model.parameters()]


def assert_fits(plan, loader, batches):
    history = plan.fit(loader, epochs=3)
    losses, parameters = stepped(batches, 3)
    assert [e.loss for e in history] == losses
    for p, q in zip(plan.model.parameters(), parameters, strict=True):
        assert_same_bits(p.data, q)


class Again:
    """Gives its batches anew in each epoch, and has no length."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        yield from self.batches


@pytest.mark.parametrize("loader", [list, tuple, Again])
def test_it_is_as_many_steps(plan, data, loader):
    batches = cut(*data, [16, 1, 7, 16, 10])
    assert_fits(plan, loader(batches), batches)


def test_a_data_loader(plan, data):
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(*map(torch.from_numpy, data))
    assert_fits(plan, torch.utils.data.DataLoader(pairs, batch_size=16), cut(*data, [16, 16, 16, 2]))


def test_moments_count_its_steps(plan, data, monkeypatch):
    monkeypatch.setattr("pybackprop.engine.fit.SLICE", 0.0)
    for loader, first in ((list, 3), (Again, 0)):
        seen = []
        plan.fit(loader(cut(*data, [16, 16, 16])), epochs=2, callback=seen.append)
        assert [m.step for m in seen] == [1, 2, 3] * 2
        assert seen[0].steps in (first, 1)
        assert {m.steps for m in seen[3:]} == {3}


def test_an_iterator_serves_one_epoch(plan, data):
    batches = cut(*data, [16, 16])
    before = [p.data.copy() for p in plan.model.parameters()]
    with pytest.raises(ValueError, match=r"generator, which gives its batches once, and 2 epochs; .*or epochs=1"):
        plan.fit((pair for pair in batches), epochs=2)
    for p, q in zip(plan.model.parameters(), before, strict=True):
        assert_same_bits(p.data, q)
    assert len(plan.fit((pair for pair in batches), epochs=1)) == 1


def test_an_object_that_is_exhausted_in_silence(plan, data):
    class Once:
        batches = iter(cut(*data, [16, 16]))

        def __iter__(self):
            return self.batches

    with pytest.raises(bp.ShapeError, match=r"no batches in epoch 2, expected at least one.*__iter__ starts again"):
        plan.fit(Once(), epochs=2)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda x, t: x, TypeError, r"batch 2: found ndarray, expected \(x, targ\)"),
        (lambda x, t: (x, t, t, t), TypeError, r"batch 2: found 4 parts, expected \(x, targ\)"),
        (lambda x, t: (x, t, t), bp.ShapeError, "batch 2: found sample_weight"),
        (lambda x, t: (x[:0], t[:0]), bp.ShapeError, "batch 2: found 0 rows, expected 1 to 16"),
        (lambda x, t: (np.tile(x, (2, 1)), np.tile(t, (2, 1))), bp.ShapeError, "batch 2: found 32 rows.* batch=32"),
        (lambda x, t: (x[:, 1:], t), bp.ShapeError, r"batch 2: found x \(16, 3\), expected 4 features"),
        (lambda x, t: (x * np.nan, t), ValueError, "batch 2: x: found nan at row 0, column 0"),
        (lambda x, t: None, TypeError, "batch 2: found NoneType"),
    ],
)
def test_a_batch_that_does_not_fit_is_named(plan, data, spoil, error, message):
    batches = cut(*data, [16, 16])
    batches[1] = spoil(*batches[1])
    with pytest.raises(error, match=rf"plan\.fit: {message}"):
        plan.fit(batches, epochs=1)


def test_what_a_loader_decides_is_not_an_option(plan, data):
    for option in ({"batch": 4}, {"validation_split": 0.2}):
        with pytest.raises(ValueError, match=f"found {next(iter(option))}=.* with a loader"):
            plan.fit(cut(*data, [16]), epochs=1, **option)
    for wrong in (5, "text", {"x": 1}):
        with pytest.raises(TypeError, match=r"without targ, expected plan\.fit\(x, targ"):
            plan.fit(wrong, epochs=1)


def test_divergence_names_the_step(plan, data):
    plan.optimizer.lr = 1e30
    with pytest.raises(bp.DivergedError, match=r"at step \d \(epoch 1\)"):
        plan.fit(cut(*data, [16, 16, 16]), epochs=1)


@pytest.mark.parametrize("loader", [list, Again])
def test_a_schedule_counts_its_steps(plan, data, loader):
    batches = cut(*data, [16, 16, 16])
    schedule = bp.StepLR(0.1, step_size=2, gamma=0.5)
    plan.fit(loader(batches), epochs=2, schedule=schedule)
    assert plan.optimizer.lr == schedule(5)
    by_steps = bp.compile(bp.mlp([4, 5, 1]), batch=16, optimizer=bp.SGD(lr=0.1, momentum=0.9))
    for k in range(6):
        by_steps.optimizer.lr = schedule(k)
        by_steps.step(*batches[k % 3])
    for p, q in zip(plan.model.parameters(), by_steps.model.parameters(), strict=True):
        assert_same_bits(p.data, q.data)


def test_a_schedule_over_all_steps_needs_their_number(plan, data):
    batches = cut(*data, [16, 16, 16])
    schedule = bp.CosineLR(0.1)
    plan.fit(batches, epochs=2, schedule=schedule)
    assert plan.optimizer.lr == bp.CosineLR(0.1, steps=6)(5)
    with pytest.raises(ValueError, match=r"CosineLR needs the number of steps in an epoch.* a loader with a length"):
        plan.fit(Again(batches), epochs=2, schedule=schedule)

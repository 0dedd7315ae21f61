"""Short calls: a plan's small steps without cffi do the same, and live and die like other objects."""

import gc
import multiprocessing
import os
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest

import pybackprop as bp
from helpers.compare import assert_same_bits
from helpers.processes import ended
from helpers.short_calls import Counted, F, compiled, samples, state
from pybackprop.core import short_calls

pytestmark = pytest.mark.skipif(not short_calls.on, reason="a build without short calls, or they are switched off")


@pytest.fixture
def plan(short_plan):
    return short_plan


# ---- the same bits ----


@pytest.mark.parametrize("widths", [(1, 1), (3, 5, 2), (10, 8, 1), (7, 16, 16, 4)], ids=str)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kind", [np.array, bp.as_tensor], ids=["array", "tensor"])
def test_the_bits_are_those_of_the_usual_way(longer, dtype, widths, momentum, kind, each_setting):
    m, h = widths[0], widths[-1]
    short, usual = compiled(widths, 9, dtype, momentum), longer(widths, 9, dtype, momentum)
    short.grads(*samples(9, m, h, dtype))
    counted = Counted(short)
    for seed, n in enumerate((9, 9, 1, 5, 9)):
        data = [kind(array) for array in samples(n, m, h, dtype, seed)]
        assert short.step(*data) == usual.step(*data)
        assert short.grads(*data) == usual.grads(*data)
        assert short.grads(*data, accumulate=True) == usual.grads(*data, True)
        for one, other in zip(state(short), state(usual), strict=True):
            assert_same_bits(one, other)
    assert counted.count == 0
    versions = [[p._version.count for p in plan.arena.parameters] for plan in (short, usual)]
    assert versions[0] == versions[1]
    assert short.arena.written.count == usual.arena.written.count
    assert {p._version.by for p in short.arena.parameters} == {"plan.step"}


def test_a_target_without_a_second_axis(longer):
    short, usual = compiled((3, 4, 1)), longer((3, 4, 1))
    x, t = samples(4, 3, 1)
    short.grads(x, t)
    counted = Counted(short)
    assert short.step(x, t[:, 0].copy()) == usual.step(x, t)
    assert counted.count == 0


@pytest.mark.parametrize("widths", [(0, 3), (4, 0, 2)], ids=str)
def test_networks_without_numbers(longer, widths):
    data = samples(4, widths[0], widths[-1])
    short, usual = compiled(widths), longer(widths)
    assert [short.step(*data) for _ in range(3)] == [usual.step(*data) for _ in range(3)]


def test_slices_and_what_was_written_into_them(plan, longer):
    usual, (x, t) = longer(), samples(40)
    usual.step(*samples())
    for start in range(0, 36, 3):
        rows = slice(start, start + 4)
        assert plan.step(x[rows], t[rows]) == usual.step(x[rows].copy(), t[rows].copy())
    x[...], t[...] = samples(40, seed=1)
    assert plan.step(x[:4], t[:4]) == usual.step(*(a.copy() for a in (x[:4], t[:4])))
    assert plan.usual.count == 0


def test_rates_are_those_of_each_step(plan, longer):
    usual, data = longer(), samples()
    usual.step(*data)
    for lr, momentum in ((0.05, 0.9), (0.025, 0.1), (0.025, 0), (0.0125, 0.5), (0, 0.5)):
        for each in (plan, usual):
            each.optimizer.lr, each.optimizer.momentum = float(lr), float(momentum)
        for _ in range(2):
            assert plan.step(*data) == usual.step(*data)
        for one, other in zip(state(plan), state(usual), strict=True):
            assert_same_bits(one, other)
    assert plan.usual.count == 2  # where momentum ends and begins
    plan.optimizer.lr = 1  # no float
    plan.step(*data)
    assert plan.usual.count == 3


def test_a_float_environment_of_the_callers_changes_nothing(plan, longer):
    torch = pytest.importorskip("torch")
    usual, tiny = longer(), (samples()[0] * F(1e-38), samples()[1] * F(1e-38))
    usual.step(*samples())
    expected = usual.step(*tiny)
    torch.set_flush_denormal(True)
    try:
        assert plan.step(*tiny) == expected
    finally:
        torch.set_flush_denormal(False)
    assert plan.usual.count == 0


# ---- life and death ----


def test_calls_leak_nothing(plan):
    data = samples()
    objects = [
        *data,
        data[0].dtype,
        plan.model,
        plan.arena.parameters[0],
        plan.arena.parameters[0]._version,
        True,
        None,
    ]
    before = [sys.getrefcount(each) for each in objects]
    for _ in range(2000):
        plan.step(*data)
        plan.grads(*data)
    after = [sys.getrefcount(each) for each in objects]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 100


def test_refused_calls_leak_nothing(plan):
    data = list(samples())
    data[0] = data[0][:, :2].copy()
    before = [sys.getrefcount(each) for each in data]
    for _ in range(500):
        assert plan._short_step(*data, 0.1, 0.9) is None
        assert plan._short_step(*data) is None
        assert plan._short_grads(*data, 2) is None
    assert [sys.getrefcount(each) for each in data] == before


def test_a_plan_dies_with_its_last_name():
    plan, arrays = compiled(), samples()
    for _ in range(2):
        plan.step(*arrays)
    gone = weakref.ref(plan)
    run = plan._short_step
    parameter = weakref.ref(plan.arena.parameters[0])
    data = weakref.ref(arrays[0])
    del plan, arrays
    assert gone() is None  # without the garbage collector
    assert data() is None
    assert isinstance(run(*samples(), 0.1, 0.9), float)  # it holds what it needs
    del run
    gc.collect()
    assert parameter() is None


def test_a_circle_through_the_model_is_collected():
    plan = compiled()
    plan.step(*samples())
    plan.model.run = plan._short_step
    gone = weakref.ref(plan.model)
    del plan
    gc.collect()
    assert gone() is None


def test_plans_are_collected_while_others_run():
    for seed in range(200):
        plan = compiled()
        plan.step(*samples(seed=seed))
        plan.step(*samples(seed=seed))
        plan.model.own = plan  # a circle
    gc.collect()
    assert np.isfinite(plan.step(*samples()))


def _steps_in_child(plan, queue):
    queue.put([plan.step(*samples()) for _ in range(3)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on(plan):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_steps_in_child, args=(plan, queue))
    child.start()
    child.join(60)
    assert queue.get() == [plan.step(*samples()) for _ in range(3)]


def test_threads_with_a_plan_each(longer):
    expected = [longer(momentum=0.5) for _ in range(4)]
    plans, losses = [compiled(momentum=0.5) for _ in range(4)], [[] for _ in range(4)]
    for plan in plans:
        plan.grads(*samples())

    def train(k):
        data = samples(seed=k)
        losses[k] = [plans[k].step(*data) for _ in range(300)]

    threads = [threading.Thread(target=train, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, plan in enumerate(expected):
        data = samples(seed=k)
        assert losses[k] == [plan.step(*data) for _ in range(300)]


def test_a_prepared_call_is_no_plans_to_copy(plan):
    with pytest.raises(TypeError):
        pickle.dumps(plan._short_step.__self__)


# ---- the extension ----


def test_it_refuses_what_it_cannot_read(monkeypatch):
    from pybackprop._call import Prepared

    with pytest.raises(TypeError):
        Prepared()
    with pytest.raises(TypeError):
        Prepared(*range(14))
    plan = compiled()
    monkeypatch.setattr("pybackprop.engine.plan.Tensor", int)  # a type without a tensor's slots
    plan.step(*samples())
    assert plan._short_step is None
    assert np.isfinite(plan.step(*samples()))


SAID = "from pybackprop.core import short_calls; print(short_calls.on)"


@pytest.mark.parametrize(("setting", "said"), [("0", "False"), ("1", "True"), ("", "True")])
def test_the_environment_switches_them(monkeypatch, setting, said):
    monkeypatch.setenv(short_calls.VARIABLE, setting)
    assert ended([sys.executable, "-c", SAID]).stdout.strip() == said


def test_an_unknown_setting_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setenv(short_calls.VARIABLE, "yes")
    done = ended([sys.executable, "-c", SAID])
    assert done.returncode
    assert "PYBACKPROP_SHORT_CALLS: found 'yes', expected 0 or 1" in done.stderr


def test_a_build_without_them_does_the_same():
    code = (
        "import sys; sys.modules['pybackprop._call'] = None\n"
        "import numpy as np, pybackprop as bp\n"
        "from pybackprop.core import short_calls\n"
        "plan = bp.compile(bp.mlp([3, 5, 2], seed=3), batch=4, optimizer=bp.SGD(lr=0.01))\n"
        "x, t = np.ones((4, 3), 'f'), np.ones((4, 2), 'f')\n"
        "print(short_calls.on, [plan.step(x, t).hex() for _ in range(3)])"
    )
    plan = bp.compile(bp.mlp([3, 5, 2], seed=3), batch=4, optimizer=bp.SGD(lr=0.01))
    x, t = np.ones((4, 3), F), np.ones((4, 2), F)
    assert ended([sys.executable, "-c", code]).stdout.strip() == f"False {[plan.step(x, t).hex() for _ in range(3)]}"

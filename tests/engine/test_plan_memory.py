"""What a plan asks the system for while it trains: nothing. Counted in processes of their own."""

from functools import partial

import pytest

from helpers.plans import STRATEGIES
from helpers.preload import HERE, run

PROGRAM = """
import ctypes, gc, json, resource, sys
import numpy as np
import pybackprop as bp

strategy, threads, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
counter = ctypes.c_long.in_dll(ctypes.CDLL(None), "allocations")
rng = np.random.default_rng(0)
bp.set_threads(threads)
widths, batch = (150, 70, 60, 3), 1500
x = bp.tensor(rng.standard_normal((batch, widths[0])).astype(np.float32))
targ = bp.tensor(rng.standard_normal((batch, widths[-1])).astype(np.float32))
model = bp.mlp(widths, seed=0)
sgd = bp.SGD(model, lr=1e-3, momentum=0.5)
plan = bp.compile(model, batch=batch, optimizer=sgd, strategy=strategy)
few = bp.tensor(x.data[:7]), bp.tensor(targ.data[:7])


def eager():
    model(x, targ).backward()
    sgd.step()


def steps(count):
    for k in range(count):
        {"step": lambda: plan.step(x, targ), "eager": eager}[what]()
        if what == "step":
            plan.grads(*few)


def fit(rows):
    plan.fit(x.data[:rows], targ.data[:rows], epochs=1, batch=10)


def used(action, size):
    faults, before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, counter.value
    action(size)
    return counter.value - before, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults


action = fit if what == "fit" else steps
sizes = (300, 1500) if what == "fit" else (4, 40)
gc.disable()
for _ in range(3):
    used(action, sizes[1])
print(json.dumps([min(used(action, size) for _ in range(3)) for size in sizes]))
"""


@pytest.fixture
def counting(builds):
    """Runs the program with malloc counted: (allocations, page faults) of few steps, and of many."""
    return partial(run, builds.library("count_malloc"), PROGRAM)


@HERE
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("what", ["step", "fit"])
def test_more_steps_allocate_no_more(counting, strategy, threads, what):
    (few, few_faults), (many, many_faults) = counting(strategy, threads, what)
    assert many == few
    assert many_faults <= few_faults + 2  # the interpreter's own


@HERE
def test_the_counter_counts(counting):
    """A model's steps make new results each time."""
    (few, _), (many, _) = counting("split", 1, "eager")
    assert many >= few + 36

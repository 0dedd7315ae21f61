"""Beside busy processes, and where no threads can be created: other threads do the shares, the bits stay."""

import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

import pybackprop as bp
from helpers.plans import STRATEGIES
from helpers.processes import python
from helpers.products import POOL
from pybackprop.core.native import lib

ROWS, WIDTHS, BATCH = 2200, (60, 40, 5), 1100
LINUX = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux shows them")


@pytest.fixture(scope="module")
def neighbours():
    """Two processes that do nothing but keep processors busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.fixture(params=[False, True], ids=["usual", "insist"])
def insist(request):
    """Whether every operation waits until all threads have begun, or they help as they come."""
    lib.bp_insist_on_helpers(request.param)
    yield request.param
    lib.bp_insist_on_helpers(os.environ.get("PYBACKPROP_INSIST") == "1")


def trained(strategy):
    """The bits of a short training: losses, parameters, gradients, outputs."""
    rng = np.random.default_rng(0)
    x, targ = (rng.standard_normal((ROWS, width)).astype("f") for width in (WIDTHS[0], WIDTHS[-1]))
    model = bp.mlp(WIDTHS, seed=0)
    plan = bp.compile(model, batch=BATCH, optimizer=bp.SGD(model, lr=0.01, momentum=0.9), strategy=strategy)
    losses = [*(epoch.loss for epoch in plan.fit(x, targ, epochs=2, seed=0)), plan.grads(x[:BATCH], targ[:BATCH])]
    arrays = [plan.predict(x), *(each for p in model.parameters() for each in (p.data, p.g.data))]
    return np.float64(losses).tobytes(), *(np.asarray(array).tobytes() for array in arrays)


@cache
def expected():
    """By one operation after the other, in plain C, on one thread."""
    bp.use_kernel("generic")
    bp.set_threads(1)
    return trained("layers")


def assert_expected(strategy, name):
    right = expected()
    bp.use_kernel(name)
    for threads in (1, 2, 3):
        bp.set_threads(threads)
        before = lib.bp_helped()
        assert trained(strategy) == right, f"{threads} threads"
        yield threads, lib.bp_helped() - before


@pytest.mark.parametrize("name", bp.kernels())
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_bits_of_a_training(strategy, name, insist):
    for threads, helped in assert_expected(strategy, name):
        assert (helped > 0) == (POOL and threads > 1) or not insist


@pytest.mark.parametrize("name", bp.kernels())
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.usefixtures("neighbours")
def test_the_bits_of_a_training_beside_busy_processes(strategy, name, insist):
    for threads, helped in assert_expected(strategy, name):
        assert (helped > 0) == (POOL and threads > 1) or not insist


# ---- where no threads can be created ----

FEWER = """
import os, resource, sys
import numpy as np, pybackprop as bp
rng = np.random.default_rng(0)
a = rng.standard_normal((300, 200))
x, targ = rng.standard_normal((1100, 60)).astype("f"), rng.standard_normal((1100, 5)).astype("f")

def work(threads):
    bp.set_threads(threads)
    found = [bp.matmul(a, a.T).data.tobytes()]
    for strategy in ("layers", "fused", "split"):
        model = bp.mlp([60, 40, 5], seed=0)
        plan = bp.compile(model, batch=1100, optimizer=bp.SGD(model, lr=0.01), strategy=strategy)
        found.append((plan.step(x, targ), [p.data.tobytes() for p in model.parameters()]))
    return found

tasks = lambda: len(os.listdir("/proc/self/task"))
right, before = work(1), tasks()
if os.getuid() == 0:
    os.setuid(65534)  # the limit does not hold for root
resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[1]) and before + 1,) * 2)
print(work(5) == right, tasks() - before)
"""


@LINUX
@pytest.mark.parametrize("more", [0, 1])
def test_where_no_more_threads_can_be_created_there_are_fewer(more):
    done = python(FEWER, more, OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    same, helpers = done.stdout.split()
    assert same == "True"
    assert int(helpers) <= more
    assert done.stderr == ""


@LINUX
@pytest.mark.skipif(not POOL, reason="a serial build has no helpers")
def test_helpers_take_no_signals():
    code = """
import os
import numpy as np, pybackprop as bp
tasks = lambda: set(os.listdir("/proc/self/task"))
a = np.ones((300, 300))
before = tasks()
bp.set_threads(3)
bp.matmul(a, a)
blocked = [line.split()[1] for task in tasks() - before for line in open(f"/proc/self/task/{task}/status")
           if line.startswith("SigBlk")]
print(len(blocked), all(int(each, 16) >> signal - 1 & 1 for each in blocked for signal in (1, 2, 10, 14, 15, 17)))
"""
    done = python(code)
    assert done.stdout.split() == ["2", "True"], done.stderr

"""Forked and spawned processes, and what the environment says to a new one: the bits stay, nobody waits for ever."""

import os
import signal
import threading
import time

import pytest

import pybackprop as bp
from helpers.plans import STRATEGIES
from helpers.processes import TIMEOUT, python
from helpers.products import (
    POOL,
    PROBLEMS,
    forked_child,
    forked_parent,
    run_processes,
    solve,
    solve_all,
    spawned_child,
    together,
)
from pybackprop.core import settings

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture
def _solved():
    """The reference's results are there before a fork."""
    solve_all()


@FORK
@pytest.mark.parametrize("target", [forked_child, forked_parent])
@pytest.mark.usefixtures("_solved")
def test_forked_processes(target):
    bp.set_threads(3)
    solve_all()
    run_processes("fork", target, 2)
    solve_all()
    assert bp.threads() == (3 if POOL else 1)


def test_a_spawned_process_has_threads_of_its_own():
    bp.set_threads(3)
    solve(*PROBLEMS[-1])
    run_processes("spawn", spawned_child)


def fork():
    """The exit status of a child forked by this very thread; killed if it hangs."""
    pid = os.fork()
    if pid == 0:
        try:
            forked_child()
            os._exit(0)
        finally:
            os._exit(1)
    until = time.monotonic() + TIMEOUT
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


@FORK
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("_solved")
def test_a_fork_in_one_thread_while_others_multiply():
    bp.set_threads(3)
    done = threading.Event()

    def busy():
        while not done.is_set():
            solve(*PROBLEMS[4])

    def forks():
        try:
            return [fork() for _ in range(3)]
        finally:
            done.set()

    assert together(busy, forks, busy)[1] == [0, 0, 0]
    solve_all()


# ---- the environment ----


def test_the_environment_may_ask_for_more_threads_than_cores():
    code = """
import numpy as np, pybackprop as bp
a = np.random.default_rng(0).standard_normal((150, 160))
same = (bp.matmul(a, a, transpose_b=True).data == bp.reference.matmul(a, a, transpose_b=True)).all()
print(bp.threads(), same)
"""
    done = python(code, PYBACKPROP_THREADS="8")
    assert done.stdout.split() == ["8" if POOL else "1", "True"], done.stderr


def test_the_usual_number_of_threads_is_openmps_or_that_of_processors():
    def threads(**environment):
        return int(python("import pybackprop as bp; print(bp.threads())", **environment).stdout)

    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads(OMP_NUM_THREADS="") == (min(processors, settings.cpu_quota() or processors) if POOL else 1)
    assert threads(OMP_NUM_THREADS="5,2") == (min(5, settings.cpu_quota() or 5) if POOL else 1)
    assert threads(OMP_NUM_THREADS="5", PYBACKPROP_THREADS="4") == (4 if POOL else 1)
    assert threads(OMP_THREAD_LIMIT="3", PYBACKPROP_THREADS="4") == (3 if POOL else 1)
    assert threads(OMP_NUM_THREADS="many") == threads(OMP_NUM_THREADS="-2") == threads(OMP_NUM_THREADS="")


FEWER = [{"OMP_THREAD_LIMIT": "1"}, {"OMP_THREAD_LIMIT": "3"}, {}]


@pytest.mark.parametrize("environment", FEWER, ids=str)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_with_fewer_threads_than_asked_for(strategy, environment):
    code = f"""
import numpy as np, pybackprop as bp
rng = np.random.default_rng(0)
x, targ = rng.standard_normal((1100, 100)).astype("f"), rng.standard_normal((1100, 2)).astype("f")
found = []
for threads in (1, 8):
    bp.set_threads(threads)
    model = bp.mlp([100, 64, 2], seed=0)
    plan = bp.compile(model, batch=1100, optimizer=bp.SGD(lr=0.001), strategy={strategy!r})
    steps = [plan.step(x, targ), plan.step(x, targ)]
    found.append((steps, [p.data.tobytes() + p.g.data.tobytes() for p in model.parameters()]))
    assert steps[1] < steps[0]
assert found[0] == found[1]
try:
    plan.fit(x, np.full_like(targ, 1e30), epochs=1)
except bp.DivergedError:
    print("diverged")
"""
    done = python(code, **environment)
    assert done.stdout == "diverged\n", done.stderr


NO_KERNEL = next(name for name in ("neon", "avx512", "avx2") if name not in bp.kernels())
ENVIRONMENT = {
    "KERNEL": [NO_KERNEL, "GENERIC", " generic", "generic,avx2", "0"],
    "THREADS": ["-1", "1.5", "1e3", "1025", "9" * 30, " 2", "2 ", "0x2", "+2", "²"],
    "TILES": ["4096", "4096,", ",64", "0,0", "-4096,64", "4096,64,1", "4096 64", "1e4,64", "4096,7", "4194305,64"],
}
ENVIRONMENT["TILES"] += ["4096,2049", f"{2**64 + 4096},64", f"4096,{2**32 + 64}", "4096,64\n"]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ENVIRONMENT.items() for value in values])
def test_an_environment_that_makes_no_sense_is_refused(monkeypatch, name, value):
    """test_settings.py asks a fresh interpreter; here are more values."""
    before = bp.info()
    monkeypatch.setenv(f"PYBACKPROP_{name}", value)
    with pytest.raises(ValueError, match=", ".join(bp.kernels()) if name == "KERNEL" else "found"):
        settings.take_environment()
    kept = ["tiles", "kernel", *(["threads"] if name == "THREADS" else [])]  # bad threads are refused first
    assert [bp.info()[each] for each in kept] == [before[each] for each in kept]


def test_a_kernel_that_this_cpu_cannot_run_says_which_ones_it_can():
    done = python("import pybackprop", PYBACKPROP_KERNEL=NO_KERNEL)
    assert done.returncode != 0
    assert ": " + ", ".join(bp.kernels()) + ";" in done.stderr.splitlines()[-1]

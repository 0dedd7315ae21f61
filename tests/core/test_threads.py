"""Products that run at once, and more threads than there are cores: the bits stay."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import numpy as np
import pytest

import pybackprop as bp
from helpers.processes import TIMEOUT, python
from helpers.products import POOL, PROBLEMS, problem, solve, solve_all, together
from pybackprop.core import settings


@pytest.fixture(autouse=True)
def _own_tiles():
    yield
    bp.set_tiles()


@pytest.fixture
def _solved():
    """The reference's results are there: what follows spends its time in the core."""
    for each in PROBLEMS:
        problem(*each)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", bp.kernels())
@pytest.mark.usefixtures("_solved")
def test_products_of_different_sizes_from_four_python_threads(name, threads):
    bp.use_kernel(name)
    bp.set_threads(threads)
    rounds = 1 if name == "generic" else 8
    together(*(lambda k=k: [solve_all(3 * k) for _ in range(rounds)] for k in range(4)))


@pytest.mark.usefixtures("_solved")
def test_settings_that_change_while_others_compute():
    """A product that started with one kernel, tile or number of threads may not end with another's."""
    done = threading.Event()

    def change():
        settings = zip(
            cycle(bp.kernels()), cycle((1, 2, 3)), cycle(((4096, 64), (524288, 2048), (5000, 100), (None, None)))
        )
        for name, threads, tiles in settings:
            bp.use_kernel(name)
            bp.set_threads(threads)
            bp.set_tiles(*tiles)
            if done.wait(0.0002):
                return

    def compute(first):
        try:
            for _ in range(4):
                solve_all(first)
        finally:
            done.set()

    together(change, lambda: compute(0), lambda: compute(5))


@pytest.mark.parametrize("name", bp.kernels())
def test_more_threads_than_cores(name):
    bp.use_kernel(name)
    bp.set_threads(64)
    for sizes in ((251, 211, 257), (5, 1025, 2601), (2601, 1025, 5), (12_801, 1, 1009)):
        solve(sizes, np.float32)


@pytest.mark.usefixtures("_solved")
def test_products_within_the_threads_of_threads():
    """Each thread multiplies, and meanwhile threads that it started do too."""
    bp.set_threads(3)

    def outer(k):
        with ThreadPoolExecutor(2) as pool:
            inner = [pool.submit(solve_all, k + j) for j in (1, 2)]
            solve_all(k)
            return [each.result(TIMEOUT) for each in inner]

    together(lambda: outer(0), lambda: outer(3))


# ---- the pool, as others see it ----


@pytest.mark.skipif(not POOL, reason="a serial build has no pool")
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux shows them")
def test_threadpoolctl_limits_the_threads_that_products_start():
    pytest.importorskip("threadpoolctl")
    code = """
import os, pathlib, numpy as np, pybackprop as bp
from threadpoolctl import threadpool_limits
from pybackprop.core import settings
settings.CGROUP = pathlib.Path("none")
bp.set_threads(None)
a = np.random.default_rng(0).standard_normal((150, 160))
expected = bp.reference.matmul(a, a, transpose_b=True)
def started():
    assert (bp.matmul(a, a, transpose_b=True).data == expected).all()
    return len(os.listdir("/proc/self/task")) - before
before = len(os.listdir("/proc/self/task"))
with threadpool_limits(1, user_api="openmp"):
    print(started())
with threadpool_limits(3, user_api="openmp"):
    print(started())
"""
    done = python(code)
    assert done.stdout.split() == ["0", "2"], done.stderr


@pytest.mark.skipif(not POOL, reason="a serial build has no pool")
def test_threadpoolctl_limits_the_threads_of_a_container_too(tmp_path, monkeypatch):
    """A quota is a bound, not a number that was asked for: others may allow fewer."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    (tmp_path / "cpu.max").write_text("300000 100000")
    monkeypatch.setattr(settings, "CGROUP", tmp_path / "cpu.max")
    with threadpoolctl.threadpool_limits(8, user_api="openmp"):
        bp.set_threads(None)
        assert bp.threads() == 3
        with threadpoolctl.threadpool_limits(1, user_api="openmp"):
            assert bp.threads() == 1


BOTH_ORDERS = ["import threadpoolctl, pybackprop as bp", "import pybackprop as bp, threadpoolctl"]


@pytest.mark.skipif(not POOL, reason="a serial build has no pool")
@pytest.mark.parametrize("imports", BOTH_ORDERS)
def test_threadpoolctl_knows_our_threads_whichever_is_imported_first(imports):
    pytest.importorskip("threadpoolctl")
    code = f"""
{imports}
import importlib, inspect, sys
from threadpoolctl import threadpool_info, threadpool_limits
(ours,) = [each for each in threadpool_info() if each["internal_api"] == "pybackprop"]
assert ours["filepath"].endswith((".so", ".pyd", ".dylib"))
for asked in (None, 5):
    bp.set_threads(asked)
    before = bp.threads()
    assert before == [each for each in threadpool_info() if each["internal_api"] == "pybackprop"][0]["num_threads"]
    with threadpool_limits(2):
        assert bp.threads() == 2
        with threadpool_limits(1, user_api="openmp"):
            assert bp.threads() == 1
        assert bp.threads() == 2
    assert bp.threads() == before
    with threadpool_limits(1, user_api="blas"):
        assert bp.threads() == before
bp.set_threads(None)
print(bp.threads())
assert "LibController" in inspect.getsource(threadpoolctl)
assert not [each for each in sys.meta_path if type(each).__module__.startswith("pybackprop")]
importlib.reload(threadpoolctl)
"""
    done = python(code, PYBACKPROP_THREADS="", OMP_NUM_THREADS="3")
    assert done.stdout == "3\n", done.stderr


def test_threadpoolctl_is_not_imported_by_us():
    done = python("import sys, pybackprop; print('threadpoolctl' in sys.modules)")
    assert done.stdout == "False\n", done.stderr

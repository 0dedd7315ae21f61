"""Products of many sizes whose results are known, and threads and processes that compute them at once."""

import multiprocessing
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

import pybackprop as bp
from helpers.matrix import numbers, same
from helpers.processes import TIMEOUT

POOL = bp.info()["pool"] is not None  # whether there are threads at all
# rows, inner, cols: for one thread, and for several
SIZES = [(9, 17, 33), (61, 67, 71), (131, 101, 137), (3, 513, 1103), (1103, 512, 3), (67, 512, 61)]


@cache
def problem(sizes, dtype):
    """a, b, c; a @ b, c + a @ b, a.T @ c, the sum of c's rows."""
    rows, inner, cols = sizes
    rng = np.random.default_rng(sizes)
    a, b, c = (numbers(rng, shape, dtype, "plain") for shape in ((rows, inner), (inner, cols), (rows, cols)))
    ref = bp.reference
    return (
        a,
        b,
        c,
        (
            ref.matmul(a, b),
            ref.matmul(a, b, add_to=c),
            ref.linear_backward_x(c, b),
            ref.linear_backward_w(a, c),
            ref.linear_backward_b(c),
        ),
    )


def solve(sizes, dtype):
    """Asserts that each kind of product has the reference's bits, from arrays and from tensors."""
    a, b, c, expected = problem(sizes, dtype)
    added = bp.tensor(c)
    x, w, bias, out = bp.tensor(a), bp.tensor(b), bp.tensor(np.zeros(sizes[2], dtype)), bp.tensor(c)
    out.g = c
    bp.matmul(x, w, out=added, accumulate=True)
    bp.lin_grad(x, out, w, bias)
    found = bp.matmul(a, b).data, added.data, x.g.data, w.g.data, bias.g.data
    for name, one, right in zip(("product", "added", "dx", "dw", "db"), found, expected, strict=True):
        assert same(one, right), f"{name} of {sizes} {np.dtype(dtype)}"


PROBLEMS = [(sizes, dtype) for sizes in SIZES for dtype in (np.float32, np.float64)]


def solve_all(first=0):
    for k in range(len(PROBLEMS)):
        solve(*PROBLEMS[(first + k) % len(PROBLEMS)])


def together(*calls):
    """Calls them from as many Python threads at the same time."""
    ready = threading.Barrier(len(calls))

    def start(call):
        ready.wait(TIMEOUT)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result(TIMEOUT) for each in [pool.submit(start, call) for call in calls]]


def child():
    """In a process of its own, whatever number of threads its parent used."""
    solve_all()
    bp.set_threads(3)
    solve_all()


def forked_child():
    before = bp.threads()
    child()
    assert bp.threads() == before == (3 if POOL else 1)


def forked_parent():
    """A child that has children of its own."""
    forked_child()
    run_processes("fork", forked_child)
    forked_child()


def spawned_child():
    bp.set_threads(3)
    assert bp.threads() == (3 if POOL else 1)
    child()


def run_processes(method, target, count=1):
    """Fails where one of them does not end well, and in time."""
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=target) for _ in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork beside threads
        for process in processes:
            process.start()
    until = time.monotonic() + TIMEOUT
    for process in processes:
        process.join(max(0, until - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()
    assert [process.exitcode for process in processes] == [0] * count

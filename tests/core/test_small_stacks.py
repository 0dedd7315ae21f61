"""Threads with little stack, as musl's and embedded Pythons' are: every operation runs, with the usual bits.

Each in a process of its own, which an overflow of the stack would end.
"""

import json
import sys

import pytest

from helpers.plans import STRATEGIES
from helpers.processes import python

PROGRAM = """
import json, sys, threading
import numpy as np
import pybackprop as bp
from pybackprop import reference

size, threads = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)


def random(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def products():
    # Small, packed, and more than any cache; with columns that fill no vector.
    for dtype in (np.float32, np.float64):
        for rows, inner, cols in ((7, 5, 3), (45, 50, 51), (61, 613, 131), (300, 700, 290)):
            left, right = random(rows, inner, dtype=dtype), random(inner, cols, dtype=dtype)
            for transposed in range(4):
                a, b = (left.T.copy(), left)[not transposed & 1], (right.T.copy(), right)[not transposed & 2]
                yield lambda a=a, b=b, t=transposed: bp.matmul(
                    a, b, transpose_a=bool(t & 1), transpose_b=bool(t & 2)
                ).data


def lesson(dtype):
    x, w, b = (bp.param(random(*shape, dtype=dtype)) for shape in ((700, 90), (90, 61), (61,)))
    targ = bp.tensor(random(700, 61, dtype=dtype))

    def run():
        out = bp.lin(x, w, b)
        activated = bp.leaky_relu(bp.relu(out))
        loss = bp.mse(activated, targ)
        loss.backward()
        return [out.data, loss.data, *(t.g.data.copy() for t in (x, w, b))]

    return run


def model(inplace, last):
    net = bp.Model([bp.Lin(*weights(150, 70)), bp.Relu(), bp.Lin(*weights(70, 141)), bp.Relu(),
                    bp.Lin(*weights(141, 9)), *last], inplace=inplace)  # fmt: skip
    x, targ = random(1100, 150), random(1100, 9)

    def run():
        loss = net(x, targ)
        net.backward()
        return [loss.data, *(p.g.data.copy() for p in net.parameters())]

    return run


def weights(m, h):
    return bp.tensor(random(m, h)), bp.tensor(random(h))


def plan(strategy):
    net = bp.mlp((150, 70, 60, 3), seed=0)
    sgd = bp.SGD(net, lr=1e-3, momentum=0.5)
    made = bp.compile(net, batch=1500, optimizer=sgd, strategy=strategy)
    x, targ = random(1500, 150), random(1500, 3)
    start = [p.data.copy() for p in net.parameters()]

    def run():
        for p, old in zip(net.parameters(), start):
            p.data[...] = old
        loss = made.grads(x, targ)
        return [loss, made.predict(x), *(p.g.data.copy() for p in net.parameters())]

    return run


def bits(results):
    results = results if isinstance(results, list) else [results]
    return [np.asarray(r.data if isinstance(r, bp.Tensor) else r).tobytes() for r in results]


def tasks(what):
    if what == "products":
        return list(products())
    if what == "lesson":
        return [lesson(np.float32), lesson(np.float64)]
    if what == "model":
        return [model(inplace, last) for inplace in (False, True) for last in ([], [bp.Relu()])]
    return [plan(what)]


bp.set_threads(threads)
usual = tasks(sys.argv[3])
expected = [bits(task()) for task in usual]
found = []
try:
    threading.stack_size(size)
    thread = threading.Thread(target=lambda: found.extend(bits(task()) for task in usual))
    thread.start()
except (ValueError, RuntimeError):
    print(json.dumps("refused"))
    sys.exit()
thread.join()
print(json.dumps(found == expected))
"""


@pytest.mark.parametrize("size", [32 * 1024, 64 * 1024])  # the first: the least that Python takes
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("what", ["products", "lesson", "model", *STRATEGIES])
def test_every_operation_in_a_thread_with_little_stack(what, threads, size):
    done = python(PROGRAM, size, threads, what, OMP_STACKSIZE="64k")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if found == "refused":
        pytest.skip(f"{sys.platform} has no threads with so little stack")
    assert found is True, done.stderr

"""Which C functions ask for memory: what the header says of each, counted with a malloc in front of glibc's."""

import pytest

from helpers.preload import HERE, run

pytestmark = HERE

# For each function, how often it asked in one call, least of several: of operands that fit in static memory (small),
# and of larger ones (large).
PROGRAM = """
import ctypes, gc, json
import numpy as np
import pybackprop as bp
from pybackprop.core import native as c

counter = ctypes.c_long.in_dll(ctypes.CDLL(None), "allocations")
bp.set_threads(1)
gc.disable()
F, at = c.FLOAT32, c.pointer


def calls(n, m, h):
    rng = np.random.default_rng(0)
    x, w, b, out = (rng.standard_normal(s).astype(np.float32) for s in ((n, m), (m, h), (h,), (n, h)))
    dx, dw, db, v, one = (np.zeros(s, np.float32) for s in ((n, m), (m, h), (h,), (n, h), ()))
    held = [x, w, b, out, dx, dw, db, v, one]
    X, W, B, O, DX, DW, DB, V, ONE = map(at, held)
    adam = c.optimizer({"rule": c.ADAM, "beta2": 0.999, "eps": 1e-8})
    index, state = c.indices(n), c.new_state(0, 1)
    model = bp.mlp([m, h, 3], seed=0)
    plan = bp.compile(model, batch=n, optimizer=bp.SGD(lr=1e-6, momentum=0.5))
    t = np.zeros((n, 3), np.float32)
    T, P = at(t), at(np.zeros((n, 3), np.float32))
    plan.step(x, t)
    held += [t, plan]
    packing = {
        "linear_forward": lambda: c.linear_forward[F](O, X, W, B, n, m, h),
        "linear_backward_x": lambda: c.linear_backward_x[F](DX, O, W, n, m, h, 0),
        "linear_backward_w": lambda: c.linear_backward_w[F](DW, X, O, n, m, h, 0),
        "linear_backward_wb": lambda: c.linear_backward_wb[F](DW, DB, X, O, n, m, h, 0),
        "matmul": lambda: c.matmul[F](O, h, X, m, W, h, n, m, h, 0, 0, 0),
    }
    never = {
        "linear_backward_b": lambda: c.linear_backward_b[F](DB, O, n, h, 0),
        "relu_forward": lambda: c.relu_forward[F](V, O, n * h),
        "relu_backward": lambda: c.relu_backward[F](V, O, O, n * h),
        "leaky_relu_forward": lambda: c.leaky_relu_forward[F](V, O, 0.1, n * h),
        "leaky_relu_backward": lambda: c.leaky_relu_backward[F](V, O, O, 0.1, n * h),
        "mse_forward": lambda: c.mse_forward[F](ONE, O, V, n, h),
        "mse_backward": lambda: c.mse_backward[F](V, O, V, n * h),
        "sgd_update": lambda: c.sgd_update[F](DW, W, 1e-9, m * h),
        "sgd_momentum_update": lambda: c.sgd_momentum_update[F](DW, DX, W, 1e-9, 0.5, min(n, h) * m),
        "adam_update": lambda: c.adam_update[F](DW, DX, V, X, adam, 1e-9, 0.9, min(n, h) * min(m, h)),
        "sgd_decay_update": lambda: c.sgd_decay_update[F](DW, DX, W, adam, 1e-9, 0.5, min(n, h) * m),
        "sum_squares": lambda: c.sum_squares[F](DW, m * h),
        "scale": lambda: c.scale[F](DW, 0.5, m * h),
        "random_uniform": lambda: c.random_uniform[F](V, 1.0, state, n * h),
        "random_permutation": lambda: c.lib.bp_random_permutation(index, state, n),
        "plan_grads": lambda: c.plan_grads[F](plan.c_plan, plan._loss, X, T, n, c.NULL, 0),
        "plan_step": lambda: c.plan_step[F](plan.c_plan, plan._loss, X, T, n, 1e-6, 0.5),
        "plan_predict": lambda: c.plan_predict[F](plan.c_plan, P, X, n),
        "ref_linear_forward": lambda: c.ref_linear_forward[F](O, X, W, B, n, m, h),
        "ref_linear_backward_x": lambda: c.ref_linear_backward_x[F](DX, O, W, n, m, h, 0),
        "ref_linear_backward_w": lambda: c.ref_linear_backward_w[F](DW, X, O, n, m, h, 0),
        "ref_linear_backward_b": lambda: c.ref_linear_backward_b[F](DB, O, n, h, 0),
        "ref_matmul": lambda: c.ref_matmul[F](O, h, X, m, W, h, n, m, h, 0, 0, 0),
        "ref_relu_forward": lambda: c.ref_relu_forward[F](V, O, n * h),
        "ref_mse_forward": lambda: c.ref_mse_forward[F](ONE, O, V, n, h),
        "ref_sgd_update": lambda: c.ref_sgd_update[F](DW, W, 1e-9, m * h),
    }
    return packing, never, held


def asked(call):
    counts = []
    for _ in range(4):
        before = counter.value
        call()
        counts.append(counter.value - before)
    return min(counts)


found = {}
for size, shape in {"small": (24, 20, 12), "large": (700, 300, 200)}.items():
    packing, never, held = calls(*shape)
    found[size] = [{name: asked(call) for name, call in group.items()} for group in (packing, never)]
    n, m, h = shape
    found[size].append(c.matmul_workspace[F](n, m, h))
control = asked(lambda: bytearray(10**6))
print(json.dumps([found["small"], found["large"], control]))
"""


@pytest.fixture(scope="module")
def counted(builds):
    return run(builds.library("count_malloc"), PROGRAM, threads=1)


def test_the_counter_counts(counted):
    assert counted[2] == 1


@pytest.mark.parametrize("size", [0, 1], ids=["small", "large"])
def test_only_products_ask_for_memory(counted, size):
    assert set(counted[size][1].values()) == {0}, counted[size][1]


def test_small_products_use_static_memory(counted):
    packing, _, workspace = counted[0]
    assert workspace == 0
    assert set(packing.values()) == {0}, packing


def test_large_products_ask_as_matmul_workspace_says(counted):
    packing, _, workspace = counted[1]
    assert workspace > 0
    assert all(count > 0 for count in packing.values()), packing

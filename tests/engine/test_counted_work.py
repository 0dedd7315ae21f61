"""No width of a network in which a step does much more than its multiplications: lanes of tiles, counted.

Times differ from machine to machine; how many lanes the tiles multiply does not. The C core is built with a counter in
its micro-kernel, and steps of 10 -> w -> w -> 10 run on every kernel and in every strategy that their sizes choose.
"""

import json
import os
import platform
import sys

import pytest

from helpers.compile_c import compilers
from helpers.mutants import package
from helpers.processes import ended

TILE = "static void LOCAL(run_tile)(const LOCAL(tile_job) * t, size_t rows, size_t vectors) {\n"
COUNTER = "_Atomic unsigned long long bp_counted;\n"
COUNT = "    bp_counted += t->inner * rows * vectors * LANES;\n"
WIDTHS = [16, 24, 32, 50, 64, 96, 100, 128, 200, 256, 300, 512, 700, 1024, 2048]

STEPS = """
import ctypes, json, sys
import numpy as np, pybackprop as bp
from pybackprop import _core

counted = ctypes.c_ulonglong.in_dll(ctypes.CDLL(_core.__file__), "bp_counted")
found = []
for kernel in bp.kernels():
    bp.use_kernel(kernel)
    for n, most in ((128, 2048), (1024, 512), (8192, 128)):
        for w in json.loads(sys.argv[1]):
            if w > (most if kernel != "generic" else 200):
                continue
            model = bp.mlp([10, w, w, 10])
            for p in model.parameters():  # no relu is off: its zeros would be left out
                p[...] = np.abs(np.asarray(p)) + np.float32(0.01)
            plan = bp.compile(model, batch=n, optimizer=bp.SGD(lr=1e-9))
            counted.value = 0
            plan.step(np.ones((n, 10), np.float32), np.zeros((n, 10), np.float32))
            needed = n * (3 * w * w + 5 * 10 * w)  # the data's gradient is not computed
            found.append([kernel, plan.layout.strategy, n, w, counted.value / needed])
print(json.dumps(found))
"""

pytestmark = [
    pytest.mark.builds,
    pytest.mark.skipif(platform.system() != "Linux" or not compilers(), reason="needs a compiler"),
]


def most_lanes(width):
    """Lanes for each multiplication: narrow layers do not fill vectors."""
    return 1.4 if width < 64 else 1.15 if width < 200 else 1.06


def test_no_width_multiplies_many_more_lanes_than_it_needs(builds, tmp_path):
    folder = package(builds, tmp_path, "gemm/micro_kernel.h", TILE, COUNTER + TILE + COUNT, "ops/matmul.c")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = ended([sys.executable, "-c", STEPS, json.dumps(WIDTHS)], env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {strategy for _, strategy, *_ in found} >= {"split", "fused"}
    assert [case for case in found if not 0.99 < case[-1] <= most_lanes(case[-2])] == []

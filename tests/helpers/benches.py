"""Works and engines that the tests of the benchmark have in common."""

from pybackprop.bench.engines.engine import ENTRIES
from pybackprop.bench.workloads import Workload

OURS_AND_NUMPY = ["--engines", "numpy,pybackprop"]
NUMPY, OURS, PLAN = ENTRIES[:3]
ONE_PASS = ENTRIES[3]
PEERS, RANKS = ENTRIES[4:-1], ENTRIES[-1]
TINY = Workload("small", "matmul", (4, 4, 4), "float32", 1)


def silent(*_):
    """Told of every turn."""

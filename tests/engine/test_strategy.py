"""Which strategy a plan chooses from its sizes and the threads: the one that was measured to be faster."""

import pytest

import pybackprop as bp
from helpers.products import POOL


@pytest.mark.parametrize(
    ("threads", "widths", "batch", "strategy", "why"),
    [
        (1, [100, 50, 1], 1023, "split", "keep some threads waiting"),
        (1, [100, 50, 1], 1024, "fused", "one pass over 1,024 rows"),
        (1, [100, 50, 1], 1536, "fused", "one pass"),
        (2, [100, 50, 1], 2047, "split", "keep some threads waiting"),
        (2, [100, 50, 1], 2048, "fused", "one pass"),
        (2, [100, 50, 1], 2560, "fused", "one pass"),  # 1,536 rows and 1,024
        (8, [100, 50, 1], 8192, "fused", "one pass"),
        (8, [100, 50, 1], 8704, "split", "keep some threads waiting"),  # 17 segments: 3 for one thread
        (8, [100, 50, 1], 60000, "fused", "one pass"),
        (2, [10, 500, 10], 4096, "fused", "one pass"),
        (2, [120, 120, 10], 4096, "fused", "one pass"),
        (2, [121, 121, 10], 4096, "split", "121 inputs and outputs are too many"),
        (2, [121, 121, 10], 60000, "fused", "one pass"),  # its activations would take 94 MB
        (2, [700, 700, 10], 60000, "split", "too large for a pass within the L2 cache"),
        (2, [700, 700, 10], 31, "layers", "with so few rows, threads share the columns"),
    ],
)
@pytest.mark.usefixtures("usual_tiles")
def test_what_is_chosen(threads, widths, batch, strategy, why):
    if threads > 1 and not POOL:
        pytest.skip("a build without threads")
    bp.set_threads(threads)
    plan = bp.compile(bp.mlp(widths), batch=batch)
    assert plan.layout.strategy == strategy
    assert why in plan.describe()

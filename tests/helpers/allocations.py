"""What a call allocates, as Python's allocators see it."""

import gc
import sys
import tracemalloc

SPANS = 3


def allocated_by(step, times=1):
    """(blocks that are left, bytes at most at a time) after some calls: the least of a few spans of them.

    Both are counted for the whole process, and the test runner reads its pipe in a thread of its own: one span can hold
    what that thread allocated. What a call itself allocates is in each of them.
    """
    spans = [_span(step, times) for _ in range(SPANS)]
    return tuple(min(each) for each in zip(*spans, strict=True))


def _span(step, times):
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before, blocks = tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()
        for _ in range(times):
            step()
        return sys.getallocatedblocks() - blocks, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
        gc.enable()

"""What a call allocates, as Python's allocators see it."""

import gc
import os
import pickle
import sys
import tracemalloc
import warnings


def allocated_by(step, times=1):
    """(blocks that are left, bytes at most at a time) after some calls.

    Both are counted for the whole process, and the test runner answers its messages in a thread of its own. So the
    calls run in a copy of the process, which has only this thread.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside other threads: none of theirs is called
        child = os.fork()
    if child == 0:
        _count_and_exit(step, times, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    found = pickle.loads(said)
    if isinstance(found, Exception):
        raise found
    return found


def _count_and_exit(step, times, pipe):
    try:
        step()  # the library's threads start again
        found = _counted(step, times)
    except Exception as error:
        found = error
    finally:
        os.write(pipe, pickle.dumps(found))
        os._exit(0)


def _counted(step, times):
    gc.collect()
    gc.disable()
    tracemalloc.start()
    before, blocks = tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()
    for _ in range(times):
        step()
    return sys.getallocatedblocks() - blocks, tracemalloc.get_traced_memory()[1] - before

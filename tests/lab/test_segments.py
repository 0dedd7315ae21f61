"""How the rungs' threads add up segments: in ascending order, each once; and who waits while the first is not done."""

import ctypes
import subprocess

import pytest

from helpers.compile_c import compilers, has_openmp
from pybackprop.lab.ladders import FOLDER

pytestmark = pytest.mark.skipif(not compilers() or not has_openmp(compilers()[0]), reason="no compiler with OpenMP")
COUNT, THREADS = 40, 3
# the first segment ends when `others` have been computed, or after 20 s, and 50 ms more
PROGRAM = """
#include "segments.h"
#include <omp.h>
#include <unistd.h>
static int computed, others, order[1000], added, overlaps, adding;
static void compute(void *job, size_t s) {
    if (s == 0) {
        for (int t = 0; t < 2000 && __atomic_load_n(&computed, __ATOMIC_SEQ_CST) < others; t++) usleep(10000);
        usleep(50000);
        *(int *)job = __atomic_load_n(&computed, __ATOMIC_SEQ_CST);
    } else __atomic_fetch_add(&computed, 1, __ATOMIC_SEQ_CST);
}
static void add(void *job, size_t s) {
    overlaps += __atomic_fetch_add(&adding, 1, __ATOMIC_SEQ_CST);
    order[added++] = (int)s;
    __atomic_fetch_sub(&adding, 1, __ATOMIC_SEQ_CST);
}
/* what was computed when the first segment ended; -1: two threads added at once */
int run(int count, int threads, int expected, int *to) {
    int seen = 0;
    computed = added = overlaps = adding = 0, others = expected;
    omp_set_num_threads(threads);
    each_segment((size_t)count, compute, add, &seen);
    for (int s = 0; s < added; s++) to[s] = order[s];
    return overlaps || added != count ? -1 : seen;
}
"""


@pytest.fixture
def run(tmp_path):
    """Compiles the program with these macros; (what was computed when the first segment ended, the order of adding)."""

    def compiled(*macros):
        flags = ["-std=gnu11", "-O2", "-fPIC", "-shared", "-fopenmp", f"-I{FOLDER}", *(f"-D{name}" for name in macros)]
        target = tmp_path / f"{'_'.join(macros)}.so"
        line = [compilers()[0], *flags, "-x", "c", "-", "-o", str(target)]
        subprocess.run(line, input=PROGRAM, text=True, check=True)
        library = ctypes.CDLL(str(target))

        def call(count, threads, expected):
            order = (ctypes.c_int * 1000)()
            return library.run(count, threads, expected, order), list(order)[:count]

        return call

    return compiled


@pytest.mark.parametrize(
    ("macros", "others"),
    [
        ((), COUNT - 1),
        (("PUBLISHED",), COUNT - 1),  # nobody waits: all others are computed before the first one ends
        (("TURNS",), THREADS - 1),  # each other thread has computed one, and waits
    ],
)
def test_who_waits_for_the_first_segment(run, macros, others):
    assert run(*macros)(COUNT, THREADS, others) == (others, list(range(COUNT)))


@pytest.mark.parametrize("macros", [(), ("PUBLISHED",), ("TURNS",)])
def test_any_number_of_segments_is_added_in_order(run, macros):
    call = run(*macros)
    for count in (0, 1, 2, 3, 200):
        for threads in (1, 2, 5):
            found, order = call(count, threads, 0)
            assert found >= 0
            assert order == list(range(count))

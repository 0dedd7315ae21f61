/* threads.c: how many threads an operation uses, and which part of the outputs each of them computes. */
#include "internal.h"

#include <stdatomic.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined __unix__ || defined __APPLE__
#include <pthread.h>
#define BP_CAN_FORK 1
#endif

/* Below this many elementary operations (some tens of microseconds) waking another thread costs more
   than it saves. */
enum { USUAL_WORK = 200000 };

static atomic_int work_each = USUAL_WORK;
static atomic_int wanted = 0; /* 0: OpenMP's default, */
static atomic_int limit = 0;  /* but at most this many, if it is not 0 */

#ifdef _OPENMP
static atomic_int forked = 0;

#ifdef BP_CAN_FORK
/* GNU OpenMP's threads do not survive a fork: a child that used them would wait forever. */
static void serial_from_now_on(void) { atomic_store(&forked, 1); }

__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(NULL, NULL, serial_from_now_on);
}
#endif

int bp_openmp(void) { return _OPENMP; }

int bp_threads(void) {
    int count = atomic_load(&wanted);
    if (atomic_load(&forked)) return 1;
    if (count > 0) return count;
    int most = atomic_load(&limit), all = omp_get_max_threads();
    return most > 0 && most < all ? most : all;
}

int bp_threads_for(double work) {
    double each = atomic_load_explicit(&work_each, memory_order_relaxed);
    if (work < 2 * each || omp_in_parallel()) return 1;
    double useful = work / each;
    int threads = bp_threads();
    return useful < threads ? (int)useful : threads;
}

size_t bp_thread(void) { return (size_t)omp_get_thread_num(); }

size_t bp_team(void) { return (size_t)omp_get_num_threads(); }

bp_range bp_my_share(size_t size, size_t step) {
    size_t count = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
    size_t blocks = size / step + (size % step != 0);
    size_t each = blocks / count, more = blocks % count;
    size_t first = me * each + (me < more ? me : more), last = first + each + (me < more);
    bp_range share = {first * step, last == blocks ? size : last * step};
    if (share.begin > size) share.begin = size;
    return share;
}
#else
int bp_openmp(void) { return 0; }

int bp_threads(void) { return 1; }

int bp_threads_for(double work) {
    (void)work;
    return 1;
}

size_t bp_thread(void) { return 0; }

size_t bp_team(void) { return 1; }

bp_range bp_my_share(size_t size, size_t step) {
    (void)step;
    return (bp_range){0, size};
}
#endif

void bp_set_threads(int threads) { atomic_store(&wanted, threads > 0 ? threads : 0); }

void bp_limit_threads(int threads) { atomic_store(&limit, threads > 0 ? threads : 0); }

int bp_thread_work(void) { return atomic_load(&work_each); }

void bp_set_thread_work(int operations) {
    atomic_store(&work_each, operations > 0 ? operations : USUAL_WORK);
}

int bp_overflows(size_t a, size_t b, size_t element_bytes) {
    size_t elements, bytes;
    return __builtin_mul_overflow(a, b, &elements) ||
           __builtin_mul_overflow(elements, element_bytes, &bytes) || bytes > PTRDIFF_MAX;
}

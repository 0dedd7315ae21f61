/* threads.c: how many threads an operation may use, and how many it is worth. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "internal.h"

#include <stdlib.h>
#if defined __unix__ || defined __APPLE__
#include <unistd.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

enum { MOST_THREADS = 1024 };

/* Below this many elementary operations (some tens of microseconds) another thread costs more than it
   saves. */
enum { USUAL_WORK = 200000 };

static atomic_int work_each = USUAL_WORK;
static atomic_int wanted = 0;  /* what was asked for; 0: nothing */
static atomic_int usual = 0;   /* the number if nothing was; 0: not known yet */
static atomic_int limit = 0;   /* that, at most; 0: no limit */
static atomic_int most = 0;    /* whatever was asked for; 0: not known yet */
static atomic_int allowed = 0; /* processors; 0: not known yet */

/* The first number of a variable of OpenMP's, such as "4" or "4,2"; 0: it says nothing. */
static int number_in(const char *variable) {
    const char *text = getenv(variable);
    long value = text ? strtol(text, NULL, 10) : 0;
    return value < 1 ? 0 : value > MOST_THREADS ? MOST_THREADS : (int)value;
}

#ifdef _WIN32
int bp_count_processors(void); /* windows.c */
#else
static int bp_count_processors(void) {
    long count = 0;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
#ifdef _SC_NPROCESSORS_ONLN
    if (count < 1) count = sysconf(_SC_NPROCESSORS_ONLN);
#endif
    return count < 1 ? 1 : count > MOST_THREADS ? MOST_THREADS : (int)count;
}
#endif

/* The number in a static variable, found out once. */
static int once(atomic_int *number, int found) {
    int unknown = 0;
    atomic_compare_exchange_strong(number, &unknown, found);
    return atomic_load(number);
}

int bp_processors(void) {
    int count = atomic_load_explicit(&allowed, memory_order_relaxed);
    return count ? count : once(&allowed, bp_count_processors());
}

static int usual_threads(void) {
    int count = atomic_load_explicit(&usual, memory_order_relaxed);
    if (count) return count;
    int asked = number_in("OMP_NUM_THREADS");
    return once(&usual, asked ? asked : bp_processors());
}

static int most_threads(void) {
    int count = atomic_load_explicit(&most, memory_order_relaxed);
    if (count) return count;
    int asked = number_in("OMP_THREAD_LIMIT");
    return once(&most, asked ? asked : MOST_THREADS);
}

static int smaller(int a, int b) { return a < b ? a : b; }

int bp_threads(void) {
    if (!*bp_pool()) return 1;
    int count = atomic_load_explicit(&wanted, memory_order_relaxed);
    if (count > 0) return smaller(count, most_threads());
    int at_most = atomic_load_explicit(&limit, memory_order_relaxed);
    count = smaller(usual_threads(), most_threads());
    return at_most > 0 ? smaller(count, at_most) : count;
}

int bp_useful_threads(double work) {
    double each = atomic_load_explicit(&work_each, memory_order_relaxed);
    if (work < 2 * each) return 1;
    double useful = work / each;
    int threads = bp_threads();
    return useful < threads ? (int)useful : threads;
}

void bp_set_threads(int threads) {
    atomic_store(&wanted, threads > 0 ? smaller(threads, MOST_THREADS) : 0);
}

int bp_thread_work(void) { return atomic_load(&work_each); }

void bp_set_thread_work(int operations) {
    atomic_store(&work_each, operations > 0 ? operations : USUAL_WORK);
}

void bp_limit_threads(int threads) { atomic_store(&limit, threads > 0 ? threads : 0); }

/* What was there before the first change comes back with its number. */
void bp_lend_threads(int threads) {
    static atomic_int lent, own, own_wanted, own_usual;
    if (threads < 1) return;
    if (!atomic_exchange(&lent, 1)) {
        atomic_store(&own, bp_threads());
        atomic_store(&own_wanted, atomic_load(&wanted));
        atomic_store(&own_usual, usual_threads());
    }
    if (threads == atomic_load(&own)) {
        atomic_store(&wanted, atomic_load(&own_wanted));
        atomic_store(&usual, atomic_load(&own_usual));
        atomic_store(&lent, 0);
    } else {
        atomic_store(&usual, smaller(threads, MOST_THREADS));
        if (atomic_load(&wanted)) atomic_store(&wanted, smaller(threads, MOST_THREADS));
    }
}

bp_range bp_cut(size_t size, size_t step, size_t share, size_t count) {
    if (count == 1)
        return (bp_range){0, size}; /* without divisions, which take as long as a small share */
    size_t blocks = size / step + (size % step != 0);
    size_t each = blocks / count, more = blocks % count;
    size_t first = share * each + (share < more ? share : more), last = first + each + (share < more);
    bp_range part = {first * step, last == blocks ? size : last * step};
    if (part.begin > size) part.begin = size;
    return part;
}

int bp_overflows(size_t a, size_t b, size_t element_bytes) {
    size_t elements, bytes;
    return __builtin_mul_overflow(a, b, &elements) ||
           __builtin_mul_overflow(elements, element_bytes, &bytes) || bytes > PTRDIFF_MAX;
}

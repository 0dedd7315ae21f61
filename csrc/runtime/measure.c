/* measure.c: loops that compute nothing and whose times tell about the machine: how fast operands come
   from memory, how long one load takes, a processor's frequency, what a region of the team costs. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"
#include "isa/cpuid.h"

enum { VECTORS = 12 }; /* in flight: more than the latency of a multiply-add times the units for it */

/* One addition, by itself and after the last. Both operands are in registers: some processors add a
   constant without taking a cycle for it. */
#define ADD(sum, one)                                                                                   \
    (sum) += (one);                                                                                     \
    __asm__ volatile("" : "+r"(sum))

#define BP_TEMPLATE "runtime/measure.c"
#include "template/for_each_kernel.h"

size_t bp_measure_adds(size_t rounds) {
    size_t sum = 0, one = 1;
    __asm__ volatile("" : "+r"(one));
    for (size_t round = 0; round < rounds; round++) {
        BP_UNROLL
        for (int add = 0; add < BP_ADDS; add++) {
            ADD(sum, one);
        }
    }
    return sum;
}

const void *bp_measure_chase(const void *start, size_t steps) {
    for (size_t step = 0; step < steps; step++) start = *(const void *const *)start;
    return start;
}

static void nothing(const void *job, size_t share) { (void)job, (void)share; }

void bp_measure_regions(int threads, size_t count) {
    for (size_t region = 0; region < count; region++) bp_run(threads, (size_t)threads, nothing, NULL);
}

int bp_cpuid(unsigned leaf, unsigned subleaf, uint32_t *registers) {
    return bp_read_cpuid(leaf, subleaf, registers);
}

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"

enum { LOCAL(step) = VECTORS * LANES };

/* The sum of all chains; with it, the compiler cannot leave out what they were for. */
#define USE(chain)                                                                                      \
    LOCAL(vector) sum = (chain)[0];                                                                     \
    BP_UNROLL                                                                                           \
    for (size_t v = 1; v < VECTORS; v++) sum += (chain)[v];                                             \
    __asm__ volatile("" : : "m"(sum))

static void LOCAL(adds_beside_fma)(size_t *added, const REAL *factor, size_t rounds) {
    const LOCAL(vector) zero = {0}, by = *factor - zero;
    LOCAL(vector) chain[VECTORS] = {{0}};
    size_t adds = 0, one = 1;
    __asm__ volatile("" : "+r"(one));
    for (size_t round = 0; round < rounds; round++) {
        BP_UNROLL
        for (size_t v = 0; v < BP_ADDS; v++) {
            if (v < VECTORS) chain[v] = LOCAL(vector_fma)(chain[v], by, by);
            ADD(adds, one);
        }
    }
    USE(chain);
    *added = adds;
}

static void LOCAL(fma_loads)(const REAL *from, size_t count, size_t rounds) {
    const LOCAL(vector) by = LOCAL(load)(from);
    LOCAL(vector) chain[VECTORS] = {{0}};
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i += LOCAL(step)) {
            BP_UNROLL
            for (size_t v = 0; v < VECTORS; v++)
                chain[v] = LOCAL(vector_fma)(LOCAL(load)(from + i + v * LANES), by, chain[v]);
        }
    USE(chain);
}

static void LOCAL(read)(const REAL *from, size_t count, size_t rounds) {
    LOCAL(vector) chain[VECTORS] = {{0}};
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i += LOCAL(step)) {
            BP_UNROLL
            for (size_t v = 0; v < VECTORS; v++) chain[v] += LOCAL(load)(from + i + v * LANES);
        }
    USE(chain);
}

static void LOCAL(write)(REAL *to, size_t count, size_t rounds) {
    const LOCAL(vector) ones = (LOCAL(vector)){0} + 1;
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i += LOCAL(step)) {
            BP_UNROLL
            for (size_t v = 0; v < VECTORS; v++) LOCAL(store)(to + i + v * LANES, ones);
        }
        __asm__ volatile("" : : : "memory"); /* each round by itself */
    }
}

static void LOCAL(copy)(REAL *to, const REAL *from, size_t count, size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i += LOCAL(step)) {
            LOCAL(vector) held[VECTORS];
            BP_UNROLL
            for (size_t v = 0; v < VECTORS; v++) held[v] = LOCAL(load)(from + i + v * LANES);
            BP_UNROLL
            for (size_t v = 0; v < VECTORS; v++) LOCAL(store)(to + i + v * LANES, held[v]);
        }
        __asm__ volatile("" : : : "memory");
    }
}

static void LOCAL(traffic)(REAL *const *to, const REAL *from, bp_range mine) {
    REAL *a = to[0], *b = to[1], *c = to[2];
    for (size_t i = mine.begin; i < mine.end; i += LANES) {
        size_t lanes = mine.end - i;
        LOCAL(vector) d = LOCAL(load_lanes)(from + i, lanes);
        LOCAL(store_lanes)(a + i, LOCAL(load_lanes)(a + i, lanes) + d, lanes);
        LOCAL(store_lanes)(b + i, LOCAL(load_lanes)(b + i, lanes) + d, lanes);
        LOCAL(store_lanes)(c + i, LOCAL(load_lanes)(c + i, lanes) + d, lanes);
    }
}

#undef LANES
#undef USE

#else
/* ---- per type ---- */

size_t NAME(bp_measure_adds_beside_fma)(size_t rounds) {
    const REAL factor = (REAL)0.5;
    size_t sum = 0;
    BP_DISPATCH(NAME(adds_beside_fma), (&sum, &factor, rounds));
    return sum;
}

double NAME(bp_measure_fma_loads)(const REAL *from, size_t count, size_t rounds) {
    count -= count % BP_MEASURE_STEP;
    BP_DISPATCH(NAME(fma_loads), (from, count, rounds));
    return 2.0 * (double)count * (double)rounds;
}

double NAME(bp_measure_read)(const REAL *from, size_t count, size_t rounds) {
    count -= count % BP_MEASURE_STEP;
    BP_DISPATCH(NAME(read), (from, count, rounds));
    return (double)sizeof(REAL) * (double)count * (double)rounds;
}

double NAME(bp_measure_write)(REAL *to, size_t count, size_t rounds) {
    count -= count % BP_MEASURE_STEP;
    BP_DISPATCH(NAME(write), (to, count, rounds));
    return (double)sizeof(REAL) * (double)count * (double)rounds;
}

double NAME(bp_measure_copy)(REAL *to, const REAL *from, size_t count, size_t rounds) {
    count -= count % BP_MEASURE_STEP;
    BP_DISPATCH(NAME(copy), (to, from, count, rounds));
    return 2.0 * (double)sizeof(REAL) * (double)count * (double)rounds;
}

typedef struct {
    REAL *to[3];
    const REAL *from;
} NAME(traffic);

static void NAME(traffic_part)(const void *job, bp_range mine) {
    const NAME(traffic) *t = job;
    BP_DISPATCH(NAME(traffic), (t->to, t->from, mine));
}

double NAME(bp_measure_update)(REAL *p, REAL *m, REAL *v, const REAL *dp, size_t size) {
    const NAME(traffic) job = {{p, m, v}, dp};
    bp_run_elements(8 * (double)size, size, NAME(traffic_part), &job);
    return 7.0 * (double)sizeof(REAL) * (double)size;
}

#endif

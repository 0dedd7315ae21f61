/* peak.c: the machine's peak: nothing but fused multiply-adds in registers, which no product can
   exceed. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

enum { CHAINS = 12 }; /* in parallel: at least the latency of one times the number of FMA units */

#define BP_TEMPLATE "runtime/peak.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

typedef REAL LOCAL(vector) __attribute__((vector_size(VECTOR_BYTES)));

/* *operations += those of `steps` rounds, two for each multiply-add */
static void LOCAL(burst)(double *operations, const REAL *factor, size_t steps) {
    const LOCAL(vector) zero = {0}, by = *factor - zero;
    LOCAL(vector) chain[CHAINS]; /* with different start values, or the compiler would merge them */
    BP_UNROLL
    for (size_t c = 0; c < CHAINS; c++) chain[c] = by * (REAL)c;
    BP_UNROLL_4
    for (size_t step = 0; step < steps; step++) {
        BP_UNROLL
        for (size_t c = 0; c < CHAINS; c++) chain[c] = LOCAL(vector_fma)(chain[c], by, by);
    }
    BP_UNROLL
    for (size_t c = 1; c < CHAINS; c++) chain[0] += chain[c];
    if (chain[0][0] == chain[0][0]) /* always; but so the sums are needed */
        *operations += (double)steps * CHAINS * 2 * (VECTOR_BYTES / sizeof(REAL));
}

#else
/* ---- per type ---- */

typedef struct {
    size_t steps;
    atomic_size_t *operations;
} NAME(bursts);

static void NAME(one_burst)(const void *job, size_t share) {
    const NAME(bursts) *b = job;
    const REAL factor = (REAL)0.5;
    double mine = 0;
    (void)share;
    BP_DISPATCH(NAME(burst), (&mine, &factor, b->steps));
    atomic_fetch_add(b->operations, (size_t)mine);
}

double NAME(bp_fma_burst)(size_t steps) {
    atomic_size_t operations = 0;
    const NAME(bursts) b = {steps, &operations};
    int threads = bp_useful_threads((double)steps * 1000);
    bp_run(threads, (size_t)threads, NAME(one_burst), &b);
    return (double)atomic_load(&operations);
}

#endif

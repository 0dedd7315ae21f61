/* peak.c: the machine's peak: nothing but fused multiply-adds in registers, which no product can
   exceed. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

enum { CHAINS = 12 }; /* side by side: at least the latency of one times the units that work on them */

#define BP_TEMPLATE "runtime/peak.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

typedef REAL LOCAL(vector) __attribute__((vector_size(VECTOR_BYTES)));

/* *operations += those of `steps` rounds, two for each multiply-add */
static void LOCAL(burst)(double *operations, const REAL *factor, size_t steps) {
    const LOCAL(vector) zero = {0}, by = *factor - zero;
    LOCAL(vector) chain[CHAINS]; /* each from another number, or they would be one */
    BP_UNROLL
    for (size_t c = 0; c < CHAINS; c++) chain[c] = by * (REAL)c;
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

double NAME(bp_fma_burst)(size_t steps) {
    const REAL factor = (REAL)0.5;
    double all = 0;
    int threads = bp_threads_for((double)steps * 1000);
#ifdef _OPENMP
#pragma omp parallel num_threads(threads) reduction(+ : all) if (threads > 1)
#endif
    {
        double mine = 0;
        BP_DISPATCH(NAME(burst), (&mine, &factor, steps));
        all += mine;
    }
    (void)threads;
    return all;
}

#endif

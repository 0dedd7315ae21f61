/* sum.c: out (outer,inner) = x (outer,count,inner) summed over the middle axis: over all elements for
   outer = inner = 1, over the rows of a matrix for outer = 1. Its gradient is a copy. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/sum.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

enum { LOCAL(CHAINS) = 8 }; /* independent sums hide the time that one addition takes */

/* sum[c] = x[c * step] + ... + x[c * step + size - 1], from +0 on, for each of CHAINS */
static void LOCAL(chains)(REAL *restrict sum, const REAL *restrict x, size_t step, size_t size) {
    REAL acc[LOCAL(CHAINS)] = {0};
    for (size_t i = 0; i < size; i++) {
        BP_UNROLL
        for (size_t c = 0; c < LOCAL(CHAINS); c++) acc[c] += x[c * step + i];
    }
    memcpy(sum, acc, sizeof acc);
}

static REAL LOCAL(chain)(const REAL *x, size_t size) {
    REAL acc = 0;
    for (size_t i = 0; i < size; i++) acc += x[i];
    return acc;
}

/* *out = x (size), whose segments are summed side by side */
static void LOCAL(sum_row)(REAL *out, const REAL *x, size_t size) {
    REAL total = 0, partial[LOCAL(CHAINS)];
    size_t at = 0;
    for (; size - at >= LOCAL(CHAINS) * BP_SEGMENT; at += LOCAL(CHAINS) * BP_SEGMENT) {
        LOCAL(chains)(partial, x + at, BP_SEGMENT, BP_SEGMENT);
        for (size_t c = 0; c < LOCAL(CHAINS); c++) total += partial[c];
    }
    for (; at < size; at += BP_SEGMENT)
        total += LOCAL(chain)(x + at, size - at < BP_SEGMENT ? size - at : BP_SEGMENT);
    *out = total;
}

/* out[o] = x[o] (count) for rows.begin <= o < rows.end; of one segment each, rows are summed side by
   side */
static void LOCAL(sum_rows)(REAL *out, const REAL *x, size_t count, bp_range rows) {
    size_t o = rows.begin;
    if (count <= BP_SEGMENT)
        for (; rows.end - o >= LOCAL(CHAINS); o += LOCAL(CHAINS))
            LOCAL(chains)(out + o, x + o * count, count, count);
    for (; o < rows.end; o++) LOCAL(sum_row)(out + o, x + o * count, count);
}

#else
/* ---- per type ---- */

typedef struct {
    REAL *out;
    const REAL *x;
    size_t count;
} NAME(sums);

static void NAME(sums_part)(const void *job, bp_range mine) {
    const NAME(sums) *s = job;
    BP_DISPATCH(NAME(sum_rows), (s->out, s->x, s->count, mine));
}

bp_status NAME(bp_sum)(REAL *out, const REAL *x, size_t outer, size_t count, size_t inner) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(outer, inner, sizeof(REAL)) || bp_overflows(outer * inner, count, sizeof(REAL)))
        return BP_OVERFLOW;
    if (inner == 1) {
        const NAME(sums) s = {out, x, count};
        bp_run_parts(outer == 1 ? 0 : (double)outer * (double)count, outer, 16, 16, NAME(sums_part), &s);
        return BP_OK;
    }
    for (size_t o = 0; o < outer; o++) /* as the gradient of a bias is summed */
        NAME(bp_linear_backward_b)(out + o * inner, x + o * count * inner, count, inner, 0);
    return BP_OK;
}

#endif

/* norm.c: the sum of the squares of gradients, and their scaling. Arrays (size). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

enum {
    SEGMENT = BP_SEGMENT * BP_LANES,
    AT_ONCE = 256
}; /* elements of a segment; segments of a region */
static const double CLIP_EPS = 1e-6; /* added to the norm, so that zeros divide nothing */

double bp_clip_factor(double sum, double max_norm) {
    BP_DEFINED_ENVIRONMENT;
    double factor = bp_here(max_norm) / (sqrt(bp_here(sum)) + CLIP_EPS);
    return factor < 1 ? factor : 1;
}

#define BP_TEMPLATE "ops/norm.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

static void LOCAL(add_own_squares)(double *restrict lane, const REAL *dp, size_t count) {
    for (size_t l = 0; l < count; l++) lane[l] = fma((double)dp[l], (double)dp[l], lane[l]);
}

/* *sum = one segment's squares */
static void LOCAL(segment_squares)(double *sum, const REAL *dp, size_t size) {
    double lane[BP_LANES] = {0};
    size_t e = 0;
    for (; e + BP_LANES <= size; e += BP_LANES) LOCAL(add_own_squares)(lane, dp + e, BP_LANES);
    LOCAL(add_own_squares)(lane, dp + e, size - e);
    *sum = bp_fold_lanes(lane);
}

static void LOCAL(scale)(REAL *dp, REAL factor, size_t size) {
    for (size_t i = 0; i < size; i++) dp[i] = dp[i] * factor;
}

#else
/* ---- per type ---- */

typedef struct {
    const REAL *dp;
    size_t size;
    double *sums;
} NAME(squares);

static void NAME(squares_share)(const void *job, size_t share) {
    const NAME(squares) *s = job;
    size_t start = share * SEGMENT, left = s->size - start, size = left < SEGMENT ? left : SEGMENT;
    BP_DISPATCH(NAME(segment_squares), (s->sums + share, s->dp + start, size));
}

/* Threads share the segments; then their sums are added. */
double NAME(bp_sum_squares)(const REAL *dp, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    double total = 0, sums[AT_ONCE];
    for (size_t start = 0, some; start < size; start += some) {
        some = size - start < AT_ONCE * SEGMENT ? size - start : AT_ONCE * SEGMENT;
        const NAME(squares) job = {dp + start, some, sums};
        size_t segments = (some + SEGMENT - 1) / SEGMENT;
        bp_run(bp_threads_for((double)some), segments, NAME(squares_share), &job);
        for (size_t k = 0; k < segments; k++) total += sums[k];
    }
    return total;
}

static void NAME(scale_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(scale), (e->out + mine.begin, e->factor, mine.end - mine.begin));
}

void NAME(bp_scale)(REAL *dp, double factor, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = dp, .factor = (REAL)bp_here(factor)};
    bp_run_elements((double)size, size, NAME(scale_part), &e);
}

#endif

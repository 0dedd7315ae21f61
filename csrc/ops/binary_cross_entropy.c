/* binary_cross_entropy.c: loss (1) = the mean over all elements of (n,h) of
   -(targ log(s) + (1 - targ) log(1 - s)), s = sigmoid(out); dout = (s - targ) / (n*h). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/exponential.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/binary_cross_entropy.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

static void LOCAL(add_terms)(double *restrict lane, const REAL *out, const REAL *targ, size_t count) {
    for (size_t l = 0; l < count; l++)
        lane[l] = lane[l] + NAME(bp_binary_cross_entropy_one)(out[l], targ[l]);
}

/* *sum = one segment's terms, added in BP_LANES lanes */
static void LOCAL(binary_cross_entropy)(double *sum, const REAL *out, const REAL *targ, size_t size) {
    double lane[BP_LANES] = {0};
    size_t e = 0;
    for (; e + BP_LANES <= size; e += BP_LANES) LOCAL(add_terms)(lane, out + e, targ + e, BP_LANES);
    LOCAL(add_terms)(lane, out + e, targ + e, size - e);
    *sum = bp_fold_lanes(lane);
}

static void LOCAL(binary_cross_entropy_backward)(REAL *dout, const REAL *out, const REAL *targ,
                                                 REAL factor, size_t size) {
    for (size_t i = 0; i < size; i++) dout[i] = (NAME(bp_sigmoid_one)(out[i]) - targ[i]) * factor;
}

#else
/* ---- per type ---- */

void NAME(bp_binary_cross_entropy_segment)(double *sum, const REAL *out, const REAL *targ, size_t size) {
    BP_DISPATCH(NAME(binary_cross_entropy), (sum, out, targ, size));
}

/* Some segments of a loss, each a share. */
typedef struct {
    double *sums;
    const REAL *out, *targ;
    size_t n, h;
} NAME(segments);

static void NAME(segment_share)(const void *job, size_t share) {
    const NAME(segments) *s = job;
    const size_t start = share * BP_SEGMENT, left = s->n - start;
    NAME(bp_binary_cross_entropy_segment)(s->sums + share, s->out + start * s->h, s->targ + start * s->h,
                                          (left < BP_SEGMENT ? left : BP_SEGMENT) * s->h);
}

/* Threads share some segments; then their sums are added. */
bp_status NAME(bp_binary_cross_entropy_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n,
                                                size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    enum { AT_ONCE = 128 };
    double sums[AT_ONCE], total = 0;
    for (size_t row = 0; row < n; row += AT_ONCE * BP_SEGMENT) {
        const size_t left = n - row, rows = left < AT_ONCE * BP_SEGMENT ? left : AT_ONCE * BP_SEGMENT;
        const NAME(segments) job = {sums, out + row * h, targ + row * h, rows, h};
        const size_t count = (rows + BP_SEGMENT - 1) / BP_SEGMENT;
        bp_run(count > 1 ? bp_threads_for(16 * (double)rows * (double)h) : 1, count, NAME(segment_share),
               &job);
        for (size_t k = 0; k < count; k++) total += sums[k];
    }
    *loss = (REAL)(total / (double)(n * h));
    return BP_OK;
}

static void NAME(gradient_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(
        NAME(binary_cross_entropy_backward),
        (e->out + mine.begin, e->x + mine.begin, e->y + mine.begin, e->factor, mine.end - mine.begin));
}

void NAME(bp_binary_cross_entropy_gradient)(REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                            size_t size) {
    const NAME(bp_elements) e = {dout, out, targ, .factor = factor};
    bp_run_elements(8 * (double)size, size, NAME(gradient_part), &e);
}

void NAME(bp_binary_cross_entropy_backward)(REAL *dout, const REAL *out, const REAL *targ, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    BP_HERE(size);
    NAME(bp_binary_cross_entropy_gradient)(dout, out, targ, (REAL)(1.0 / (double)size), size);
}

#endif

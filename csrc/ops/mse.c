/* mse.c: loss (1) = mean((out - targ)^2) over all elements of (n,h); dout = (out - targ) * 2 / (n*h). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/mse.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

static void LOCAL(add_squares)(double *restrict lane, const REAL *out, const REAL *targ, size_t count) {
    for (size_t l = 0; l < count; l++) {
        double difference = (double)(REAL)(out[l] - targ[l]);
        lane[l] = fma(difference, difference, lane[l]);
    }
}

/* *sum = one segment's squared errors, added in BP_LANES lanes */
static void LOCAL(squared_error)(double *sum, const REAL *out, const REAL *targ, size_t size) {
    double lane[BP_LANES] = {0};
    size_t e = 0;
    for (; e + BP_LANES <= size; e += BP_LANES) LOCAL(add_squares)(lane, out + e, targ + e, BP_LANES);
    LOCAL(add_squares)(lane, out + e, targ + e, size - e);
    *sum = bp_fold_lanes(lane);
}

static void LOCAL(mse_backward)(REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                size_t size) {
    for (size_t i = 0; i < size; i++) dout[i] = (out[i] - targ[i]) * factor;
}

#else
/* ---- per type ---- */

void NAME(bp_segment_error)(double *sum, const REAL *out, const REAL *targ, size_t size) {
    BP_DISPATCH(NAME(squared_error), (sum, out, targ, size));
}

bp_status NAME(bp_mse_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    double total = 0;
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        size_t rows = n - start < BP_SEGMENT ? n - start : BP_SEGMENT;
        double sum = 0;
        NAME(bp_segment_error)(&sum, out + start * h, targ + start * h, rows * h);
        total += sum;
    }
    *loss = (REAL)(total / (double)(n * h));
    return BP_OK;
}

static void NAME(difference_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(mse_backward), (e->out + mine.begin, e->x + mine.begin, e->y + mine.begin,
                                     e->factor, mine.end - mine.begin));
}

void NAME(bp_mse_difference)(REAL *dout, const REAL *out, const REAL *targ, REAL factor, size_t size) {
    const NAME(bp_elements) e = {dout, out, targ, .factor = factor};
    bp_run_elements((double)size, size, NAME(difference_part), &e);
}

/* dout = 2 (out - targ) / size */
void NAME(bp_mse_backward)(REAL *dout, const REAL *out, const REAL *targ, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    BP_HERE(size);
    NAME(bp_mse_difference)(dout, out, targ, (REAL)(2.0 / (double)size), size);
}

#endif

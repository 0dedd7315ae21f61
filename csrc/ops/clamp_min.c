/* clamp_min.c: out = max(x, low); dx = dout where x > low, else 0. Arrays (size). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/clamp_min.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

/* x <= low is false for a NaN, so a NaN passes through. */
static void LOCAL(clamp_min_forward)(REAL *out, const REAL *x, REAL low, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = x[i] <= low ? low : x[i];
}

static void LOCAL(clamp_min_backward)(REAL *dx, const REAL *x, const REAL *dout, REAL low, size_t size) {
    for (size_t i = 0; i < size; i++) {
        REAL upstream = dout[i]; /* read on both paths, so that the loop has no branch */
        dx[i] = x[i] > low ? upstream : 0;
    }
}

#else
/* ---- per type ---- */

static void NAME(forward_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(clamp_min_forward),
                (e->out + mine.begin, e->x + mine.begin, e->factor, mine.end - mine.begin));
}

static void NAME(backward_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(clamp_min_backward), (e->out + mine.begin, e->x + mine.begin, e->y + mine.begin,
                                           e->factor, mine.end - mine.begin));
}

void NAME(bp_clamp_min_forward)(REAL *out, const REAL *x, double low, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = out, .x = x, .factor = (REAL)bp_here(low)};
    bp_run_elements((double)size, size, NAME(forward_part), &e);
}

void NAME(bp_clamp_min_backward)(REAL *dx, const REAL *x, const REAL *dout, double low, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {dx, x, dout, .factor = (REAL)bp_here(low)};
    bp_run_elements((double)size, size, NAME(backward_part), &e);
}

#endif

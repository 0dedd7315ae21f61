/* leaky_relu.c: out = x where x > 0, else negative_slope * x; dx = dout where x > 0, else
   negative_slope * dout. Arrays (size). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/leaky_relu.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

/* Both loops compute the product for every element, so that they have no branch. */
static void LOCAL(leaky_relu_forward)(REAL *out, const REAL *x, REAL negative_slope, size_t size) {
    for (size_t i = 0; i < size; i++) {
        REAL scaled = negative_slope * x[i];
        out[i] = x[i] > 0 ? x[i] : scaled;
    }
}

static void LOCAL(leaky_relu_backward)(REAL *dx, const REAL *x, const REAL *dout, REAL negative_slope,
                                       size_t size) {
    for (size_t i = 0; i < size; i++) {
        REAL upstream = dout[i], scaled = negative_slope * upstream;
        dx[i] = x[i] > 0 ? upstream : scaled;
    }
}

#else
/* ---- per type ---- */

static void NAME(forward_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(leaky_relu_forward),
                (e->out + mine.begin, e->x + mine.begin, e->factor, mine.end - mine.begin));
}

static void NAME(backward_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(leaky_relu_backward), (e->out + mine.begin, e->x + mine.begin, e->y + mine.begin,
                                            e->factor, mine.end - mine.begin));
}

void NAME(bp_leaky_relu_forward)(REAL *out, const REAL *x, double negative_slope, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = out, .x = x, .factor = (REAL)bp_here(negative_slope)};
    bp_run_elements((double)size, size, NAME(forward_part), &e);
}

void NAME(bp_leaky_relu_backward)(REAL *dx, const REAL *x, const REAL *dout, double negative_slope,
                                  size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {dx, x, dout, .factor = (REAL)bp_here(negative_slope)};
    bp_run_elements((double)size, size, NAME(backward_part), &e);
}

#endif

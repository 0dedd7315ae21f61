/* relu.c: out = max(x, 0); dx = dout where x > 0, else 0. Arrays (size). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"
#define BP_TEMPLATE "ops/relu.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

/* x <= 0 is false for a NaN, so a NaN passes through. */
static void LOCAL(relu_forward)(REAL *out, const REAL *x, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = x[i] <= 0 ? 0 : x[i];
}

static void LOCAL(relu_backward)(REAL *dx, const REAL *x, const REAL *dout, size_t size) {
    for (size_t i = 0; i < size; i++) {
        REAL upstream = dout[i]; /* read on both paths, so that the loop has no branch */
        dx[i] = x[i] > 0 ? upstream : 0;
    }
}

#else
/* ---- per type ---- */

static void NAME(forward_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(relu_forward), (e->out + mine.begin, e->x + mine.begin, mine.end - mine.begin));
}

static void NAME(backward_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(relu_backward),
                (e->out + mine.begin, e->x + mine.begin, e->y + mine.begin, mine.end - mine.begin));
}

void NAME(bp_relu_forward)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = out, .x = x};
    bp_run_elements((double)size, size, NAME(forward_part), &e);
}

/* dx = dout where x > 0 */
void NAME(bp_relu_backward)(REAL *dx, const REAL *x, const REAL *dout, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = dx, .x = x, .y = dout};
    bp_run_elements((double)size, size, NAME(backward_part), &e);
}

#endif

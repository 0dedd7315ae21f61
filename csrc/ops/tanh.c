/* tanh.c: out = (e^2x - 1) / (e^2x + 1); dx = dout * (1 - out^2). Arrays (size). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/exponential.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/tanh.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

static void LOCAL(tanh_forward)(REAL *out, const REAL *x, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = NAME(bp_tanh_one)(x[i]);
}

static void LOCAL(tanh_backward)(REAL *dx, const REAL *out, const REAL *dout, size_t size) {
    for (size_t i = 0; i < size; i++) dx[i] = dout[i] * NAME(bp_tanh_slope)(out[i]);
}

static void LOCAL(tanh_backward_of_input)(REAL *dx, const REAL *x, const REAL *dout, size_t size) {
    for (size_t i = 0; i < size; i++) {
        REAL out = NAME(bp_tanh_one)(x[i]);
        dx[i] = dout[i] * NAME(bp_tanh_slope)(out);
    }
}

#else
/* ---- per type ---- */

static void NAME(forward_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(tanh_forward), (e->out + mine.begin, e->x + mine.begin, mine.end - mine.begin));
}

static void NAME(backward_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(tanh_backward),
                (e->out + mine.begin, e->x + mine.begin, e->y + mine.begin, mine.end - mine.begin));
}

static void NAME(backward_of_input_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(tanh_backward_of_input),
                (e->out + mine.begin, e->x + mine.begin, e->y + mine.begin, mine.end - mine.begin));
}

void NAME(bp_tanh_forward)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = out, .x = x};
    bp_run_elements(8 * (double)size, size, NAME(forward_part), &e);
}

void NAME(bp_tanh_backward)(REAL *dx, const REAL *out, const REAL *dout, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {dx, out, dout, .factor = 0};
    bp_run_elements((double)size, size, NAME(backward_part), &e);
}

void NAME(bp_tanh_backward_of_input)(REAL *dx, const REAL *x, const REAL *dout, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {dx, x, dout, .factor = 0};
    bp_run_elements(8 * (double)size, size, NAME(backward_of_input_part), &e);
}

#endif

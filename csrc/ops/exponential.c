/* exponential.c: out = e^x and out = log(x), element by element. Arrays (size). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/exponential.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/exponential.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

static void LOCAL(exp)(REAL *out, const REAL *x, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = NAME(bp_exp_one)(x[i]);
}

static void LOCAL(log)(REAL *out, const REAL *x, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = NAME(bp_log_one)(x[i]);
}

#else
/* ---- per type ---- */

static void NAME(exp_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(exp), (e->out + mine.begin, e->x + mine.begin, mine.end - mine.begin));
}

static void NAME(log_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(log), (e->out + mine.begin, e->x + mine.begin, mine.end - mine.begin));
}

void NAME(bp_exp)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = out, .x = x};
    bp_run_elements(8 * (double)size, size, NAME(exp_part), &e);
}

void NAME(bp_log)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = out, .x = x};
    bp_run_elements(8 * (double)size, size, NAME(log_part), &e);
}

#endif

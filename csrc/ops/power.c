/* power.c: out = x to the power of a whole number, by multiplications, and out = the square root of x.
   Arrays (size). Their gradients are products of these: see arithmetic.c. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/power.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

enum { LOCAL(AT_ONCE) = 64 };

/* AT_ONCE powers side by side, so that each multiplication is one of vectors */
static void LOCAL(some_powers)(REAL *out, const REAL *x, int exponent, size_t size) {
    REAL power[LOCAL(AT_ONCE)], factor[LOCAL(AT_ONCE)];
    for (size_t i = 0; i < size; i++) power[i] = factor[i] = x[i];
    for (int e = 1; e < (exponent < 0 ? -exponent : exponent); e++)
        for (size_t i = 0; i < size; i++) power[i] *= factor[i];
    for (size_t i = 0; i < size; i++) out[i] = exponent < 0 ? 1 / power[i] : power[i];
}

static void LOCAL(power)(REAL *out, const REAL *x, int exponent, size_t size) {
    if (exponent == 2) {
        for (size_t i = 0; i < size; i++) out[i] = x[i] * x[i];
    } else if (exponent == 0) {
        for (size_t i = 0; i < size; i++) out[i] = 1;
    } else {
        size_t at = 0;
        for (; size - at >= LOCAL(AT_ONCE); at += LOCAL(AT_ONCE))
            LOCAL(some_powers)(out + at, x + at, exponent, LOCAL(AT_ONCE));
        LOCAL(some_powers)(out + at, x + at, exponent, size - at);
    }
}

static void LOCAL(square_root)(REAL *out, const REAL *x, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = SQRT(x[i]);
}

#else
/* ---- per type ---- */

typedef struct {
    REAL *out;
    const REAL *x;
    int exponent;
} NAME(powers);

static void NAME(power_part)(const void *job, bp_range mine) {
    const NAME(powers) *p = job;
    BP_DISPATCH(NAME(power),
                (p->out + mine.begin, p->x + mine.begin, p->exponent, mine.end - mine.begin));
}

static void NAME(square_root_part)(const void *job, bp_range mine) {
    const NAME(bp_elements) *e = job;
    BP_DISPATCH(NAME(square_root), (e->out + mine.begin, e->x + mine.begin, mine.end - mine.begin));
}

bp_status NAME(bp_power)(REAL *out, const REAL *x, int exponent, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    if (exponent < -BP_MAX_EXPONENT || exponent > BP_MAX_EXPONENT) return BP_INVALID;
    const NAME(powers) p = {out, x, exponent};
    bp_run_elements((double)size, size, NAME(power_part), &p);
    return BP_OK;
}

void NAME(bp_square_root)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_elements) e = {.out = out, .x = x};
    bp_run_elements((double)size, size, NAME(square_root_part), &e);
}

#endif

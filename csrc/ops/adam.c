/* adam.c: m = the mean of dp, v that of its squares; p = p - lr m / (sqrt(v) + eps), bias corrected.
   Arrays (size). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

/* base to the power of a whole number, as the header says. Squaring 1 for the zeros before the highest
   digit would change nothing. */
static double whole_power(double base, uint64_t exponent) {
    double power = 1;
    int digit = exponent ? 63 - __builtin_clzll(exponent) : -1;
    for (; digit >= 0; digit--) {
        power = power * power;
        if (exponent >> digit & 1) power = power * base;
    }
    return power;
}

#define BP_TEMPLATE "ops/adam.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/adam.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"

/* The update of a vector's lanes from i on. */
static inline __attribute__((always_inline)) void
LOCAL(adam_lanes)(const NAME(adam) * a, size_t i, size_t lanes, const int decays, const int decoupled) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) p = LOCAL(load_lanes)(a->p + i, lanes), g = LOCAL(load_lanes)(a->dp + i, lanes);
    LOCAL(vector) m = LOCAL(load_lanes)(a->m + i, lanes), v = LOCAL(load_lanes)(a->v + i, lanes);
    if (decays && decoupled) p = p * (a->keep - zero);
    if (decays && !decoupled) g = LOCAL(vector_fma)(a->decay - zero, p, g);
    m = LOCAL(vector_fma)(a->c1 - zero, g - m, m);
    v = LOCAL(vector_fma)((a->c2 - zero) * g, g, (a->beta2 - zero) * v);
    LOCAL(vector) size = LOCAL(vector_sqrt)(v) / (a->root - zero) + (a->eps - zero);
    p = LOCAL(vector_fma)(-a->step - zero, m / size, p);
    LOCAL(store_lanes)(a->p + i, p, lanes);
    LOCAL(store_lanes)(a->m + i, m, lanes);
    LOCAL(store_lanes)(a->v + i, v, lanes);
}

#define BP_ADAM_LOOP(decays, decoupled)                                                                 \
    for (size_t i = 0; i < size; i += LANES) LOCAL(adam_lanes)(&a, i, size - i, decays, decoupled)

static void LOCAL(adam_update)(const NAME(adam) * given, bp_range mine) {
    NAME(adam) a = *given;
    size_t size = mine.end - mine.begin;
    a.p += mine.begin, a.m += mine.begin, a.v += mine.begin, a.dp += mine.begin;
    if (!a.decays)
        BP_ADAM_LOOP(0, 0);
    else if (a.decoupled)
        BP_ADAM_LOOP(1, 1);
    else
        BP_ADAM_LOOP(1, 0);
}
#undef BP_ADAM_LOOP
#undef LANES

#else
/* ---- per type ---- */

static NAME(adam) NAME(adam_of)(const bp_optimizer *o, double lr, double mu) {
    const double beta1 = bp_here(mu), beta2 = bp_here(o->beta2), decay = bp_here(o->weight_decay);
    const double rate = bp_here(lr);
    const uint64_t t = o->steps + 1;
    return (NAME(adam)){.c1 = (REAL)(1 - beta1),
                        .c2 = (REAL)(1 - beta2),
                        .beta2 = (REAL)beta2,
                        .step = (REAL)(rate / (1 - whole_power(beta1, t))),
                        .root = (REAL)sqrt(1 - whole_power(beta2, t)),
                        .eps = (REAL)bp_here(o->eps),
                        .decay = (REAL)decay,
                        .keep = (REAL)(1 - rate * decay),
                        .decays = decay != 0,
                        .decoupled = o->decoupled};
}

static void NAME(adam_part)(const void *job, bp_range mine) {
    const NAME(adam) *a = job;
    BP_DISPATCH(NAME(adam_update), (a, mine));
}

void NAME(bp_adam_update)(REAL *p, REAL *m, REAL *v, const REAL *dp, const bp_optimizer *optimizer,
                          double lr, double mu, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    NAME(adam) a = NAME(adam_of)(optimizer, lr, mu);
    a.p = p, a.m = m, a.v = v, a.dp = dp;
    bp_run_elements(8 * (double)size, size, NAME(adam_part), &a);
}

#endif

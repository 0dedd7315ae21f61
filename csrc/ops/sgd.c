/* sgd.c: p = p - lr * dp, and with momentum v = mu * v + dp, p = p - lr * v. Arrays (size). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

#define BP_TEMPLATE "ops/sgd.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"
#include "ops/momentum.h"

static void LOCAL(sgd_update)(REAL *restrict p, const REAL *restrict dp, REAL lr, size_t size) {
    for (size_t i = 0; i < size; i++) p[i] = FMA(-lr, dp[i], p[i]);
}

static void LOCAL(sgd_momentum_update)(REAL *restrict p, REAL *restrict v, const REAL *restrict dp,
                                       REAL lr, REAL mu, size_t size) {
    const LOCAL(pace) pace = LOCAL(pace_of)(lr, mu);
    for (size_t i = 0; i < size; i += LANES)
        LOCAL(update_lanes)(pace, p + i, p + i, v + i, LOCAL(load_lanes)(dp + i, size - i), size - i);
}

#undef LANES

#else
/* ---- per type ---- */

typedef struct {
    REAL *p, *v;
    const REAL *dp;
    REAL lr, mu;
} NAME(update);

static void NAME(update_part)(const void *job, bp_range mine) {
    const NAME(update) *u = job;
    BP_DISPATCH(NAME(sgd_update), (u->p + mine.begin, u->dp + mine.begin, u->lr, mine.end - mine.begin));
}

static void NAME(momentum_part)(const void *job, bp_range mine) {
    const NAME(update) *u = job;
    BP_DISPATCH(NAME(sgd_momentum_update), (u->p + mine.begin, u->v + mine.begin, u->dp + mine.begin,
                                            u->lr, u->mu, mine.end - mine.begin));
}

void NAME(bp_sgd_update)(REAL *p, const REAL *dp, double lr, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(update) u = {.p = p, .dp = dp, .lr = (REAL)bp_here(lr)};
    bp_run_elements((double)size, size, NAME(update_part), &u);
}

void NAME(bp_sgd_momentum_update)(REAL *p, REAL *v, const REAL *dp, double lr, double mu, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(update) u = {p, v, dp, (REAL)bp_here(lr), (REAL)bp_here(mu)};
    bp_run_elements(2 * (double)size, size, NAME(momentum_part), &u);
}

void NAME(bp_sgd_step)(const bp_parameter *parameters, size_t count, double lr, double mu) {
    BP_DEFINED_ENVIRONMENT;
    for (const bp_parameter *one = parameters; one < parameters + count; one++)
        if (one->v)
            NAME(bp_sgd_momentum_update)(one->p, one->v, one->dp, lr, mu, one->size);
        else
            NAME(bp_sgd_update)(one->p, one->dp, lr, one->size);
}

#endif

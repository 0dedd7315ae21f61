/* optimizer.c: sgd with weight decay and Nesterov's momentum, and the update of each optimizer. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

#define BP_TEMPLATE "ops/optimizer.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"

static void LOCAL(sgd_decay_update)(REAL *p, REAL *v, const REAL *dp, REAL lr, REAL mu, REAL decay,
                                    int nesterov, size_t size) {
    const LOCAL(vector) zero = {0};
    for (size_t i = 0; i < size; i += LANES) {
        size_t lanes = size - i;
        LOCAL(vector) now = LOCAL(load_lanes)(p + i, lanes), step = LOCAL(load_lanes)(dp + i, lanes);
        if (decay != 0) step = LOCAL(vector_fma)(decay - zero, now, step);
        if (v) {
            LOCAL(vector) moved = LOCAL(load_lanes)(v + i, lanes);
            moved = LOCAL(vector_fma)(mu - zero, moved, step);
            LOCAL(store_lanes)(v + i, moved, lanes);
            if (nesterov)
                step = LOCAL(vector_fma)(mu - zero, moved, step);
            else
                step = moved;
        }
        LOCAL(store_lanes)(p + i, LOCAL(vector_fma)(-lr - zero, step, now), lanes);
    }
}

#undef LANES

#else
/* ---- per type ---- */

typedef struct {
    REAL *p, *v;
    const REAL *dp;
    REAL lr, mu, decay;
    int nesterov;
} NAME(decay_update);

static void NAME(decay_part)(const void *job, bp_range mine) {
    const NAME(decay_update) *u = job;
    BP_DISPATCH(NAME(sgd_decay_update),
                (u->p + mine.begin, u->v ? u->v + mine.begin : NULL, u->dp + mine.begin, u->lr, u->mu,
                 u->decay, u->nesterov, mine.end - mine.begin));
}

void NAME(bp_sgd_decay_update)(REAL *p, REAL *v, const REAL *dp, const bp_optimizer *optimizer,
                               double lr, double mu, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(decay_update) u = {p,
                                  v,
                                  dp,
                                  (REAL)bp_here(lr),
                                  (REAL)bp_here(mu),
                                  (REAL)bp_here(optimizer->weight_decay),
                                  optimizer->nesterov};
    bp_run_elements(2 * (double)size, size, NAME(decay_part), &u);
}

void NAME(bp_optimizer_step)(const bp_parameter *parameters, size_t count, const bp_optimizer *optimizer,
                             double lr, double mu) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_is_plain_sgd(optimizer)) {
        NAME(bp_sgd_step)(parameters, count, lr, mu);
        return;
    }
    bp_optimizer without_decay = *optimizer;
    without_decay.weight_decay = 0;
    for (const bp_parameter *one = parameters; one < parameters + count; one++) {
        const int is_spared = one->is_bias && optimizer->decays_weights_only;
        const bp_optimizer *rule = is_spared ? &without_decay : optimizer;
        if (rule->rule == BP_ADAM)
            NAME(bp_adam_update)(one->p, one->v, one->squares, one->dp, rule, lr, mu, one->size);
        else
            NAME(bp_sgd_decay_update)(one->p, one->v, one->dp, rule, lr, mu, one->size);
    }
}

#endif

/* update.c: the part of a step after its gradients. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "plan/plan.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/update.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

int NAME(bp_clip)(const bp_plan *plan) {
    if (plan->max_norm == 0) return 1;
    const bp_parameter *end = plan->clipped + plan->clipped_count;
    double sum = 0;
    for (const bp_parameter *one = plan->clipped; one < end; one++)
        sum += NAME(bp_sum_squares)(one->dp, one->size);
    if (!isfinite(sum)) return 0;
    double factor = bp_clip_factor(sum, plan->max_norm);
    for (const bp_parameter *one = plan->clipped; factor < 1 && one < end; one++)
        NAME(bp_scale)((REAL *)one->dp, factor, one->size);
    return 1;
}

bp_status NAME(bp_plan_update)(const bp_plan *plan, double lr, double mu) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(bp_update_in)(plan, lr, mu);
}

bp_status NAME(bp_update_in)(const bp_plan *plan, double lr, double mu) {
    if (!NAME(bp_clip)(plan)) return BP_DIVERGED;
    NAME(bp_optimizer_step)(plan->parameters, plan->parameter_count, plan->optimizer, lr, mu);
    if (plan->optimizer) plan->optimizer->steps++;
    return BP_OK;
}

#endif

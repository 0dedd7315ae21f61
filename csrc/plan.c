/* plan.c: whole training steps over memory that was laid out beforehand, and a run of many of them. */
#ifndef REAL
#include "internal.h"

#include <time.h>

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A clock that was set back counts as late, lest nobody be served until it has caught up. */
static int is_late(double began, double seconds) {
    double spent = now() - began;
    return spent < 0 || spent >= seconds;
}

static void gather(char *to, const char *from, const int64_t *order, size_t n, size_t row_bytes) {
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * row_bytes, from + (size_t)order[i] * row_bytes, row_bytes);
}

#define BP_TEMPLATE "fused.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan.c"
#include "each_type.h"

#else

/* ---- BP_LAYERS ---- */

static bp_status NAME(layers_grads)(const bp_plan *plan, REAL *loss, const REAL *x, const REAL *targ,
                                    size_t n, REAL *dx, int accumulate) {
    bp_status status = NAME(bp_chain_forward)(loss, plan->layers, plan->count, x, targ, n);
    if (status != BP_OK) return status;
    return NAME(bp_chain_backward)(dx, plan->layers, plan->count, x, targ, n, accumulate);
}

/* out (n,h) for x (n,m), n at most the plan's batch */
static bp_status NAME(layers_predict)(const bp_plan *plan, REAL *out, const REAL *x, size_t n) {
    const bp_layer *last = plan->layers + plan->count - 1;
    const REAL *in = x;
    for (const bp_layer *l = plan->layers; l <= last; l++) {
        REAL *z = l == last ? out : l->z, *a = l == last ? out : l->a;
        bp_status status = NAME(bp_linear_forward)(z, in, l->w, l->b, n, l->m, l->h);
        if (status != BP_OK) return status;
        if (l->a) NAME(bp_relu_forward)(a, z, n * l->h);
        in = l->a ? a : z;
    }
    return BP_OK;
}

/* ---- whichever it is ---- */

bp_status NAME(bp_plan_workspace)(const bp_plan *plan, size_t *bytes) {
    if (plan->strategy == BP_FUSED) return NAME(bp_fused_workspace)(plan, bytes);
    *bytes = 0;
    return plan->strategy == BP_LAYERS ? BP_OK : BP_UNKNOWN;
}

bp_status NAME(bp_plan_grads)(const bp_plan *plan, REAL *loss, const REAL *x, const REAL *targ, size_t n,
                              REAL *dx, int accumulate) {
    if (n > plan->batch) return BP_MISMATCH;
    switch (plan->strategy) {
    case BP_LAYERS: return NAME(layers_grads)(plan, loss, x, targ, n, dx, accumulate);
    case BP_FUSED: return NAME(bp_fused_grads)(plan, loss, x, targ, n, dx, accumulate);
    default: return BP_UNKNOWN;
    }
}

bp_status NAME(bp_plan_step)(const bp_plan *plan, REAL *loss, const REAL *x, const REAL *targ, size_t n,
                             REAL lr, REAL mu) {
    bp_status status = NAME(bp_plan_grads)(plan, loss, x, targ, n, NULL, 0);
    if (status == BP_OK) NAME(bp_sgd_step)(plan->parameters, plan->parameter_count, lr, mu);
    return status;
}

bp_status NAME(bp_plan_predict)(const bp_plan *plan, REAL *out, const REAL *x, size_t n) {
    if (plan->count == 0 || plan->batch == 0) return BP_EMPTY;
    size_t m = plan->layers[0].m, h = plan->layers[plan->count - 1].h;
    bp_status status = BP_OK;
    for (size_t row = 0; row < n && status == BP_OK; row += plan->batch) {
        size_t rows = n - row < plan->batch ? n - row : plan->batch;
        if (plan->strategy == BP_FUSED)
            status = NAME(bp_fused_predict)(plan, out + row * h, x + row * m, rows);
        else
            status = NAME(layers_predict)(plan, out + row * h, x + row * m, rows);
    }
    return status;
}

/* ---- many steps ---- */

/* Points x and targ to the n rows from `row` on, in that order. */
static void NAME(take_batch)(const bp_plan *plan, const REAL **x, const REAL **targ,
                             const int64_t *order, size_t row, size_t n) {
    size_t m = plan->layers[0].m, h = plan->layers[plan->count - 1].h;
    if (!order) {
        *x += row * m;
        *targ += row * h;
        return;
    }
    gather(plan->x, (const char *)*x, order + row, n, m * sizeof(REAL));
    gather(plan->targ, (const char *)*targ, order + row, n, h * sizeof(REAL));
    *x = plan->x;
    *targ = plan->targ;
}

/* One step of a run: all of it, or no update and no progress. */
static bp_status NAME(run_step)(const bp_plan *plan, bp_progress *at, const REAL *x, const REAL *targ,
                                size_t n, REAL lr, REAL mu) {
    REAL loss = 0;
    bp_status status = NAME(bp_plan_grads)(plan, &loss, x, targ, n, NULL, 0);
    if (status != BP_OK) return status;
    at->loss = (double)loss;
    if (!isfinite(loss)) return BP_DIVERGED;
    NAME(bp_sgd_step)(plan->parameters, plan->parameter_count, lr, mu);
    at->loss_sum += (double)loss * (double)n;
    at->row += n;
    at->steps++;
    return BP_OK;
}

bp_status NAME(bp_plan_run)(const bp_plan *plan, bp_progress *at, const REAL *x, const REAL *targ,
                            const int64_t *order, size_t rows, size_t batch, REAL lr, REAL mu,
                            double seconds) {
    if (plan->count == 0 || batch == 0) return BP_EMPTY;
    double began = now();
    bp_status status = BP_OK;
    while (status == BP_OK && at->row < rows) {
        size_t n = rows - at->row < batch ? rows - at->row : batch;
        const REAL *batch_x = x, *batch_targ = targ;
        if (n > plan->batch) return BP_MISMATCH;
        NAME(take_batch)(plan, &batch_x, &batch_targ, order, at->row, n);
        status = NAME(run_step)(plan, at, batch_x, batch_targ, n, lr, mu);
        if (is_late(began, seconds)) break;
    }
    return status;
}

#endif

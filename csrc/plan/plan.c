/* plan.c: whole training steps in memory that was laid out in advance, and runs of many steps. */
#ifndef REAL
/* ---- once ---- */
#define _POSIX_C_SOURCE 200112L /* clock_gettime */
#include "internal.h"
#include "runtime/clock.h"

enum { SHORT_ROW = 16 }; /* elements: shorter rows are copied faster by a loop than by memcpy */

static double now(void) { return 1e-9 * (double)bp_nanoseconds(); }

/* When a run has to return. Reading the clock takes a tenth of the shortest step, so it is read after
   each step only where steps are long. */
enum { STEPS_BETWEEN = 16 };
enum { FEWEST_STEPS = 4 };             /* for which copying the parameters there and back pays */
static const double SHORT_TIME = 1e-3; /* seconds since the clock was last read: then steps are short */

typedef struct {
    double end, read;
    int left; /* steps until the clock is read next */
} bp_clock;

static bp_clock clock_for(double seconds) {
    double began = now();
    return (bp_clock){began + seconds, began, 1};
}

/* Whether the time is over, as far as known; called after each step. */
static int is_over(bp_clock *clock) {
    if (--clock->left > 0) return 0;
    double t = now();
    clock->left = t - clock->read < SHORT_TIME ? STEPS_BETWEEN : 1;
    clock->read = t;
    return t >= clock->end;
}

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/plan.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/owned.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/plan.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

/* The workspace of all strategies but the fused one: masks, and a piece for each thread, on whole cache
   lines. */
static bp_workspace NAME(workspace_of)(const bp_plan *plan) {
    size_t count = (size_t)bp_threads(), masks = NAME(bp_split_masks_bytes)(plan);
    if (masks >= plan->workspace_bytes) return (bp_workspace){plan->workspace, 0, 0};
    return (bp_workspace){(char *)plan->workspace + masks,
                          (plan->workspace_bytes - masks) / count / 64 * 64, count};
}

/* Masks, and workspace for the largest of the layers' products, for each thread. */
static bp_status NAME(products_workspace)(const bp_plan *plan, size_t *bytes) {
    size_t n = plan->batch, most = 0;
    for (const bp_layer *l = plan->layers; l < plan->layers + plan->count; l++) {
        if (bp_overflows(n, l->m, 64 * sizeof(REAL)) || bp_overflows(n, l->h, 64 * sizeof(REAL)) ||
            bp_overflows(l->m, l->h, 64 * sizeof(REAL)))
            return BP_OVERFLOW;
        size_t of[] = {NAME(bp_multiply_workspace)(n, l->m, l->h),
                       NAME(bp_multiply_workspace)(n, l->h, l->m),
                       NAME(bp_multiply_workspace)(l->m, n, l->h)};
        for (size_t k = 0; k < sizeof of / sizeof *of; k++) most = of[k] > most ? of[k] : most;
    }
    *bytes = NAME(bp_split_masks_bytes)(plan) + most * (size_t)bp_threads();
    return BP_OK;
}

bp_status NAME(bp_plan_workspace)(const bp_plan *plan, size_t *bytes) {
    if (!NAME(bp_layers_valid)(plan->layers, plan->count)) return BP_INVALID;
    switch (plan->strategy) {
    case BP_FUSED: return NAME(bp_fused_workspace)(plan, bytes);
    case BP_LAYERS:
    case BP_SPLIT: return NAME(products_workspace)(plan, bytes);
    default: return BP_UNKNOWN;
    }
}

static bp_status NAME(layers_grads)(const bp_plan *plan, const bp_workspace *workspace, REAL *loss,
                                    const REAL *x, const REAL *targ, size_t n, REAL *dx,
                                    int accumulate) {
    const bp_layer *layers = plan->layers;
    const bp_mean mean = bp_mean_of(plan);
    bp_status status = NAME(bp_chain_forward_in)(workspace, mean, loss, layers, plan->count, x, targ, n);
    if (status != BP_OK) return status;
    return NAME(bp_chain_backward_in)(workspace, mean, dx, layers, plan->count, x, targ, n, accumulate);
}

/* to (n,size) = those rows of from */
static void NAME(gather)(REAL *restrict to, const REAL *restrict from, const int64_t *order, size_t n,
                         size_t size) {
    for (size_t i = 0; i < n; i++) {
        const REAL *row = from + (size_t)order[i] * size;
        if (size < SHORT_ROW)
            for (size_t k = 0; k < size; k++) to[i * size + k] = row[k];
        else
            memcpy(to + i * size, row, size * sizeof(REAL));
    }
}

void NAME(bp_gather)(const bp_plan *plan, const NAME(bp_batch) * batch, bp_range rows) {
    const bp_layer *last = plan->layers + plan->count - 1;
    size_t m = plan->layers[0].m, width = bp_loss_width(last->loss, last->h), n = rows.end - rows.begin;
    const int64_t *order = batch->order + rows.begin;
    NAME(gather)((REAL *)plan->x + rows.begin * m, batch->x, order, n, m);
    NAME(gather)((REAL *)plan->targ + rows.begin * width, batch->targ, order, n, width);
}

/* The gradients, and where update is not NULL, the update. */
static bp_status NAME(grads_and_update)(const bp_plan *plan, REAL *loss, const NAME(bp_batch) * batch,
                                        REAL *dx, int accumulate, const NAME(bp_update) * update) {
    const REAL *x = batch->order ? plan->x : batch->x;
    const REAL *targ = batch->order ? plan->targ : batch->targ;
    size_t n = batch->n;
    if (n > plan->batch) return BP_MISMATCH;
    if (!NAME(bp_layers_valid)(plan->layers, plan->count)) return BP_INVALID;
    const bp_workspace workspace = NAME(workspace_of)(plan);
    if (plan->strategy == BP_SPLIT) /* whose threads copy rows, each its own */
        return NAME(bp_split_grads)(plan, &workspace, loss, batch, dx, accumulate, update);
    if (batch->order) NAME(bp_gather)(plan, batch, (bp_range){0, n});
    bp_status status = BP_UNKNOWN;
    switch (plan->strategy) {
    case BP_LAYERS:
        status = NAME(layers_grads)(plan, &workspace, loss, x, targ, n, dx, accumulate);
        break;
    case BP_FUSED: status = NAME(bp_fused_grads)(plan, loss, x, targ, n, dx, accumulate); break;
    default: break;
    }
    if (status == BP_OK && update && (!update->guarded || isfinite(*loss)))
        status = NAME(bp_update_in)(plan, update->lr, update->mu);
    return status;
}

bp_status NAME(bp_plan_grads)(const bp_plan *plan, REAL *loss, const REAL *x, const REAL *targ, size_t n,
                              REAL *dx, int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_batch) batch = {x, targ, NULL, n};
    return NAME(grads_and_update)(plan, loss, &batch, dx, accumulate, NULL);
}

bp_status NAME(bp_plan_step)(const bp_plan *plan, REAL *loss, const REAL *x, const REAL *targ, size_t n,
                             double lr, double mu) {
    BP_DEFINED_ENVIRONMENT;
    const NAME(bp_update) update = {.lr = lr, .mu = mu};
    const NAME(bp_batch) batch = {x, targ, NULL, n};
    return NAME(grads_and_update)(plan, loss, &batch, NULL, 0, &update);
}

size_t NAME(bp_plan_run_bytes)(const bp_plan *plan) { return NAME(bp_owned_bytes)(plan); }

bp_status NAME(bp_plan_predict)(const bp_plan *plan, REAL *out, const REAL *x, size_t n) {
    BP_DEFINED_ENVIRONMENT;
    if (plan->count == 0 || plan->batch == 0) return BP_EMPTY;
    if (!NAME(bp_layers_valid)(plan->layers, plan->count)) return BP_INVALID;
    size_t m = plan->layers[0].m, h = plan->layers[plan->count - 1].h;
    const bp_workspace workspace = NAME(workspace_of)(plan);
    bp_status status = BP_OK;
    for (size_t row = 0; row < n && status == BP_OK; row += plan->batch) {
        size_t rows = n - row < plan->batch ? n - row : plan->batch;
        if (plan->strategy == BP_FUSED)
            status = NAME(bp_fused_predict)(plan, out + row * h, x + row * m, rows);
        else
            status = NAME(bp_layers_forward)(&workspace, out + row * h, plan->layers, plan->count,
                                             x + row * m, rows);
    }
    return status;
}

/* ---- many steps ---- */

static void NAME(count_step)(bp_progress *at, double loss, size_t n) {
    at->loss = loss;
    at->loss_sum += loss * (double)n;
    at->row += n;
    at->steps++;
}

/* The learning rate of the next step. */
static double NAME(rate_of)(const bp_progress *at, double lr) {
    return at->rates ? at->rates[at->steps] : lr;
}

/* One step of a run: all of it, or no update and no progress. */
static bp_status NAME(run_step)(const bp_plan *plan, bp_progress *at, const NAME(bp_batch) * batch,
                                double lr, double mu) {
    REAL loss = 0;
    const NAME(bp_update) update = {NAME(rate_of)(at, lr), mu, .guarded = 1};
    bp_status status = NAME(grads_and_update)(plan, &loss, batch, NULL, 0, &update);
    if (status == BP_DIVERGED) at->loss = (double)loss;
    if (status != BP_OK) return status;
    if (isfinite(loss))
        NAME(count_step)(at, (double)loss, batch->n);
    else
        at->loss = (double)loss;
    return isfinite(loss) ? BP_OK : BP_DIVERGED;
}

/* All steps that can be done on copies of the parameters, until the time is over, but not the epoch's
   last: the last step before a return leaves its gradients, and copies have none. */
static void NAME(run_owned)(const bp_plan *plan, bp_progress *at, const REAL *x, const REAL *targ,
                            const int64_t *order, size_t rows, size_t batch, double lr, double mu,
                            bp_clock *clock) {
    NAME(bp_owned) run;
    if ((rows - at->row - 1) / batch < FEWEST_STEPS) return;
    if (!NAME(bp_owned_begin)(&run, plan, x, targ, order, at->row, batch, lr, mu)) return;
    for (int more = 1; more;) {
        size_t next = at->row + batch;
        more = rows - next > batch;
        run.lr = (REAL)NAME(rate_of)(at, lr);
        if (!NAME(bp_owned_step)(&run, next, more ? batch : 0)) break;
        NAME(count_step)(at, (double)run.loss, batch);
        if (plan->optimizer) plan->optimizer->steps++;
        more = more && !is_over(clock);
    }
    NAME(bp_owned_end)(&run);
}

bp_status NAME(bp_plan_run)(const bp_plan *plan, bp_progress *at, const REAL *x, const REAL *targ,
                            const int64_t *order, size_t rows, size_t batch, double lr, double mu,
                            double seconds) {
    BP_DEFINED_ENVIRONMENT;
    if (plan->count == 0 || batch == 0) return BP_EMPTY;
    if (!NAME(bp_layers_valid)(plan->layers, plan->count)) return BP_INVALID;
    const bp_layer *last = plan->layers + plan->count - 1;
    size_t m = plan->layers[0].m, width = bp_loss_width(last->loss, last->h);
    bp_clock clock = clock_for(seconds);
    bp_status status = BP_OK;
    if (batch <= plan->batch && at->row < rows)
        NAME(run_owned)(plan, at, x, targ, order, rows, batch, lr, mu, &clock);
    while (status == BP_OK && at->row < rows) {
        NAME(bp_batch) rows_of = {x, targ, order, rows - at->row < batch ? rows - at->row : batch};
        if (order)
            rows_of.order += at->row;
        else
            rows_of.x += at->row * m, rows_of.targ += at->row * width;
        status = NAME(run_step)(plan, at, &rows_of, lr, mu);
        if (is_over(&clock)) break;
    }
    return status;
}

#endif

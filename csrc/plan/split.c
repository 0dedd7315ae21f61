/* split.c: a step in three phases. Up to the gradients of the parameters, rows are independent: in the
   first phase each thread takes some of the rows forward and backward through all layers. In the second
   it computes some elements of the gradients, each of which sums over all rows; in the third it updates
   some of the parameters. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include <stdatomic.h>

enum { ROWS = 16, ELEMENTS = 4, NUMBERS = 64 }; /* shares are cut at multiples of these */
enum { SAMPLE = 4 };                            /* rows from which the share of zeros is estimated */
enum { PREFETCH_BYTES = 256 * 1024 }; /* of an array, at most: larger ones would evict what is in use */

/* Prefetches what other threads wrote, before the first sum reads it. */
static void prefetch_array(const char *at, size_t bytes) {
    for (size_t k = 0; k < bytes && bytes <= PREFETCH_BYTES; k += 64) __builtin_prefetch(at + k);
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

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/masks.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/split.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

typedef struct {
    const bp_plan *plan;
    const bp_workspace *workspace;
    REAL *loss;
    const NAME(bp_batch) * batch;
    const REAL *x, *targ; /* the batch's, or where its rows are gathered */
    size_t n, lowest;
    REAL *dx;
    int accumulate;
    const NAME(bp_update) * update;
    size_t shares;        /* of each phase */
    uint64_t *masks;      /* of x, or NULL: few of its elements are zero, or nobody asked for them */
    atomic_size_t *terms; /* how many bits they have */
} NAME(step);

/* The first layer's outputs in those rows without the terms that are zero; 0: they are not computed. */
static int NAME(masked_forward)(const NAME(step) * s, bp_range rows) {
    const bp_layer *l = s->plan->layers;
    size_t count = rows.end - rows.begin, words = bp_mask_words(l->m);
    const REAL *x = s->x + rows.begin * l->m;
    uint64_t *masks = s->masks + rows.begin * words;
    size_t terms = NAME(bp_mask_rows)(masks, x, l->m, count, l->m);
    atomic_fetch_add_explicit(s->terms, terms, memory_order_relaxed);
    if (!bp_masks_pay(terms, count * l->m)) return 0;
    const NAME(bp_masked_layer) layer = {.out = NAME(bp_output)(l) + rows.begin * l->h,
                                         .masks = masks,
                                         .x = x,
                                         .w = l->w,
                                         .b = l->b,
                                         .epilogue = bp_epilogue_of(l),
                                         .rows = count,
                                         .m = l->m,
                                         .h = l->h};
    return NAME(bp_masked_forward)(&layer);
}

/* The layers' outputs in those rows. */
static void NAME(rows_forward)(const NAME(step) * s, bp_range rows) {
    const REAL *in = s->x + rows.begin * s->plan->layers[0].m;
    for (const bp_layer *l = s->plan->layers; l < s->plan->layers + s->plan->count; l++) {
        REAL *out = NAME(bp_output)(l) + rows.begin * l->h;
        if (!s->masks || l > s->plan->layers || !NAME(masked_forward)(s, rows))
            NAME(bp_linear_forward_in)(s->workspace, out, in, l->w, l->b, bp_epilogue_of(l),
                                       rows.end - rows.begin, l->m, l->h);
        in = out;
    }
}

/* dz of each layer, and dx, in those rows. */
static void NAME(rows_backward)(const NAME(step) * s, bp_range rows) {
    const bp_layer *layers = s->plan->layers, *last = layers + s->plan->count - 1;
    size_t from = rows.begin * last->h, count = rows.end - rows.begin;
    const bp_mean mean = bp_mean_of(s->plan);
    NAME(bp_loss_rows_backward)(last->loss, (REAL *)last->dz + from, NAME(bp_output)(last) + from,
                                s->targ + rows.begin * bp_loss_width(last->loss, last->h),
                                NAME(bp_loss_factor)(last->loss, bp_mean_rows(mean, s->n), last->h),
                                count, last->h);
    for (size_t k = s->plan->count; k-- > s->lowest;) {
        const bp_layer *l = layers + k;
        REAL *dz = (REAL *)l->dz + rows.begin * l->h;
        REAL *din = k == 0 ? s->dx : k > s->lowest ? l[-1].dz : NULL;
        if (l->activation != BP_ACTIVATION_NONE) {
            const REAL *a = (REAL *)l->a + rows.begin * l->h;
            NAME(bp_activation_backward)(bp_epilogue_of(l), dz, a, dz, count * l->h);
        }
        if (din)
            NAME(bp_linear_backward_x_in)(s->workspace, din + rows.begin * l->m, dz, l->w, count, l->m,
                                          l->h, k == 0 && s->accumulate);
    }
}

/* Those rows of the first layer's dw, without the terms that are zero; 0: they are as they were. Not
   where it accumulates: into -0, the sign of a zero that is added would count. */
static int NAME(masked_backward_w)(const NAME(step) * s, bp_range rows) {
    const bp_layer *l = s->plan->layers;
    if (!bp_masks_pay(atomic_load_explicit(s->terms, memory_order_relaxed), s->n * l->m)) return 0;
    const NAME(bp_masked_gradient) gradient = {.dw = l->dw,
                                               .masks = s->masks,
                                               .x = s->x,
                                               .dz = l->dz,
                                               .n = s->n,
                                               .m = l->m,
                                               .h = l->h,
                                               .mine = rows};
    return NAME(bp_masked_backward_w)(&gradient);
}

/* One share of dw and db of all layers. */
static void NAME(add_over_rows)(const NAME(step) * s, size_t share) {
    for (size_t k = s->plan->count; k-- > s->lowest;) {
        const bp_layer *l = s->plan->layers + k;
        const REAL *in = k ? NAME(bp_output)(l - 1) : s->x;
        bp_range rows = {0, l->m}, cols = {0, l->h};
        if (s->shares > 1) prefetch_array(l->dz, s->n * l->h * sizeof(REAL));
        if (s->shares > 1 && k) prefetch_array((const char *)in, s->n * l->m * sizeof(REAL));
        if (l->m >= l->h)
            rows = bp_cut(l->m, ELEMENTS, share, s->shares);
        else
            cols = bp_cut(l->h, ELEMENTS, share, s->shares);
        int masked = k == 0 && s->masks && l->dw && l->m >= l->h && !s->accumulate &&
                     NAME(masked_backward_w)(s, rows);
        if (l->dw && !masked) {
            NAME(bp_product)
            t = NAME(bp_backward_w_product)(l->dw, in, l->dz, s->n, l->m, l->h, s->accumulate);
            t.workspace = s->workspace;
            NAME(bp_multiply_part)(&t, rows, cols);
        }
        if (l->db && share == 0) NAME(bp_linear_backward_b)(l->db, l->dz, s->n, l->h, s->accumulate);
    }
}

static void NAME(update_share)(const void *job, size_t share) {
    const NAME(step) *s = job;
    const NAME(bp_update) *u = s->update;
    const bp_parameter *end = s->plan->parameters + s->plan->parameter_count;
    for (const bp_parameter *one = s->plan->parameters; one < end; one++) {
        bp_range mine = bp_cut(one->size, NUMBERS, share, s->shares);
        bp_parameter some = {.p = (REAL *)one->p + mine.begin,
                             .v = one->v ? (REAL *)one->v + mine.begin : NULL,
                             .dp = (const REAL *)one->dp + mine.begin,
                             .size = mine.end - mine.begin,
                             .is_bias = one->is_bias};
        if (one->squares) some.squares = (REAL *)one->squares + mine.begin;
        NAME(bp_optimizer_step)(&some, 1, s->plan->optimizer, u->lr, u->mu);
    }
}

static void NAME(rows_share)(const void *job, size_t share) {
    const NAME(step) *s = job;
    bp_range rows = bp_cut(s->n, ROWS, share, s->shares);
    if (rows.begin >= rows.end) return;
    if (s->batch->order) NAME(bp_gather)(s->plan, s->batch, rows);
    NAME(rows_forward)(s, rows);
    NAME(rows_backward)(s, rows);
}

/* The last share, which has no db, computes the loss. */
static void NAME(gradients_share)(const void *job, size_t share) {
    const NAME(step) *s = job;
    const bp_layer *last = s->plan->layers + s->plan->count - 1;
    if (share + 1 == s->shares)
        NAME(bp_loss_forward_of)(bp_mean_of(s->plan), last->loss, s->loss, NAME(bp_output)(last),
                                 s->targ, s->n, last->h);
    NAME(add_over_rows)(s, share);
}

size_t NAME(bp_split_masks_bytes)(const bp_plan *plan) {
    if (plan->strategy != BP_SPLIT || !plan->sparse || plan->count == 0) return 0;
    size_t m = plan->layers[0].m, h = plan->layers[0].h;
    return NAME(bp_bits_may_pay)(m, h)
               ? bp_rounded(plan->batch * bp_mask_words(m) * sizeof(uint64_t), 64)
               : 0;
}

/* Whether so many numbers of a batch are zero, by a sample of its rows, that they are left out. Masks
   are at the workspace's begin. */
static int NAME(looks_sparse)(const bp_plan *plan, const NAME(bp_batch) * batch) {
    size_t bytes = NAME(bp_split_masks_bytes)(plan), m = plan->layers[0].m, terms = 0;
    if (bytes == 0 || bytes > plan->workspace_bytes) return 0;
    size_t samples = batch->n < SAMPLE ? batch->n : SAMPLE;
    for (size_t q = 0; q < samples; q++) {
        size_t i = batch->n * q / samples, row = batch->order ? (size_t)batch->order[i] : i;
        terms += NAME(bp_mask_rows)(plan->workspace, batch->x + row * m, m, 1, m);
    }
    return bp_masks_pay(terms, samples * m);
}

bp_status NAME(bp_split_grads)(const bp_plan *plan, const bp_workspace *workspace, REAL *loss,
                               const NAME(bp_batch) * batch, REAL *dx, int accumulate,
                               const NAME(bp_update) * update) {
    size_t n = batch->n;
    if (plan->count == 0) return BP_EMPTY;
    for (const bp_layer *l = plan->layers; l < plan->layers + plan->count; l++) {
        if (bp_overflows(n, l->m, sizeof(REAL)) || bp_overflows(n, l->h, sizeof(REAL)) ||
            bp_overflows(l->m, l->h, sizeof(REAL)))
            return BP_OVERFLOW;
    }
    if (n * plan->layers[plan->count - 1].h == 0) return BP_EMPTY;
    atomic_size_t terms = 0;
    NAME(step)
    s = {.plan = plan,
         .workspace = workspace,
         .loss = loss,
         .batch = batch,
         .n = n,
         .dx = dx,
         .accumulate = accumulate,
         .update = update,
         .terms = &terms};
    s.x = batch->order ? plan->x : batch->x, s.targ = batch->order ? plan->targ : batch->targ;
    if (NAME(looks_sparse)(plan, batch)) s.masks = plan->workspace;
    s.lowest = bp_lowest_wanted(plan->layers, plan->count, dx != NULL);
    int team = bp_threads_for(3 * bp_forward_work(plan->layers, plan->count, n));
    s.shares = (size_t)team;
    bp_run(team, s.shares, NAME(rows_share), &s);
    bp_run(team, s.shares, NAME(gradients_share), &s);
    if (!update || (update->guarded && !isfinite(*loss))) return BP_OK;
    if (!NAME(bp_clip)(plan)) return BP_DIVERGED;
    bp_run(team, s.shares, NAME(update_share), &s);
    if (plan->optimizer) plan->optimizer->steps++;
    return BP_OK;
}

#endif

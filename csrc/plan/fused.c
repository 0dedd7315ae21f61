/* fused.c: a step as one pass over the data. A tile of rows goes forward and backward through all
   layers while it is in cache, and adds to its segment's gradients; segments are added in ascending
   order, as defined, each by the thread that comes when its turn has come. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

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

#define BP_TEMPLATE "plan/fused.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/fused.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

/* total (rows,size), rows ld apart, = its old numbers, or +0, and sum, rows sum_ld apart */
static void LOCAL(add_all)(REAL *restrict total, size_t ld, const REAL *restrict sum, size_t sum_ld,
                           size_t rows, size_t size, int add) {
    for (size_t i = 0; i < rows; i++)
        for (size_t e = 0; e < size; e++)
            total[i * ld + e] = (add ? total[i * ld + e] : 0) + sum[i * sum_ld + e];
}

#else
/* ---- per type ---- */

static size_t NAME(segment_end)(const NAME(pass) * p, size_t start) {
    return p->n - start < BP_SEGMENT ? p->n : start + BP_SEGMENT;
}

/* The rows of the tile that begins with `row`. */
static size_t NAME(tile_rows)(const NAME(pass) * p, size_t row) {
    size_t left = row < p->n ? NAME(segment_end)(p, row / BP_SEGMENT * BP_SEGMENT) - row : 0;
    return left < p->rows ? left : p->rows;
}

/* The loss of a segment, from its outputs. */
static double NAME(error_of)(const NAME(pass) * p, const REAL *own, size_t start, size_t end) {
    const bp_layer *last = p->plan->layers + p->plan->count - 1;
    size_t width = bp_loss_width(last->loss, last->h);
    double error = 0;
    NAME(bp_loss_segment)(last->loss, &error, own + p->stages[p->plan->count - 1].out,
                          p->targ + start * width, end - start, last->h);
    return error;
}

/* Forward and backward of a segment. */
static void NAME(run_segment)(const NAME(pass) * p, REAL *own, bp_segment *segment, size_t start) {
    NAME(worker) worker = {.p = p, .own = own, .sums = segment->sums, .segment = segment}, *t = &worker;
    size_t end = NAME(segment_end)(p, start);
    if (p->bits) t->x = bp_bits_at(own + p->stages[0].bits, p->plan->layers[0].m);
    for (size_t row = start, rows; row < end; row += rows) {
        rows = NAME(tile_rows)(p, row);
        /* this thread's next segment is probably that many further on */
        size_t next = row + rows < end ? row + rows : start + p->threads * BP_SEGMENT;
        if (next > p->n) next = p->n;
        NAME(bp_tile_forward)(t, row, rows, next, NAME(tile_rows)(p, next));
        if (p->out)
            NAME(bp_tile_predict)(t, row, rows);
        else
            NAME(bp_tile_backward)(t, row, rows);
    }
    if (!p->out) segment->error = NAME(error_of)(p, own, start, end);
}

/* Stores the first layer's totals in dw, or unit by unit, as the next segment's sums are. */
static void NAME(lay_totals)(NAME(pass) * p, int by_rows) {
    const bp_layer *l = p->plan->layers;
    REAL *total = p->shared + p->stages[0].total;
    if (by_rows && !p->by_rows)
        NAME(bp_sums_to_rows)(p, 0, l->dw, l->h, total);
    else if (!by_rows && p->by_rows)
        NAME(bp_sums_from_rows)(p, 0, total, l->dw, l->h);
    p->by_rows = by_rows;
}

/* Adds a segment's sums of dw to the totals, if there are any. */
static void NAME(add_sums)(NAME(pass) * p, const bp_segment *segment, size_t q, int add) {
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    const REAL *sums = segment->sums;
    if (q == 0 && add) NAME(lay_totals)(p, segment->by_rows);
    if (q == 0) p->by_rows = segment->by_rows;
    if (q == 0 && segment->by_rows) {
        BP_DISPATCH(NAME(add_all), (l->dw, l->h, sums + s->sum_rows, s->hp, l->m, l->h, add));
    } else {
        BP_DISPATCH(NAME(add_all),
                    (p->shared + s->total, s->row, sums + s->sum, s->row, l->h, s->row, add));
    }
}

/* Adds what a segment found. Called in the order of segments. */
static void NAME(add_segment)(const void *pass, size_t share, const void *found) {
    NAME(pass) *p = *(NAME(pass) *const *)pass;
    const bp_segment *segment = found;
    int add = p->accumulate || share > 0;
    p->total += segment->error;
    for (size_t q = p->lowest; q < p->plan->count; q++) {
        const bp_layer *l = p->plan->layers + q;
        REAL *db = l->db;
        const REAL *sum_b = (const REAL *)segment->sums + p->stages[q].sum_b;
        if (l->dw) NAME(add_sums)(p, segment, q, add);
        for (size_t j = 0; db && j < l->h; j++) db[j] = (add ? db[j] : 0) + sum_b[j];
    }
}

/* Between dw and the totals, for all layers: before the first segment, if it is added to; at the end. */
static void NAME(move_totals)(const NAME(pass) * p, int back) {
    for (size_t q = p->lowest; q < p->plan->count; q++) {
        const bp_layer *l = p->plan->layers + q;
        REAL *total = p->shared + p->stages[q].total;
        if (!l->dw || (q == 0 && p->by_rows)) continue;
        if (back)
            NAME(bp_sums_to_rows)(p, q, l->dw, l->h, total);
        else
            NAME(bp_sums_from_rows)(p, q, total, l->dw, l->h);
    }
}

typedef struct {
    NAME(pass) * p;
    REAL *owned; /* each thread's memory */
    bp_turns *turns;
} NAME(segments);

static void NAME(segment_share)(const void *job, size_t share) {
    const NAME(segments) *all = job;
    NAME(pass) *p = all->p;
    REAL *own = all->owned + bp_thread() * p->own_size;
    bp_segment *segment = (bp_segment *)(own + p->held_at);
    if (!p->out) {
        size_t place = bp_hold(all->turns, (bp_held *)(segment + BP_HELD), share);
        segment += place;
        segment->sums = own + p->sums_at + place * p->sums_size;
    }
    NAME(run_segment)(p, own, segment, share * BP_SEGMENT);
    if (!p->out) bp_add_in_turn(all->turns, share, segment, NAME(add_segment), &p);
}

/* No thread holds sums yet. */
static bp_turns NAME(new_turns)(const NAME(pass) * p, REAL *owned, size_t owners) {
    size_t bytes = BP_HELD * sizeof(bp_segment) + sizeof(bp_held);
    for (size_t k = 0; k < p->threads; k++) memset(owned + k * p->own_size + p->held_at, 0, bytes);
    bp_turns turns = {.size = (unsigned)(p->threads * BP_SLOTS_EACH)};
    turns.slots = (bp_slot *)(owned + owners * p->own_size);
    memset(turns.slots, 0, turns.size * sizeof *turns.slots);
    return turns;
}

/* How rows of x lie to the vectors of sums. */
static void NAME(align)(NAME(pass) * p) {
    size_t bytes = bp_vector_bytes(p->kernel), m = p->plan->layers[0].m;
    size_t off = (uintptr_t)p->x % bytes, head = off ? (bytes - off) / sizeof(REAL) : 0;
    p->copies = m * sizeof(REAL) % bytes != 0 || off % sizeof(REAL) != 0;
    p->head = p->copies || m == 0 ? 0 : head;
}

static bp_status NAME(run_pass)(NAME(pass) * p, double work) {
    const bp_plan *plan = p->plan;
    NAME(bp_fused_place)(p, NULL);
    p->shared = (REAL *)plan->workspace + NAME(bp_fused_stages)(plan);
    REAL *owned = p->shared + p->shared_size;
    size_t all = plan->workspace_bytes / sizeof(REAL), used = (size_t)(owned - (REAL *)plan->workspace);
    size_t each = p->own_size + BP_SLOTS_EACH * sizeof(bp_slot) / sizeof(REAL);
    if (!plan->workspace || all < used + each) return BP_MISMATCH;
    bp_stage *stages = plan->workspace;
    NAME(bp_fused_place)(p, stages);
    p->stages = stages, p->kernel = bp_active_kernel();
    NAME(align)(p);
    const bp_layer *l = plan->layers;
    p->bits = p->bits && p->sparse && NAME(bp_all_finite)(l->w, l->m * l->h);
    size_t owners = (all - used) / each, segments = (p->n + BP_SEGMENT - 1) / BP_SEGMENT;
    size_t wanted = (size_t)bp_threads_for(work);
    int threads = (int)(wanted < owners ? wanted : owners);
    if ((size_t)threads > segments) threads = segments ? (int)segments : 1;
    p->threads = (size_t)threads;
    NAME(bp_fused_copy)(p);
    if (p->accumulate) NAME(move_totals)(p, 0);
    bp_turns turns = NAME(new_turns)(p, owned, owners);
    const NAME(segments) job = {p, owned, &turns};
    bp_run(threads, segments, NAME(segment_share), &job);
    if (!p->out) NAME(move_totals)(p, 1);
    return BP_OK;
}

bp_status NAME(bp_fused_grads)(const bp_plan *plan, REAL *loss, const REAL *x, const REAL *targ,
                               size_t n, REAL *dx, int accumulate) {
    if (plan->count == 0) return BP_EMPTY;
    const bp_layer *last = plan->layers + plan->count - 1;
    size_t h = last->h;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    NAME(pass) p = {.plan = plan, .x = x, .targ = targ, .dx = dx, .n = n, .accumulate = accumulate};
    const size_t rows = bp_mean_rows(bp_mean_of(plan), n);
    p.factor = NAME(bp_loss_factor)(last->loss, rows, h), p.sparse = plan->sparse && !accumulate;
    p.lowest = bp_lowest_wanted(plan->layers, plan->count, dx != NULL);
    bp_status status = NAME(run_pass)(&p, 3 * bp_forward_work(plan->layers, plan->count, n));
    if (status != BP_OK) return status;
    *loss = (REAL)(p.total / bp_loss_terms(last->loss, rows, h));
    if (plan->loss_sum) *plan->loss_sum = p.total;
    return BP_OK;
}

bp_status NAME(bp_fused_predict)(const bp_plan *plan, REAL *out, const REAL *x, size_t n) {
    NAME(pass) p = {.plan = plan, .x = x, .n = n, .out = out, .sparse = plan->sparse};
    return plan->count == 0 ? BP_EMPTY
                            : NAME(run_pass)(&p, bp_forward_work(plan->layers, plan->count, n));
}

#endif

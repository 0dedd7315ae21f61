/* fused.c: a step as one pass over the data. A tile of rows goes forward and backward through all
   layers while it is in cache, and adds to its segment's gradients; segments are added in ascending
   order, as defined. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

enum { DEPTH = 256 }; /* rows of a panel of w at a time: 32 KiB for float */

#define BP_TEMPLATE "gemm/product.h"
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

/* acc (h) += the rows of d */
static void LOCAL(add_up)(REAL *restrict acc, const REAL *restrict d, size_t ld, size_t rows, size_t h) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < h; j++) acc[j] += d[i * ld + j];
}

/* dw (m,h) = its old numbers, or +0, and the transpose of sum */
static void LOCAL(add_transposed)(REAL *dw, const REAL *sum, size_t ld, size_t m, size_t h, int add) {
    for (size_t k = 0; k < m; k++)
        for (size_t j = 0; j < h; j++) dw[k * h + j] = (add ? dw[k * h + j] : 0) + sum[j * ld + k];
}

/* dw (m,h) = its old numbers, or +0, and sum, rows ld apart */
static void LOCAL(add_all)(REAL *restrict dw, const REAL *restrict sum, size_t ld, size_t m, size_t h,
                           int add) {
    for (size_t k = 0; k < m; k++)
        for (size_t j = 0; j < h; j++) dw[k * h + j] = (add ? dw[k * h + j] : 0) + sum[k * ld + j];
}

#else
/* ---- per type ---- */

/* ---- one tile ---- */

/* a (rows,hp) = the activation of in (rows,m) @ w + b: by panels of w that stay in the first cache.
 *next, of next_bytes, is prefetched meanwhile. */
static void NAME(layer_forward)(const NAME(pass) * p, REAL *own, size_t q, const REAL *in, size_t ld,
                                size_t rows, const char *next, size_t next_bytes) {
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    const size_t panel = BP_W_PANEL / sizeof(REAL);
    size_t k = 0, depth;
    do { /* at least once: without inputs there is still the bias */
        depth = l->m - k < DEPTH ? l->m - k : DEPTH;
        int last = k + depth == l->m;
        for (size_t j = 0; j < s->hp; j += panel) {
            NAME(bp_product)
            t = {.c = own + s->a + j, .a = in + k, .b = p->shared + s->w + j * l->m + k * panel};
            t.rows = rows, t.inner = depth, t.cols = s->hp - j < panel ? s->hp - j : panel;
            t.ldc = s->hp, t.a_row = ld, t.a_inner = 1, t.b_inner = panel, t.b_col = 1;
            t.bias = l->b && last ? p->shared + s->b + j : NULL,
            t.epilogue = last ? bp_epilogue_of(l) : (bp_epilogue){0};
            t.accumulate = k > 0, t.memory = own + p->memory_at;
            t.next = next,
            t.next_bytes = depth ? next_bytes * depth / l->m * t.cols / s->hp / 64 * 64 : 0;
            next += t.next_bytes;
            NAME(bp_multiply_here)(&t);
        }
        k += depth;
    } while (k < l->m);
}

/* The same where vectors down the columns leave fewer lanes empty: w is read in place. */
static void NAME(layer_transposed)(const NAME(pass) * p, REAL *own, size_t q, const REAL *in,
                                   size_t rows, const REAL *next, size_t next_bytes) {
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    NAME(bp_product)
    t = {.c = own + s->a, .a = in, .b = l->w, .bias = l->b, .epilogue = bp_epilogue_of(l)};
    t.rows = rows, t.inner = l->m, t.cols = l->h;
    t.ldc = s->hp, t.a_row = s->mp, t.a_inner = 1, t.b_inner = l->h, t.b_col = 1;
    t.next = next, t.next_bytes = next_bytes, t.memory = own + p->memory_at;
    NAME(bp_multiply_transposed)(&t);
}

/* The tile's inputs: their terms where they are few, else a copy in rows of whole lines. */
static void NAME(take_inputs)(NAME(worker) * t, size_t row, size_t rows, const REAL *next,
                              size_t next_bytes) {
    const NAME(pass) *p = t->p;
    size_t m = p->plan->layers[0].m;
    const REAL *x = p->x + row * m;
    t->listed = p->lists && NAME(bp_list_terms)(&t->x, x, m, rows, m);
    if (!t->listed) bp_copy_rows(t->own + p->x_at, p->stages[0].mp, x, m, rows, sizeof(REAL));
    size_t products = p->out ? 1 : 2, lines = (next_bytes + 63) / 64;
    t->prefetch = (bp_prefetch){.at = (const char *)next, .rows = next_bytes > 0, .bytes = next_bytes};
    size_t times = t->listed ? products * NAME(bp_terms_times)(&t->x, rows, p->plan->layers[0].h) : 0;
    t->prefetch.lines = times ? (lines + times - 1) / times : 0;
}

/* a of each layer, from the tile's inputs on */
static void NAME(tile_forward)(NAME(worker) * t, size_t rows, const REAL *next, size_t next_bytes) {
    const NAME(pass) *p = t->p;
    REAL *own = t->own;
    for (size_t q = 0; q < p->plan->count; q++) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        const REAL *in = q ? own + s[-1].a : own + p->x_at;
        size_t bytes = q ? 0 : next_bytes;
        if (q == 0 && t->listed) {
            const REAL *w = p->shared + s->rows_of_w, *bias = p->shared + s->b;
            NAME(bp_terms_forward)(own + s->a, s->hp, &t->x, w, bias, bp_epilogue_of(l), rows, l->h,
                                   &t->prefetch);
        } else if (NAME(bp_transposing_pays)(l->h)) {
            NAME(layer_transposed)(p, own, q, in, rows, next, bytes);
        } else {
            NAME(layer_forward)(p, own, q, in, s->mp, rows, (const char *)next, bytes);
        }
    }
}

/* d of the last layer; the outputs go to the segment's */
static void NAME(tile_loss)(const NAME(pass) * p, REAL *own, size_t row, size_t rows) {
    const bp_stage *s = p->stages + p->plan->count - 1;
    size_t h = p->plan->layers[p->plan->count - 1].h;
    REAL *d = own + s->d, *out = own + s->out + row % BP_SEGMENT * h;
    const REAL *a = own + s->a, *targ = p->targ + row * h;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < h; j++) {
            out[i * h + j] = a[i * s->hp + j];
            d[i * s->hp + j] = (a[i * s->hp + j] - targ[i * h + j]) * p->factor;
        }
        memset(d + i * s->hp + h, 0, (s->hp - h) * sizeof(REAL));
    }
}

/* Stores the first layer's sums by rows (m,step), or transposed (h,mp), as its next product wants
   them. */
static void NAME(lay_sums)(NAME(worker) * t, int by_rows, int first) {
    const bp_layer *l = t->p->plan->layers;
    const bp_stage *s = t->p->stages;
    REAL *sum = t->own + s->sum, *transposed = t->own + s->transposed_sum;
    if (first && by_rows) memset(transposed, 0, l->m * s->step * sizeof(REAL));
    for (size_t k = 0; !first && by_rows != t->by_rows && k < l->m; k++)
        for (size_t j = 0; j < l->h; j++)
            if (by_rows)
                transposed[k * s->step + j] = sum[j * s->mp + k];
            else
                sum[j * s->mp + k] = transposed[k * s->step + j];
    t->by_rows = by_rows;
}

/* The first layer's part of its segment's chains, by the data's terms alone. 0: d is not finite,
   and the data was copied for the way with all terms. */
static int NAME(listed_backward_w)(NAME(worker) * t, size_t row, size_t rows, int first) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers;
    const bp_stage *s = p->stages;
    const REAL *d = t->own + s->d;
    if (!NAME(bp_all_finite)(d, rows * s->hp)) {
        bp_copy_rows(t->own + p->x_at, s->mp, p->x + row * l->m, l->m, rows, sizeof(REAL));
        return 0;
    }
    NAME(lay_sums)(t, 1, first);
    NAME(bp_terms_backward_w)(t->own + s->transposed_sum, &t->x, d, s->hp, rows, l->h, &t->prefetch);
    return 1;
}

/* sum (h,mp) += d.T @ in: a part of the segment's chains. Terms that are exactly zero may be left out;
   but where -0 in dw is added to, only all of them give its sign. */
static void NAME(tile_backward_w)(NAME(worker) * t, size_t q, size_t row, size_t rows, int first) {
    const NAME(pass) *p = t->p;
    const bp_stage *s = p->stages + q;
    const REAL *in = q ? t->own + s[-1].a : t->own + p->x_at, *d = t->own + s->d;
    size_t h = p->plan->layers[q].h;
    int zeros = p->sparse && bp_activation_makes_zeros(p->plan->layers[q].activation);
    REAL *sum = t->own + s->sum;
    if (q == 0 && t->listed && NAME(listed_backward_w)(t, row, rows, first)) return;
    if (q == 0 && p->lists) NAME(lay_sums)(t, 0, first);
    if (zeros && s->mp >= 128 && s->mp < UINT32_MAX / BP_MAX_TILE_ROWS) {
        NAME(bp_columns) terms = NAME(bp_list_columns)(t->own + p->columns_at, d, s->hp, rows, h, s->mp);
        if (terms.h && NAME(bp_all_finite)(in, rows * s->mp)) {
            if (first) memset(sum, 0, h * s->mp * sizeof(REAL));
            NAME(bp_columns_backward_w)(sum, &terms, in);
            return;
        }
    }
    NAME(bp_product) product = {.c = sum, .a = d, .b = in, .rows = h, .inner = rows, .cols = s->mp};
    product.ldc = s->mp, product.a_row = 1, product.a_inner = s->hp, product.b_inner = s->mp;
    product.b_col = 1, product.accumulate = !first, product.unfinished = 1;
    product.memory = t->own + p->memory_at;
    NAME(bp_multiply_here)(&product);
}

/* The gradient of a layer's input: d of the layer below, or rows of dx. */
static void NAME(tile_backward_x)(const NAME(pass) * p, REAL *own, size_t q, size_t row, size_t rows) {
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    NAME(bp_product)
    t = {.c = q ? own + s[-1].d : p->dx + row * l->m, .a = own + s->d, .b = p->shared + s->wt};
    t.rows = rows, t.inner = l->h, t.cols = q ? s->mp : l->m;
    t.ldc = t.cols, t.a_row = s->hp, t.a_inner = 1, t.b_inner = s->mp, t.b_col = 1;
    t.accumulate = q == 0 && p->accumulate, t.memory = own + p->memory_at;
    NAME(bp_multiply_here)(&t);
}

static void NAME(tile_backward)(NAME(worker) * t, size_t row, size_t rows) {
    const NAME(pass) *p = t->p;
    REAL *own = t->own;
    int first = row % BP_SEGMENT == 0;
    for (size_t q = p->plan->count; q-- > p->lowest;) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        REAL *d = own + s->d, *sum_b = own + s->sum_b;
        if (l->activation != BP_ACTIVATION_NONE)
            NAME(bp_activation_backward)(bp_epilogue_of(l), d, own + s->a, d, rows * s->hp);
        if (l->dw) NAME(tile_backward_w)(t, q, row, rows, first);
        if (l->db && first) memset(sum_b, 0, s->hp * sizeof(REAL));
        if (l->db) BP_DISPATCH(NAME(add_up), (sum_b, d, s->hp, rows, l->h));
        if (q > p->lowest || (q == 0 && p->dx)) NAME(tile_backward_x)(p, own, q, row, rows);
    }
}

/* ---- one segment, and all ---- */

static size_t NAME(segment_end)(const NAME(pass) * p, size_t start) {
    return p->n - start < BP_SEGMENT ? p->n : start + BP_SEGMENT;
}

/* Forward and backward of the segment that begins with row `start`; the worker holds its sums. */
static NAME(worker) NAME(run_segment)(const NAME(pass) * p, REAL *own, size_t start) {
    NAME(worker) worker = {.p = p, .own = own}, *t = &worker;
    const bp_layer *first = p->plan->layers, *last = first + p->plan->count - 1;
    size_t end = NAME(segment_end)(p, start);
    if (p->lists)
        t->x = NAME(bp_terms_at)(t->own + p->stages[0].terms, p->rows, first->m, p->stages[0].step);
    const bp_stage *s = p->stages + p->plan->count - 1;
    for (size_t row = start, rows; row < end; row += rows) {
        rows = end - row < p->rows ? end - row : p->rows;
        size_t after = end - row - rows < p->rows ? end - row - rows : p->rows;
        const REAL *next = p->x + (row + rows) * first->m;
        size_t next_bytes = after * first->m * sizeof(REAL);
        NAME(take_inputs)(t, row, rows, next, next_bytes);
        NAME(tile_forward)(t, rows, next, next_bytes);
        if (p->out) {
            const REAL *a = t->own + s->a;
            REAL *to = p->out + row * last->h;
            for (size_t i = 0; i < rows; i++)
                memcpy(to + i * last->h, a + i * s->hp, last->h * sizeof(REAL));
        } else {
            NAME(tile_loss)(p, t->own, row, rows);
            NAME(tile_backward)(t, row, rows);
        }
    }
    return worker;
}

/* Adds what a segment found to the totals, if there are any. Called in the order of segments. */
static void NAME(add_segment)(NAME(pass) * p, const NAME(worker) * t, size_t start) {
    if (p->out) return;
    size_t h = p->plan->layers[p->plan->count - 1].h, end = NAME(segment_end)(p, start);
    int add = p->accumulate || start > 0;
    double error = 0;
    NAME(bp_segment_error)(&error, t->own + p->stages[p->plan->count - 1].out, p->targ + start * h,
                           (end - start) * h);
    p->total += error;
    for (size_t q = p->lowest; q < p->plan->count; q++) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        REAL *db = l->db;
        const REAL *sum_b = t->own + s->sum_b;
        if (l->dw && q == 0 && t->by_rows) {
            BP_DISPATCH(NAME(add_all), (l->dw, t->own + s->transposed_sum, s->step, l->m, l->h, add));
        } else if (l->dw) {
            BP_DISPATCH(NAME(add_transposed), (l->dw, t->own + s->sum, s->mp, l->m, l->h, add));
        }
        for (size_t j = 0; db && j < l->h; j++) db[j] = (add ? db[j] : 0) + sum_b[j];
    }
}

typedef struct {
    NAME(pass) * p;
    REAL *owned; /* each thread's memory */
    bp_turns *turns;
} NAME(segments);

static void NAME(segment_share)(const void *job, size_t share) {
    const NAME(segments) *all = job;
    size_t start = share * BP_SEGMENT;
    NAME(worker) t = NAME(run_segment)(all->p, all->owned + bp_thread() * all->p->own_size, start);
    bp_wait_for_turn(all->turns, (unsigned)share);
    NAME(add_segment)(all->p, &t, start);
    bp_end_turn(all->turns, (unsigned)share);
}

static bp_status NAME(run_pass)(NAME(pass) * p, double work) {
    const bp_plan *plan = p->plan;
    NAME(bp_fused_place)(p, NULL);
    p->shared = (REAL *)plan->workspace + NAME(bp_fused_stages)(plan);
    REAL *owned = p->shared + p->shared_size;
    size_t all = plan->workspace_bytes / sizeof(REAL), used = (size_t)(owned - (REAL *)plan->workspace);
    if (!plan->workspace || all < used + p->own_size) return BP_MISMATCH;
    bp_stage *stages = plan->workspace;
    NAME(bp_fused_place)(p, stages);
    p->stages = stages;
    const bp_layer *l = plan->layers;
    p->lists = p->lists && p->sparse && NAME(bp_all_finite)(l->w, l->m * l->h);
    size_t owners = (all - used) / p->own_size, segments = (p->n + BP_SEGMENT - 1) / BP_SEGMENT;
    size_t wanted = (size_t)bp_threads_for(work);
    int threads = (int)(wanted < owners ? wanted : owners);
    if ((size_t)threads > segments) threads = segments ? (int)segments : 1;
    NAME(bp_fused_copy)(p);
    bp_turns turns = {0};
    const NAME(segments) job = {p, owned, &turns};
    bp_run(threads, segments, NAME(segment_share), &job);
    return BP_OK;
}

bp_status NAME(bp_fused_grads)(const bp_plan *plan, REAL *loss, const REAL *x, const REAL *targ,
                               size_t n, REAL *dx, int accumulate) {
    if (plan->count == 0) return BP_EMPTY;
    size_t h = plan->layers[plan->count - 1].h;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    NAME(pass) p = {.plan = plan, .x = x, .targ = targ, .dx = dx, .n = n, .accumulate = accumulate};
    p.factor = (REAL)(2.0 / (double)(n * h)), p.sparse = plan->sparse && !accumulate;
    p.lowest = bp_lowest_wanted(plan->layers, plan->count, dx != NULL);
    bp_status status = NAME(run_pass)(&p, 3 * bp_forward_work(plan->layers, plan->count, n));
    if (status == BP_OK) *loss = (REAL)(p.total / (double)(n * h));
    return status;
}

bp_status NAME(bp_fused_predict)(const bp_plan *plan, REAL *out, const REAL *x, size_t n) {
    NAME(pass) p = {.plan = plan, .x = x, .n = n, .out = out, .sparse = plan->sparse};
    return plan->count == 0 ? BP_EMPTY
                            : NAME(run_pass)(&p, bp_forward_work(plan->layers, plan->count, n));
}

#endif

/* fused.c: a step as one pass over the data. Rows in tiles; a tile goes through all layers and back
   while it is in cache, and adds to its segment's gradients; segments are added up in the definition's
   order. */
#ifndef REAL
#include "internal.h"

#include "kernels/ahead.h"

#ifdef _OPENMP
#define BP_SEGMENTS(threads)                                                                            \
    BP_PRAGMA(omp parallel for ordered schedule(dynamic, 1) num_threads(threads) if (threads > 1))
#define BP_IN_TURN BP_PRAGMA(omp ordered)
#else
#define BP_SEGMENTS(threads) (void)(threads);
#define BP_IN_TURN
#endif

enum {
    MOST_ROWS = 64,          /* of a tile, */
    MOST_BYTES = 256 * 1024, /* and of their inputs */
    PANEL_BYTES = 128,       /* of w's columns, copied so that they lie together */
    DEPTH = 256              /* of the rows of such a panel at a time: 32 KiB for float */
};

static size_t rounded(size_t value, size_t step) { return (value + step - 1) / step * step; }

/* Rows of a tile, a divisor of a segment: their inputs take a part of the second cache. */
static size_t rows_of(size_t row_bytes) {
    size_t rows = MOST_ROWS;
    while (rows > 16 && rows * row_bytes > MOST_BYTES) rows /= 2;
    return rows;
}

/* to (rows,ld) = rows of from (rows,size), numbers of so many bytes; what is beyond size is 0 */
static void copy_rows(void *to, size_t ld, const void *from, size_t size, size_t rows, size_t bytes) {
    for (size_t i = 0; i < rows; i++) {
        char *row = (char *)to + i * ld * bytes;
        memcpy(row, (const char *)from + i * size * bytes, size * bytes);
        memset(row + size * bytes, 0, (ld - size) * bytes);
    }
}

#define BP_TEMPLATE "product.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "sparse.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "fused.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "fused.c"
#include "each_kernel.h"

#elif defined KERNEL

/* acc (h) += the rows of d */
static void LOCAL(add_up)(REAL *restrict acc, const REAL *restrict d, size_t ld, size_t rows, size_t h) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < h; j++) acc[j] += d[i * ld + j];
}

/* dw (m,h) = its old numbers, or +0, and the transpose of sum */
static void LOCAL(add_turned)(REAL *dw, const REAL *sum, size_t ld, size_t m, size_t h, int add) {
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

/* ---- memory ---- */

static size_t NAME(take)(size_t *at, size_t numbers) {
    size_t here = *at;
    *at += rounded(numbers, 64 / sizeof(REAL));
    return here;
}

/* Where a layer's copies are among the shared numbers, and its rows and sums among a thread's. */
static bp_stage NAME(place)(const bp_layer *l, int last, size_t rows, size_t *shared, size_t *own) {
    const size_t line = 64 / sizeof(REAL);
    bp_stage s = {
        .mp = rounded(l->m, line), .hp = rounded(l->h, line), .step = NAME(bp_terms_step)(l->h)};
    s.w = NAME(take)(shared, l->m * rounded(l->h, PANEL_BYTES / sizeof(REAL)));
    s.wt = NAME(take)(shared, l->h * s.mp);
    s.b = NAME(take)(shared, s.hp);
    s.a = NAME(take)(own, rows * s.hp), s.d = NAME(take)(own, rows * s.hp);
    s.sum = NAME(take)(own, l->h * s.mp), s.sum_b = NAME(take)(own, s.hp);
    s.out = last ? NAME(take)(own, BP_SEGMENT * l->h) : 0;
    return s;
}

/* What the first layer needs where the data's zeros may be left out. */
static void NAME(place_lists)(bp_stage *s, size_t m, size_t rows, size_t *shared, size_t *own) {
    s->terms = NAME(take)(own, NAME(bp_terms_bytes)(rows, m, s->step) / sizeof(REAL));
    s->turned_sum = NAME(take)(own, m * s->step);
    s->rows_of_w = NAME(take)(shared, m * s->step);
}

/* What depends on all layers: a tile's inputs, and the lists of the widest layer. */
static void NAME(place_all)(NAME(pass) * p, bp_stage *stages) {
    const bp_plan *plan = p->plan;
    size_t widest = 0;
    p->rows = rows_of(plan->layers[0].m * sizeof(REAL));
    p->lists = plan->sparse && NAME(bp_terms_may_pay)(plan->layers[0].m, plan->layers[0].h);
    p->shared_size = p->own_size = 0;
    for (size_t k = 0; k < plan->count; k++) {
        bp_stage s =
            NAME(place)(plan->layers + k, k + 1 == plan->count, p->rows, &p->shared_size, &p->own_size);
        if (k == 0 && p->lists)
            NAME(place_lists)(&s, plan->layers[0].m, p->rows, &p->shared_size, &p->own_size);
        if (stages) stages[k] = s;
        if (plan->layers[k].h > widest) widest = plan->layers[k].h;
    }
    p->x_at = NAME(take)(&p->own_size, p->rows * rounded(plan->layers[0].m, 64 / sizeof(REAL)));
    p->room_at = NAME(take)(&p->own_size, BP_TURNED_ROOM / sizeof(REAL));
    p->columns_at = NAME(take)(&p->own_size, NAME(bp_columns_bytes)(p->rows, widest) / sizeof(REAL));
}

static size_t NAME(stage_numbers)(const bp_plan *plan) {
    return rounded(plan->count * sizeof(bp_stage), 64) / sizeof(REAL);
}

bp_status NAME(bp_fused_workspace)(const bp_plan *plan, size_t *bytes) {
    NAME(pass) p = {.plan = plan};
    if (plan->count == 0) return BP_EMPTY;
    for (const bp_layer *l = plan->layers; l < plan->layers + plan->count; l++)
        if (bp_overflows(l->m, l->h, 1024 * sizeof(REAL)) ||
            bp_overflows(l->m, MOST_ROWS, 1024 * sizeof(REAL)) ||
            bp_overflows(l->h, BP_SEGMENT, 1024 * sizeof(REAL)))
            return BP_OVERFLOW; /* so that no sum below comes near */
    NAME(place_all)(&p, NULL);
    size_t segments = (plan->batch + BP_SEGMENT - 1) / BP_SEGMENT, threads = (size_t)bp_threads();
    size_t owners = segments < threads ? segments : threads;
    *bytes =
        (NAME(stage_numbers)(plan) + p.shared_size + (owners ? owners : 1) * p.own_size) * sizeof(REAL);
    return BP_OK;
}

/* The parameters in rows of whole lines, w and its transpose, as products without packing read them. */
static void NAME(copy_parameters)(const NAME(pass) * p) {
    for (size_t q = 0; q < p->plan->count; q++) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        const REAL *w = l->w;
        REAL *to = p->shared + s->w, *turned = p->shared + s->wt;
        const size_t panel = PANEL_BYTES / sizeof(REAL);
        memset(p->shared + s->b, 0, s->hp * sizeof(REAL));
        if (l->b) memcpy(p->shared + s->b, l->b, l->h * sizeof(REAL));
        for (size_t j = 0; j < s->hp; j += panel)
            for (size_t k = 0; k < l->m; k++) {
                size_t count = l->h - j < panel ? l->h - j : panel;
                REAL *row = to + j * l->m + k * panel;
                memcpy(row, w + k * l->h + j, count * sizeof(REAL));
                memset(row + count, 0, (panel - count) * sizeof(REAL));
            }
        if (p->out || q < p->lowest + !p->dx) continue; /* nobody wants the gradient of its input */
        for (size_t j = 0; j < l->h; j++) {
            for (size_t k = 0; k < l->m; k++) turned[j * s->mp + k] = w[k * l->h + j];
            memset(turned + j * s->mp + l->m, 0, (s->mp - l->m) * sizeof(REAL));
        }
    }
}

/* ---- one tile ---- */

/* a (rows,hp) = in (rows,m) @ w + b, and relu of it: by panels of w that stay in the first cache. *next,
   of next_bytes, is asked for in the meantime. */
static void NAME(layer_forward)(const NAME(pass) * p, REAL *own, size_t q, const REAL *in, size_t ld,
                                size_t rows, const char *next, size_t next_bytes) {
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    const size_t panel = PANEL_BYTES / sizeof(REAL);
    size_t k = 0, depth;
    do { /* at least once: without inputs there is still the bias */
        depth = l->m - k < DEPTH ? l->m - k : DEPTH;
        int last = k + depth == l->m;
        for (size_t j = 0; j < s->hp; j += panel) {
            NAME(bp_product)
            t = {.c = own + s->a + j, .a = in + k, .b = p->shared + s->w + j * l->m + k * panel};
            t.rows = rows, t.inner = depth, t.cols = s->hp - j < panel ? s->hp - j : panel;
            t.ldc = s->hp, t.a_row = ld, t.a_inner = 1, t.b_inner = panel, t.b_col = 1;
            t.bias = l->b && last ? p->shared + s->b + j : NULL, t.relu = l->a && last;
            t.accumulate = k > 0;
            t.next = next,
            t.next_bytes = depth ? next_bytes * depth / l->m * t.cols / s->hp / 64 * 64 : 0;
            next += t.next_bytes;
            NAME(bp_multiply_here)(&t);
        }
        k += depth;
    } while (k < l->m);
}

/* The same where vectors of rows leave fewer lanes empty: w is read where it lies. */
static void NAME(layer_turned)(const NAME(pass) * p, REAL *own, size_t q, const REAL *in, size_t rows,
                               const REAL *next, size_t next_bytes) {
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    NAME(bp_product) t = {.c = own + s->a, .a = in, .b = l->w, .bias = l->b, .relu = l->a != NULL};
    t.rows = rows, t.inner = l->m, t.cols = l->h;
    t.ldc = s->hp, t.a_row = s->mp, t.a_inner = 1, t.b_inner = l->h, t.b_col = 1;
    t.next = next, t.next_bytes = next_bytes, t.room = own + p->room_at;
    NAME(bp_multiply_turned)(&t);
}

/* The tile's inputs: their terms where they are few, else a copy in rows of whole lines. */
static void NAME(take_inputs)(NAME(worker) * t, size_t row, size_t rows, const REAL *next,
                              size_t next_bytes) {
    const NAME(pass) *p = t->p;
    size_t m = p->plan->layers[0].m;
    const REAL *x = p->x + row * m;
    t->listed = p->lists && NAME(bp_list_terms)(&t->x, x, m, rows, m);
    if (!t->listed) copy_rows(t->own + p->x_at, p->stages[0].mp, x, m, rows, sizeof(REAL));
    size_t products = p->out ? 1 : 2, lines = (next_bytes + 63) / 64;
    t->ahead = (bp_ahead){.at = (const char *)next, .rows = next_bytes > 0, .bytes = next_bytes};
    size_t times = t->listed ? products * NAME(bp_terms_times)(&t->x, rows, p->plan->layers[0].h) : 0;
    t->ahead.share = times ? (lines + times - 1) / times : 0;
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
            NAME(bp_terms_forward)
            (own + s->a, s->hp, &t->x, w, bias, l->a != NULL, rows, l->h, &t->ahead);
        } else if (NAME(bp_turn_pays)(l->h)) {
            NAME(layer_turned)(p, own, q, in, rows, next, bytes);
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

/* Puts the first layer's sums so that they lie by_rows, or not. */
static void NAME(lay_sums)(NAME(worker) * t, int by_rows, int first) {
    const bp_layer *l = t->p->plan->layers;
    const bp_stage *s = t->p->stages;
    REAL *sum = t->own + s->sum, *turned = t->own + s->turned_sum;
    if (first && by_rows) memset(turned, 0, l->m * s->step * sizeof(REAL));
    for (size_t k = 0; !first && by_rows != t->by_rows && k < l->m; k++)
        for (size_t j = 0; j < l->h; j++)
            if (by_rows)
                turned[k * s->step + j] = sum[j * s->mp + k];
            else
                sum[j * s->mp + k] = turned[k * s->step + j];
    t->by_rows = by_rows;
}

/* The first layer's part of its segment's chains, by the data's terms alone. 0: d is not finite, and the
   data was copied for the way with all terms. */
static int NAME(listed_backward_w)(NAME(worker) * t, size_t row, size_t rows, int first) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers;
    const bp_stage *s = p->stages;
    const REAL *d = t->own + s->d;
    if (!NAME(bp_all_finite)(d, rows * s->hp)) {
        copy_rows(t->own + p->x_at, s->mp, p->x + row * l->m, l->m, rows, sizeof(REAL));
        return 0;
    }
    NAME(lay_sums)(t, 1, first);
    NAME(bp_terms_backward_w)(t->own + s->turned_sum, &t->x, d, s->hp, rows, l->h, &t->ahead);
    return 1;
}

/* sum (h,mp) += d.T @ in: a part of the segment's chains. Terms that are exactly zero may be left out;
   but where -0 in dw is added to, only all of them give its sign. */
static void NAME(tile_backward_w)(NAME(worker) * t, size_t q, size_t row, size_t rows, int first) {
    const NAME(pass) *p = t->p;
    const bp_stage *s = p->stages + q;
    const REAL *in = q ? t->own + s[-1].a : t->own + p->x_at, *d = t->own + s->d;
    size_t h = p->plan->layers[q].h;
    REAL *sum = t->own + s->sum;
    if (q == 0 && t->listed && NAME(listed_backward_w)(t, row, rows, first)) return;
    if (q == 0 && p->lists) NAME(lay_sums)(t, 0, first);
    if (p->sparse && s->mp >= 128) {
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
    t.accumulate = q == 0 && p->accumulate;
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
        if (l->a) NAME(bp_relu_backward)(d, own + s->a, d, rows * s->hp);
        if (l->dw) NAME(tile_backward_w)(t, q, row, rows, first);
        if (l->db && first) memset(sum_b, 0, s->hp * sizeof(REAL));
        if (l->db) BP_DISPATCH(NAME(add_up), (sum_b, d, s->hp, rows, l->h));
        if (q > p->lowest || (q == 0 && p->dx)) NAME(tile_backward_x)(p, own, q, row, rows);
    }
}

/* ---- one segment, and all ---- */

static void NAME(run_segment)(NAME(worker) * t, size_t start, size_t end) {
    const NAME(pass) *p = t->p;
    const bp_layer *first = p->plan->layers, *last = first + p->plan->count - 1;
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
}

/* Adds what a segment found to the totals. Called in the order of segments. */
static void NAME(add_segment)(NAME(pass) * p, const NAME(worker) * t, size_t start, size_t end) {
    size_t h = p->plan->layers[p->plan->count - 1].h;
    int add = p->accumulate || start > 0;
    double error = 0;
    NAME(bp_segment_error)
    (&error, t->own + p->stages[p->plan->count - 1].out, p->targ + start * h, (end - start) * h);
    p->total += error;
    for (size_t q = p->lowest; q < p->plan->count; q++) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        REAL *db = l->db;
        const REAL *sum_b = t->own + s->sum_b;
        if (l->dw && q == 0 && t->by_rows) {
            BP_DISPATCH(NAME(add_all), (l->dw, t->own + s->turned_sum, s->step, l->m, l->h, add));
        } else if (l->dw) {
            BP_DISPATCH(NAME(add_turned), (l->dw, t->own + s->sum, s->mp, l->m, l->h, add));
        }
        for (size_t j = 0; db && j < l->h; j++) db[j] = (add ? db[j] : 0) + sum_b[j];
    }
}

static bp_status NAME(run_pass)(NAME(pass) * p, double work) {
    const bp_plan *plan = p->plan;
    NAME(place_all)(p, NULL);
    p->shared = (REAL *)plan->workspace + NAME(stage_numbers)(plan);
    REAL *owned = p->shared + p->shared_size;
    size_t all = plan->workspace_bytes / sizeof(REAL), used = (size_t)(owned - (REAL *)plan->workspace);
    if (!plan->workspace || all < used + p->own_size) return BP_MISMATCH;
    bp_stage *stages = plan->workspace;
    NAME(place_all)(p, stages);
    p->stages = stages;
    const bp_layer *l = plan->layers;
    p->lists = p->lists && p->sparse && NAME(bp_all_finite)(l->w, l->m * l->h);
    if (p->lists) copy_rows(p->shared + stages->rows_of_w, stages->step, l->w, l->h, l->m, sizeof(REAL));
    size_t owners = (all - used) / p->own_size, segments = (p->n + BP_SEGMENT - 1) / BP_SEGMENT;
    size_t wanted = (size_t)bp_threads_for(work);
    int threads = (int)(wanted < owners ? wanted : owners);
    if ((size_t)threads > segments) threads = segments ? (int)segments : 1;
    NAME(copy_parameters)(p);
    BP_SEGMENTS(threads)
    for (size_t segment = 0; segment < segments; segment++) {
        NAME(worker) t = {.p = p, .own = owned + bp_thread() * p->own_size};
        size_t start = segment * BP_SEGMENT, end = p->n - start < BP_SEGMENT ? p->n : start + BP_SEGMENT;
        if (p->lists)
            t.x = NAME(bp_terms_at)(t.own + p->stages[0].terms, p->rows, l->m, p->stages[0].step);
        NAME(run_segment)(&t, start, end);
        BP_IN_TURN
        if (!p->out) NAME(add_segment)(p, &t, start, end);
    }
    return BP_OK;
}

static double NAME(work)(const bp_plan *plan, size_t n) {
    double sum = 0;
    for (size_t k = 0; k < plan->count; k++)
        sum += (double)plan->layers[k].m * (double)plan->layers[k].h;
    return sum * (double)n;
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
    bp_status status = NAME(run_pass)(&p, 3 * NAME(work)(plan, n));
    if (status == BP_OK) *loss = (REAL)(p.total / (double)(n * h));
    return status;
}

bp_status NAME(bp_fused_predict)(const bp_plan *plan, REAL *out, const REAL *x, size_t n) {
    NAME(pass) p = {.plan = plan, .x = x, .n = n, .out = out, .sparse = plan->sparse};
    return plan->count == 0 ? BP_EMPTY : NAME(run_pass)(&p, NAME(work)(plan, n));
}

#endif

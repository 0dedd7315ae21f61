/* fused.c: a step as one pass over the data. Rows in tiles; a tile goes through all layers and back
   while it is in cache, and adds to its segment's gradients; segments are added up in the definition's
   order. */
#ifndef REAL
#include "internal.h"

#include "kernels/all.h"

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

#define BP_TEMPLATE "product.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "fused.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "fused.c"
#include "each_kernel.h"

#elif defined KERNEL

#include "kernels/vector.h"

/* to (rows,ld) = rows of from (rows,size); what is beyond size is 0 */
static void LOCAL(copy_rows)(REAL *to, size_t ld, const REAL *from, size_t size, size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        memcpy(to + i * ld, from + i * size, size * sizeof(REAL));
        memset(to + i * ld + size, 0, (ld - size) * sizeof(REAL));
    }
}

/* size: whole lines of 64 bytes */
static int LOCAL(all_finite)(const REAL *a, size_t size) {
    LOCAL(vector) zeros[64 / VECTOR_BYTES] = {0}; /* and NaN */
    for (size_t e = 0; e < size; e += 64 / sizeof(REAL))
        for (size_t q = 0; q < 64 / VECTOR_BYTES; q++) {
            LOCAL(vector) v = LOCAL(load)(a + e + q * LANES);
            zeros[q] += v - v;
        }
    REAL sum = 0;
    for (size_t q = 0; q < 64 / VECTOR_BYTES; q++)
        for (size_t l = 0; l < LANES; l++) sum += zeros[q][l];
    return sum == 0;
}

/* sum (vectors * LANES) += value[e] * what begins at x[at[e]], for each e in turn */
static inline __attribute__((always_inline)) void LOCAL(add_listed)(REAL *sum, const REAL *x,
                                                                    const uint32_t *at,
                                                                    const REAL *value, size_t count,
                                                                    const size_t vectors) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) acc[8];
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) acc[q] = LOCAL(load)(sum + q * LANES);
    for (size_t e = 0; e < count; e++) {
        const REAL *from = x + at[e];
        __asm__(""
                : "+r"(from)); /* or the compiler keeps eight addresses in registers it does not have */
        LOCAL(vector) by = value[e] - zero;
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++)
            acc[q] = LOCAL(vector_fma)(by, LOCAL(load)(from + q * LANES), acc[q]);
    }
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) LOCAL(store)(sum + q * LANES, acc[q]);
}

/* sum (h,ld) += the listed terms of dz.T @ x, x (rows,ld), in panels that stay in the first cache */
static void LOCAL(add_sparse)(REAL *sum, const REAL *x, size_t ld, size_t h, size_t rows,
                              const NAME(list) * list) {
    for (size_t k = 0, vectors; k < ld; k += vectors * LANES) {
        size_t left = (ld - k) / LANES;
        vectors = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        for (size_t j = 0; j < h; j++) {
            const uint32_t *at = list->at + j * rows;
            const REAL *value = list->value + j * rows;
            REAL *to = sum + j * ld + k;
            switch (vectors) {
            case 8: LOCAL(add_listed)(to, x + k, at, value, list->count[j], 8); break;
            case 4: LOCAL(add_listed)(to, x + k, at, value, list->count[j], 4); break;
            case 2: LOCAL(add_listed)(to, x + k, at, value, list->count[j], 2); break;
            default: LOCAL(add_listed)(to, x + k, at, value, list->count[j], 1); break;
            }
        }
    }
}

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
    bp_stage s = {.mp = rounded(l->m, line), .hp = rounded(l->h, line)};
    s.w = NAME(take)(shared, l->m * rounded(l->h, PANEL_BYTES / sizeof(REAL)));
    s.wt = NAME(take)(shared, l->h * s.mp);
    s.b = NAME(take)(shared, s.hp);
    s.a = NAME(take)(own, rows * s.hp), s.d = NAME(take)(own, rows * s.hp);
    s.sum = NAME(take)(own, l->h * s.mp), s.sum_b = NAME(take)(own, s.hp);
    s.out = last ? NAME(take)(own, BP_SEGMENT * l->h) : 0;
    return s;
}

/* What depends on all layers: a tile's inputs, and the lists of the widest layer. */
static void NAME(place_all)(NAME(pass) * p, bp_stage *stages) {
    const bp_plan *plan = p->plan;
    size_t widest = 0;
    p->rows = rows_of(plan->layers[0].m * sizeof(REAL));
    p->shared_size = p->own_size = 0;
    for (size_t k = 0; k < plan->count; k++) {
        bp_stage s =
            NAME(place)(plan->layers + k, k + 1 == plan->count, p->rows, &p->shared_size, &p->own_size);
        if (stages) stages[k] = s;
        if (plan->layers[k].h > widest) widest = plan->layers[k].h;
    }
    p->x_at = NAME(take)(&p->own_size, p->rows * rounded(plan->layers[0].m, 64 / sizeof(REAL)));
    p->room_at = NAME(take)(&p->own_size, BP_TURNED_ROOM / sizeof(REAL));
    p->value_at = NAME(take)(&p->own_size, widest * p->rows);
    p->row_at = NAME(take)(&p->own_size, widest * p->rows);
    p->count_at = NAME(take)(&p->own_size, widest);
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

/* a of each layer, from the tile's inputs on */
static void NAME(tile_forward)(const NAME(pass) * p, REAL *own, size_t rows, const REAL *next,
                               size_t next_bytes) {
    for (size_t q = 0; q < p->plan->count; q++) {
        const bp_stage *s = p->stages + q;
        const REAL *in = q ? own + s[-1].a : own + p->x_at;
        if (NAME(bp_turn_pays)(p->plan->layers[q].h))
            NAME(layer_turned)(p, own, q, in, rows, next, q ? 0 : next_bytes);
        else
            NAME(layer_forward)(p, own, q, in, s->mp, rows, (const char *)next, q ? 0 : next_bytes);
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

/* The terms of each column of d (rows,hp) that are not zero, and where in (rows,mp) their rows begin. */
static NAME(list) NAME(list_terms)(const NAME(pass) * p, REAL *own, const REAL *d, const bp_stage *s,
                                   size_t rows, size_t h) {
    NAME(list)
    list = {own + p->value_at, (uint32_t *)(own + p->row_at), (uint32_t *)(own + p->count_at)};
    memset(list.count, 0, h * sizeof *list.count);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < h; j++) {
            REAL value = d[i * s->hp + j];
            size_t next = j * rows + list.count[j];
            list.value[next] = value, list.at[next] = (uint32_t)(i * s->mp);
            list.count[j] += value != 0;
        }
    return list;
}

static size_t NAME(terms)(const REAL *d, size_t size) {
    size_t count = 0;
    for (size_t e = 0; e < size; e++) count += d[e] != 0;
    return count;
}

/* sum (h,mp) += d.T @ in: a part of the segment's chains. Terms whose d is zero add a zero, if in is
   finite, and may be left out; but where -0 in dw is added to, only all terms give its sign. */
static void NAME(tile_backward_w)(const NAME(pass) * p, REAL *own, size_t q, const REAL *in, size_t rows,
                                  int first) {
    const bp_stage *s = p->stages + q;
    size_t h = p->plan->layers[q].h;
    REAL *sum = own + s->sum;
    const REAL *d = own + s->d;
    if (p->sparse && s->mp >= 128 && NAME(terms)(d, rows * s->hp) * 10 < rows * h * 7) {
        int finite = 0;
        BP_DISPATCH(finite = NAME(all_finite), (in, rows * s->mp));
        if (finite) {
            NAME(list) list = NAME(list_terms)(p, own, d, s, rows, h);
            if (first) memset(sum, 0, h * s->mp * sizeof(REAL));
            BP_DISPATCH(NAME(add_sparse), (sum, in, s->mp, h, rows, &list));
            return;
        }
    }
    NAME(bp_product) t = {.c = sum, .a = d, .b = in, .rows = h, .inner = rows, .cols = s->mp};
    t.ldc = s->mp, t.a_row = 1, t.a_inner = s->hp, t.b_inner = s->mp, t.b_col = 1;
    t.accumulate = !first, t.unfinished = 1;
    NAME(bp_multiply_here)(&t);
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

static void NAME(tile_backward)(const NAME(pass) * p, REAL *own, size_t row, size_t rows) {
    int first = row % BP_SEGMENT == 0;
    for (size_t q = p->plan->count; q-- > p->lowest;) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        const REAL *in = q ? own + s[-1].a : own + p->x_at;
        REAL *d = own + s->d, *sum_b = own + s->sum_b;
        if (l->a) NAME(bp_relu_backward)(d, own + s->a, d, rows * s->hp);
        if (l->dw) NAME(tile_backward_w)(p, own, q, in, rows, first);
        if (l->db && first) memset(sum_b, 0, s->hp * sizeof(REAL));
        if (l->db) BP_DISPATCH(NAME(add_up), (sum_b, d, s->hp, rows, l->h));
        if (q > p->lowest || (q == 0 && p->dx)) NAME(tile_backward_x)(p, own, q, row, rows);
    }
}

/* ---- one segment, and all ---- */

static void NAME(run_segment)(const NAME(pass) * p, REAL *own, size_t start, size_t end) {
    const bp_layer *first = p->plan->layers, *last = first + p->plan->count - 1;
    for (size_t row = start, rows; row < end; row += rows) {
        rows = end - row < p->rows ? end - row : p->rows;
        BP_DISPATCH(NAME(copy_rows),
                    (own + p->x_at, p->stages[0].mp, p->x + row * first->m, first->m, rows));
        size_t after = end - row - rows < p->rows ? end - row - rows : p->rows;
        NAME(tile_forward)(p, own, rows, p->x + (row + rows) * first->m,
                           after * first->m * sizeof(REAL));
        if (p->out) {
            const bp_stage *s = p->stages + p->plan->count - 1;
            for (size_t i = 0; i < rows; i++)
                memcpy(p->out + (row + i) * last->h, own + s->a + i * s->hp, last->h * sizeof(REAL));
        } else {
            NAME(tile_loss)(p, own, row, rows);
            NAME(tile_backward)(p, own, row, rows);
        }
    }
}

/* Adds what a segment found to the totals. Called in the order of segments. */
static void NAME(add_segment)(NAME(pass) * p, const REAL *own, size_t start, size_t end) {
    size_t h = p->plan->layers[p->plan->count - 1].h;
    int add = p->accumulate || start > 0;
    double error = 0;
    NAME(bp_segment_error)(&error, own + p->stages[p->plan->count - 1].out, p->targ + start * h,
                           (end - start) * h);
    p->total += error;
    for (size_t q = p->lowest; q < p->plan->count; q++) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        REAL *db = l->db;
        const REAL *sum_b = own + s->sum_b;
        if (l->dw) BP_DISPATCH(NAME(add_turned), (l->dw, own + s->sum, s->mp, l->m, l->h, add));
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
    size_t owners = (all - used) / p->own_size, segments = (p->n + BP_SEGMENT - 1) / BP_SEGMENT;
    size_t wanted = (size_t)bp_threads_for(work);
    int threads = (int)(wanted < owners ? wanted : owners);
    if ((size_t)threads > segments) threads = segments ? (int)segments : 1;
    NAME(copy_parameters)(p);
    BP_SEGMENTS(threads)
    for (size_t segment = 0; segment < segments; segment++) {
        REAL *own = owned + bp_thread() * p->own_size;
        size_t start = segment * BP_SEGMENT, end = p->n - start < BP_SEGMENT ? p->n : start + BP_SEGMENT;
        NAME(run_segment)(p, own, start, end);
        BP_IN_TURN
        if (!p->out) NAME(add_segment)(p, own, start, end);
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
    NAME(pass) p = {.plan = plan, .x = x, .n = n, .out = out};
    return plan->count == 0 ? BP_EMPTY : NAME(run_pass)(&p, NAME(work)(plan, n));
}

#endif

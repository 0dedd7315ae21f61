/* fused_workspace.c: the layout of a fused pass's workspace: copies of the parameters, shared by all
   threads, and each thread's rows, sums and lists. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

enum { TILE_BYTES = 256 * 1024 }; /* of a tile's inputs */

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/fused.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

/* Rows of a tile, a divisor of BP_SEGMENT, whose inputs take a part of the L2 cache. */
static size_t rows_of(size_t row_bytes) {
    size_t rows = BP_MAX_TILE_ROWS;
    while (rows > 16 && rows * row_bytes > TILE_BYTES) rows /= 2;
    return rows;
}

void bp_copy_rows(void *to, size_t ld, const void *from, size_t size, size_t rows, size_t bytes) {
    for (size_t i = 0; i < rows; i++) {
        char *row = (char *)to + i * ld * bytes;
        memcpy(row, (const char *)from + i * size * bytes, size * bytes);
        memset(row + size * bytes, 0, (ld - size) * bytes);
    }
}

#define BP_TEMPLATE "plan/fused_workspace.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

static size_t NAME(take)(size_t *at, size_t numbers) { return bp_take(at, numbers, sizeof(REAL)); }

/* Where a layer's copies are among the shared numbers, and its rows and sums among a thread's. */
static bp_stage NAME(place)(const bp_layer *l, int last, size_t rows, size_t *shared, size_t *own) {
    const size_t line = 64 / sizeof(REAL);
    bp_stage s = {
        .mp = bp_rounded(l->m, line), .hp = bp_rounded(l->h, line), .step = NAME(bp_terms_step)(l->h)};
    s.w = NAME(take)(shared, l->m * bp_rounded(l->h, BP_W_PANEL / sizeof(REAL)));
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
    s->transposed_sum = NAME(take)(own, m * s->step);
    s->rows_of_w = NAME(take)(shared, m * s->step);
}

void NAME(bp_fused_place)(NAME(pass) * p, bp_stage *stages) {
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
    p->x_at = NAME(take)(&p->own_size, p->rows * bp_rounded(plan->layers[0].m, 64 / sizeof(REAL)));
    p->memory_at = NAME(take)(&p->own_size, BP_HERE_WORKSPACE / sizeof(REAL));
    p->columns_at = NAME(take)(&p->own_size, NAME(bp_columns_bytes)(p->rows, widest) / sizeof(REAL));
}

size_t NAME(bp_fused_stages)(const bp_plan *plan) {
    return bp_rounded(plan->count * sizeof(bp_stage), 64) / sizeof(REAL);
}

bp_status NAME(bp_fused_workspace)(const bp_plan *plan, size_t *bytes) {
    NAME(pass) p = {.plan = plan};
    if (plan->count == 0) return BP_EMPTY;
    for (const bp_layer *l = plan->layers; l < plan->layers + plan->count; l++)
        if (bp_overflows(l->m, l->h, 1024 * sizeof(REAL)) ||
            bp_overflows(l->m, BP_MAX_TILE_ROWS, 1024 * sizeof(REAL)) ||
            bp_overflows(l->h, BP_SEGMENT, 1024 * sizeof(REAL)))
            return BP_OVERFLOW; /* so that no sum below comes near */
    NAME(bp_fused_place)(&p, NULL);
    size_t segments = (plan->batch + BP_SEGMENT - 1) / BP_SEGMENT, threads = (size_t)bp_threads();
    size_t owners = segments < threads ? segments : threads;
    *bytes = (NAME(bp_fused_stages)(plan) + p.shared_size + (owners ? owners : 1) * p.own_size) *
             sizeof(REAL);
    return BP_OK;
}

void NAME(bp_fused_copy)(const NAME(pass) * p) {
    for (size_t q = 0; q < p->plan->count; q++) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        const REAL *w = l->w;
        REAL *to = p->shared + s->w, *transposed = p->shared + s->wt;
        const size_t panel = BP_W_PANEL / sizeof(REAL);
        memset(p->shared + s->b, 0, s->hp * sizeof(REAL));
        if (l->b) memcpy(p->shared + s->b, l->b, l->h * sizeof(REAL));
        for (size_t j = 0; j < s->hp; j += panel)
            for (size_t k = 0; k < l->m; k++) {
                size_t count = l->h - j < panel ? l->h - j : panel;
                REAL *row = to + j * l->m + k * panel;
                memcpy(row, w + k * l->h + j, count * sizeof(REAL));
                memset(row + count, 0, (panel - count) * sizeof(REAL));
            }
        if (q == 0 && p->lists)
            bp_copy_rows(p->shared + s->rows_of_w, s->step, w, l->h, l->m, sizeof(REAL));
        if (p->out || q < p->lowest + !p->dx) continue; /* the gradient of its input is not needed */
        for (size_t j = 0; j < l->h; j++) {
            for (size_t k = 0; k < l->m; k++) transposed[j * s->mp + k] = w[k * l->h + j];
            memset(transposed + j * s->mp + l->m, 0, (s->mp - l->m) * sizeof(REAL));
        }
    }
}

#endif

/* fused_workspace.c: the layout of a fused pass's workspace: copies of the parameters and the gradients'
   totals, shared by all threads, and each thread's values, masks and sums. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

enum { TILE_BYTES = 256 * 1024 }; /* of a tile's inputs */

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/units.h"
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

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

#define BP_TEMPLATE "plan/fused_workspace.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

static size_t NAME(take)(size_t *at, size_t numbers) { return bp_take(at, numbers, sizeof(REAL)); }

/* Where a layer's copies are among the shared numbers, and its values and sums among a thread's. */
static bp_stage NAME(place)(NAME(pass) * p, const bp_layer *l) {
    const size_t line = 64 / sizeof(REAL);
    size_t *shared = &p->shared_size, *own = &p->own_size, *sums = &p->sums_size;
    int first = l == p->plan->layers, last = l + 1 == p->plan->layers + p->plan->count;
    bp_stage s = {.mp = bp_rounded(l->m, line), .hp = bp_rounded(l->h, line)};
    s.row = s.mp + (first ? line : 0); /* the numbers before the first aligned vector take one more */
    s.w = NAME(take)(shared, l->m * l->h), s.total = NAME(take)(shared, l->h * s.row);
    s.a = NAME(take)(own, l->h * p->step), s.d = NAME(take)(own, l->h * p->step);
    s.sum = NAME(take)(sums, l->h * s.row), s.sum_b = NAME(take)(sums, s.hp);
    s.out = last ? NAME(take)(own, BP_SEGMENT * l->h) : 0;
    if (first) s.wt = NAME(take)(shared, l->h * s.mp);
    if (first && p->bits) {
        s.w_rows = NAME(take)(shared, l->m * s.hp), s.sum_rows = NAME(take)(sums, l->m * s.hp);
        s.bits = NAME(take)(own, bp_bits_bytes(l->m) / sizeof(REAL));
    }
    return s;
}

void NAME(bp_fused_place)(NAME(pass) * p, bp_stage *stages) {
    const bp_layer *l = p->plan->layers;
    size_t longest = 0, widest = 0;
    p->rows = rows_of(l->m * sizeof(REAL));
    p->step = bp_rounded(p->rows, 64 / sizeof(REAL));
    p->bits = p->plan->sparse && NAME(bp_bits_may_pay)(l->m, l->h);
    p->shared_size = p->own_size = p->sums_size = 0;
    for (size_t q = 0; q < p->plan->count; q++, l++) {
        bp_stage s = NAME(place)(p, l);
        if (stages) stages[q] = s;
        longest = larger(longest, larger(s.row, s.hp)), widest = larger(widest, l->h);
    }
    p->rows_at = NAME(take)(&p->own_size, p->rows * longest);
    p->masks_at = NAME(take)(&p->own_size, widest * sizeof(uint64_t) / sizeof(REAL));
    p->memory_at = NAME(take)(&p->own_size, BP_HERE_WORKSPACE / sizeof(REAL));
    size_t bytes = BP_HELD * sizeof(bp_segment) + sizeof(bp_held);
    p->held_at = NAME(take)(&p->own_size, bp_rounded(bytes, 64) / sizeof(REAL));
    p->sums_at = NAME(take)(&p->own_size, BP_HELD * p->sums_size);
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
    size_t each = p.own_size * sizeof(REAL) + BP_SLOTS_EACH * sizeof(bp_slot);
    *bytes = (NAME(bp_fused_stages)(plan) + p.shared_size) * sizeof(REAL) + (owners ? owners : 1) * each;
    return BP_OK;
}

/* to (m,hp) = the rows of w (m,h), padded with zeros */
static void NAME(pad_rows)(REAL *to, size_t hp, const REAL *w, size_t m, size_t h) {
    for (size_t k = 0; k < m; k++) {
        memcpy(to + k * hp, w + k * h, h * sizeof(REAL));
        memset(to + k * hp + h, 0, (hp - h) * sizeof(REAL));
    }
}

void NAME(bp_fused_copy)(const NAME(pass) * p) {
    const bp_layer *layers = p->plan->layers;
    const bp_stage *s = p->stages;
    for (size_t q = 0; q < p->plan->count; q++)
        NAME(bp_pack_units)(p->shared + s[q].w, layers[q].w, layers[q].m, layers[q].h, p->kernel);
    if (p->bits) NAME(pad_rows)(p->shared + s->w_rows, s->hp, layers->w, layers->m, layers->h);
    if (p->dx) NAME(bp_turn)(p->shared + s->wt, s->mp, layers->w, layers->h, layers->m, layers->h);
}

#endif

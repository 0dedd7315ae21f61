/* units.c: products and updates of a layer that is stored unit by unit. See units.h. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

#define BP_TEMPLATE "plan/units.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

enum { MOST_LANES = 16 };

#define BP_TEMPLATE "plan/units.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"
#define MR BP_PASTE(MR, KERNEL)
#include "gemm/transpose.h"
#include "ops/momentum.h"

static void LOCAL(units_finish)(REAL *out, size_t step, size_t units, size_t rows, const REAL *bias,
                                int relu) {
    const LOCAL(vector) zero = {0};
    for (size_t j = 0; j < units; j++)
        for (size_t i = 0; i < rows; i += LANES) {
            REAL *at = out + j * step + i;
            LOCAL(vector) sum = LOCAL(load)(at);
            if (bias) sum = sum + (bias[j] - zero);
            __typeof__(sum <= zero) keep = ~(sum <= zero); /* a NaN stays */
            if (relu) sum = (LOCAL(vector))((__typeof__(keep))sum & keep);
            LOCAL(store)(at, sum);
        }
}

static void LOCAL(turn)(REAL *to, size_t to_step, const REAL *from, size_t from_step, size_t rows,
                        size_t cols) {
    for (size_t d = 0; d < rows; d += LANES) {
        const REAL *row[LANES];
        LOCAL(find_rows)(row, from + d * from_step, from_step, rows - d);
        LOCAL(pack_rows)(to + d, to_step, row, cols, rows - d);
    }
}

/* ---- gradients and updates ---- */

static void LOCAL(list_unit)(NAME(bp_unit_terms) * terms, void *memory, const REAL *d,
                             const REAL *const *row, size_t rows) {
    REAL *value = memory, second[LANES];
    uint32_t at[LANES];
    const REAL **listed =
        (const REAL **)((char *)memory + bp_rounded((rows + MOST_LANES) * sizeof(REAL), 64));
    size_t count = 0;
    for (size_t i = 0; i < rows; i += LANES) {
        LOCAL(vector) some = LOCAL(load_lanes)(d + i, rows - i);
        size_t found = LOCAL(list_lanes)(value + count, second, at, some, some, (uint32_t)i, 1);
        for (size_t e = 0; e < found; e++) listed[count + e] = row[at[e]];
        count += found;
    }
    *terms = (NAME(bp_unit_terms)){value, listed, count};
}

/* The update of a vector of weights, at this place of w, v and to. */
static inline __attribute__((always_inline)) void
LOCAL(update_vector)(const NAME(bp_unit_update) * t, LOCAL(pace) pace, size_t at, LOCAL(vector) dw) {
    LOCAL(update_lanes)(pace, t->to + at, t->w + at, t->v ? t->v + at : NULL, dw, LANES);
}

/* Some vectors of inputs of one unit: the rows' parts stay in the first cache for all units. */
static inline __attribute__((always_inline)) void LOCAL(update_vectors)(const NAME(bp_unit_update) * t,
                                                                        LOCAL(pace) pace, size_t unit,
                                                                        size_t k, const size_t vectors) {
    const LOCAL(vector) zero = {0};
    const NAME(bp_unit_terms) *terms = t->terms + unit;
    LOCAL(vector) sum[MR];
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) sum[q] = zero;
    for (size_t e = 0; e < terms->count; e++) {
        const REAL *row = terms->row[e] + k;
        __asm__("" : "+r"(row)); /* else each vector would need an address in a register of its own */
        LOCAL(vector) by = terms->value[e] - zero;
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++)
            sum[q] = LOCAL(vector_fma)(by, LOCAL(load)(row + q * LANES), sum[q]);
    }
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++)
        LOCAL(update_vector)(t, pace, unit * t->w_step + k + q * LANES, sum[q] + zero);
}

#define BP_VECTORS(n)                                                                                   \
    case n:                                                                                             \
        if (n <= MR) LOCAL(update_vectors)(t, pace, unit, k, n <= MR ? n : 1);                          \
        break;

static void LOCAL(update_unit)(const NAME(bp_unit_update) * t, LOCAL(pace) pace, size_t unit, size_t k,
                               size_t vectors) {
    switch (vectors) {
        BP_VECTORS(1)
        BP_VECTORS(2)
        BP_VECTORS(3)
        BP_VECTORS(4)
        BP_VECTORS(5)
        BP_VECTORS(6)
        BP_VECTORS(7)
        BP_VECTORS(8)
        BP_VECTORS(9)
        BP_VECTORS(10)
        BP_VECTORS(11)
        BP_VECTORS(12)
        BP_VECTORS(13)
        BP_VECTORS(14)
    default: break;
    }
}
#undef BP_VECTORS

/* A part of the next rows' inputs from k on, another one for each unit. */
static void LOCAL(prefetch_rows)(const NAME(bp_unit_update) * t, size_t unit, size_t k, size_t count) {
    size_t end = t->next_rows * (unit + 1) / t->units;
    for (size_t i = t->next_rows * unit / t->units; i < end; i++)
        for (size_t e = 0; e < count; e += 64 / sizeof(REAL))
            __builtin_prefetch(t->next[i] + k + e, 0, 2);
}

static void LOCAL(units_update)(const NAME(bp_unit_update) * t) {
    const LOCAL(pace) pace = LOCAL(pace_of)(t->lr, t->mu);
    for (size_t at = 0; t->dw && at < t->units * t->w_step; at += LANES)
        LOCAL(update_vector)(t, pace, at, LOCAL(load)(t->dw + at));
    if (t->dw) return;
    size_t all = (t->inputs + LANES - 1) / LANES, parts = (all + MR - 1) / MR;
    for (size_t part = 0; part < parts; part++) {
        size_t from = all * part / parts, to = all * (part + 1) / parts;
        for (size_t unit = 0; unit < t->units; unit++) {
            LOCAL(prefetch_rows)(t, unit, from * LANES, (to - from) * LANES);
            LOCAL(update_unit)(t, pace, unit, from * LANES, to - from);
        }
    }
}

/* The numbers of each of at most LANES units from unit j on, added to sum row after row. */
static LOCAL(vector)
    LOCAL(add_rows)(LOCAL(vector) sum, const REAL *d, size_t step, size_t units, size_t rows) {
    const REAL *row[LANES];
    LOCAL(find_rows)(row, d, step, units);
    for (size_t i = 0; i < rows; i += LANES) {
        LOCAL(vector) block[LANES];
        size_t n = rows - i < LANES ? rows - i : LANES;
        LOCAL(load_columns)(block, row, i, n);
        for (size_t l = 0; l < n; l++) sum = sum + block[l];
    }
    return sum;
}

static void LOCAL(units_sum)(REAL *sums, const REAL *d, size_t step, size_t units, size_t rows) {
    for (size_t j = 0; j < units; j += LANES) {
        size_t lanes = units - j;
        LOCAL(vector) sum = LOCAL(load_lanes)(sums + j, lanes);
        LOCAL(store_lanes)(sums + j, LOCAL(add_rows)(sum, d + j * step, step, lanes, rows), lanes);
    }
}

/* The same of the biases: the sums of the units' gradients. */
static void LOCAL(update_biases)(const NAME(bp_bias_update) * t) {
    const LOCAL(vector) zero = {0};
    const LOCAL(pace) pace = LOCAL(pace_of)(t->lr, t->mu);
    for (size_t j = 0; j < t->units; j += LANES) {
        size_t lanes = t->units - j;
        LOCAL(vector) sum = LOCAL(add_rows)(zero, t->d + j * t->step, t->step, lanes, t->rows);
        LOCAL(update_lanes)(pace, t->to + j, t->b + j, t->v ? t->v + j : NULL, sum + zero, lanes);
    }
}

#undef LANES
#undef MR

#else
/* ---- per type ---- */

void NAME(bp_units_finish)(REAL *out, size_t step, size_t units, size_t rows, const REAL *bias,
                           bp_epilogue e) {
    BP_DISPATCH(NAME(units_finish), (out, step, units, rows, bias, e.activation == BP_ACTIVATION_RELU));
    if (e.activation != BP_ACTIVATION_RELU && e.activation != BP_ACTIVATION_NONE)
        NAME(bp_activation_rows)(e, out, step, units, rows);
}

NAME(bp_unit_terms)
NAME(bp_list_unit)(void *memory, const REAL *d, const REAL *const *row, size_t rows) {
    NAME(bp_unit_terms) terms = {d, row, rows};
    if (memory) BP_DISPATCH(NAME(list_unit), (&terms, memory, d, row, rows));
    return terms;
}

void NAME(bp_units_update)(const NAME(bp_unit_update) * t) { BP_DISPATCH(NAME(units_update), (t)); }

void NAME(bp_update_biases)(const NAME(bp_bias_update) * t) { BP_DISPATCH(NAME(update_biases), (t)); }

size_t NAME(bp_units_step)(size_t numbers) {
    const size_t line = 64 / sizeof(REAL);
    return ((numbers + line - 1) / line | 1) * line;
}

void NAME(bp_units_sum)(REAL *sums, const REAL *d, size_t step, size_t units, size_t rows) {
    BP_DISPATCH(NAME(units_sum), (sums, d, step, units, rows));
}

size_t NAME(bp_unit_terms_bytes)(size_t rows) {
    return bp_rounded((rows + MOST_LANES) * sizeof(REAL), 64) + bp_rounded(rows * sizeof(REAL *), 64);
}

void NAME(bp_turn)(REAL *to, size_t to_step, const REAL *from, size_t from_step, size_t rows,
                   size_t cols) {
    BP_DISPATCH(NAME(turn), (to, to_step, from, from_step, rows, cols));
}

#endif

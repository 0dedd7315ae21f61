/* masks.c: products of rows that bit masks choose. See masks.h. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/masks.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

enum {
    AT_ONCE = BP_MASK_BITS, /* rows and columns at a time */
    MOST_VECTORS = 7        /* of a row of sums, that stay in registers */
};

int bp_masks_pay(size_t terms, size_t all) { return terms * 3 <= all; }

#define BP_TEMPLATE "plan/masks.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"
#include "gemm/mask.h"

enum { LOCAL(WIDEST) = MOST_VECTORS * VECTOR_BYTES / sizeof(REAL) };

/* One thread's memory: of at most 64 rows, sums and what is added to them. */
typedef struct {
    REAL sums[AT_ONCE * LOCAL(WIDEST)], right[AT_ONCE * LOCAL(WIDEST)];
    uint64_t masks[AT_ONCE];
} LOCAL(room);
_Static_assert(sizeof(LOCAL(room)) <= BP_BLOCK_BYTES, "a room fits in a block");

/* sums (rows,width) = or += left @ right where row r's mask has bits, then + addend: left[r * row + e *
   inner] times right[e * ld] and the numbers after it */
typedef struct {
    REAL *sums;
    const uint64_t *mask;
    size_t mask_step;
    const REAL *left, *right;
    size_t row, inner, ld, rows, width;
    REAL addend; /* 0 at a chain's end, before it -0 */
    int add;
} LOCAL(masked);

static inline __attribute__((always_inline)) void LOCAL(multiply_some)(const LOCAL(masked) * t,
                                                                       const size_t vectors) {
    const LOCAL(vector) zero = {0};
    for (size_t r = 0; r < t->rows; r++) {
        uint64_t mask = t->mask[r * t->mask_step];
        const REAL *left = t->left + r * t->row;
        REAL *sums = t->sums + r * vectors * LANES;
        LOCAL(vector) acc[MOST_VECTORS];
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++) acc[q] = t->add ? LOCAL(load)(sums + q * LANES) : zero;
        for (; mask; mask &= mask - 1) {
            size_t e = (size_t)__builtin_ctzll(mask);
            const REAL *right = t->right + e * t->ld;
            __asm__("" : "+r"(right)); /* else each vector would need an address in a register */
            LOCAL(vector) by = left[e * t->inner] - zero;
            BP_UNROLL
            for (size_t q = 0; q < vectors; q++)
                acc[q] = LOCAL(vector_fma)(by, LOCAL(load)(right + q * LANES), acc[q]);
        }
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++) LOCAL(store)(sums + q * LANES, acc[q] + t->addend);
    }
}

static void LOCAL(multiply_masked)(const LOCAL(masked) * t) {
    switch (t->width / LANES) {
    case 1: LOCAL(multiply_some)(t, 1); break;
    case 2: LOCAL(multiply_some)(t, 2); break;
    case 3: LOCAL(multiply_some)(t, 3); break;
    case 4: LOCAL(multiply_some)(t, 4); break;
    case 5: LOCAL(multiply_some)(t, 5); break;
    case 6: LOCAL(multiply_some)(t, 6); break;
    case 7: LOCAL(multiply_some)(t, 7); break;
    default: break;
    }
}

/* The widths into which `size` columns are cut: as equal as whole vectors allow. */
static size_t LOCAL(width_for)(size_t size) {
    size_t vectors = (size + LANES - 1) / LANES, parts = (vectors + MOST_VECTORS - 1) / MOST_VECTORS;
    return (vectors + parts - 1) / parts * LANES;
}

static size_t LOCAL(least)(size_t a, size_t b) { return a < b ? a : b; }

/* to (rows,width) = cols of from, rows ld apart, and zeros after them; whether they are finite. */
static int LOCAL(copy_finite)(REAL *to, size_t width, const REAL *from, size_t ld, size_t rows,
                              size_t cols) {
    LOCAL(vector) zeros = {0}; /* and NaN */
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j += LANES) {
            LOCAL(vector) v = {0};
            if (j < cols) v = LOCAL(load_lanes)(from + i * ld + j, cols - j);
            LOCAL(store)(to + i * width + j, v);
            zeros += v - v;
        }
    REAL sum = 0;
    for (size_t l = 0; l < LANES; l++) sum += zeros[l];
    return sum == 0;
}

static void LOCAL(mask_rows)(size_t *terms, uint64_t *masks, const REAL *x, size_t ld, size_t rows,
                             size_t size) {
    for (size_t i = 0; i < rows; i++)
        for (size_t from = 0; from < size; from += AT_ONCE) {
            uint64_t mask = LOCAL(mask_of)(x + i * ld + from, LOCAL(least)(size - from, AT_ONCE));
            *masks++ = mask, *terms += (size_t)__builtin_popcountll(mask);
        }
}

/* ---- forward ---- */

/* out = sums + bias, then the activation, of `cols` columns */
static void LOCAL(finish)(const NAME(bp_masked_layer) * f, const LOCAL(room) * room, size_t i,
                          size_t rows, size_t j, size_t cols, size_t width) {
    const LOCAL(vector) zero = {0};
    const int relu = f->epilogue.activation == BP_ACTIVATION_RELU;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c += LANES) {
            LOCAL(vector) sum = LOCAL(load)(room->sums + r * width + c);
            if (f->b) sum = sum + LOCAL(load_lanes)(f->b + j + c, cols - c);
            __typeof__(sum <= zero) keep = ~(sum <= zero); /* a NaN stays */
            if (relu) sum = (LOCAL(vector))((__typeof__(keep))sum & keep);
            LOCAL(store_lanes)(f->out + (i + r) * f->h + j + c, sum, cols - c);
        }
}

/* 64 rows and `width` columns. */
static int LOCAL(forward_tile)(const NAME(bp_masked_layer) * f, LOCAL(room) * room, size_t i,
                               size_t rows, size_t j, size_t width) {
    size_t words = bp_mask_words(f->m), cols = LOCAL(least)(f->h - j, width);
    int finite = 1;
    for (size_t q = 0; q < words && finite; q++) {
        size_t k = q * AT_ONCE, inner = LOCAL(least)(f->m - k, AT_ONCE);
        finite = LOCAL(copy_finite)(room->right, width, f->w + k * f->h + j, f->h, inner, cols);
        LOCAL(masked)
        t = {.sums = room->sums, .mask = f->masks + i * words + q, .mask_step = words};
        t.left = f->x + i * f->m + k, t.row = f->m, t.inner = 1;
        t.right = room->right, t.ld = width, t.rows = rows, t.width = width, t.add = q > 0;
        t.addend = q + 1 < words ? -(REAL)0 : 0;
        LOCAL(multiply_masked)(&t);
    }
    if (finite) LOCAL(finish)(f, room, i, rows, j, cols, width);
    return finite;
}

static void LOCAL(masked_forward)(int *done, const NAME(bp_masked_layer) * f, void *room) {
    size_t width = LOCAL(width_for)(f->h);
    *done = 1;
    for (size_t i = 0; i < f->rows; i += AT_ONCE)
        for (size_t j = 0; j < f->h && *done; j += width)
            *done = LOCAL(forward_tile)(f, room, i, LOCAL(least)(f->rows - i, AT_ONCE), j, width);
}

/* ---- backward ---- */

/* Columns j .. j + cols of some rows of dw = or += sums */
static void LOCAL(add_sums)(const NAME(bp_masked_gradient) * b, const REAL *sums, bp_range k, size_t j,
                            size_t cols, size_t width, int add) {
    for (size_t r = 0; r < k.end - k.begin; r++)
        for (size_t c = 0; c < cols; c += LANES) {
            REAL *at = b->dw + (k.begin + r) * b->h + j + c;
            LOCAL(vector) old = {0};
            if (add) old = LOCAL(load_lanes)(at, cols - c);
            LOCAL(store_lanes)(at, old + LOCAL(load)(sums + r * width + c), cols - c);
        }
}

/* The gradients of a tile's rows, unless they are still there. */
static void LOCAL(take_tile)(const NAME(bp_masked_gradient) * b, LOCAL(room) * room, const REAL **taken,
                             size_t i, size_t rows, size_t j, size_t cols, size_t width) {
    const REAL *dz = b->dz + i * b->h + j;
    if (dz != *taken) LOCAL(copy_finite)(room->right, width, dz, b->h, rows, cols);
    *taken = dz;
}

/* The rows k of dw that one word of x's masks has bits for, `width` columns from j on, over the rows of
   a segment. */
static void LOCAL(word_backward)(const NAME(bp_masked_gradient) * b, LOCAL(room) * room,
                                 const REAL **taken, bp_range segment, bp_range k, size_t j,
                                 size_t width) {
    size_t words = bp_mask_words(b->m), cols = LOCAL(least)(b->h - j, width);
    for (size_t i = segment.begin; i < segment.end; i += AT_ONCE) {
        size_t rows = LOCAL(least)(segment.end - i, AT_ONCE);
        const uint64_t *of_rows = b->masks + i * words + k.begin / AT_ONCE;
        for (size_t r = 0; r < AT_ONCE; r++) room->masks[r] = r < rows ? of_rows[r * words] : 0;
        NAME(bp_turn_masks)(room->masks);
        LOCAL(take_tile)(b, room, taken, i, rows, j, cols, width);
        LOCAL(masked)
        t = {.sums = room->sums, .mask = room->masks + k.begin % AT_ONCE, .mask_step = 1};
        t.addend = -(REAL)0;
        t.left = b->x + i * b->m + k.begin, t.row = 1, t.inner = b->m, t.right = room->right;
        t.ld = width, t.rows = k.end - k.begin, t.width = width, t.add = i > segment.begin;
        LOCAL(multiply_masked)(&t);
    }
    LOCAL(add_sums)(b, room->sums, k, j, cols, width, segment.begin > 0);
}

static void LOCAL(masked_backward_w)(int *done, const NAME(bp_masked_gradient) * b, void *room) {
    size_t width = LOCAL(width_for)(b->h);
    const REAL *taken = NULL;
    *done = NAME(bp_all_finite)(b->dz, b->n * b->h);
    for (size_t i = 0; i < b->n && *done; i += BP_SEGMENT) {
        bp_range segment = {i, LOCAL(least)(b->n, i + BP_SEGMENT)};
        for (size_t j = 0; j < b->h; j += width)
            for (size_t k = b->mine.begin, end; k < b->mine.end; k = end) {
                end = LOCAL(least)(b->mine.end, k / AT_ONCE * AT_ONCE + AT_ONCE);
                LOCAL(word_backward)(b, room, &taken, segment, (bp_range){k, end}, j, width);
            }
    }
}

#undef LANES

#else
/* ---- per type ---- */

size_t NAME(bp_mask_rows)(uint64_t *masks, const REAL *x, size_t ld, size_t rows, size_t size) {
    size_t terms = 0;
    BP_DISPATCH(NAME(mask_rows), (&terms, masks, x, ld, rows, size));
    return terms;
}

int NAME(bp_masked_forward)(const NAME(bp_masked_layer) * layer) {
    int done = 0;
    void *room = bp_take_block();
    if (room) BP_DISPATCH(NAME(masked_forward), (&done, layer, room));
    if (room) bp_give_block(room);
    const int activation = layer->epilogue.activation;
    if (done && activation != BP_ACTIVATION_RELU && activation != BP_ACTIVATION_NONE)
        NAME(bp_activation_rows)(layer->epilogue, layer->out, layer->h, layer->rows, layer->h);
    return done;
}

int NAME(bp_masked_backward_w)(const NAME(bp_masked_gradient) * gradient) {
    int done = 0;
    void *room = bp_take_block();
    if (room) BP_DISPATCH(NAME(masked_backward_w), (&done, gradient, room));
    if (room) bp_give_block(room);
    return done;
}

#endif

/* sparse.c: products that leave out terms that are exactly zero: background pixels, and relu's zeros.
   See sparse.h for why that changes no bit. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

enum {
    SAMPLE = 4,          /* rows from which the share of zeros is estimated */
    WORD = BP_MASK_ROWS, /* columns of a mask */
    FEWEST_COLUMNS = 64, /* for which it pays, */
    FEWEST_BYTES = 128   /* in products with rows of so many bytes */
};

static size_t words_of(size_t size) { return (size + WORD - 1) / WORD; }

size_t bp_bits_bytes(size_t size) { return words_of(size) * 2 * WORD * sizeof(uint64_t); }

bp_bits bp_bits_at(void *memory, size_t size) {
    size_t words = words_of(size);
    return (bp_bits){.rows = memory, .columns = (uint64_t *)memory + words * WORD, .words = words};
}

#define BP_TEMPLATE "plan/sparse.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"
#include "gemm/mask.h"
#define MR BP_PASTE(MR, KERNEL)
#include "gemm/masked.h"

static void LOCAL(all_finite)(int *finite, const REAL *a, size_t size) {
    LOCAL(vector) zeros[4] = {0}; /* and NaN */
    REAL sum = 0;
    size_t e = 0;
    for (; e + 4 * LANES <= size; e += 4 * LANES) {
        BP_UNROLL
        for (size_t q = 0; q < 4; q++) {
            LOCAL(vector) v = LOCAL(load)(a + e + q * LANES);
            zeros[q] += v - v;
        }
    }
    for (; e < size; e++) sum += a[e] - a[e];
    for (size_t q = 0; q < 4; q++)
        for (size_t l = 0; l < LANES; l++) sum += zeros[q][l];
    *finite = sum == 0;
}

static size_t LOCAL(count_terms)(const REAL *x, size_t size) {
    size_t terms = 0;
    for (size_t k = 0; k < size; k += WORD)
        terms += (size_t)__builtin_popcountll(LOCAL(mask_of)(x + k, size - k < WORD ? size - k : WORD));
    return terms;
}

/* Whether so many terms of so many numbers cost less than all of them, in a forward and in a backward
   whose other factor is a gradient that relu has passed. A term takes its vectors of sums, or as long as
   one of them waits for itself, and then some. The limits are those found with AVX2 and AVX-512. */
static int LOCAL(pays)(size_t terms, size_t numbers, size_t h) {
    size_t vectors = (h + LANES - 1) / LANES, least = 4;
    return terms * 2 * ((vectors < least ? least : vectors) + 1) * LANES <= numbers * h;
}

/* By a sample of the rows. */
static void LOCAL(looks_sparse)(int *sparse, const REAL *x, size_t ld, size_t rows, size_t size,
                                size_t h) {
    size_t terms = 0, samples = rows < SAMPLE ? rows : SAMPLE;
    for (size_t i = 0; i < samples; i++) terms += LOCAL(count_terms)(x + rows * i / samples * ld, size);
    *sparse = LOCAL(pays)(terms, samples * size, h);
}

static void LOCAL(find_terms)(int *sparse, bp_bits *bits, const REAL *x, size_t ld, size_t rows,
                              size_t size, size_t h) {
    size_t terms = 0;
    for (size_t q = 0; q < bits->words; q++) {
        uint64_t *mask = bits->rows + q * WORD;
        size_t k = q * WORD, some = size - k < WORD ? size - k : WORD;
        for (size_t i = 0; i < rows; i++) {
            mask[i] = LOCAL(mask_of)(x + i * ld + k, some);
            terms += (size_t)__builtin_popcountll(mask[i]);
        }
        for (size_t i = rows; i < WORD; i++) mask[i] = 0;
    }
    *sparse = LOCAL(pays)(terms, rows * size, h);
}

/* Exchanges the bits above the diagonal of 2 x 2 blocks of `width` x `width` bits with those below. */
static inline __attribute__((always_inline)) void LOCAL(swap_blocks)(uint64_t *a, const size_t width,
                                                                     const uint64_t low) {
    for (size_t k = 0; k < WORD; k += 2 * width)
        for (size_t r = k; r < k + width; r++) {
            uint64_t t = (a[r] >> width ^ a[r + width]) & low;
            a[r + width] ^= t, a[r] ^= t << width;
        }
}

static void LOCAL(turn_masks)(uint64_t *a) {
    LOCAL(swap_blocks)(a, 32, 0x00000000ffffffff);
    LOCAL(swap_blocks)(a, 16, 0x0000ffff0000ffff);
    LOCAL(swap_blocks)(a, 8, 0x00ff00ff00ff00ff);
    LOCAL(swap_blocks)(a, 4, 0x0f0f0f0f0f0f0f0f);
    LOCAL(swap_blocks)(a, 2, 0x3333333333333333);
    LOCAL(swap_blocks)(a, 1, 0x5555555555555555);
}

static void LOCAL(turn_bits)(const bp_bits *bits) {
    for (size_t q = 0; q < bits->words; q++) {
        uint64_t *a = bits->columns + q * WORD;
        memcpy(a, bits->rows + q * WORD, WORD * sizeof *a);
        LOCAL(turn_masks)(a);
    }
}

/* Vectors of h numbers from j on, in about equal parts. */
static size_t LOCAL(next_vectors)(size_t h, size_t j) {
    size_t left = (h - j + LANES - 1) / LANES,
           parts = (left + LOCAL(most_vectors) - 1) / LOCAL(most_vectors);
    return (left + parts - 1) / parts;
}

static void LOCAL(bits_forward)(const NAME(bp_bits_product) * t) {
    const size_t whole = (t->h + LANES - 1) / LANES * LANES;
    for (size_t i = 0; i < t->rows; i++) memset(t->to + i * t->to_step, 0, whole * sizeof(REAL));
    LOCAL(chains) c = {.count = t->rows, .to_step = t->to_step, .next = t->x_step, .step = 1};
    c.row_step = t->other_step, c.prefetch = t->prefetch;
    for (size_t q = 0; q < t->bits->words; q++)
        for (size_t j = 0, vectors; j < t->h; j += vectors * LANES) {
            vectors = LOCAL(next_vectors)(t->h, j);
            c.to = t->to + j, c.from = t->x + q * WORD, c.mask = t->bits->rows + q * WORD;
            c.rows = t->other + q * WORD * t->other_step + j;
            LOCAL(run_bits)(&c, vectors);
        }
    for (size_t i = 0; i < t->rows; i++)
        for (size_t j = 0; j < whole; j++) t->to[i * t->to_step + j] += 0;
}

static void LOCAL(bits_backward_w)(const NAME(bp_bits_product) * t) {
    LOCAL(chains) c = {.count = t->size, .to_step = t->to_step, .next = 1, .step = t->x_step};
    c.row_step = t->other_step, c.prefetch = t->prefetch;
    c.from = t->x, c.mask = t->bits->columns;
    for (size_t j = 0, vectors; j < t->h; j += vectors * LANES) {
        vectors = LOCAL(next_vectors)(t->h, j);
        c.to = t->to + j, c.rows = t->other + j;
        LOCAL(run_bits)(&c, vectors);
    }
}

static void LOCAL(bits_times)(size_t *forward, size_t *backward, size_t rows, size_t size, size_t h) {
    *forward = *backward = 0;
    for (size_t j = 0, vectors; j < h; j += vectors * LANES) {
        vectors = LOCAL(next_vectors)(h, j);
        *forward += words_of(size) * ((rows + 1) / 2);
        *backward += (size + 1) / 2;
    }
}

static void LOCAL(find_active)(size_t *count, uint64_t *mask, const REAL *d, size_t step, size_t rows,
                               size_t units) {
    *count = 0;
    for (size_t j = 0; j < units; j++) {
        mask[j] = LOCAL(mask_of)(d + j * step, rows);
        *count += (size_t)__builtin_popcountll(mask[j]);
    }
}

/* Where in rows of x the vector of sums begins, and how many numbers it holds. */
static size_t LOCAL(place)(const NAME(bp_active_product) * t, size_t vector, size_t *numbers) {
    size_t k = vector == 0 ? 0 : t->head ? t->head + (vector - 1) * LANES : vector * LANES;
    size_t left = t->size - k, most = vector == 0 && t->head ? t->head : LANES;
    *numbers = left < most ? left : most;
    return k;
}

static void LOCAL(masked_backward_w)(const NAME(bp_active_product) * t) {
    size_t all = (t->head > 0) + (t->size - t->head + LANES - 1) / LANES;
    size_t parts = (all + LOCAL(most_sums) - 1) / LOCAL(most_sums);
    for (size_t part = 0; part < parts; part++) {
        LOCAL(part_of_row) p = {.vector = all * part / parts};
        p.vectors = all * (part + 1) / parts - p.vector;
        LOCAL(place)(t, p.vector + p.vectors - 1, &p.last);
        p.k = LOCAL(place)(t, p.vector, &p.first);
        for (size_t unit = 0; unit < t->units; unit++) LOCAL(run_masked)(t, &p, unit);
    }
}

#undef LANES
#undef MR

#else
/* ---- per type ---- */

int NAME(bp_bits_may_pay)(size_t size, size_t h) {
    return h * sizeof(REAL) >= FEWEST_BYTES && size >= FEWEST_COLUMNS;
}

int NAME(bp_looks_sparse)(const REAL *x, size_t ld, size_t rows, size_t size, size_t h) {
    int sparse = 0;
    BP_DISPATCH(NAME(looks_sparse), (&sparse, x, ld, rows, size, h));
    return sparse;
}

int NAME(bp_find_terms)(bp_bits *bits, const REAL *x, size_t ld, size_t rows, size_t size, size_t h) {
    int sparse = 0;
    BP_DISPATCH(NAME(find_terms), (&sparse, bits, x, ld, rows, size, h));
    return sparse;
}

void NAME(bp_turn_masks)(uint64_t *masks) { BP_DISPATCH(NAME(turn_masks), (masks)); }

void NAME(bp_turn_bits)(const bp_bits *bits) { BP_DISPATCH(NAME(turn_bits), (bits)); }

void NAME(bp_bits_times)(size_t *forward, size_t *backward, size_t rows, size_t size, size_t h) {
    BP_DISPATCH(NAME(bits_times), (forward, backward, rows, size, h));
}

void NAME(bp_bits_forward)(const NAME(bp_bits_product) * t) { BP_DISPATCH(NAME(bits_forward), (t)); }

void NAME(bp_bits_backward_w)(const NAME(bp_bits_product) * t) {
    BP_DISPATCH(NAME(bits_backward_w), (t));
}

size_t NAME(bp_find_active)(uint64_t *mask, const REAL *d, size_t step, size_t rows, size_t units) {
    size_t count = 0;
    BP_DISPATCH(NAME(find_active), (&count, mask, d, step, rows, units));
    return count;
}

void NAME(bp_active_backward_w)(const NAME(bp_active_product) * t) {
    BP_DISPATCH_TO(t->kernel, NAME(masked_backward_w), (t));
}

int NAME(bp_all_finite)(const REAL *a, size_t size) {
    int finite = 0;
    BP_DISPATCH(NAME(all_finite), (&finite, a, size));
    return finite;
}

#endif

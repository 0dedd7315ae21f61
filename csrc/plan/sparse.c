/* sparse.c: products that leave out terms that are exactly zero: background pixels, and relu's zeros.
   See sparse.h for why that changes no bit. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

enum {
    NEAR_BYTES = 24 * 1024, /* of the other factor, that stay in the first cache from row to row */
    PANEL_BYTES = 256,      /* of its rows, at most at a time: 4 vectors */
    SAMPLE = 4              /* rows that tell how many zeros to expect */
};

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/sparse.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"
#include "gemm/sparse_rows.h"

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

static size_t LOCAL(nonzero_in)(const REAL *x, size_t size) {
    size_t count = 0;
    for (size_t e = 0; e < size; e++) count += x[e] != 0;
    return count;
}

/* Whether at most a share of the numbers is not zero, by a sample of the rows. */
static int LOCAL(looks_sparse)(const REAL *x, size_t ld, size_t rows, size_t size) {
    size_t count = 0, samples = rows < SAMPLE ? rows : SAMPLE;
    for (size_t i = 0; i < samples; i++) count += LOCAL(nonzero_in)(x + rows * i / samples * ld, size);
    return count * 4 <= samples * size;
}

static void LOCAL(list_terms)(int *listed, NAME(bp_terms) * terms, const REAL *x, size_t ld, size_t rows,
                              size_t size) {
    size_t count = 0;
    *listed = LOCAL(looks_sparse)(x, ld, rows, size);
    for (size_t i = 0; *listed && i < rows; i += 2) {
        const REAL *first = x + i * ld, *second = i + 1 < rows ? first + ld : terms->zeros;
        for (size_t b = 0, from = 0, to; b < terms->blocks; b++, from = to) {
            to = size - from < terms->block ? size : from + terms->block;
            if (count + to - from + LANES > terms->most) {
                *listed = 0;
                return;
            }
            count = LOCAL(list_pair)(terms, count, first, second, from, to);
            terms->end[i / 2 * terms->blocks + b] = (uint32_t)count;
        }
    }
}

/* The terms of rows i and i + 1 in a block; the rows of `of` from column j on that belong to them. */
static LOCAL(pair) LOCAL(pair_at)(const NAME(bp_terms) * x, size_t i, size_t block, REAL *of, size_t ld,
                                  REAL *spare, size_t rows, size_t j) {
    size_t from = LOCAL(first_term)(x, i / 2, block), to = x->end[i / 2 * x->blocks + block];
    LOCAL(pair) t = {x->at + from, x->first + from, x->second + from, to - from, {of + i * ld + j}};
    t.row[1] = i + 1 < rows ? t.row[0] + ld : spare;
    return t;
}

/* op for all pairs of x's rows and those of `of`, h columns, rows ld apart: so many vectors at a time,
   and in them block after block of `other`. */
static void LOCAL(each_pair)(void (*op)(const LOCAL(pair) *, REAL *, size_t), const NAME(bp_terms) * x,
                             REAL *of, size_t ld, REAL *other, size_t rows, size_t h,
                             bp_prefetch *prefetch) {
    REAL spare[4 * LANES] = {0};
    for (size_t j = 0, vectors; j < h; j += vectors * LANES) {
        vectors = (h - j + LANES - 1) / LANES < 4 ? (h - j + LANES - 1) / LANES : 4;
        for (size_t block = 0; block < x->blocks; block++)
            for (size_t i = 0; i < rows; i += 2) {
                LOCAL(pair) t = LOCAL(pair_at)(x, i, block, of, ld, spare, rows, j);
                bp_prefetch_some(prefetch);
                op(&t, other + j, vectors);
            }
    }
}

static void LOCAL(terms_forward)(REAL *out, size_t ld, const NAME(bp_terms) * x, const REAL *w,
                                 const REAL *b, bp_epilogue epilogue, size_t rows, size_t h,
                                 bp_prefetch *prefetch) {
    const int relu = epilogue.activation == BP_ACTIVATION_RELU;
    memset(out, 0, rows * ld * sizeof(REAL));
    LOCAL(each_pair)(LOCAL(gather_pair), x, out, ld, (REAL *)w, rows, h, prefetch);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < h; j++) {
            REAL sum = out[i * ld + j] + 0 + b[j];
            out[i * ld + j] = relu && sum <= 0 ? 0 : sum;
        }
    if (!relu && epilogue.activation != BP_ACTIVATION_NONE)
        NAME(bp_activation_rows)(epilogue, out, ld, rows, h);
}

static void LOCAL(terms_backward_w)(REAL *sum, const NAME(bp_terms) * x, const REAL *dout, size_t ld,
                                    size_t rows, size_t h, bp_prefetch *prefetch) {
    LOCAL(each_pair)(LOCAL(spread_pair), x, (REAL *)dout, ld, sum, rows, h, prefetch);
}

static void LOCAL(columns_backward_w)(REAL *sum, const NAME(bp_columns) * d, const REAL *x) {
    for (size_t k = 0, vectors; k < d->step; k += vectors * LANES) {
        size_t left = (d->step - k) / LANES;
        vectors = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        for (size_t j = 0; j < d->h; j++) {
            const REAL *value = d->value + j * d->rows;
            LOCAL(add_terms)(sum + j * d->step + k, x + k, d->at + j * d->rows, value, d->count[j],
                             vectors);
        }
    }
}

static void LOCAL(terms_times)(size_t *times, const NAME(bp_terms) * terms, size_t rows, size_t h) {
    *times = (rows + 1) / 2 * terms->blocks * ((h + 4 * LANES - 1) / (4 * LANES));
}

#else
/* ---- per type ---- */

int NAME(bp_terms_may_pay)(size_t size, size_t h) {
    return h * sizeof(REAL) >= 128 && size >= 64 && size < UINT32_MAX / NAME(bp_terms_step)(h);
}

static NAME(bp_terms) NAME(terms_of)(size_t rows, size_t size, size_t step) {
    size_t row_bytes = step * sizeof(REAL) < PANEL_BYTES ? step * sizeof(REAL) : PANEL_BYTES;
    NAME(bp_terms) terms = {.step = step, .block = bp_rounded(NEAR_BYTES / (row_bytes + 1) + 1, 16)};
    terms.blocks = (size + terms.block - 1) / terms.block;
    terms.most = bp_rounded((rows + 1) / 2 * size / 2 + terms.block + 64, 64);
    return terms;
}

size_t NAME(bp_terms_bytes)(size_t rows, size_t size, size_t step) {
    NAME(bp_terms) t = NAME(terms_of)(rows, size, step);
    size_t lists = t.most * (2 * sizeof(REAL) + sizeof(uint32_t)), zeros = size * sizeof(REAL);
    return lists + bp_rounded(zeros + (rows + 1) / 2 * t.blocks * sizeof(uint32_t), 64);
}

NAME(bp_terms) NAME(bp_terms_at)(void *memory, size_t rows, size_t size, size_t step) {
    NAME(bp_terms) terms = NAME(terms_of)(rows, size, step);
    terms.first = memory, terms.second = terms.first + terms.most;
    terms.zeros = terms.second + terms.most;
    memset(terms.zeros, 0, size * sizeof(REAL));
    terms.at = (uint32_t *)(terms.zeros + size), terms.end = terms.at + terms.most;
    return terms;
}

size_t NAME(bp_terms_step)(size_t h) {
    const size_t line = 64 / sizeof(REAL);
    return ((h + line - 1) / line | 1) * line;
}

size_t NAME(bp_terms_times)(const NAME(bp_terms) * terms, size_t rows, size_t h) {
    size_t times = 0;
    BP_DISPATCH(NAME(terms_times), (&times, terms, rows, h));
    return times;
}

int NAME(bp_list_terms)(NAME(bp_terms) * terms, const REAL *x, size_t ld, size_t rows, size_t size) {
    int listed = 0;
    BP_DISPATCH(NAME(list_terms), (&listed, terms, x, ld, rows, size));
    return listed;
}

void NAME(bp_terms_forward)(REAL *out, size_t ld, const NAME(bp_terms) * x, const REAL *w, const REAL *b,
                            bp_epilogue epilogue, size_t rows, size_t h, bp_prefetch *prefetch) {
    BP_DISPATCH(NAME(terms_forward), (out, ld, x, w, b, epilogue, rows, h, prefetch));
}

void NAME(bp_terms_backward_w)(REAL *sum, const NAME(bp_terms) * x, const REAL *dout, size_t ld,
                               size_t rows, size_t h, bp_prefetch *prefetch) {
    BP_DISPATCH(NAME(terms_backward_w), (sum, x, dout, ld, rows, h, prefetch));
}

size_t NAME(bp_columns_bytes)(size_t rows, size_t h) {
    return bp_rounded(rows * h * (sizeof(REAL) + sizeof(uint32_t)) + h * sizeof(uint32_t), 64);
}

NAME(bp_columns)
NAME(bp_list_columns)(void *memory, const REAL *d, size_t ld, size_t rows, size_t h, size_t step) {
    NAME(bp_columns) c = {.value = memory, .rows = rows, .step = step};
    c.at = (uint32_t *)(c.value + rows * h), c.count = c.at + rows * h;
    size_t terms = 0;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < h; j++) terms += d[i * ld + j] != 0;
    if (terms * 10 >= rows * h * 7) return c;
    memset(c.count, 0, h * sizeof *c.count);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < h; j++) {
            REAL value = d[i * ld + j];
            size_t next = j * rows + c.count[j];
            c.value[next] = value, c.at[next] = (uint32_t)(i * step);
            c.count[j] += value != 0;
        }
    c.h = h;
    return c;
}

void NAME(bp_columns_backward_w)(REAL *sum, const NAME(bp_columns) * d, const REAL *x) {
    BP_DISPATCH(NAME(columns_backward_w), (sum, d, x));
}

int NAME(bp_all_finite)(const REAL *a, size_t size) {
    int finite = 0;
    BP_DISPATCH(NAME(all_finite), (&finite, a, size));
    return finite;
}

#endif

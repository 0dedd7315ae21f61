/* matmul.c: the blocked product that matmul and linear share.
 *
 * Vectors run across the columns of c, never along the sum, and each element's accumulator goes
 * through memory unrounded between blocks of the inner index: so blocking changes no bit.
 * A panel of b, PANEL columns wide and up to BP_SEGMENT inner indices long, is copied to the stack
 * (in order, padded with zeros), and ROWS rows of c at a time run down it.
 */
#ifndef REAL
#include "internal.h"
#include "vector.h"

#define BP_TEMPLATE "product.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define ROWS 4
#define BLOCK BP_SEGMENT

#define BP_TEMPLATE "matmul.c"
#include "each_kernel.h"

#elif defined KERNEL

#define PANEL (2 * VECTOR_BYTES / sizeof(REAL))

/* panel (inner,PANEL) = columns j .. of b, inner indices p .. */
static void LOCAL(pack_b)(REAL *restrict panel, const NAME(bp_product) * t, size_t p, size_t inner,
                          size_t j, size_t cols) {
    const REAL *b = t->b + p * t->b_inner + j * t->b_col;
    if (cols < PANEL) memset(panel, 0, inner * PANEL * sizeof(REAL));
    if (t->b_col == 1)
        for (size_t q = 0; q < inner; q++)
            memcpy(panel + q * PANEL, b + q * t->b_inner, cols * sizeof(REAL));
    else
        for (size_t l = 0; l < cols; l++)
            for (size_t q = 0; q < inner; q++) panel[q * PANEL + l] = b[q * t->b_inner + l * t->b_col];
}

typedef REAL LOCAL(vector) __attribute__((vector_size(VECTOR_BYTES)));

static inline LOCAL(vector) LOCAL(load)(const REAL *from) {
    LOCAL(vector) v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* acc (ROWS,PANEL) += a (ROWS,inner) @ panel (inner,PANEL), in chains; the sums stay in registers */
static void LOCAL(chains)(REAL *acc, const REAL *a, const size_t *row, size_t a_inner, const REAL *panel,
                          size_t inner) {
    LOCAL(vector) sum[ROWS][2];
    memcpy(sum, acc, sizeof sum);
    for (size_t p = 0; p < inner; p++) {
        LOCAL(vector)
        b0 = LOCAL(load)(panel + p * PANEL), b1 = LOCAL(load)(panel + p * PANEL + PANEL / 2);
        for (size_t r = 0; r < ROWS; r++) {
            LOCAL(vector) left = a[row[r] + p * a_inner] - (LOCAL(vector)){0};
            sum[r][0] = LOCAL(vector_fma)(left, b0, sum[r][0]);
            sum[r][1] = LOCAL(vector_fma)(left, b1, sum[r][1]);
        }
    }
    memcpy(acc, sum, sizeof sum);
}

/* Writes one row of finished or interrupted chains to c. */
static void LOCAL(store)(REAL *restrict c, const REAL *restrict acc, const REAL *restrict bias,
                         size_t cols, int segmented, int last) {
    if (segmented)
        for (size_t l = 0; l < cols; l++) c[l] = c[l] + acc[l];
    else if (last && bias)
        for (size_t l = 0; l < cols; l++) c[l] = (acc[l] + 0) + bias[l];
    else if (last)
        for (size_t l = 0; l < cols; l++) c[l] = acc[l] + 0;
    else
        memcpy(c, acc, cols * sizeof(REAL));
}

/* All rows first .. end of c against one packed panel. */
static void LOCAL(run_panel)(const NAME(bp_product) * t, const REAL *panel, size_t p, size_t inner,
                             size_t j, size_t cols, bp_range rows) {
    int last = p + inner == t->inner;
    int from_c = !t->segmented && (p > 0 || t->accumulate);
    const REAL *bias = t->bias ? t->bias + j : NULL;
    for (size_t i = rows.begin; i < rows.end; i += ROWS) {
        REAL acc[ROWS * PANEL] = {0};
        size_t count = rows.end - i < ROWS ? rows.end - i : ROWS;
        size_t row[ROWS];
        for (size_t r = 0; r < ROWS; r++) row[r] = (i + (r < count ? r : 0)) * t->a_row;
        for (size_t r = 0; from_c && r < count; r++)
            memcpy(acc + r * PANEL, t->c + (i + r) * t->ldc + j, cols * sizeof(REAL));
        LOCAL(chains)(acc, t->a + p * t->a_inner, row, t->a_inner, panel, inner);
        for (size_t r = 0; r < count; r++)
            LOCAL(store)(t->c + (i + r) * t->ldc + j, acc + r * PANEL, bias, cols, t->segmented, last);
    }
}

static void LOCAL(multiply)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    REAL panel[BLOCK * PANEL];
    if (t->segmented && !t->accumulate)
        for (size_t i = rows.begin; i < rows.end; i++)
            memset(t->c + i * t->ldc + cols.begin, 0, (cols.end - cols.begin) * sizeof(REAL));
    for (size_t j = cols.begin; j < cols.end; j += PANEL) {
        size_t width = cols.end - j < PANEL ? cols.end - j : PANEL;
        size_t p = 0;
        do { /* at least once: a sum of nothing is written too */
            size_t inner = t->inner - p < BLOCK ? t->inner - p : BLOCK;
            if (inner == 0 && t->segmented) break;
            LOCAL(pack_b)(panel, t, p, inner, j, width);
            LOCAL(run_panel)(t, panel, p, inner, j, width, rows);
            p += inner;
        } while (p < t->inner);
    }
}

#undef PANEL

#else

void NAME(bp_multiply)(const NAME(bp_product) * t) {
    if (t->rows == 0 || t->cols == 0) return;
    int threads = bp_threads_for((double)t->rows * (double)t->cols * (double)t->inner / 8);
    int by_rows = t->rows >= t->cols;
    BP_PARALLEL(threads) {
        bp_range rows = {0, t->rows}, cols = {0, t->cols};
        if (by_rows)
            rows = bp_my_share(t->rows, ROWS);
        else
            cols = bp_my_share(t->cols, 32);
        BP_DISPATCH(NAME(multiply), (t, rows, cols));
    }
}

/* c (rows,cols) = op(a) (rows,inner) @ op(b) (inner,cols) */
bp_status NAME(bp_matmul)(REAL *c, size_t ldc, const REAL *a, size_t lda, const REAL *b, size_t ldb,
                          size_t rows, size_t inner, size_t cols, int transpose_a, int transpose_b,
                          int accumulate) {
    if (bp_overflows(transpose_a ? inner : rows, lda, sizeof(REAL)) ||
        bp_overflows(transpose_b ? cols : inner, ldb, sizeof(REAL)) ||
        bp_overflows(rows, ldc, sizeof(REAL)))
        return BP_OVERFLOW;
    NAME(bp_product)
    t = {.c = c, .a = a, .b = b, .ldc = ldc, .rows = rows, .inner = inner, .cols = cols};
    t.a_row = transpose_a ? 1 : lda, t.a_inner = transpose_a ? lda : 1;
    t.b_inner = transpose_b ? 1 : ldb, t.b_col = transpose_b ? ldb : 1;
    t.accumulate = accumulate;
    NAME(bp_multiply)(&t);
    return BP_OK;
}

#endif

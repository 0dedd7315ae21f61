/* linear.c: a linear layer with n rows, m inputs and h outputs.

   out (n,h) = x (n,m) @ w (m,h) + b (h)
   dx (n,m) = dout (n,h) @ w.T (h,m)
   dw (m,h) = x.T (m,n) @ dout (n,h)
   db (h) = dout (n,h) summed over its rows */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/linear.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "gemm/column_sums.h"

/* db (h) += dout (n,h) summed over its rows, segment by segment, for the columns in mine */
static void LOCAL(add_rows)(REAL *db, const REAL *dout, size_t n, size_t h, bp_range mine) {
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        size_t rows = n - start < BP_SEGMENT ? n - start : BP_SEGMENT;
        LOCAL(add_segment)(db + mine.begin, dout + start * h + mine.begin, h, rows,
                           mine.end - mine.begin);
    }
}

#else
/* ---- per type ---- */

static int NAME(sizes_overflow)(size_t n, size_t m, size_t h) {
    return bp_overflows(n, m, sizeof(REAL)) || bp_overflows(m, h, sizeof(REAL)) ||
           bp_overflows(n, h, sizeof(REAL));
}

/* out (n,h) = x (n,m) @ w (m,h) + b (h) */
bp_status NAME(bp_linear_forward_in)(const bp_workspace *workspace, REAL *out, const REAL *x,
                                     const REAL *w, const REAL *b, bp_epilogue epilogue, size_t n,
                                     size_t m, size_t h) {
    if (NAME(sizes_overflow)(n, m, h)) return BP_OVERFLOW;
    NAME(bp_product)
    t = {.c = out, .a = x, .b = w, .bias = b, .epilogue = epilogue, .workspace = workspace};
    t.rows = n, t.inner = m, t.cols = h;
    t.ldc = h, t.a_row = m, t.a_inner = 1, t.b_inner = h, t.b_col = 1;
    NAME(bp_multiply)(&t);
    return BP_OK;
}

bp_status NAME(bp_linear_forward)(REAL *out, const REAL *x, const REAL *w, const REAL *b, size_t n,
                                  size_t m, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(bp_linear_forward_in)(NULL, out, x, w, b, (bp_epilogue){0}, n, m, h);
}

/* dx (n,m) = dout (n,h) @ w.T (h,m) */
bp_status NAME(bp_linear_backward_x_in)(const bp_workspace *workspace, REAL *dx, const REAL *dout,
                                        const REAL *w, size_t n, size_t m, size_t h, int accumulate) {
    if (NAME(sizes_overflow)(n, m, h)) return BP_OVERFLOW;
    NAME(bp_product) t = {.c = dx, .a = dout, .b = w, .accumulate = accumulate, .workspace = workspace};
    t.rows = n, t.inner = h, t.cols = m;
    t.ldc = m, t.a_row = h, t.a_inner = 1, t.b_inner = 1, t.b_col = h;
    NAME(bp_multiply)(&t);
    return BP_OK;
}

bp_status NAME(bp_linear_backward_x)(REAL *dx, const REAL *dout, const REAL *w, size_t n, size_t m,
                                     size_t h, int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(bp_linear_backward_x_in)(NULL, dx, dout, w, n, m, h, accumulate);
}

/* dw (m,h) = x.T (m,n) @ dout (n,h) */
NAME(bp_product)
NAME(bp_backward_w_product)(REAL *dw, const REAL *x, const REAL *dout, size_t n, size_t m, size_t h,
                            int accumulate) {
    return (NAME(bp_product)){.c = dw,
                              .a = x,
                              .b = dout,
                              .ldc = h,
                              .a_row = 1,
                              .a_inner = m,
                              .b_inner = h,
                              .b_col = 1,
                              .rows = m,
                              .inner = n,
                              .cols = h,
                              .accumulate = accumulate,
                              .segmented = 1};
}

/* and where db is not NULL, db (h) = dout summed over rows, in the same pass */
bp_status NAME(bp_linear_backward_wb_in)(const bp_workspace *workspace, REAL *dw, REAL *db,
                                         const REAL *x, const REAL *dout, size_t n, size_t m, size_t h,
                                         int accumulate) {
    if (NAME(sizes_overflow)(n, m, h)) return BP_OVERFLOW;
    if (db && m == 0) return NAME(bp_linear_backward_b)(db, dout, n, h, accumulate);
    if (n == 0 && accumulate) return BP_OK; /* no segment is added: a -0 in dw stays */
    if (db && !accumulate) memset(db, 0, h * sizeof(REAL));
    NAME(bp_product) t = NAME(bp_backward_w_product)(dw, x, dout, n, m, h, accumulate);
    t.sums = db, t.workspace = workspace;
    NAME(bp_multiply)(&t);
    return BP_OK;
}

bp_status NAME(bp_linear_backward_w)(REAL *dw, const REAL *x, const REAL *dout, size_t n, size_t m,
                                     size_t h, int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(bp_linear_backward_wb_in)(NULL, dw, NULL, x, dout, n, m, h, accumulate);
}

bp_status NAME(bp_linear_backward_wb)(REAL *dw, REAL *db, const REAL *x, const REAL *dout, size_t n,
                                      size_t m, size_t h, int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(bp_linear_backward_wb_in)(NULL, dw, db, x, dout, n, m, h, accumulate);
}

typedef struct {
    REAL *db;
    const REAL *dout;
    size_t n, h;
} NAME(rows);

static void NAME(add_rows_part)(const void *job, bp_range mine) {
    const NAME(rows) *r = job;
    BP_DISPATCH(NAME(add_rows), (r->db, r->dout, r->n, r->h, mine));
}

/* db (h) = dout (n,h) summed over rows */
bp_status NAME(bp_linear_backward_b)(REAL *db, const REAL *dout, size_t n, size_t h, int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (h == 0) return BP_OK;
    if (!accumulate) memset(db, 0, h * sizeof(REAL));
    const NAME(rows) r = {db, dout, n, h};
    bp_run_parts(h < 64 ? 0 : (double)n * (double)h, h, 32, h, NAME(add_rows_part), &r);
    return BP_OK;
}

#endif

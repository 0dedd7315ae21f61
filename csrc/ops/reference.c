/* reference.c: the definition of each operation. Never optimised: every fast version must give these
   bits. The order of the additions, as written, is part of the definition. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

double bp_ref_fold_lanes(double *lane) {
    for (size_t width = BP_LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++) lane[l] = lane[l] + lane[l + width];
    return lane[0];
}

#define BP_TEMPLATE "ops/reference.c"
#include "template/for_each_type.h"
#else
/* ---- per type ---- */

/* out (n,h) = x (n,m) @ w (m,h) + b (h) */
bp_status NAME(bp_ref_linear_forward)(REAL *out, const REAL *x, const REAL *w, const REAL *b, size_t n,
                                      size_t m, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, m, sizeof(REAL)) || bp_overflows(m, h, sizeof(REAL)) ||
        bp_overflows(n, h, sizeof(REAL)))
        return BP_OVERFLOW;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < h; j++) {
            REAL acc = 0;
            for (size_t k = 0; k < m; k++) acc = FMA(x[i * m + k], w[k * h + j], acc);
            acc = acc + 0;
            out[i * h + j] = b ? acc + b[j] : acc;
        }
    return BP_OK;
}

/* dx (n,m) = dout (n,h) @ w.T (h,m): x[i,k] moves row i of out, every column j, by w[k,j] each */
bp_status NAME(bp_ref_linear_backward_x)(REAL *dx, const REAL *dout, const REAL *w, size_t n, size_t m,
                                         size_t h, int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, m, sizeof(REAL)) || bp_overflows(m, h, sizeof(REAL)) ||
        bp_overflows(n, h, sizeof(REAL)))
        return BP_OVERFLOW;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m; k++) {
            REAL acc = accumulate ? dx[i * m + k] : 0;
            for (size_t j = 0; j < h; j++) acc = FMA(dout[i * h + j], w[k * h + j], acc);
            dx[i * m + k] = acc + 0;
        }
    return BP_OK;
}

/* dw (m,h) = x.T (m,n) @ dout (n,h): w[k,j] moves column j of out, every row i, by x[i,k] each */
bp_status NAME(bp_ref_linear_backward_w)(REAL *dw, const REAL *x, const REAL *dout, size_t n, size_t m,
                                         size_t h, int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, m, sizeof(REAL)) || bp_overflows(m, h, sizeof(REAL)) ||
        bp_overflows(n, h, sizeof(REAL)))
        return BP_OVERFLOW;
    for (size_t k = 0; k < m; k++)
        for (size_t j = 0; j < h; j++) {
            REAL total = accumulate ? dw[k * h + j] : 0;
            for (size_t start = 0; start < n; start += BP_SEGMENT) {
                size_t end = start + smaller(n - start, BP_SEGMENT);
                REAL acc = 0;
                for (size_t i = start; i < end; i++) acc = FMA(x[i * m + k], dout[i * h + j], acc);
                total = total + acc;
            }
            dw[k * h + j] = total;
        }
    return BP_OK;
}

/* db (h) = dout (n,h) summed over rows: b[j] moves column j of out, every row i, by 1 each */
bp_status NAME(bp_ref_linear_backward_b)(REAL *db, const REAL *dout, size_t n, size_t h,
                                         int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    for (size_t j = 0; j < h; j++) {
        REAL total = accumulate ? db[j] : 0;
        for (size_t start = 0; start < n; start += BP_SEGMENT) {
            size_t end = start + smaller(n - start, BP_SEGMENT);
            REAL acc = 0;
            for (size_t i = start; i < end; i++) acc = acc + dout[i * h + j];
            total = total + acc;
        }
        db[j] = total;
    }
    return BP_OK;
}

/* c (rows,cols) = op(a) (rows,inner) @ op(b) (inner,cols) */
bp_status NAME(bp_ref_matmul)(REAL *c, size_t ldc, const REAL *a, size_t lda, const REAL *b, size_t ldb,
                              size_t rows, size_t inner, size_t cols, int transpose_a, int transpose_b,
                              int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(transpose_a ? inner : rows, lda, sizeof(REAL)) ||
        bp_overflows(transpose_b ? cols : inner, ldb, sizeof(REAL)) ||
        bp_overflows(rows, ldc, sizeof(REAL)))
        return BP_OVERFLOW;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            REAL acc = accumulate ? c[i * ldc + j] : 0;
            for (size_t p = 0; p < inner; p++) {
                REAL left = transpose_a ? a[p * lda + i] : a[i * lda + p];
                REAL right = transpose_b ? b[j * ldb + p] : b[p * ldb + j];
                acc = FMA(left, right, acc);
            }
            c[i * ldc + j] = acc + 0;
        }
    return BP_OK;
}

/* out = max(x, 0), a NaN kept */
void NAME(bp_ref_relu_forward)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) out[i] = x[i] > 0 ? x[i] : (x[i] != x[i] ? x[i] : 0);
}

/* dx = dout where x > 0 */
void NAME(bp_ref_relu_backward)(REAL *dx, const REAL *x, const REAL *dout, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) dx[i] = x[i] > 0 ? dout[i] : 0;
}

/* out = x where x > 0, else negative_slope * x: a NaN is not > 0, and times the slope it is a NaN */
void NAME(bp_ref_leaky_relu_forward)(REAL *out, const REAL *x, double negative_slope, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL slope = (REAL)bp_here(negative_slope);
    for (size_t i = 0; i < size; i++) out[i] = x[i] > 0 ? x[i] : slope * x[i];
}

/* dx = dout where x > 0, else negative_slope * dout */
void NAME(bp_ref_leaky_relu_backward)(REAL *dx, const REAL *x, const REAL *dout, double negative_slope,
                                      size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL slope = (REAL)bp_here(negative_slope);
    for (size_t i = 0; i < size; i++) dx[i] = x[i] > 0 ? dout[i] : slope * dout[i];
}

/* loss = mean over all elements of (out - targ)^2 */
bp_status NAME(bp_ref_mse_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    double total = 0;
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        size_t elements = smaller(n - start, BP_SEGMENT) * h;
        double lane[BP_LANES] = {0};
        for (size_t e = 0; e < elements; e++) {
            REAL difference = out[start * h + e] - targ[start * h + e];
            lane[e % BP_LANES] = fma((double)difference, (double)difference, lane[e % BP_LANES]);
        }
        total = total + bp_ref_fold_lanes(lane);
    }
    *loss = (REAL)(total / (double)(n * h));
    return BP_OK;
}

/* dout = 2 (out - targ) / size */
void NAME(bp_ref_mse_backward)(REAL *dout, const REAL *out, const REAL *targ, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    BP_HERE(size);
    REAL factor = (REAL)(2.0 / (double)size);
    for (size_t i = 0; i < size; i++) dout[i] = (out[i] - targ[i]) * factor;
}

/* out (n,h) = a + b, a - b, a * b or a / b. a_row, a_column: how far the next row and column of a are;
   0 where a is broadcast */
bp_status NAME(bp_ref_arithmetic)(REAL *out, int operation, const REAL *a, size_t a_row, size_t a_column,
                                  const REAL *b, size_t b_row, size_t b_column, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (operation < BP_ADD || operation > BP_DIVIDE || a_column > 1 || b_column > 1) return BP_INVALID;
    if (bp_overflows(n, h, sizeof(REAL)) || bp_overflows(n, a_row, sizeof(REAL)) ||
        bp_overflows(n, b_row, sizeof(REAL)))
        return BP_OVERFLOW;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < h; j++) {
            const REAL left = a[i * a_row + j * a_column], right = b[i * b_row + j * b_column];
            REAL *at = &out[i * h + j];
            if (operation == BP_ADD) *at = left + right;
            if (operation == BP_SUBTRACT) *at = left - right;
            if (operation == BP_MULTIPLY) *at = left * right;
            if (operation == BP_DIVIDE) *at = left / right;
        }
    return BP_OK;
}

/* out = x * x * ... * x, multiplied from the left; 1 over that for a negative exponent */
bp_status NAME(bp_ref_power)(REAL *out, const REAL *x, int exponent, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    if (exponent < -BP_MAX_EXPONENT || exponent > BP_MAX_EXPONENT) return BP_INVALID;
    for (size_t i = 0; i < size; i++) {
        const REAL factor = x[i];
        REAL power = exponent == 0 ? 1 : factor;
        for (int e = 1; e < (exponent < 0 ? -exponent : exponent); e++) power = power * factor;
        out[i] = exponent < 0 ? 1 / power : power;
    }
    return BP_OK;
}

/* out = the square root of x, rounded once */
void NAME(bp_ref_square_root)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) out[i] = SQRT(x[i]);
}

/* out (outer,inner) = x (outer,count,inner) summed over the middle axis, as db is over rows */
bp_status NAME(bp_ref_sum)(REAL *out, const REAL *x, size_t outer, size_t count, size_t inner) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(outer, inner, sizeof(REAL)) || bp_overflows(outer * inner, count, sizeof(REAL)))
        return BP_OVERFLOW;
    for (size_t o = 0; o < outer; o++)
        for (size_t j = 0; j < inner; j++) {
            REAL total = 0;
            for (size_t start = 0; start < count; start += BP_SEGMENT) {
                size_t end = start + smaller(count - start, BP_SEGMENT);
                REAL acc = 0;
                for (size_t i = start; i < end; i++) acc = acc + x[(o * count + i) * inner + j];
                total = total + acc;
            }
            out[o * inner + j] = total;
        }
    return BP_OK;
}

/* out = max(x, low), a NaN kept */
void NAME(bp_ref_clamp_min_forward)(REAL *out, const REAL *x, double low, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL least = (REAL)bp_here(low);
    for (size_t i = 0; i < size; i++) out[i] = x[i] > least ? x[i] : (x[i] != x[i] ? x[i] : least);
}

/* dx = dout where x > low */
void NAME(bp_ref_clamp_min_backward)(REAL *dx, const REAL *x, const REAL *dout, double low,
                                     size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL least = (REAL)bp_here(low);
    for (size_t i = 0; i < size; i++) dx[i] = x[i] > least ? dout[i] : 0;
}

/* p = p - lr dp */
void NAME(bp_ref_sgd_update)(REAL *p, const REAL *dp, double lr, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL rate = (REAL)bp_here(lr);
    for (size_t i = 0; i < size; i++) p[i] = FMA(-rate, dp[i], p[i]);
}

/* v = mu v + dp, p = p - lr v */
void NAME(bp_ref_sgd_momentum_update)(REAL *p, REAL *v, const REAL *dp, double lr, double mu,
                                      size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL rate = (REAL)bp_here(lr), momentum = (REAL)bp_here(mu);
    for (size_t i = 0; i < size; i++) {
        v[i] = FMA(momentum, v[i], dp[i]);
        p[i] = FMA(-rate, v[i], p[i]);
    }
}

#endif

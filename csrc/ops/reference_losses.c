/* reference_losses.c: the definitions, as in reference.c, of the losses of classifications, and of any
   loss whose rows count with weights. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/exponential.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/reference_rows.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/reference_losses.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

/* targ[i,j], also where a row's target is a label; NaN if that is not one of the columns */
static REAL NAME(target)(const REAL *targ, size_t i, size_t j, size_t h, int labels) {
    if (!labels) return targ[i * h + j];
    size_t label = NAME(bp_label)(targ[i], h);
    return label < h ? (REAL)(j == label) : (REAL)NAN;
}

/* The sums over a row of targ, and of targ (out - least) without terms whose targ is 0 */
static void NAME(weigh)(double *weight, double *picked, const REAL *out, const REAL *targ, REAL least,
                        size_t i, size_t h, int labels) {
    double weights[BP_LANES] = {0}, terms[BP_LANES] = {0};
    for (size_t j = 0; j < h; j++) {
        const REAL t = NAME(target)(targ, i, j, h, labels), difference = out[i * h + j] - least;
        double *term = &terms[j % BP_LANES];
        weights[j % BP_LANES] = weights[j % BP_LANES] + (double)t;
        if (t != 0) *term = fma((double)t, (double)difference, *term);
    }
    *weight = bp_ref_fold_lanes(weights), *picked = bp_ref_fold_lanes(terms);
}

/* -sum over j of targ[i,j] log(softmax(out)[i,j]) */
static double NAME(cross_entropy_of_row)(const REAL *out, const REAL *targ, size_t i, size_t h,
                                         int labels) {
    double weight, picked;
    const REAL most = NAME(bp_ref_largest)(out + i * h, h);
    NAME(weigh)(&weight, &picked, out, targ, most, i, h, labels);
    return fma(weight, bp_log_one_f64(NAME(bp_ref_exp_sum)(out + i * h, most, h)), -picked);
}

/* dout = (softmax(out) - targ) factor, of row i */
static void NAME(cross_entropy_row_backward)(REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                             size_t i, size_t h, int labels) {
    const REAL most = NAME(bp_ref_largest)(out + i * h, h);
    const REAL by = (REAL)(1.0 / NAME(bp_ref_exp_sum)(out + i * h, most, h));
    for (size_t j = 0; j < h; j++) {
        REAL p = NAME(bp_exp_one)(out[i * h + j] - most) * by;
        dout[i * h + j] = (p - NAME(target)(targ, i, j, h, labels)) * factor;
    }
}

/* loss = mean over rows of -sum over j of targ[i,j] log(softmax(out)[i,j]) */
bp_status NAME(bp_ref_cross_entropy_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n,
                                             size_t h, int labels) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    double total = 0;
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        double sum = 0;
        for (size_t i = start; i < n && i < start + BP_SEGMENT; i++)
            sum = sum + NAME(cross_entropy_of_row)(out, targ, i, h, labels);
        total = total + sum;
    }
    *loss = (REAL)(total / (double)n);
    return BP_OK;
}

/* dout = (softmax(out) - targ) / n */
bp_status NAME(bp_ref_cross_entropy_backward)(REAL *dout, const REAL *out, const REAL *targ, size_t n,
                                              size_t h, int labels) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    const REAL factor = (REAL)(1.0 / (double)n);
    for (size_t i = 0; i < n; i++)
        NAME(cross_entropy_row_backward)(dout, out, targ, factor, i, h, labels);
    return BP_OK;
}

/* loss = mean over rows of -sum over j of targ[i,j] out[i,j] */
bp_status NAME(bp_ref_nll_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n, size_t h,
                                   int labels) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    double total = 0, weight, picked;
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        double sum = 0;
        for (size_t i = start; i < n && i < start + BP_SEGMENT; i++) {
            NAME(weigh)(&weight, &picked, out, targ, 0, i, h, labels);
            sum = sum - picked;
        }
        total = total + sum;
    }
    *loss = (REAL)(total / (double)n);
    return BP_OK;
}

/* dout = -targ / n */
bp_status NAME(bp_ref_nll_backward)(REAL *dout, const REAL *targ, size_t n, size_t h, int labels) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    const REAL factor = (REAL)(1.0 / (double)n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < h; j++)
            dout[i * h + j] = (0 - NAME(target)(targ, i, j, h, labels)) * factor;
    return BP_OK;
}

/* loss = mean over all elements of -(targ log(s) + (1 - targ) log(1 - s)), s = sigmoid(out) */
bp_status NAME(bp_ref_binary_cross_entropy_forward)(REAL *loss, const REAL *out, const REAL *targ,
                                                    size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    double total = 0;
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        const size_t rows = n - start < BP_SEGMENT ? n - start : BP_SEGMENT, first = start * h;
        double lane[BP_LANES] = {0};
        for (size_t e = 0; e < rows * h; e++)
            lane[e % BP_LANES] =
                lane[e % BP_LANES] + NAME(bp_binary_cross_entropy_one)(out[first + e], targ[first + e]);
        total = total + bp_ref_fold_lanes(lane);
    }
    *loss = (REAL)(total / (double)(n * h));
    return BP_OK;
}

/* dout = (sigmoid(out) - targ) / size */
void NAME(bp_ref_binary_cross_entropy_backward)(REAL *dout, const REAL *out, const REAL *targ,
                                                size_t size) {
    BP_DEFINED_ENVIRONMENT;
    BP_HERE(size);
    const REAL factor = (REAL)(1.0 / (double)size);
    for (size_t i = 0; i < size; i++) dout[i] = (NAME(bp_sigmoid_one)(out[i]) - targ[i]) * factor;
}

/* ---- losses whose rows have weights: targ (n, width + 1) or (n,2), the weights in its last column ----
 */

static int NAME(takes_labels)(int kind) { return kind == BP_LOSS_CROSS_ENTROPY_LABELS; }

static double NAME(divisor)(int kind, size_t n, size_t h) {
    return (double)(kind == BP_LOSS_MSE || kind == BP_LOSS_BINARY_CROSS_ENTROPY ? n * h : n);
}

/* The loss of one row, not yet a mean. */
static double NAME(loss_of_row)(int kind, const REAL *out, const REAL *targ, size_t h) {
    if (kind != BP_LOSS_MSE && kind != BP_LOSS_BINARY_CROSS_ENTROPY)
        return NAME(cross_entropy_of_row)(out, targ, 0, h, NAME(takes_labels)(kind));
    double lane[BP_LANES] = {0};
    for (size_t j = 0; j < h; j++) {
        double *of = &lane[j % BP_LANES];
        const REAL difference = out[j] - targ[j];
        if (kind == BP_LOSS_MSE)
            *of = fma((double)difference, (double)difference, *of);
        else
            *of = *of + NAME(bp_binary_cross_entropy_one)(out[j], targ[j]);
    }
    return bp_ref_fold_lanes(lane);
}

static void NAME(row_backward)(int kind, REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                               size_t h) {
    if (kind != BP_LOSS_MSE && kind != BP_LOSS_BINARY_CROSS_ENTROPY) {
        NAME(cross_entropy_row_backward)(dout, out, targ, factor, 0, h, NAME(takes_labels)(kind));
        return;
    }
    for (size_t j = 0; j < h; j++) {
        const REAL from = kind == BP_LOSS_MSE ? out[j] : NAME(bp_sigmoid_one)(out[j]);
        dout[j] = (from - targ[j]) * factor;
    }
}

/* loss = the sum over the rows of weight * loss of the row, over the divisor */
bp_status NAME(bp_ref_weighted_loss_forward)(int kind, REAL *loss, const REAL *out, const REAL *targ,
                                             size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    const size_t width = NAME(takes_labels)(kind) ? 2 : h + 1;
    double total = 0;
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        double sum = 0;
        for (size_t i = start; i < n && i < start + BP_SEGMENT; i++) {
            const REAL *row = targ + i * width;
            sum = fma((double)row[width - 1], NAME(loss_of_row)(kind, out + i * h, row, h), sum);
        }
        total = total + sum;
    }
    *loss = (REAL)(total / NAME(divisor)(kind, n, h));
    return BP_OK;
}

/* dout = the kind's gradient with factor * weight for its factor */
bp_status NAME(bp_ref_weighted_loss_backward)(int kind, REAL *dout, const REAL *out, const REAL *targ,
                                              size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    const size_t width = NAME(takes_labels)(kind) ? 2 : h + 1;
    const REAL factor = (REAL)((kind == BP_LOSS_MSE ? 2.0 : 1.0) / NAME(divisor)(kind, n, h));
    for (size_t i = 0; i < n; i++) {
        const REAL *row = targ + i * width;
        NAME(row_backward)(kind, dout + i * h, out + i * h, row, factor * row[width - 1], h);
    }
    return BP_OK;
}

#endif

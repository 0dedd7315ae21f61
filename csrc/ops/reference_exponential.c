/* reference_exponential.c: the definitions, as in reference.c, of the operations that are made of exp
   and log; those of the two are in exponential.h. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/exponential.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/reference_exponential.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

void NAME(bp_ref_exp)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) out[i] = NAME(bp_exp_one)(x[i]);
}

void NAME(bp_ref_log)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) out[i] = NAME(bp_log_one)(x[i]);
}

/* out = 1 / (1 + e^-x) */
void NAME(bp_ref_sigmoid_forward)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) out[i] = NAME(bp_sigmoid_one)(x[i]);
}

/* dx = dout out (1 - out) */
void NAME(bp_ref_sigmoid_backward)(REAL *dx, const REAL *out, const REAL *dout, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) dx[i] = dout[i] * FMA(-out[i], out[i], out[i]);
}

/* out = (e^2x - 1) / (e^2x + 1) */
void NAME(bp_ref_tanh_forward)(REAL *out, const REAL *x, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) out[i] = NAME(bp_tanh_one)(x[i]);
}

/* dx = dout (1 - out^2) */
void NAME(bp_ref_tanh_backward)(REAL *dx, const REAL *out, const REAL *dout, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) dx[i] = dout[i] * FMA(-out[i], out[i], 1);
}

/* The largest number of a row, and its sum of e^(x - most) */
static REAL NAME(largest)(const REAL *x, size_t h) {
    REAL most = -INFINITY;
    for (size_t j = 0; j < h; j++) most = x[j] > most ? x[j] : most;
    return most;
}

static double NAME(exp_sum)(const REAL *x, REAL most, size_t h) {
    double lane[BP_LANES] = {0};
    for (size_t j = 0; j < h; j++)
        lane[j % BP_LANES] = lane[j % BP_LANES] + (double)NAME(bp_exp_one)(x[j] - most);
    return bp_ref_fold_lanes(lane);
}

/* out = e^(x - most) / sum */
bp_status NAME(bp_ref_softmax_forward)(REAL *out, const REAL *x, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    for (size_t i = 0; i < n; i++) {
        const REAL most = NAME(largest)(x + i * h, h);
        const REAL by = (REAL)(1.0 / NAME(exp_sum)(x + i * h, most, h));
        for (size_t j = 0; j < h; j++) out[i * h + j] = NAME(bp_exp_one)(x[i * h + j] - most) * by;
    }
    return BP_OK;
}

/* dx = out (dout - sum over the row of dout out): out[i,k] depends on the whole row */
bp_status NAME(bp_ref_softmax_backward)(REAL *dx, const REAL *out, const REAL *dout, size_t n,
                                        size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    for (size_t i = 0; i < n; i++) {
        double lane[BP_LANES] = {0};
        for (size_t j = 0; j < h; j++) {
            double *of = &lane[j % BP_LANES];
            *of = fma((double)dout[i * h + j], (double)out[i * h + j], *of);
        }
        const REAL sum = (REAL)bp_ref_fold_lanes(lane);
        for (size_t j = 0; j < h; j++) dx[i * h + j] = out[i * h + j] * (dout[i * h + j] - sum);
    }
    return BP_OK;
}

/* out = (x - most) - log(sum), the second difference in double */
bp_status NAME(bp_ref_log_softmax_forward)(REAL *out, const REAL *x, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    for (size_t i = 0; i < n; i++) {
        const REAL most = NAME(largest)(x + i * h, h);
        const double log = bp_log_one_f64(NAME(exp_sum)(x + i * h, most, h));
        for (size_t j = 0; j < h; j++) {
            REAL difference = x[i * h + j] - most;
            out[i * h + j] = (REAL)((double)difference - log);
        }
    }
    return BP_OK;
}

/* dx = dout - e^out (sum over the row of dout) */
bp_status NAME(bp_ref_log_softmax_backward)(REAL *dx, const REAL *out, const REAL *dout, size_t n,
                                            size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    for (size_t i = 0; i < n; i++) {
        double lane[BP_LANES] = {0};
        for (size_t j = 0; j < h; j++) lane[j % BP_LANES] = lane[j % BP_LANES] + (double)dout[i * h + j];
        const REAL sum = (REAL)bp_ref_fold_lanes(lane);
        for (size_t j = 0; j < h; j++)
            dx[i * h + j] = FMA(-NAME(bp_exp_one)(out[i * h + j]), sum, dout[i * h + j]);
    }
    return BP_OK;
}

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

/* loss = mean over rows of -sum over j of targ[i,j] log(softmax(out)[i,j]) */
bp_status NAME(bp_ref_cross_entropy_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n,
                                             size_t h, int labels) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    double total = 0, weight, picked;
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        double sum = 0;
        for (size_t i = start; i < n && i < start + BP_SEGMENT; i++) {
            const REAL most = NAME(largest)(out + i * h, h);
            NAME(weigh)(&weight, &picked, out, targ, most, i, h, labels);
            const double log = bp_log_one_f64(NAME(exp_sum)(out + i * h, most, h));
            sum = sum + fma(weight, log, -picked);
        }
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
    for (size_t i = 0; i < n; i++) {
        const REAL most = NAME(largest)(out + i * h, h);
        const REAL by = (REAL)(1.0 / NAME(exp_sum)(out + i * h, most, h));
        for (size_t j = 0; j < h; j++) {
            REAL p = NAME(bp_exp_one)(out[i * h + j] - most) * by;
            dout[i * h + j] = (p - NAME(target)(targ, i, j, h, labels)) * factor;
        }
    }
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

#endif

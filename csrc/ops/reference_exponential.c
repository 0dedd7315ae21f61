/* reference_exponential.c: the definitions, as in reference.c, of the operations that are made of exp
   and log; those of the two are in exponential.h. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/exponential.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/reference_rows.h"
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

/* out = e^(x - most) / sum */
bp_status NAME(bp_ref_softmax_forward)(REAL *out, const REAL *x, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    for (size_t i = 0; i < n; i++) {
        const REAL most = NAME(bp_ref_largest)(x + i * h, h);
        const REAL by = (REAL)(1.0 / NAME(bp_ref_exp_sum)(x + i * h, most, h));
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
        const REAL most = NAME(bp_ref_largest)(x + i * h, h);
        const double log = bp_log_one_f64(NAME(bp_ref_exp_sum)(x + i * h, most, h));
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

#endif

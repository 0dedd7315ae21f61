/* nll.c: loss (1) = the mean over the rows of out (n,h), logarithms of probabilities, of -sum of targ
   out; dout = -targ / n. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/nll.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

/* A row's sum of targ out, without the terms whose targ is 0, where out may be infinite. */
static double NAME(weighted)(const REAL *out, const REAL *targ, size_t h) {
    double lane[BP_LANES] = {0};
    for (size_t j = 0; j < h; j++)
        if (targ[j] != 0) lane[j % BP_LANES] = fma((double)targ[j], (double)out[j], lane[j % BP_LANES]);
    return bp_fold_lanes(lane);
}

static double NAME(labelled)(const REAL *out, REAL label, size_t h) {
    size_t j = NAME(bp_label)(label, h);
    return j < h ? (double)out[j] : NAN;
}

bp_status NAME(bp_nll_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n, size_t h,
                               int labels) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        const REAL *row = out + i * h;
        sum -= labels ? NAME(labelled)(row, targ[i], h) : NAME(weighted)(row, targ + i * h, h);
        if ((i + 1) % BP_SEGMENT == 0 || i + 1 == n) total += sum, sum = 0;
    }
    *loss = (REAL)(total / (double)n);
    return BP_OK;
}

bp_status NAME(bp_nll_backward)(REAL *dout, const REAL *targ, size_t n, size_t h, int labels) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    const REAL factor = (REAL)(1.0 / (double)n);
    for (size_t i = 0; i < n; i++) {
        size_t label = labels ? NAME(bp_label)(targ[i], h) : 0;
        for (size_t j = 0; j < h; j++) {
            REAL t = labels ? (REAL)(label < h ? j == label : NAN) : targ[i * h + j];
            dout[i * h + j] = (0 - t) * factor;
        }
    }
    return BP_OK;
}

#endif

/* cross_entropy.c: loss (1) = the mean over the rows of out (n,h) of -sum of targ log(softmax(out));
   dout = (softmax(out) - targ) / n. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

enum { ROWS = 16 };      /* that are computed at once */
enum { NUMBERS = 2048 }; /* of these rows, so that they stay in the first cache between their loops */
enum { SEGMENTS = 128 }; /* whose sums wait to be added */

#define BP_TEMPLATE "ops/exponential.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/cross_entropy.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "ops/softmax.h"

/* The sums over a row of targ and of targ d, d = x - most: without the terms whose targ is 0, where d
   may be infinite. */
static void LOCAL(weigh)(double *weight, double *picked, const REAL *x, const REAL *targ, REAL most,
                         size_t h) {
    double weights[BP_LANES] = {0}, terms[BP_LANES] = {0};
    for (size_t j = 0; j < h; j += BP_LANES)
        for (size_t l = 0; l < BP_LANES && j + l < h; l++) {
            const double t = (double)targ[j + l], d = (double)(REAL)(x[j + l] - most);
            const double sum = fma(t, d, terms[l]);
            weights[l] += t;
            terms[l] = t != 0 ? sum : terms[l];
        }
    *weight = bp_fold_lanes(weights), *picked = bp_fold_lanes(terms);
}

/* The same of a label; both are NaN if it is not a whole number below h. */
static void LOCAL(pick)(double *weight, double *picked, const REAL *x, REAL label, REAL most, size_t h) {
    const size_t j = NAME(bp_label)(label, h);
    *weight = j < h ? 1 : NAN, *picked = j < h ? (double)(REAL)(x[j] - most) : NAN;
}

/* dout = (e by - targ) factor, of a row; dout may be e. */
static void LOCAL(label_gradient)(REAL *dout, REAL by, REAL label, REAL factor, size_t h) {
    const size_t j = NAME(bp_label)(label, h);
    const REAL share = j < h ? by : (REAL)NAN, of_label = j < h ? dout[j] * by : 0;
    for (size_t k = 0; k < h; k++) dout[k] = dout[k] * share * factor;
    if (j < h) dout[j] = (of_label - 1) * factor;
}

static void LOCAL(gradient)(REAL *dout, REAL by, const REAL *targ, REAL factor, size_t h) {
    for (size_t k = 0; k < h; k++) dout[k] = (dout[k] * by - targ[k]) * factor;
}

/* Some rows: their losses are added to *loss if it is not NULL; dout, which may be out, if it is not. */
static void LOCAL(some_rows)(double *loss, REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                             size_t rows, size_t h, int labels) {
    REAL most[ROWS], few[BP_E_NUMBERS];
    double sum[ROWS], weight[ROWS], picked[ROWS];
    for (size_t i = 0; i < rows; i++) {
        most[i] = LOCAL(largest)(out + i * h, h);
        if (loss && labels)
            LOCAL(pick)(weight + i, picked + i, out + i * h, targ[i], most[i], h);
        else if (loss)
            LOCAL(weigh)(weight + i, picked + i, out + i * h, targ + i * h, most[i], h);
    }
    if (dout || rows * h <= BP_E_NUMBERS)
        LOCAL(exp_rows)(dout ? dout : few, sum, most, out, rows, h);
    else
        for (size_t i = 0; i < rows; i++) sum[i] = LOCAL(exp_sum)(few, most[i], out + i * h, h);
    for (size_t i = 0; dout && i < rows; i++) {
        const REAL by = (REAL)(1.0 / sum[i]);
        if (labels)
            LOCAL(label_gradient)(dout + i * h, by, targ[i], factor, h);
        else
            LOCAL(gradient)(dout + i * h, by, targ + i * h, factor, h);
    }
    for (size_t i = 0; loss && i < rows; i++) sum[i] = bp_log_one_f64(sum[i]);
    for (size_t i = 0; loss && i < rows; i++) *loss += fma(weight[i], sum[i], -picked[i]);
}

static void LOCAL(cross_entropy)(double *loss, REAL *dout, const REAL *out, const REAL *targ,
                                 REAL factor, size_t rows, size_t h, int labels) {
    const size_t numbers = dout ? NUMBERS : BP_E_NUMBERS, wanted = numbers / (h ? h : 1);
    const size_t step = wanted < 1 ? 1 : wanted < ROWS ? wanted : ROWS, width = labels ? 1 : h;
    for (size_t i = 0; i < rows; i += step)
        LOCAL(some_rows)(loss, dout ? dout + i * h : NULL, out + i * h, targ + i * width, factor,
                         rows - i < step ? rows - i : step, h, labels);
}

#else
/* ---- per type ---- */

void NAME(bp_cross_entropy_rows)(double *loss, REAL *dout, const REAL *out, const REAL *targ,
                                 REAL factor, size_t rows, size_t h, int labels) {
    BP_DISPATCH(NAME(cross_entropy), (loss, dout, out, targ, factor, rows, h, labels));
}

/* What all parts of a row need */
static NAME(bp_loss_row) NAME(row_of)(const REAL *out, size_t h) {
    NAME(bp_loss_row) row = {.most = -INFINITY};
    double lane[BP_LANES] = {0};
    for (size_t j = 0; j < h; j++) row.most = out[j] > row.most ? out[j] : row.most;
    for (size_t j = 0; j < h; j++) lane[j % BP_LANES] += (double)NAME(bp_exp_one)(out[j] - row.most);
    row.by = (REAL)(1.0 / bp_fold_lanes(lane));
    return row;
}

void NAME(bp_cross_entropy_part)(NAME(bp_loss_row) * row, REAL *dout, const REAL *out, const REAL *targ,
                                 REAL factor, bp_range columns, size_t h, int labels) {
    if (columns.begin == 0) *row = NAME(row_of)(out, h);
    const size_t label = labels ? NAME(bp_label)(*targ, h) : 0;
    for (size_t j = columns.begin; j < columns.end; j++) {
        const REAL t = !labels ? targ[j] : label < h ? (REAL)(j == label) : (REAL)NAN;
        const REAL p = NAME(bp_exp_one)(out[j] - row->most) * row->by;
        dout[j - columns.begin] = (p - t) * factor;
    }
}

/* Some segments of a loss, each a share. */
typedef struct {
    double *sums; /* of each segment, or NULL */
    REAL *dout;   /* or NULL */
    const REAL *out, *targ;
    REAL factor;
    size_t n, h;
    int labels;
} NAME(segments);

static void NAME(segment_share)(const void *job, size_t share) {
    const NAME(segments) *s = job;
    size_t start = share * BP_SEGMENT, at = start * s->h, width = s->labels ? 1 : s->h;
    double *sum = s->sums ? s->sums + share : NULL;
    if (sum) *sum = 0;
    NAME(bp_cross_entropy_rows)(sum, s->dout ? s->dout + at : NULL, s->out + at, s->targ + start * width,
                                s->factor, s->n - start < BP_SEGMENT ? s->n - start : BP_SEGMENT, s->h,
                                s->labels);
}

/* The loss if it is not NULL, and dout if it is not: some segments at a time, whose sums are then added
   in ascending order. */
static bp_status NAME(run_segments)(REAL *loss, REAL *dout, const REAL *out, const REAL *targ, size_t n,
                                    size_t h, int labels) {
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    double sums[SEGMENTS], total = 0;
    const size_t most = SEGMENTS * BP_SEGMENT;
    NAME(segments) s = {.sums = loss ? sums : NULL, .h = h, .labels = labels};
    s.factor = (REAL)(1.0 / (double)n);
    for (size_t row = 0; row < n; row += most) {
        s.n = n - row < most ? n - row : most;
        s.out = out + row * h, s.targ = targ + row * (labels ? 1 : h),
        s.dout = dout ? dout + row * h : NULL;
        size_t count = (s.n + BP_SEGMENT - 1) / BP_SEGMENT;
        bp_run(count > 1 ? bp_threads_for(16 * (double)s.n * (double)h) : 1, count, NAME(segment_share),
               &s);
        for (size_t k = 0; loss && k < count; k++) total += sums[k];
    }
    if (loss) *loss = (REAL)(total / (double)n);
    return BP_OK;
}

bp_status NAME(bp_cross_entropy_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n,
                                         size_t h, int labels) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(run_segments)(loss, NULL, out, targ, n, h, labels);
}

bp_status NAME(bp_cross_entropy_backward)(REAL *dout, const REAL *out, const REAL *targ, size_t n,
                                          size_t h, int labels) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(run_segments)(NULL, dout, out, targ, n, h, labels);
}

bp_status NAME(bp_cross_entropy)(REAL *loss, REAL *dout, const REAL *out, const REAL *targ, size_t n,
                                 size_t h, int labels) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(run_segments)(loss, dout, out, targ, n, h, labels);
}

#endif

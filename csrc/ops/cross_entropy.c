/* cross_entropy.c: loss (1) = the mean over the rows of out (n,h) of -sum of targ log(softmax(out));
   dout = (softmax(out) - targ) / n. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

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

/* Adds BP_LANES of targ, and of targ d, d = x - most, to their lanes: without the terms whose targ is 0,
   where d may be infinite. */
static inline __attribute__((always_inline)) void LOCAL(weigh_lanes)(LOCAL(sums) * weight,
                                                                     LOCAL(sums) * term, const REAL *x,
                                                                     const REAL *targ, REAL most) {
    const LOCAL(vector) zero = {0};
    REAL less[BP_LANES];
    double t[BP_LANES], d[BP_LANES];
    BP_UNROLL
    for (size_t l = 0; l < BP_LANES; l += LANES) {
        LOCAL(vector) some = LOCAL(load)(x + l) - (most - zero);
        __typeof__(some != zero) is_term = LOCAL(load)(targ + l) != zero;
        some = (LOCAL(vector))((__typeof__(is_term))some & is_term);
        LOCAL(store)(less + l, some);
    }
    for (size_t l = 0; l < BP_LANES; l++) t[l] = (double)targ[l], d[l] = (double)less[l];
    BP_UNROLL
    for (size_t part = 0; part < LOCAL(parts); part++) {
        LOCAL(sums) some, by;
        memcpy(&some, t + part * LOCAL(width), sizeof some);
        memcpy(&by, d + part * LOCAL(width), sizeof by);
        weight[part] += some;
        term[part] = BP_PASTE(vector_fma_f64, KERNEL)(some, by, term[part]);
    }
}

/* The sums over a row of targ and of targ d. */
static __attribute__((noinline)) void LOCAL(weigh)(double *weight, double *picked, const REAL *x,
                                                   const REAL *targ, REAL most, size_t h) {
    LOCAL(sums) weights[LOCAL(parts)] = {{0}}, terms[LOCAL(parts)] = {{0}};
    REAL last_x[BP_LANES], last_targ[BP_LANES];
    size_t j = 0;
    for (; j + BP_LANES <= h; j += BP_LANES) LOCAL(weigh_lanes)(weights, terms, x + j, targ + j, most);
    if (j < h) {
        LOCAL(copy_part)(last_x, x + j, h - j);
        LOCAL(copy_part)(last_targ, targ + j, h - j);
        LOCAL(weigh_lanes)(weights, terms, last_x, last_targ, most);
    }
    *weight = LOCAL(fold)(weights), *picked = LOCAL(fold)(terms);
}

/* The same of a label; both are NaN if it is not a whole number below h. */
static void LOCAL(pick)(double *weight, double *picked, const REAL *x, REAL label, REAL most, size_t h) {
    const size_t j = NAME(bp_label)(label, h);
    *weight = j < h ? 1 : NAN, *picked = j < h ? (double)(REAL)(x[j] - most) : NAN;
}

/* dout = (e by - targ) factor, of a row whose e are in dout. */
static void LOCAL(label_gradient)(REAL *dout, REAL by, REAL label, REAL factor, size_t h) {
    const size_t j = NAME(bp_label)(label, h);
    const REAL share = j < h ? by : (REAL)NAN, of_label = j < h ? dout[j] * by : 0;
    for (size_t k = 0; k < h; k++) dout[k] = dout[k] * share * factor;
    if (j < h) dout[j] = (of_label - 1) * factor;
}

static void LOCAL(gradient)(REAL *dout, REAL by, const REAL *targ, REAL factor, size_t h) {
    for (size_t k = 0; k < h; k++) dout[k] = (dout[k] * by - targ[k]) * factor;
}

/* The same of narrow rows, whose e are by columns. */
static __attribute__((noinline)) void LOCAL(narrow_label_gradient)(REAL *dout, REAL *e,
                                                                   const double *sum, const REAL *labels,
                                                                   REAL factor, size_t rows, size_t h) {
    REAL by[ROWS], of_label[ROWS];
    for (size_t i = 0; i < ROWS; i++) by[i] = (REAL)(1.0 / sum[i]);
    for (size_t i = 0; i < rows; i++) {
        const size_t j = NAME(bp_label)(labels[i], h);
        by[i] = j < h ? by[i] : (REAL)NAN;
        of_label[i] = j < h ? (e[j * ROWS + i] * by[i] - 1) * factor : (REAL)NAN;
    }
    for (size_t j = 0; j < h; j++)
        for (size_t i = 0; i < ROWS; i++) e[j * ROWS + i] = e[j * ROWS + i] * by[i] * factor;
    LOCAL(to_rows)(dout, e, rows, h);
    for (size_t i = 0; i < rows; i++) {
        const size_t j = NAME(bp_label)(labels[i], h);
        if (j < h) dout[i * h + j] = of_label[i];
    }
}

static __attribute__((noinline)) void LOCAL(narrow_gradient)(REAL *dout, REAL *e, const double *sum,
                                                             const REAL *targ, REAL factor, size_t rows,
                                                             size_t h) {
    REAL by[ROWS];
    for (size_t i = 0; i < ROWS; i++) by[i] = (REAL)(1.0 / sum[i]);
    for (size_t j = 0; j < h; j++)
        for (size_t i = 0; i < ROWS; i++) e[j * ROWS + i] = e[j * ROWS + i] * by[i];
    LOCAL(to_rows)(dout, e, rows, h);
    for (size_t k = 0; k < rows * h; k++) dout[k] = (dout[k] - targ[k]) * factor;
}

/* What a row's loss is made of, with the sum of its e. */
typedef struct {
    double sum[ROWS], weight[ROWS], picked[ROWS];
    REAL most[ROWS];
} LOCAL(rows);

static inline void LOCAL(pick_or_weigh)(LOCAL(rows) * r, size_t i, const REAL *x, const REAL *targ,
                                        size_t h, int labels) {
    if (labels)
        LOCAL(pick)(r->weight + i, r->picked + i, x, *targ, r->most[i], h);
    else
        LOCAL(weigh)(r->weight + i, r->picked + i, x, targ, r->most[i], h);
}

static __attribute__((noinline)) void LOCAL(narrow_rows)(LOCAL(rows) * r, double *loss, REAL *dout,
                                                         const REAL *out, const REAL *targ, REAL factor,
                                                         size_t rows, size_t h, int labels) {
    const size_t width = labels ? 1 : h;
    REAL e[LOCAL(narrow) * ROWS];
    LOCAL(exp_columns)(e, r->sum, r->most, out, rows, h);
    for (size_t i = 0; loss && i < rows; i++)
        LOCAL(pick_or_weigh)(r, i, out + i * h, targ + i * width, h, labels);
    if (dout && labels)
        LOCAL(narrow_label_gradient)(dout, e, r->sum, targ, factor, rows, h);
    else if (dout)
        LOCAL(narrow_gradient)(dout, e, r->sum, targ, factor, rows, h);
}

static void LOCAL(wide_row)(LOCAL(rows) * r, size_t i, double *loss, REAL *dout, const REAL *out,
                            const REAL *targ, REAL factor, size_t h, int labels) {
    r->most[i] = LOCAL(largest)(out, h);
    if (loss) LOCAL(pick_or_weigh)(r, i, out, targ, h, labels);
    if (!dout) {
        r->sum[i] = LOCAL(exp_row)(NULL, r->most[i], out, h, 0);
        return;
    }
    r->sum[i] = LOCAL(exp_row)(dout, r->most[i], out, h, 1);
    const REAL by = (REAL)(1.0 / r->sum[i]);
    if (labels)
        LOCAL(label_gradient)(dout, by, *targ, factor, h);
    else
        LOCAL(gradient)(dout, by, targ, factor, h);
}

/* At most ROWS rows: their losses are added to *loss if it is not NULL; dout, which may be out, if it is
   not. */
static void LOCAL(some_rows)(double *loss, REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                             size_t rows, size_t h, int labels) {
    LOCAL(rows) r;
    const size_t width = labels ? 1 : h;
    if (h <= LOCAL(narrow))
        LOCAL(narrow_rows)(&r, loss, dout, out, targ, factor, rows, h, labels);
    else
        for (size_t i = 0; i < rows; i++)
            LOCAL(wide_row)(&r, i, loss, dout ? dout + i * h : NULL, out + i * h, targ + i * width,
                            factor, h, labels);
    if (!loss) return;
    for (size_t i = 0; i < rows; i++) r.sum[i] = bp_log_one_f64(r.sum[i]);
    for (size_t i = 0; i < rows; i++) *loss += fma(r.weight[i], r.sum[i], -r.picked[i]);
}

static void LOCAL(cross_entropy)(double *loss, REAL *dout, const REAL *out, const REAL *targ,
                                 REAL factor, size_t rows, size_t h, int labels) {
    const size_t width = labels ? 1 : h;
    for (size_t i = 0; i < rows; i += ROWS)
        LOCAL(some_rows)(loss, dout ? dout + i * h : NULL, out + i * h, targ + i * width, factor,
                         rows - i < ROWS ? rows - i : ROWS, h, labels);
}

#undef LANES

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

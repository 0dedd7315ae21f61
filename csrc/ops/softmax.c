/* softmax.c: p (n,h) = e^x / (the row's sum of e^x), and log_softmax, its logarithm. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

#define BP_TEMPLATE "ops/exponential.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/softmax.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "ops/softmax.h"

static __attribute__((noinline)) void LOCAL(narrow_softmax)(REAL *p, const REAL *x, size_t rows,
                                                            size_t h) {
    REAL e[LOCAL(narrow) * ROWS], most[ROWS], by[ROWS];
    double sum[ROWS];
    LOCAL(exp_columns)(e, sum, most, x, rows, h);
    for (size_t i = 0; i < ROWS; i++) by[i] = (REAL)(1.0 / sum[i]);
    for (size_t j = 0; j < h; j++)
        for (size_t i = 0; i < ROWS; i++) e[j * ROWS + i] = e[j * ROWS + i] * by[i];
    LOCAL(to_rows)(p, e, rows, h);
}

static void LOCAL(softmax_forward)(REAL *p, const REAL *x, const REAL *unused, size_t rows, size_t h) {
    (void)unused;
    for (size_t i = 0; h <= LOCAL(narrow) && i < rows; i += ROWS)
        LOCAL(narrow_softmax)(p + i * h, x + i * h, rows - i < ROWS ? rows - i : ROWS, h);
    for (size_t i = 0; h > LOCAL(narrow) && i < rows; i++, p += h, x += h) {
        const REAL by = (REAL)(1.0 / LOCAL(exp_row)(p, LOCAL(largest)(x, h), x, h, 1));
        for (size_t j = 0; j < h; j++) p[j] = p[j] * by;
    }
}

/* dx = p (dout - the row's sum of dout p) */
static void LOCAL(softmax_backward)(REAL *dx, const REAL *p, const REAL *dout, size_t rows, size_t h) {
    for (size_t i = 0; i < rows; i++, dx += h, p += h, dout += h) {
        double lane[BP_LANES] = {0};
        size_t j = 0;
        for (; j + BP_LANES <= h; j += BP_LANES)
            for (size_t l = 0; l < BP_LANES; l++)
                lane[l] = fma((double)dout[j + l], (double)p[j + l], lane[l]);
        for (size_t l = 0; j + l < h; l++) lane[l] = fma((double)dout[j + l], (double)p[j + l], lane[l]);
        const REAL sum = (REAL)bp_fold_lanes(lane);
        for (size_t k = 0; k < h; k++) dx[k] = p[k] * (dout[k] - sum);
    }
}

static void LOCAL(log_softmax_forward)(REAL *y, const REAL *x, const REAL *unused, size_t rows,
                                       size_t h) {
    (void)unused;
    for (size_t i = 0; i < rows; i++, x += h, y += h) {
        const REAL most = LOCAL(largest)(x, h);
        const double log = bp_log_one_f64(LOCAL(exp_row)(NULL, most, x, h, 0));
        for (size_t j = 0; j < h; j++) y[j] = (REAL)((double)(REAL)(x[j] - most) - log);
    }
}

/* dx = dout - e^y (the row's sum of dout) */
static void LOCAL(log_softmax_backward)(REAL *dx, const REAL *y, const REAL *dout, size_t rows,
                                        size_t h) {
    for (size_t i = 0; i < rows; i++, dx += h, y += h, dout += h) {
        double lane[BP_LANES] = {0};
        for (size_t j = 0; j < h; j++) lane[j % BP_LANES] += (double)dout[j];
        const REAL sum = (REAL)bp_fold_lanes(lane);
        for (size_t j = 0; j < h; j++) dx[j] = FMA(-NAME(bp_exp_one)(y[j]), sum, dout[j]);
    }
}

#undef LANES

#else
/* ---- per type ---- */

/* A function of rows: to (n,h) from x and y (n,h). */
typedef struct {
    REAL *to;
    const REAL *x, *y;
    size_t h;
} NAME(rows);

#define BP_ROWS_PART(op)                                                                                \
    static void NAME(op##_part)(const void *job, bp_range mine) {                                       \
        const NAME(rows) *r = job;                                                                      \
        size_t at = mine.begin * r->h;                                                                  \
        BP_DISPATCH(NAME(op),                                                                           \
                    (r->to + at, r->x + at, r->y ? r->y + at : NULL, mine.end - mine.begin, r->h));     \
    }
BP_ROWS_PART(softmax_forward)
BP_ROWS_PART(softmax_backward)
BP_ROWS_PART(log_softmax_forward)
BP_ROWS_PART(log_softmax_backward)
#undef BP_ROWS_PART

static bp_status NAME(run_rows)(bp_part *part, REAL *to, const REAL *x, const REAL *y, size_t n,
                                size_t h) {
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    const NAME(rows) job = {to, x, y, h};
    bp_run_parts(16 * (double)n * (double)h, n, 1, 1, part, &job);
    return BP_OK;
}

bp_status NAME(bp_softmax_forward)(REAL *out, const REAL *x, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(run_rows)(NAME(softmax_forward_part), out, x, NULL, n, h);
}

bp_status NAME(bp_softmax_backward)(REAL *dx, const REAL *out, const REAL *dout, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(run_rows)(NAME(softmax_backward_part), dx, out, dout, n, h);
}

bp_status NAME(bp_log_softmax_forward)(REAL *out, const REAL *x, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(run_rows)(NAME(log_softmax_forward_part), out, x, NULL, n, h);
}

bp_status NAME(bp_log_softmax_backward)(REAL *dx, const REAL *out, const REAL *dout, size_t n,
                                        size_t h) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(run_rows)(NAME(log_softmax_backward_part), dx, out, dout, n, h);
}

#endif

/* softmax.h: what softmax, log_softmax and cross_entropy share: the rows of x (rows,h), each less its
   largest number, so that no exp overflows. Included once per element type and kernel.

   Wide rows are computed one by one, with vectors along the row. Of narrow ones ROWS at a time, by
   columns: the vectors then run across rows, and none is filled in part. */

#ifndef BP_SOFTMAX
#define BP_SOFTMAX
enum { ROWS = 16 };           /* computed at once */
enum { NARROW_BYTES = 3072 }; /* of ROWS narrow rows, at most: they are on the stack */
enum { CHAINS = 4 };          /* vectors of lanes that do not wait for each other */
#endif

#include "isa/simd.h"

/* A register of a row's sums, of which a row has so many. */
typedef double LOCAL(sums) __attribute__((vector_size(VECTOR_BYTES)));
enum { LOCAL(narrow) = NARROW_BYTES / ROWS / sizeof(REAL) }; /* the most numbers of a narrow row */
enum { LOCAL(width) = VECTOR_BYTES / sizeof(double), LOCAL(parts) = BP_LANES / LOCAL(width) };

/* The largest of a row; a NaN is none of them, and reaches the result through its own exp. */
static REAL LOCAL(largest)(const REAL *x, size_t h) {
    REAL lane[CHAINS * BP_LANES];
    size_t j = 0;
    for (size_t l = 0; l < CHAINS * BP_LANES; l++) lane[l] = -INFINITY;
    for (; j + CHAINS * BP_LANES <= h; j += CHAINS * BP_LANES)
        for (size_t l = 0; l < CHAINS * BP_LANES; l++) lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    for (; j + BP_LANES <= h; j += BP_LANES)
        for (size_t l = 0; l < BP_LANES; l++) lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    for (size_t l = 0; j + l < h; l++) lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    for (size_t c = 1; c < CHAINS; c++)
        for (size_t l = 0; l < BP_LANES; l++)
            lane[l] = lane[c * BP_LANES + l] > lane[l] ? lane[c * BP_LANES + l] : lane[l];
    BP_UNROLL
    for (size_t width = BP_LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            lane[l] = lane[l + width] > lane[l] ? lane[l + width] : lane[l];
    return lane[0];
}

static inline __attribute__((always_inline)) void LOCAL(add_terms)(LOCAL(sums) * lane,
                                                                   const double *terms) {
    BP_UNROLL
    for (size_t part = 0; part < LOCAL(parts); part++) {
        LOCAL(sums) some;
        memcpy(&some, terms + part * LOCAL(width), sizeof some);
        lane[part] += some;
    }
}

/* e = exp(x - most) of BP_LANES numbers, added to the lanes. e may be x. */
static inline __attribute__((always_inline)) void LOCAL(exp_lanes)(LOCAL(sums) * lane, REAL *e,
                                                                   const REAL *x, REAL most) {
    REAL held[BP_LANES];
    double terms[BP_LANES];
    for (size_t l = 0; l < BP_LANES; l++) {
        held[l] = NAME(bp_exp_not_above_0)(x[l] - most);
        terms[l] = (double)held[l];
    }
    memcpy(e, held, sizeof held);
    LOCAL(add_terms)(lane, terms);
}

/* to = the first `count` of BP_LANES numbers, and zeros. */
static inline __attribute__((always_inline)) void LOCAL(copy_part)(REAL *to, const REAL *from,
                                                                   size_t count) {
    BP_UNROLL
    for (size_t l = 0; l < BP_LANES; l += LANES)
        LOCAL(store)(to + l, l < count ? LOCAL(load_lanes)(from + l, count - l) : (LOCAL(vector)){0});
}

/* The same of the last `count` numbers of a row, which are fewer. */
static inline __attribute__((always_inline)) void
LOCAL(exp_last)(LOCAL(sums) * lane, REAL *e, const REAL *x, REAL most, size_t count, const int keeps) {
    REAL held[BP_LANES];
    double terms[BP_LANES];
    LOCAL(copy_part)(held, x, count);
    for (size_t l = 0; l < BP_LANES; l++) held[l] = NAME(bp_exp_not_above_0)(held[l] - most);
    LOCAL(copy_part)(held, held, count);
    BP_UNROLL
    for (size_t l = 0; l < BP_LANES; l += LANES)
        if (keeps && l < count) LOCAL(store_lanes)(e + l, LOCAL(load)(held + l), count - l);
    for (size_t l = 0; l < BP_LANES; l++) terms[l] = (double)held[l];
    LOCAL(add_terms)(lane, terms);
}

/* The lanes' sum, as bp_fold_lanes has it. */
static inline __attribute__((always_inline)) double LOCAL(fold)(LOCAL(sums) * lane) {
    double last[LOCAL(width)];
    BP_UNROLL
    for (size_t half = LOCAL(parts) / 2; half > 0; half /= 2)
        for (size_t part = 0; part < half; part++) lane[part] += lane[part + half];
    memcpy(last, lane, sizeof last);
    BP_UNROLL
    for (size_t half = LOCAL(width) / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++) last[l] += last[l + half];
    return last[0];
}

/* e = exp(x - most) of a row of any length, if `keeps`; returns the sum of e. e may be x. */
static inline __attribute__((always_inline)) double LOCAL(exp_row)(REAL *e, REAL most, const REAL *x,
                                                                   size_t h, const int keeps) {
    LOCAL(sums) lane[LOCAL(parts)] = {{0}};
    REAL unused[BP_LANES];
    size_t j = 0;
    for (; j + BP_LANES <= h; j += BP_LANES) {
        __builtin_prefetch(x + j + h); /* the next row */
        LOCAL(exp_lanes)(lane, keeps ? e + j : unused, x + j, most);
    }
    if (j < h) LOCAL(exp_last)(lane, e + j, x + j, most, h - j, keeps);
    return LOCAL(fold)(lane);
}

/* The sums of the columns of e, by rows, each as of a row of its own. */
static __attribute__((noinline)) void LOCAL(sum_columns)(double *sum, const REAL *e, size_t h) {
    double lane[BP_LANES][ROWS] = {{0}};
    for (size_t j = 0; j < h; j++)
        for (size_t i = 0; i < ROWS; i++) lane[j % BP_LANES][i] += (double)e[j * ROWS + i];
    for (size_t width = BP_LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            for (size_t i = 0; i < ROWS; i++) lane[l][i] += lane[l + width][i];
    memcpy(sum, lane[0], sizeof lane[0]);
}

/* e (h,ROWS) = exp(x - most) of at most ROWS narrow rows, by columns; most and sum (ROWS). */
static __attribute__((noinline)) void LOCAL(exp_columns)(REAL *e, double *sum, REAL *most, const REAL *x,
                                                         size_t rows, size_t h) {
    for (size_t i = 0; i < ROWS; i++) sum[i] = 0;
    if (h == 0) return;
    for (size_t j = 0; j < h; j++)
        for (size_t i = 0; i < ROWS; i++) e[j * ROWS + i] = i < rows ? x[i * h + j] : 0;
    for (size_t i = 0; i < ROWS; i++) most[i] = -INFINITY;
    for (size_t j = 0; j < h; j++)
        for (size_t i = 0; i < ROWS; i++)
            most[i] = e[j * ROWS + i] > most[i] ? e[j * ROWS + i] : most[i];
    for (size_t j = 0; j < h; j++)
        for (size_t i = 0; i < ROWS; i++)
            e[j * ROWS + i] = NAME(bp_exp_not_above_0)(e[j * ROWS + i] - most[i]);
    LOCAL(sum_columns)(sum, e, h);
}

/* to (rows,h) = e (h,ROWS) */
static void LOCAL(to_rows)(REAL *to, const REAL *e, size_t rows, size_t h) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < h; j++) to[i * h + j] = e[j * ROWS + i];
}

/* softmax.h: what softmax, log_softmax and cross_entropy share: the rows of x (rows,h), each less its
   largest number, so that no exp overflows. Included once per element type and kernel. */

#ifndef BP_SOFTMAX
#define BP_SOFTMAX
enum { BP_E_NUMBERS = 256 }; /* exponentials that are computed at once where none are kept */
#endif

/* The largest of a row; a NaN is none of them, and reaches the result through its own exp. */
static REAL LOCAL(largest)(const REAL *x, size_t h) {
    REAL lane[BP_LANES];
    size_t j = 0;
    for (size_t l = 0; l < BP_LANES; l++) lane[l] = -INFINITY;
    for (; j + BP_LANES <= h; j += BP_LANES)
        for (size_t l = 0; l < BP_LANES; l++) lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    for (size_t l = 0; j + l < h; l++) lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    for (size_t width = BP_LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            lane[l] = lane[l + width] > lane[l] ? lane[l + width] : lane[l];
    return lane[0];
}

/* lane += e, element j in lane j % BP_LANES. count is a multiple of BP_LANES but for a row's last call.
 */
static inline void LOCAL(add_lanes)(double *lane, const REAL *e, size_t count) {
    size_t j = 0;
    for (; j + BP_LANES <= count; j += BP_LANES)
        for (size_t l = 0; l < BP_LANES; l++) lane[l] += (double)e[j + l];
    for (size_t l = 0; j + l < count; l++) lane[l] += (double)e[j + l];
}

static void LOCAL(exp_all)(REAL *e, size_t count) {
    for (size_t k = 0; k < count; k++) e[k] = NAME(bp_exp_one)(e[k]);
}

/* e (rows,h) = exp(x - most), most (rows) = the rows' largest; sum (rows): the rows' sums of e. e may be
   x. */
static void LOCAL(exp_rows)(REAL *e, double *sum, const REAL *most, const REAL *x, size_t rows,
                            size_t h) {
    for (size_t i = 0; i < rows; i++) {
        const REAL least = most[i];
        for (size_t j = 0; j < h; j++) e[i * h + j] = x[i * h + j] - least;
    }
    LOCAL(exp_all)(e, rows * h);
    for (size_t i = 0; i < rows; i++) {
        double lane[BP_LANES] = {0};
        LOCAL(add_lanes)(lane, e + i * h, h);
        sum[i] = bp_fold_lanes(lane);
    }
}

/* The sum alone, of a row of any length. */
static double LOCAL(exp_sum)(REAL *few, REAL most, const REAL *x, size_t h) {
    double lane[BP_LANES] = {0};
    for (size_t j = 0, count; j < h; j += count) {
        count = h - j < BP_E_NUMBERS ? h - j : BP_E_NUMBERS;
        for (size_t k = 0; k < count; k++) few[k] = x[j + k] - most;
        LOCAL(exp_all)(few, count);
        LOCAL(add_lanes)(lane, few, count);
    }
    return bp_fold_lanes(lane);
}

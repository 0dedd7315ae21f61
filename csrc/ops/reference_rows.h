/* reference_rows.h: what the definitions of softmax and of cross_entropy share. After exponential.h,
   included by for_each_type.h. */

/* The largest number of a row, and its sum of e^(x - most) */
static inline REAL NAME(bp_ref_largest)(const REAL *x, size_t h) {
    REAL most = -INFINITY;
    for (size_t j = 0; j < h; j++) most = x[j] > most ? x[j] : most;
    return most;
}

static inline double NAME(bp_ref_exp_sum)(const REAL *x, REAL most, size_t h) {
    double lane[BP_LANES] = {0};
    for (size_t j = 0; j < h; j++)
        lane[j % BP_LANES] = lane[j % BP_LANES] + (double)NAME(bp_exp_one)(x[j] - most);
    return bp_ref_fold_lanes(lane);
}

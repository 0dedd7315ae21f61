/* transpose.h: LANES x LANES numbers, transposed in registers; included once per element type and
 * kernel.
 *
 * Interleaving the first half of the rows with the second, log2(LANES) times, leaves the transpose: each
 * round moves one bit of an element's column into its row.
 */
static inline __attribute__((always_inline)) void LOCAL(transpose)(LOCAL(vector) * rows) {
    LOCAL(vector) next[LANES];
    BP_UNROLL
    for (size_t round = 1; round < LANES; round *= 2) {
        BP_UNROLL
        for (size_t i = 0; i < LANES / 2; i++) {
            next[2 * i] = LOCAL(interleave_low)(rows[i], rows[i + LANES / 2]);
            next[2 * i + 1] = LOCAL(interleave_high)(rows[i], rows[i + LANES / 2]);
        }
        BP_UNROLL
        for (size_t i = 0; i < LANES; i++) rows[i] = next[i];
    }
}

/* lanes[i] = n numbers of row i, for the first `count` rows; 0 elsewhere */
static inline __attribute__((always_inline)) void
LOCAL(load_rows)(LOCAL(vector) * lanes, const REAL *from, size_t stride, size_t count, size_t n) {
    const LOCAL(vector) zero = {0};
    if (count >= LANES && n >= LANES) {
        BP_UNROLL
        for (size_t i = 0; i < LANES; i++) lanes[i] = LOCAL(load)(from + i * stride);
    } else
        for (size_t i = 0; i < LANES; i++)
            if (i < count)
                lanes[i] = LOCAL(load_lanes)(from + i * stride, n);
            else
                lanes[i] = zero;
}

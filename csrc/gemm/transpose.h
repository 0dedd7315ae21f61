/* transpose.h: LANES x LANES elements, transposed while they are loaded into registers; included
   once per element type and kernel.

   Each register is filled with pieces of 16 bytes from rows PIECE apart, which loads do beside the
   units that shuffle. What is left is PIECE x PIECE transposes inside the pieces, all at once. */
#define PIECE (16 / sizeof(REAL))
#define INTERLEAVE_PAIRS(half, a, b)                                                                    \
    (LOCAL(vector)) BP_PASTE(interleave_##half##_f64, KERNEL)((LOCAL(doubles))(a), (LOCAL(doubles))(b))

typedef double LOCAL(doubles) __attribute__((vector_size(VECTOR_BYTES)));

/* row[i] = row i; from `count` on, the last row again */
static inline void LOCAL(find_rows)(const REAL **row, const REAL *from, size_t ld, size_t count) {
    for (size_t i = 0; i < LANES; i++) row[i] = from + (i < count ? i : count - 1) * ld;
}

/* columns[j] = element p + j of each row, j < PIECE */
static inline __attribute__((always_inline)) void
LOCAL(load_piece_columns)(LOCAL(vector) * columns, const REAL *const *row, size_t p) {
    LOCAL(vector) v[4], low[2], high[2];
    BP_UNROLL
    for (size_t j = 0; j < PIECE; j++) v[j] = LOCAL(gather_pieces)(row + j, p);
    BP_UNROLL
    for (size_t j = 0; j < PIECE / 2; j++) {
        low[j] = LOCAL(interleave_low)(v[2 * j], v[2 * j + 1]);
        high[j] = LOCAL(interleave_high)(v[2 * j], v[2 * j + 1]);
    }
    columns[0] = PIECE == 2 ? low[0] : INTERLEAVE_PAIRS(low, low[0], low[1]);
    columns[1] = PIECE == 2 ? high[0] : INTERLEAVE_PAIRS(high, low[0], low[1]);
    if (PIECE > 2) {
        columns[2] = INTERLEAVE_PAIRS(low, high[0], high[1]);
        columns[3] = INTERLEAVE_PAIRS(high, high[0], high[1]);
    }
}

/* columns[i] = element p + i of each row, for i < n, at most LANES */
static inline void LOCAL(load_columns)(LOCAL(vector) * columns, const REAL *const *row, size_t p,
                                       size_t n) {
    _Alignas(64) REAL edge[LANES * LANES];
    const REAL *inside[LANES];
    if (n < LANES) {
        for (size_t i = 0; i < LANES; i++)
            LOCAL(store)(edge + i * LANES, LOCAL(load_part)(row[i] + p, n));
        LOCAL(find_rows)(inside, edge, LANES, LANES);
        row = inside, p = 0;
    }
    BP_UNROLL
    for (size_t i = 0; i < LANES; i += PIECE) LOCAL(load_piece_columns)(columns + i, row, p + i);
}

/* packed (inner,width) = the elements p < inner of each row, side by side: `lanes` of a vector for each
 * p. */
static inline void LOCAL(pack_rows)(REAL *packed, size_t width, const REAL *const *row, size_t inner,
                                    size_t lanes) {
    for (size_t p = 0; p < inner; p += LANES) {
        LOCAL(vector) block[LANES];
        size_t n = inner - p < LANES ? inner - p : LANES;
        LOCAL(load_columns)(block, row, p, n);
        if (n == LANES && lanes >= LANES) {
            BP_UNROLL
            for (size_t i = 0; i < LANES; i++) LOCAL(store)(packed + (p + i) * width, block[i]);
        } else
            for (size_t i = 0; i < n; i++) LOCAL(store_lanes)(packed + (p + i) * width, block[i], lanes);
    }
}

#undef PIECE
#undef INTERLEAVE_PAIRS

/* pack.h: operands put in the order in which tiles read them; included once per element type and kernel.
 */

/* packed (inner,width) = the numbers (d,p), d < count, p < inner, of from[d * step + p * along];
   width is a multiple of LANES, and what is missing up to it is 0. One of step and along is 1. */
static void LOCAL(pack)(REAL *packed, size_t width, const REAL *from, size_t step, size_t along,
                        size_t count, size_t inner) {
    for (size_t d = 0; d < width; d += LANES) {
        size_t lanes = count > d ? count - d : 0;
        const REAL *start = from + d * step;
        if (step == 1) {
            for (size_t p = 0; p < inner; p++) {
                LOCAL(vector) v = LOCAL(load_lanes)(start + p * along, lanes);
                LOCAL(store)(packed + p * width + d, v);
            }
            continue;
        }
        for (size_t p = 0; p < inner; p += LANES) {
            LOCAL(vector) block[LANES];
            size_t n = inner - p < LANES ? inner - p : LANES;
            LOCAL(load_rows)(block, start + p, step, lanes, n);
            LOCAL(transpose)(block);
            for (size_t i = 0; i < n; i++) LOCAL(store)(packed + (p + i) * width + d, block[i]);
        }
    }
}

/* What becomes of a chain that has come to the end of a block. */
#ifndef BP_FINISH
#define BP_FINISH
typedef enum {
    FINISH_CHAIN, /* + 0: a -0 of underflow never shows; + bias, if it is the last block */
    FINISH_ADD    /* it was a segment's: added to the total */
} bp_finish;
#endif

/* Writes n numbers of sums to c. */
static inline void LOCAL(finish)(REAL *c, LOCAL(vector) sum, size_t n, bp_finish finish,
                                 const REAL *bias) {
    const LOCAL(vector) zero = {0};
    if (finish == FINISH_ADD)
        sum = LOCAL(load_lanes)(c, n) + sum;
    else {
        sum = sum + zero;
        if (bias) sum = sum + LOCAL(load_lanes)(bias, n);
    }
    LOCAL(store_lanes)(c, sum, n);
}

/* tile (rows,PANEL) = rows of c (rows,count), ldc apart */
static void LOCAL(read_rows)(REAL *tile, const REAL *c, size_t ldc, size_t rows, size_t count) {
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < count; q += LANES)
            LOCAL(store)(tile + r * PANEL + q, LOCAL(load_lanes)(c + r * ldc + q, count - q));
}

/* c (rows,count) = tile (rows,PANEL), finished */
static void LOCAL(write_rows)(REAL *c, size_t ldc, const REAL *tile, size_t rows, size_t count,
                              bp_finish finish, const REAL *bias) {
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < count; q += LANES)
            LOCAL(finish)(c + r * ldc + q, LOCAL(load)(tile + r * PANEL + q), count - q, finish,
                          bias ? bias + q : NULL);
}

/* tile (rows,PANEL) = the transpose of c (count,rows), rows of c ldc apart */
static void LOCAL(read_columns)(REAL *tile, const REAL *c, size_t ldc, size_t rows, size_t count) {
    for (size_t q = 0; q < count; q += LANES)
        for (size_t r = 0; r < rows; r += LANES) {
            LOCAL(vector) block[LANES];
            size_t n = rows - r < LANES ? rows - r : LANES;
            LOCAL(load_rows)(block, c + q * ldc + r, ldc, count - q, n);
            LOCAL(transpose)(block);
            for (size_t i = 0; i < n; i++) LOCAL(store)(tile + (r + i) * PANEL + q, block[i]);
        }
}

/* c (count,rows) = the transpose of tile (rows,PANEL), finished; tile has rows up to a multiple of LANES
 */
static void LOCAL(write_columns)(REAL *c, size_t ldc, const REAL *tile, size_t rows, size_t count,
                                 bp_finish finish, const REAL *bias) {
    for (size_t q = 0; q < count; q += LANES)
        for (size_t r = 0; r < rows; r += LANES) {
            LOCAL(vector) block[LANES];
            size_t n = rows - r < LANES ? rows - r : LANES,
                   lanes = count - q < LANES ? count - q : LANES;
            LOCAL(load_rows)(block, tile + r * PANEL + q, PANEL, LANES, LANES);
            LOCAL(transpose)(block);
            for (size_t i = 0; i < lanes; i++)
                LOCAL(finish)(c + (q + i) * ldc + r, block[i], n, finish, bias ? bias + r : NULL);
        }
}

/* pack.h: packs operands in the order in which tiles read them; included once per element type and
   kernel. */

enum { LOCAL(panels_at_once) = 4 };

/* Packs whole panels of contiguous elements, a few in one pass, so that each row is read at once:
   packed (panels,inner,NR) = the elements (d,p), d < panels * NR, p < inner, of from[d + p *
   inner_stride] */
static void LOCAL(copy_panels)(REAL *packed, const REAL *from, size_t inner_stride, size_t panels,
                               size_t inner) {
    for (size_t p = 0; p < inner; p++) {
        const REAL *row = from + p * inner_stride;
        for (size_t q = 0; q < panels; q++) {
            REAL *to = packed + (q * inner + p) * NR;
            __builtin_prefetch(row + 8 * inner_stride + q * NR);
            LOCAL(vector) first = LOCAL(load)(row + q * NR);
            LOCAL(store)(to + LANES, LOCAL(load)(row + q * NR + LANES));
            LOCAL(store)(to, first);
        }
    }
}

/* packed (inner,width) = the elements (d,p), d < count, p < inner, of from[d * stride + p *
   inner_stride], in whole vectors: elements beyond count are undefined, and so are LANES elements
   after the last row. If width is less than a vector, the next row overwrites the excess. One of stride
   and inner_stride is 1. */
static void LOCAL(pack)(REAL *packed, size_t width, const REAL *from, size_t stride, size_t inner_stride,
                        size_t count, size_t inner) {
    if (stride == 1) {
        for (size_t p = 0; p < inner; p++)
            for (size_t d = 0; d < count; d += LANES)
                LOCAL(store)(packed + p * width + d,
                             LOCAL(load_lanes)(from + p * inner_stride + d, count - d));
        return;
    }
    for (size_t d = 0; d < count; d += LANES) {
        const REAL *row[LANES];
        LOCAL(find_rows)(row, from + d * stride, stride, count - d);
        LOCAL(pack_rows)(packed + d, width, row, inner, LANES);
    }
}

/* What happens to a chain at the end of a block. */
#ifndef BP_FINISH
#define BP_FINISH
typedef enum {
    FINISH_CHAIN, /* + 0: a -0 of underflow never shows; + bias and relu, in the last block */
    FINISH_ADD,   /* a segment's chain: added to the total */
    FINISH_LATER  /* nothing: it continues in the next block */
} bp_finish;
#endif

/* Writes n numbers of sums to c. */
static inline void LOCAL(finish)(REAL *c, LOCAL(vector) sum, size_t n, bp_finish finish,
                                 const REAL *bias, int activation) {
    const LOCAL(vector) zero = {0};
    if (finish == FINISH_ADD)
        sum = LOCAL(load_lanes)(c, n) + sum;
    else {
        sum = sum + zero;
        if (bias) sum = sum + LOCAL(load_lanes)(bias, n);
        if (activation == BP_ACTIVATION_RELU) { /* <= is false for a NaN, so a NaN passes through */
            __typeof__(sum <= zero) keep = ~(sum <= zero);
            sum = (LOCAL(vector))((__typeof__(keep))sum & keep);
        }
    }
    LOCAL(store_lanes)(c, sum, n);
}

/* tile (rows,NR) = rows of c (rows,count), ldc apart */
static void LOCAL(read_rows)(REAL *tile, const REAL *c, size_t ldc, size_t rows, size_t count) {
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < count; q += LANES)
            LOCAL(store)(tile + r * NR + q, LOCAL(load_lanes)(c + r * ldc + q, count - q));
}

/* c (rows,count) = tile, rows ld apart (it may be c itself), finished */
static void LOCAL(write_rows)(REAL *c, size_t ldc, const REAL *tile, size_t ld, size_t rows,
                              size_t count, bp_finish finish, const REAL *bias, int activation) {
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < count; q += LANES)
            LOCAL(finish)(c + r * ldc + q, LOCAL(load)(tile + r * ld + q), count - q, finish,
                          bias ? bias + q : NULL, activation);
}

/* tile (rows,NR) = the transpose of c (count,rows), rows of c ldc apart */
static void LOCAL(read_columns)(REAL *tile, const REAL *c, size_t ldc, size_t rows, size_t count) {
    for (size_t q = 0; q < count; q += LANES) {
        const REAL *row[LANES];
        LOCAL(find_rows)(row, c + q * ldc, ldc, count - q);
        for (size_t r = 0; r < rows; r += LANES) {
            LOCAL(vector) block[LANES];
            size_t n = rows - r < LANES ? rows - r : LANES;
            LOCAL(load_columns)(block, row, r, n);
            for (size_t i = 0; i < n; i++) LOCAL(store)(tile + (r + i) * NR + q, block[i]);
        }
    }
}

/* c (count,rows) = the transpose of tile (rows,NR), finished */
static void LOCAL(write_columns)(REAL *c, size_t ldc, const REAL *tile, size_t rows, size_t count,
                                 bp_finish finish, const REAL *bias, int activation) {
    for (size_t q = 0; q < count; q += LANES)
        for (size_t r = 0; r < rows; r += LANES) {
            LOCAL(vector) block[LANES];
            const REAL *row[LANES];
            size_t n = rows - r < LANES ? rows - r : LANES,
                   lanes = count - q < LANES ? count - q : LANES;
            LOCAL(find_rows)(row, tile + r * NR, NR, n);
            LOCAL(load_columns)(block, row, q, LANES);
            for (size_t i = 0; i < lanes; i++)
                LOCAL(finish)(c + (q + i) * ldc + r, block[i], n, finish, bias ? bias + r : NULL,
                              activation);
        }
}

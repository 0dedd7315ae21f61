/* micro_kernel.h: the micro-kernel, included by matmul.c once per element type and kernel.
 *
 * A tile is rows x (vectors * LANES) numbers of the product, all of them in registers: rows at the most
 * TILE_ROWS, vectors 1 or 2. Each step of the inner index loads `vectors` vectors of one operand, and
 * for each row repeats one number of the other into all lanes. A lane is one number's chain, so the
 * order of its additions is the definition's, whatever the tile.
 */
#define PANEL (2 * LANES)
#define TILE_ROWS BP_PASTE(TILE_ROWS, KERNEL)

#include "gemm/prefetch.h"

#ifndef BP_STEPS
#define BP_STEPS 8 /* of the inner index from one request to the next: more lines at once would wait */
#endif

typedef struct {
    const REAL *single; /* number (r,p) at single[r * single_row + p * single_inner] */
    size_t single_row, single_inner;
    const REAL *packed; /* the vectors of step p at packed + p * packed_inner */
    size_t packed_inner, inner;
    REAL *out; /* whole vectors, in rows stride apart */
    size_t stride;
    int from_out; /* the chains begin with what out holds, else at 0 */
    REAL addend;  /* added at the end: +0 turns a -0 of underflow into +0, -0 changes nothing */
    bp_ahead *ahead;
} LOCAL(tile_job);

/* rows, vectors and adjacent (single_row is 1) are constants where this is inlined: loops unroll, sums
   stay in registers. */
static inline __attribute__((always_inline)) void
LOCAL(tile)(const LOCAL(tile_job) * t, const size_t rows, const size_t vectors, const int adjacent) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) sum[TILE_ROWS][2];
    const REAL *single = t->single, *packed = t->packed;
    const size_t row = adjacent ? 1 : t->single_row;
    BP_UNROLL
    for (size_t r = 0; r < rows; r++) sum[r][0] = sum[r][1] = zero;
    if (t->from_out) {
        BP_UNROLL
        for (size_t r = 0; r < rows; r++) {
            sum[r][0] = LOCAL(load)(t->out + r * t->stride);
            if (vectors > 1) sum[r][1] = LOCAL(load)(t->out + r * t->stride + LANES);
        }
    }
    /* lines of out are on their way while the sums are made: this tile's, or those the next begins with
     */
    const REAL *soon = t->from_out ? t->out + rows * t->stride : t->out;
    BP_UNROLL
    for (size_t r = 0; r < rows; r++) {
        __builtin_prefetch(soon + r * t->stride, 1);
        if (vectors > 1) __builtin_prefetch(soon + r * t->stride + LANES, 1);
    }
    for (size_t left = t->inner, p; left > 0;) {
        p = left < BP_STEPS ? left : BP_STEPS;
        left -= p;
        bp_ask(t->ahead);
        for (; p > 0; p--) {
            LOCAL(vector) right[2];
            __builtin_prefetch(packed + BP_STEPS * t->packed_inner);
            if (vectors > 1) __builtin_prefetch(packed + BP_STEPS * t->packed_inner + LANES);
            right[0] = LOCAL(load)(packed);
            if (vectors > 1) right[1] = LOCAL(load)(packed + LANES);
            BP_UNROLL
            for (size_t r = 0; r < rows; r++) {
                LOCAL(vector) number = single[r * row] - zero;
                sum[r][0] = LOCAL(vector_fma)(number, right[0], sum[r][0]);
                if (vectors > 1) sum[r][1] = LOCAL(vector_fma)(number, right[1], sum[r][1]);
            }
            single += t->single_inner;
            packed += t->packed_inner;
        }
    }
    const LOCAL(vector) addend = t->addend - zero;
    BP_UNROLL
    for (size_t r = 0; r < rows; r++) {
        LOCAL(store)(t->out + r * t->stride, sum[r][0] + addend);
        if (vectors > 1) LOCAL(store)(t->out + r * t->stride + LANES, sum[r][1] + addend);
    }
}

#define BP_ROWS(n, vectors, adjacent)                                                                   \
    case n:                                                                                             \
        if (n <= TILE_ROWS) LOCAL(tile)(t, n <= TILE_ROWS ? n : 1, vectors, adjacent);                  \
        break;
#define BP_EACH_ROWS(vectors, adjacent)                                                                 \
    switch (rows) {                                                                                     \
        BP_ROWS(1, vectors, adjacent)                                                                   \
        BP_ROWS(2, vectors, adjacent)                                                                   \
        BP_ROWS(3, vectors, adjacent)                                                                   \
        BP_ROWS(4, vectors, adjacent)                                                                   \
        BP_ROWS(5, vectors, adjacent)                                                                   \
        BP_ROWS(6, vectors, adjacent)                                                                   \
        BP_ROWS(7, vectors, adjacent)                                                                   \
        BP_ROWS(8, vectors, adjacent)                                                                   \
        BP_ROWS(9, vectors, adjacent)                                                                   \
        BP_ROWS(10, vectors, adjacent)                                                                  \
        BP_ROWS(11, vectors, adjacent)                                                                  \
        BP_ROWS(12, vectors, adjacent)                                                                  \
        BP_ROWS(13, vectors, adjacent)                                                                  \
        BP_ROWS(14, vectors, adjacent)                                                                  \
    default: break;                                                                                     \
    }

static void LOCAL(run_tile)(const LOCAL(tile_job) * t, size_t rows, size_t vectors) {
    if (vectors > 1 && t->single_row == 1) {
        BP_EACH_ROWS(2, 1)
    } else if (vectors > 1) {
        BP_EACH_ROWS(2, 0)
    } else if (t->single_row == 1) {
        BP_EACH_ROWS(1, 1)
    } else {
        BP_EACH_ROWS(1, 0)
    }
}

#undef BP_ROWS
#undef BP_EACH_ROWS

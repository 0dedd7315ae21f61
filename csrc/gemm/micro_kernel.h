/* micro_kernel.h: the micro-kernel, included by ops/matmul.c once per element type and kernel.

   A tile is rows x (vectors * LANES) elements of the product, all of them in registers: at most MR
   rows, and 1 or 2 vectors, so NR = 2 * LANES columns. Each step of the inner index loads `vectors`
   vectors of the right operand, and broadcasts one element of the left one for each row. A lane is
   one element's chain, so the order of its additions is the definition's, whatever the tile. */
#define NR (2 * LANES)
#define MR BP_PASTE(MR, KERNEL)

#include "gemm/prefetch.h"

#ifndef BP_PREFETCH_STEPS
#define BP_PREFETCH_STEPS 32 /* of the inner index between prefetches: more at once would stall */
#define BP_AHEAD_STEPS 8     /* from a prefetch of right to its use */
#endif

typedef struct {
    const REAL *left; /* element (r,p) at left[r * left_row + p * left_inner] */
    size_t left_row, left_inner;
    const REAL *right; /* the vectors of step p at right + p * right_inner */
    size_t right_inner, inner;
    REAL *out; /* whole vectors, in rows ldc apart */
    size_t ldc;
    int right_ahead; /* its rows are far apart, in memory: they are prefetched step by step */
    int from_out;    /* chains start from out, else from 0 */
    REAL addend;     /* added at the end: +0 turns a -0 of underflow into +0, -0 changes nothing */
    bp_prefetch *prefetch;
} LOCAL(tile_job);

/* rows, vectors, adjacent (left_row is 1) and ahead (right_ahead) are constants where this is inlined:
   loops unroll, sums stay in registers. */
static inline __attribute__((always_inline)) void LOCAL(tile)(const LOCAL(tile_job) * t,
                                                              const size_t rows, const size_t vectors,
                                                              const int adjacent, const int ahead) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) sum[MR][2];
    const REAL *left = t->left, *right = t->right;
    const size_t row = adjacent ? 1 : t->left_row;
    BP_UNROLL
    for (size_t r = 0; r < rows; r++) sum[r][0] = sum[r][1] = zero;
    if (t->from_out) {
        BP_UNROLL
        for (size_t r = 0; r < rows; r++) {
            sum[r][0] = LOCAL(load)(t->out + r * t->ldc);
            if (vectors > 1) sum[r][1] = LOCAL(load)(t->out + r * t->ldc + LANES);
        }
    }
    /* prefetched while the sums are computed: this tile's lines of out, or the next tile's */
    const REAL *soon = t->from_out ? t->out + rows * t->ldc : t->out;
    BP_UNROLL
    for (size_t r = 0; r < rows; r++) {
        __builtin_prefetch(soon + r * t->ldc, 1);
        if (vectors > 1) __builtin_prefetch(soon + r * t->ldc + LANES, 1);
    }
    for (size_t remaining = t->inner, steps; remaining > 0; remaining -= steps) {
        steps = remaining < BP_PREFETCH_STEPS || !t->prefetch->lines ? remaining : BP_PREFETCH_STEPS;
        bp_prefetch_some(t->prefetch);
        BP_UNROLL_4
        for (size_t p = steps; p > 0; p--) {
            LOCAL(vector) loaded[2];
            if (ahead) {
                __builtin_prefetch(right + BP_AHEAD_STEPS * t->right_inner);
                if (VECTOR_BYTES >= 64) /* each line once: two of smaller vectors share one */
                    __builtin_prefetch(right + BP_AHEAD_STEPS * t->right_inner + LANES);
            }
            loaded[0] = LOCAL(load)(right);
            if (vectors > 1) loaded[1] = LOCAL(load)(right + LANES);
            BP_UNROLL
            for (size_t r = 0; r < rows; r++) {
                LOCAL(vector) number = left[r * row] - zero;
                sum[r][0] = LOCAL(vector_fma)(number, loaded[0], sum[r][0]);
                if (vectors > 1) sum[r][1] = LOCAL(vector_fma)(number, loaded[1], sum[r][1]);
            }
            left += t->left_inner;
            right += t->right_inner;
        }
    }
    const LOCAL(vector) addend = t->addend - zero;
    BP_UNROLL
    for (size_t r = 0; r < rows; r++) {
        LOCAL(store)(t->out + r * t->ldc, sum[r][0] + addend);
        if (vectors > 1) LOCAL(store)(t->out + r * t->ldc + LANES, sum[r][1] + addend);
    }
}

#define BP_ROWS(n, vectors, adjacent, ahead)                                                            \
    case n:                                                                                             \
        if (n <= MR) LOCAL(tile)(t, n <= MR ? n : 1, vectors, adjacent, ahead);                         \
        break;
#define BP_EACH_ROWS(vectors, adjacent, ahead)                                                          \
    switch (rows) {                                                                                     \
        BP_ROWS(1, vectors, adjacent, ahead)                                                            \
        BP_ROWS(2, vectors, adjacent, ahead)                                                            \
        BP_ROWS(3, vectors, adjacent, ahead)                                                            \
        BP_ROWS(4, vectors, adjacent, ahead)                                                            \
        BP_ROWS(5, vectors, adjacent, ahead)                                                            \
        BP_ROWS(6, vectors, adjacent, ahead)                                                            \
        BP_ROWS(7, vectors, adjacent, ahead)                                                            \
        BP_ROWS(8, vectors, adjacent, ahead)                                                            \
        BP_ROWS(9, vectors, adjacent, ahead)                                                            \
        BP_ROWS(10, vectors, adjacent, ahead)                                                           \
        BP_ROWS(11, vectors, adjacent, ahead)                                                           \
        BP_ROWS(12, vectors, adjacent, ahead)                                                           \
        BP_ROWS(13, vectors, adjacent, ahead)                                                           \
        BP_ROWS(14, vectors, adjacent, ahead)                                                           \
    default: break;                                                                                     \
    }

static void LOCAL(run_tile)(const LOCAL(tile_job) * t, size_t rows, size_t vectors) {
    if (vectors > 1 && t->left_row == 1 && t->right_ahead) {
        BP_EACH_ROWS(2, 1, 1)
    } else if (vectors > 1 && t->left_row == 1) {
        BP_EACH_ROWS(2, 1, 0)
    } else if (vectors > 1) {
        BP_EACH_ROWS(2, 0, 0)
    } else if (t->left_row == 1) {
        BP_EACH_ROWS(1, 1, 0)
    } else {
        BP_EACH_ROWS(1, 0, 0)
    }
}

#undef BP_ROWS
#undef BP_EACH_ROWS

/* masked.h: vectors added for the bits of a mask; included by plan/sparse.c once per element type and
   kernel. */

enum {
    LOCAL(most_vectors) = 8,                       /* of a chain's, in registers */
    LOCAL(most_sums) = VECTOR_BYTES >= 64 ? 8 : 14 /* so that rows' parts stay in the L1 cache */
};

/* One or two chains of vectors, for the bits of a mask: to[c] += from[c][b * step] * the vectors of row
   b of `rows`. The number of a chain that has no such term is zero. */
typedef struct {
    REAL *to[2];
    const REAL *from[2], *rows;
    size_t step, row_step;
} LOCAL(chains);

static inline __attribute__((always_inline)) void
LOCAL(add_bits)(const LOCAL(chains) * t, uint64_t mask, const size_t vectors, const size_t chains) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) sum[2][8];
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) {
        sum[0][q] = LOCAL(load)(t->to[0] + q * LANES);
        if (chains > 1) sum[1][q] = LOCAL(load)(t->to[1] + q * LANES);
    }
    do {
        const size_t b = (size_t)__builtin_ctzll(mask);
        const REAL *row = t->rows + b * t->row_step;
        __asm__("" : "+r"(row)); /* else each vector would need an address in a register of its own */
        LOCAL(vector) first = t->from[0][b * t->step] - zero, second = zero;
        if (chains > 1) second = t->from[1][b * t->step] - zero;
        mask &= mask - 1;
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++) {
            LOCAL(vector) v = LOCAL(load)(row + q * LANES);
            sum[0][q] = LOCAL(vector_fma)(first, v, sum[0][q]);
            if (chains > 1) sum[1][q] = LOCAL(vector_fma)(second, v, sum[1][q]);
        }
    } while (mask);
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) {
        LOCAL(store)(t->to[0] + q * LANES, sum[0][q]);
        if (chains > 1) LOCAL(store)(t->to[1] + q * LANES, sum[1][q]);
    }
}

#define BP_BITS(n)                                                                                      \
    case n:                                                                                             \
        if (chains > 1)                                                                                 \
            LOCAL(add_bits)(t, mask, n, n <= MR ? 2 : 1);                                               \
        else                                                                                            \
            LOCAL(add_bits)(t, mask, n, 1);                                                             \
        break;

static void LOCAL(run_bits)(const LOCAL(chains) * t, uint64_t mask, size_t vectors, size_t chains) {
    if (!mask) return;
    switch (vectors) {
        BP_BITS(1)
        BP_BITS(2)
        BP_BITS(3)
        BP_BITS(4)
        BP_BITS(5)
        BP_BITS(6)
        BP_BITS(7)
        BP_BITS(8)
    default: break;
    }
}
#undef BP_BITS

/* Some vectors of a row of sums: where they are in rows of x, and how many numbers the first and the
   last of them hold. */
typedef struct {
    size_t vector, vectors, k, first, last;
} LOCAL(part_of_row);

/* Those vectors of one unit's sums. edge: whether the first or the last of them are not whole. */
static inline __attribute__((always_inline)) void LOCAL(add_masked)(const NAME(bp_active_product) * t,
                                                                    const LOCAL(part_of_row) * p,
                                                                    size_t unit, const size_t vectors,
                                                                    const int edge) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) sum[14];
    REAL *to = t->sum + unit * t->sum_step + p->vector * LANES;
    const REAL *x = t->x + p->k, *d = t->d + unit * t->d_step;
    uint64_t mask = t->mask[unit];
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) sum[q] = zero;
    if (!t->first) {
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++) sum[q] = LOCAL(load)(to + q * LANES);
    }
    for (; mask; mask &= mask - 1) {
        const size_t i = (size_t)__builtin_ctzll(mask);
        const REAL *row = x + i * t->x_step;
        __asm__("" : "+r"(row)); /* as above */
        LOCAL(vector) by = d[i] - zero;
        if (!edge) {
            BP_UNROLL
            for (size_t q = 0; q < vectors; q++)
                sum[q] = LOCAL(vector_fma)(by, LOCAL(load)(row + q * LANES), sum[q]);
        } else {
            const REAL *rest = row + p->first;
            sum[0] = LOCAL(vector_fma)(by, LOCAL(load_lanes)(row, p->first), sum[0]);
            BP_UNROLL
            for (size_t q = 1; q + 1 < vectors; q++)
                sum[q] = LOCAL(vector_fma)(by, LOCAL(load)(rest + (q - 1) * LANES), sum[q]);
            if (vectors > 1)
                sum[vectors - 1] = LOCAL(vector_fma)(
                    by, LOCAL(load_lanes)(rest + (vectors - 2) * LANES, p->last), sum[vectors - 1]);
        }
    }
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) LOCAL(store)(to + q * LANES, sum[q]);
}

#define BP_SUMS(n)                                                                                      \
    case n:                                                                                             \
        if (n > LOCAL(most_sums))                                                                       \
            break;                                                                                      \
        else if (p->first < LANES || p->last < LANES)                                                   \
            LOCAL(add_masked)(t, p, unit, n, 1);                                                        \
        else                                                                                            \
            LOCAL(add_masked)(t, p, unit, n, 0);                                                        \
        break;

static void LOCAL(run_masked)(const NAME(bp_active_product) * t, const LOCAL(part_of_row) * p,
                              size_t unit) {
    switch (p->vectors) {
        BP_SUMS(1)
        BP_SUMS(2)
        BP_SUMS(3)
        BP_SUMS(4)
        BP_SUMS(5)
        BP_SUMS(6)
        BP_SUMS(7)
        BP_SUMS(8)
        BP_SUMS(9)
        BP_SUMS(10)
        BP_SUMS(11)
        BP_SUMS(12)
        BP_SUMS(13)
        BP_SUMS(14)
    default: break;
    }
}
#undef BP_SUMS

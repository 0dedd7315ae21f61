/* masked.h: vectors added for the bits of a mask; included by plan/sparse.c once per element type and
   kernel. */

enum {
    LOCAL(most_vectors) = 8,                       /* of a chain's, in registers */
    LOCAL(most_sums) = VECTOR_BYTES >= 64 ? 8 : 14 /* so that rows' parts stay in the L1 cache */
};

/* Chains of vectors, one for each mask: to[c] += from[c][b * step] * the vectors of row b of `rows`, for
   the bits b of the mask. The number of a chain that has no such term is zero. */
typedef struct {
    REAL *to;
    const REAL *from, *rows;
    const uint64_t *mask;
    size_t count, to_step, step, row_step;
    size_t next; /* from one chain's numbers to those of the next */
    bp_prefetch *prefetch;
} LOCAL(chains);

/* One chain, or two that follow each other. */
static inline __attribute__((always_inline)) void LOCAL(add_bits)(const LOCAL(chains) * t, size_t c,
                                                                  uint64_t mask, const size_t vectors,
                                                                  const size_t chains) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) sum[2][8];
    REAL *to = t->to + c * t->to_step;
    const REAL *from = t->from + c * t->next;
    if (!mask) return;
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) {
        sum[0][q] = LOCAL(load)(to + q * LANES);
        if (chains > 1) sum[1][q] = LOCAL(load)(to + t->to_step + q * LANES);
    }
    do {
        const size_t b = (size_t)__builtin_ctzll(mask);
        const REAL *row = t->rows + b * t->row_step;
        __asm__("" : "+r"(row)); /* else each vector would need an address in a register of its own */
        LOCAL(vector) first = from[b * t->step] - zero, second = zero;
        if (chains > 1) second = from[b * t->step + t->next] - zero;
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
        LOCAL(store)(to + q * LANES, sum[0][q]);
        if (chains > 1) LOCAL(store)(to + t->to_step + q * LANES, sum[1][q]);
    }
}

/* Two chains together share loads, and have more sums under way, but each also adds the other's terms:
   that pays where their sums fit registers and the terms are mostly at the same places. */
static inline __attribute__((always_inline)) void LOCAL(add_pairs)(const LOCAL(chains) * t,
                                                                   const size_t vectors) {
    for (size_t c = 0; c < t->count; c += 2) {
        uint64_t first = t->mask[c], second = c + 1 < t->count ? t->mask[c + 1] : 0;
        bp_prefetch_some(t->prefetch);
        int both = __builtin_popcountll(first | second);
        int each = __builtin_popcountll(first) + __builtin_popcountll(second);
        if (vectors <= MR && both * 5 <= each * 4) {
            LOCAL(add_bits)(t, c, first | second, vectors, 2);
        } else {
            LOCAL(add_bits)(t, c, first, vectors, 1);
            LOCAL(add_bits)(t, c + 1, second, vectors, 1);
        }
    }
}

#define BP_BITS(n)                                                                                      \
    case n: LOCAL(add_pairs)(t, n); break;

static void LOCAL(run_bits)(const LOCAL(chains) * t, size_t vectors) {
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

/* sparse_rows.h: lists of the elements that are not zero, and vectors added for each of them;
   included by plan/sparse.c once per element type and kernel. Rows are whole cache lines, so whole
   vectors. */

/* Appends the terms from <= k < to of a pair of rows, x and y, to the lists; the lists' new length. */
static size_t LOCAL(list_pair)(const NAME(bp_terms) * terms, size_t count, const REAL *x, const REAL *y,
                               size_t from, size_t to) {
    const uint32_t step = (uint32_t)terms->step;
    REAL *first = terms->first, *second = terms->second;
    uint32_t *at = terms->at;
    for (size_t k = from; k < to; k += LANES) {
        LOCAL(vector) v = LOCAL(load_lanes)(x + k, to - k), w = LOCAL(load_lanes)(y + k, to - k);
        count +=
            LOCAL(list_lanes)(first + count, second + count, at + count, v, w, (uint32_t)k * step, step);
    }
    return count;
}

/* Where the terms of a pair and block begin: where those before end. */
static size_t LOCAL(first_term)(const NAME(bp_terms) * terms, size_t pair, size_t block) {
    size_t place = pair * terms->blocks + block;
    return place ? terms->end[place - 1] : 0;
}

/* Whole vectors at sum += value[e] * those at from[at[e]], for each e in turn. */
static inline __attribute__((always_inline)) void LOCAL(add_some)(REAL *sum, const REAL *from,
                                                                  const uint32_t *at, const REAL *value,
                                                                  size_t count, const size_t vectors) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) acc[8];
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) acc[q] = LOCAL(load)(sum + q * LANES);
    for (size_t e = 0; e < count; e++) {
        const REAL *row = from + at[e];
        __asm__("" : "+r"(row)); /* else eight addresses would need more registers than there are */
        LOCAL(vector) by = value[e] - zero;
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++)
            acc[q] = LOCAL(vector_fma)(by, LOCAL(load)(row + q * LANES), acc[q]);
    }
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) LOCAL(store)(sum + q * LANES, acc[q]);
}

static void LOCAL(add_terms)(REAL *sum, const REAL *from, const uint32_t *at, const REAL *value,
                             size_t count, size_t vectors) {
    switch (vectors) {
    case 8: LOCAL(add_some)(sum, from, at, value, count, 8); break;
    case 4: LOCAL(add_some)(sum, from, at, value, count, 4); break;
    case 2: LOCAL(add_some)(sum, from, at, value, count, 2); break;
    default: LOCAL(add_some)(sum, from, at, value, count, 1); break;
    }
}

/* The terms of one pair of rows in one block, and the two rows that belong to them: of outputs, which
   are added to, or of their gradients. */
typedef struct {
    const uint32_t *at;
    const REAL *first, *second;
    size_t count;
    REAL *row[2];
} LOCAL(pair);

/* Both rows' vectors += their values * those at w[at[e]], for each e in turn. */
static inline __attribute__((always_inline)) void
LOCAL(gather_some)(const LOCAL(pair) * t, const REAL *w, const size_t vectors) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) acc[2][4];
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) {
        acc[0][q] = LOCAL(load)(t->row[0] + q * LANES);
        acc[1][q] = LOCAL(load)(t->row[1] + q * LANES);
    }
    BP_UNROLL_4
    for (size_t e = 0; e < t->count; e++) {
        const REAL *from = w + t->at[e];
        LOCAL(vector) first = t->first[e] - zero, second = t->second[e] - zero;
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++) {
            LOCAL(vector) right = LOCAL(load)(from + q * LANES);
            acc[0][q] = LOCAL(vector_fma)(first, right, acc[0][q]);
            acc[1][q] = LOCAL(vector_fma)(second, right, acc[1][q]);
        }
    }
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) {
        LOCAL(store)(t->row[0] + q * LANES, acc[0][q]);
        LOCAL(store)(t->row[1] + q * LANES, acc[1][q]);
    }
}

/* The vectors at sum[at[e]] += both rows' * their values, the first one's first, for each e in turn. */
static inline __attribute__((always_inline)) void LOCAL(spread_some)(const LOCAL(pair) * t, REAL *sum,
                                                                     const size_t vectors) {
    const LOCAL(vector) zero = {0};
    LOCAL(vector) d[2][4];
    BP_UNROLL
    for (size_t q = 0; q < vectors; q++) {
        d[0][q] = LOCAL(load)(t->row[0] + q * LANES);
        d[1][q] = LOCAL(load)(t->row[1] + q * LANES);
    }
    BP_UNROLL_4
    for (size_t e = 0; e < t->count; e++) {
        REAL *to = sum + t->at[e];
        LOCAL(vector) first = t->first[e] - zero, second = t->second[e] - zero;
        BP_UNROLL
        for (size_t q = 0; q < vectors; q++) {
            LOCAL(vector) old = LOCAL(load)(to + q * LANES);
            old = LOCAL(vector_fma)(first, d[0][q], old);
            LOCAL(store)(to + q * LANES, LOCAL(vector_fma)(second, d[1][q], old));
        }
    }
}

/* op for 1 to 4 vectors, each with loops of its own, so that they stay in registers. */
#define BP_EACH_WIDTH(name, op)                                                                         \
    static void LOCAL(name)(const LOCAL(pair) * t, REAL * other, size_t vectors) {                      \
        switch (vectors) {                                                                              \
        case 1: LOCAL(op)(t, other, 1); break;                                                          \
        case 2: LOCAL(op)(t, other, 2); break;                                                          \
        case 3: LOCAL(op)(t, other, 3); break;                                                          \
        default: LOCAL(op)(t, other, 4); break;                                                         \
        }                                                                                               \
    }
BP_EACH_WIDTH(gather_pair, gather_some)
BP_EACH_WIDTH(spread_pair, spread_some)
#undef BP_EACH_WIDTH

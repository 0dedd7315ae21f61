/* sparse.h: terms whose number of a is zero are left out; exactly, not by rounding.

   A chain begins at +0, and 0 * y added to a sum changes no bit of it (but for the sign of a sum that is
   zero, and every chain ends with + 0). That holds where b is finite: 0 * infinity is NaN, so such a b
   takes the dense way. How the terms of a row are noted, the file that includes this one says. */
#include "threads.c"

#define VECTORS 4 /* columns at a time, in vectors */
#define SPAN (VECTORS * LANES)

/* Bytes that all rows' notes take. */
static size_t bytes_of_terms(size_t rows, size_t inner);

/* Notes which a[i,k] are not zero, at a[i * a_row + k * a_k]. */
static void find_terms(void *terms, const float *a, size_t a_row, size_t a_k, size_t rows, size_t inner);

/* sum += the terms of row i; a: that row; wide: SPAN columns of b. */
static void add_terms(vec sum[VECTORS], const void *terms, size_t i, const float *a, size_t a_k,
                      const float *wide, size_t rows, size_t inner);

static inline void add_term(vec sum[VECTORS], float number, const float *row) {
    vec x = all(number);
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) sum[v] = fma_vec(x, load(row + v * LANES), sum[v]);
}

static int is_finite(const float *b, size_t count) {
    uint32_t none = 0;
    for (size_t e = 0; e < count; e++) {
        uint32_t bits;
        memcpy(&bits, b + e, sizeof bits);
        none |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !none;
}

/* A row's sums to c, with bias where there is one. */
static void put(float *c, vec sum[VECTORS], const float *bias, size_t width) {
    float line[SPAN];
    for (size_t v = 0; v < VECTORS; v++) store(line + v * LANES, sum[v] + 0);
    for (size_t l = 0; l < width; l++) c[l] = bias ? line[l] + bias[l] : line[l];
}

/* Rows of c, SPAN columns at a time. */
static void by_terms(float *c, const float *a, size_t a_row, size_t a_k, const float *b,
                     const float *bias, size_t rows, size_t inner, size_t cols) {
    if (!is_finite(b, inner * cols)) {
        by_threads(c, a, a_row, a_k, b, bias, rows, inner, cols);
        return;
    }
    void *terms = floats(bytes_of_terms(rows, inner) / sizeof(float));
    float *wide = floats(inner * SPAN);
    find_terms(terms, a, a_row, a_k, rows, inner);
    for (size_t j = 0; j < cols; j += SPAN) {
        size_t width = smaller(SPAN, cols - j);
        memset(wide, 0, inner * SPAN * sizeof *wide);
        for (size_t k = 0; k < inner; k++) memcpy(wide + k * SPAN, b + k * cols + j, width * sizeof *b);
#pragma omp parallel for schedule(static) if (rows * inner * width >= LEAST)
        for (size_t i = 0; i < rows; i++) {
            vec sum[VECTORS] = {{0}};
            add_terms(sum, terms, i, a + i * a_row, a_k, wide, rows, inner);
            put(c + i * cols + j, sum, bias ? bias + j : NULL, width);
        }
    }
    free(wide);
    free(terms);
}

#undef product_bias
#define product_bias by_terms

/* sparse: terms whose number of a is zero are left out; exactly, not by rounding.

   A chain begins at +0, and 0 * y added to a sum changes no bit of it (but for the sign of a sum that is
   zero, and every chain ends with + 0). That holds where b is finite: 0 * infinity is NaN, so such a b
   takes the dense way. Which terms there are, 64 bits of a mask say; the lowest bit is taken again and
   again, without a branch that could be foreseen wrongly. */
#include "threads.c"

#define VECTORS 4 /* columns at a time, in vectors */
#define SPAN (VECTORS * LANES)

static int is_finite(const float *b, size_t count) {
    uint32_t none = 0;
    for (size_t e = 0; e < count; e++) {
        uint32_t bits;
        memcpy(&bits, b + e, sizeof bits);
        none |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !none;
}

/* Bit k % 64 of mask[k / 64 * rows + i]: whether a[i,k] is a term. In the order in which a lies. */
static void find_terms(uint64_t *mask, const float *a, size_t a_row, size_t a_k, size_t rows,
                       size_t inner) {
    memset(mask, 0, (inner + 63) / 64 * rows * sizeof *mask);
    if (a_row == 1) {
        for (size_t k = 0; k < inner; k++)
            for (size_t i = 0; i < rows; i++)
                mask[k / 64 * rows + i] |= (uint64_t)(a[i + k * a_k] != 0) << (k % 64);
        return;
    }
    for (size_t i = 0; i < rows; i++) {
        const float *x = a + i * a_row;
        size_t k = 0;
        if (a_k == 1)
            for (; k + LANES <= inner; k += LANES)
                mask[k / 64 * rows + i] |= terms_of(load(x + k)) << (k % 64);
        for (; k < inner; k++) mask[k / 64 * rows + i] |= (uint64_t)(x[k * a_k] != 0) << (k % 64);
    }
}

/* Row i of c, SPAN columns from j on. wide: those columns of b, filled up with zeros. */
static void line(float *c, const uint64_t *mask, const float *a, size_t a_k, const float *wide,
                 const float *bias, size_t rows, size_t inner, size_t width) {
    vec sum[VECTORS] = {{0}};
    for (size_t start = 0; start < inner; start += 64, mask += rows)
        for (uint64_t terms = *mask; terms; terms &= terms - 1) {
            size_t k = start + (size_t)__builtin_ctzll(terms);
            vec x = all(a[k * a_k]);
#pragma GCC unroll 4
            for (size_t v = 0; v < VECTORS; v++)
                sum[v] = fma_vec(x, load(wide + k * SPAN + v * LANES), sum[v]);
        }
    float out[SPAN];
    for (size_t v = 0; v < VECTORS; v++) store(out + v * LANES, sum[v] + 0);
    if (bias)
        for (size_t l = 0; l < width; l++) out[l] = out[l] + bias[l];
    memcpy(c, out, width * sizeof *c);
}

static void by_masks(float *c, const float *a, size_t a_row, size_t a_k, const float *b,
                     const float *bias, size_t rows, size_t inner, size_t cols) {
    if (!is_finite(b, inner * cols)) {
        by_threads(c, a, a_row, a_k, b, bias, rows, inner, cols);
        return;
    }
    uint64_t *mask = (void *)floats((inner + 63) / 64 * rows * 2);
    float *wide = floats(inner * SPAN);
    find_terms(mask, a, a_row, a_k, rows, inner);
    for (size_t j = 0; j < cols; j += SPAN) {
        size_t width = smaller(SPAN, cols - j);
        memset(wide, 0, inner * SPAN * sizeof *wide);
        for (size_t k = 0; k < inner; k++) memcpy(wide + k * SPAN, b + k * cols + j, width * sizeof *b);
#pragma omp parallel for schedule(static) if (rows * inner * width >= LEAST)
        for (size_t i = 0; i < rows; i++)
            line(c + i * cols + j, mask + i, a + i * a_row, a_k, wide, bias ? bias + j : NULL, rows,
                 inner, width);
    }
    free(wide);
    free(mask);
}

#undef product_bias
#define product_bias by_masks

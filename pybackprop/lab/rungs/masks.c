/* masks: zeros of a are left out; bits of a mask tell where the other numbers are, a list is never made.

   64 bits say which of 64 terms there are; the lowest bit is taken again and again, without a branch
   that could be foreseen wrongly. A bit for each number of a is less than 32 for each term, and a
   comparison of vectors makes a bit for each lane at once. */
#include "sparse.h"

static size_t bytes_of_terms(size_t rows, size_t inner) {
    return (inner + 63) / 64 * rows * sizeof(uint64_t);
}

/* Bit k % 64 of mask[k / 64 * rows + i]: whether a[i,k] is a term. In the order in which a lies. */
static void find_terms(void *terms, const float *a, size_t a_row, size_t a_k, size_t rows,
                       size_t inner) {
    uint64_t *mask = terms;
    memset(mask, 0, bytes_of_terms(rows, inner));
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

static void add_terms(vec sum[VECTORS], const void *terms, size_t i, const float *a, size_t a_k,
                      const float *wide, size_t rows, size_t inner) {
    const uint64_t *mask = (const uint64_t *)terms + i;
    for (size_t start = 0; start < inner; start += 64, mask += rows)
        for (uint64_t bits = *mask; bits; bits &= bits - 1) {
            size_t k = start + (size_t)__builtin_ctzll(bits);
            add_term(sum, a[k * a_k], wide + k * SPAN);
        }
}

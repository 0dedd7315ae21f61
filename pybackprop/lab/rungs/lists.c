/* lists: zeros of a are left out; a list for each row tells where its other numbers are.

   A list has a number of 32 bits for each term, after their count: it is appended to without a branch,
   by writing every k and counting only those that stay. */
#include "sparse.h"

static size_t bytes_of_terms(size_t rows, size_t inner) { return rows * (inner + 1) * sizeof(uint32_t); }

static void find_terms(void *terms, const float *a, size_t a_row, size_t a_k, size_t rows,
                       size_t inner) {
    for (size_t i = 0; i < rows; i++) {
        uint32_t *count = (uint32_t *)terms + i * (inner + 1), *list = count + 1;
        *count = 0;
        for (size_t k = 0; k < inner; k++) {
            list[*count] = (uint32_t)k;
            *count += a[i * a_row + k * a_k] != 0;
        }
    }
}

static void add_terms(vec sum[VECTORS], const void *terms, size_t i, const float *a, size_t a_k,
                      const float *wide, size_t rows, size_t inner) {
    const uint32_t *count = (const uint32_t *)terms + i * (inner + 1), *list = count + 1;
    for (size_t t = 0; t < *count; t++) add_term(sum, a[list[t] * a_k], wide + list[t] * SPAN);
    (void)rows;
}

/* order: the loops over j and k change places.

   The same additions in the same order, for each element of c. But now neighbours are computed one after
   another: b and c are read along their rows, and no step waits for the one before. The price: each sum
   is in memory, and is loaded and stored at every step. */
#include <math.h>
#include <stddef.h>

static void product(float *restrict c, const float *restrict a, size_t a_row, size_t a_k,
                    const float *restrict b, size_t rows, size_t inner, size_t cols) {
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) c[i * cols + j] = 0;
        for (size_t k = 0; k < inner; k++) {
            float x = a[i * a_row + k * a_k];
            for (size_t j = 0; j < cols; j++)
                c[i * cols + j] = fmaf(x, b[k * cols + j], c[i * cols + j]);
        }
        for (size_t j = 0; j < cols; j++) c[i * cols + j] = c[i * cols + j] + 0;
    }
}

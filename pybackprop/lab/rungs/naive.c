/* naive: the definition as it stands, one chain after another.

   c (rows,cols) = a @ b (inner,cols), a[i,k] at a[i * a_row + k * a_k]. Each step waits for the sum of
   the one before, four cycles, and b is read down a column: a new cache line for every number. */
#include <math.h>
#include <stddef.h>

static void product(float *c, const float *a, size_t a_row, size_t a_k, const float *b, size_t rows,
                    size_t inner, size_t cols) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            float acc = 0;
            for (size_t k = 0; k < inner; k++) acc = fmaf(a[i * a_row + k * a_k], b[k * cols + j], acc);
            c[i * cols + j] = acc + 0; /* turns a -0 that underflow left into +0 */
        }
}

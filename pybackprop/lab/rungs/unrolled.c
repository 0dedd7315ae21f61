/* unrolled: four steps of k at once.

   A sum is loaded, takes four terms, and is stored: a quarter of the traffic of c. The four fused
   multiply-adds of one sum stand in their order, one inside the other. */
#include <math.h>
#include <stddef.h>

static void product(float *restrict c, const float *restrict a, size_t a_row, size_t a_k,
                    const float *restrict b, size_t rows, size_t inner, size_t cols) {
    for (size_t i = 0; i < rows; i++) {
        float *restrict sum = c + i * cols;
        const float *x = a + i * a_row;
        for (size_t j = 0; j < cols; j++) sum[j] = 0;
        size_t k = 0;
        for (; k + 4 <= inner; k += 4) {
            const float *restrict y = b + k * cols;
            float x0 = x[k * a_k], x1 = x[(k + 1) * a_k], x2 = x[(k + 2) * a_k], x3 = x[(k + 3) * a_k];
            for (size_t j = 0; j < cols; j++)
                sum[j] = fmaf(x3, y[3 * cols + j],
                              fmaf(x2, y[2 * cols + j], fmaf(x1, y[cols + j], fmaf(x0, y[j], sum[j]))));
        }
        for (; k < inner; k++)
            for (size_t j = 0; j < cols; j++) sum[j] = fmaf(x[k * a_k], b[k * cols + j], sum[j]);
        for (size_t j = 0; j < cols; j++) sum[j] = sum[j] + 0;
    }
}

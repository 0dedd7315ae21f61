/* unrolled: in each block four steps of k at once.

   A sum is loaded, takes four terms, and is stored: a quarter of the traffic of c. The four fused
   multiply-adds of one sum stand in their order, one inside the other. */
#include <math.h>
#include <stddef.h>

#define DEPTH 32
#define SPAN 256

/* sum (count) += the rows y of b from k on, each times its number of x; up to stop */
static void add_rows(float *restrict sum, const float *x, size_t x_k, const float *restrict b, size_t k,
                     size_t stop, size_t count, size_t cols) {
    for (; k + 4 <= stop; k += 4) {
        const float *restrict y = b + k * cols;
        float x0 = x[k * x_k], x1 = x[(k + 1) * x_k], x2 = x[(k + 2) * x_k], x3 = x[(k + 3) * x_k];
        for (size_t j = 0; j < count; j++)
            sum[j] = fmaf(x3, y[3 * cols + j],
                          fmaf(x2, y[2 * cols + j], fmaf(x1, y[cols + j], fmaf(x0, y[j], sum[j]))));
    }
    for (; k < stop; k++)
        for (size_t j = 0; j < count; j++) sum[j] = fmaf(x[k * x_k], b[k * cols + j], sum[j]);
}

static void product(float *c, const float *a, size_t a_row, size_t a_k, const float *b, size_t rows,
                    size_t inner, size_t cols) {
    for (size_t e = 0; e < rows * cols; e++) c[e] = 0;
    for (size_t j = 0; j < cols; j += SPAN) {
        size_t count = cols - j < SPAN ? cols - j : SPAN;
        for (size_t k = 0; k < inner; k += DEPTH) {
            size_t stop = inner - k < DEPTH ? inner : k + DEPTH;
            for (size_t i = 0; i < rows; i++)
                add_rows(c + i * cols + j, a + i * a_row, a_k, b + j, k, stop, count, cols);
        }
    }
    for (size_t e = 0; e < rows * cols; e++) c[e] = c[e] + 0;
}

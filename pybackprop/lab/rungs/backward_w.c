/* backward_w: dw (m,h) = x.T (m,n) @ dout (n,h), by the rung's product.

   The definition adds each segment of 512 rows from 0, and then the segments. x is not transposed: a
   product reads a[i,k] at a[i * a_row + k * a_k], and 1 and m for the two steps are a transpose. */
#include RUNG
#include <stdlib.h>

#define SEGMENT 512

void linear_backward_w(float *dw, const float *x, const float *dout, size_t n, size_t m, size_t h) {
    float *part = malloc((m * h + 1) * sizeof *part);
    if (!part) abort();
    for (size_t e = 0; e < m * h; e++) dw[e] = 0;
    for (size_t start = 0; start < n; start += SEGMENT) {
        size_t rows = n - start < SEGMENT ? n - start : SEGMENT;
        product(part, x + start * m, 1, m, dout + start * h, m, rows, h);
        for (size_t e = 0; e < m * h; e++) dw[e] = dw[e] + part[e];
    }
    free(part);
}

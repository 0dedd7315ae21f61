/* matmul: c (rows,cols) = a (rows,inner) @ b (inner,cols), the second attempt of docs/lab.md: the loops
   over j and k have changed places, so that everything is read along rows.

   pybackprop lab try examples/my_kernel.c --op matmul */
#include <math.h>
#include <stddef.h>

void matmul(float *restrict c, const float *restrict a, const float *restrict b, size_t rows,
            size_t inner, size_t cols) {
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) c[i * cols + j] = 0;
        for (size_t k = 0; k < inner; k++)
            for (size_t j = 0; j < cols; j++)
                c[i * cols + j] = fmaf(a[i * inner + k], b[k * cols + j], c[i * cols + j]);
        for (size_t j = 0; j < cols; j++)
            c[i * cols + j] += 0; /* turns a -0 that underflow left into +0 */
    }
}

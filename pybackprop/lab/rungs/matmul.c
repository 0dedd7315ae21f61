/* matmul: c (rows,cols) = a (rows,inner) @ b (inner,cols), by the rung's product. */
#include RUNG

void matmul(float *c, const float *a, const float *b, size_t rows, size_t inner, size_t cols) {
    product(c, a, inner, 1, b, rows, inner, cols);
}

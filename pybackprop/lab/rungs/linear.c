/* linear: out (n,h) = x (n,m) @ w (m,h) + b (h), by the rung's product.

   The bias is added in a second pass over out; with FUSED by the product, to tiles in registers. */
#include RUNG

void linear_forward(float *out, const float *x, const float *w, const float *b, size_t n, size_t m,
                    size_t h) {
#ifdef FUSED
    product_bias(out, x, m, 1, w, b, n, m, h);
#else
    product(out, x, m, 1, w, n, m, h);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < h; j++) out[i * h + j] = out[i * h + j] + b[j];
#endif
}

/* blocked: a piece of b that fits into the first cache is used for all rows before the next is read.

   A piece is DEPTH rows of b by SPAN columns: 32 KiB. Each sum pauses after DEPTH terms, waits in c, and
   goes on from there: storing a float and loading it again rounds nothing. */
#include <math.h>
#include <stddef.h>

#define DEPTH 32
#define SPAN 256

static void product(float *restrict c, const float *restrict a, size_t a_row, size_t a_k,
                    const float *restrict b, size_t rows, size_t inner, size_t cols) {
    for (size_t e = 0; e < rows * cols; e++) c[e] = 0;
    for (size_t first = 0; first < cols; first += SPAN) {
        size_t end = cols - first < SPAN ? cols : first + SPAN;
        for (size_t start = 0; start < inner; start += DEPTH) {
            size_t stop = inner - start < DEPTH ? inner : start + DEPTH;
            for (size_t i = 0; i < rows; i++)
                for (size_t k = start; k < stop; k++) {
                    float x = a[i * a_row + k * a_k];
                    for (size_t j = first; j < end; j++)
                        c[i * cols + j] = fmaf(x, b[k * cols + j], c[i * cols + j]);
                }
        }
    }
    for (size_t e = 0; e < rows * cols; e++) c[e] = c[e] + 0;
}

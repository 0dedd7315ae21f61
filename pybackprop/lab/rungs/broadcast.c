/* broadcast: the lesson's c[i] = (a[i].unsqueeze(-1) * b).sum(0), element by element.

   Row i of a is spread over an array of b's shape, each number in a whole row of it. Then wide and b are
   multiplied element by element, and added up over the rows. Nothing is computed that naive does not
   compute; but all of wide is written to memory, and read again. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

static void product(float *c, const float *a, size_t a_row, size_t a_k, const float *b, size_t rows,
                    size_t inner, size_t cols) {
    float *wide = malloc((inner * cols + 1) * sizeof *wide);
    if (!wide) abort();
    for (size_t i = 0; i < rows; i++) {
        float *sum = c + i * cols;
        for (size_t k = 0; k < inner; k++)
            for (size_t j = 0; j < cols; j++) wide[k * cols + j] = a[i * a_row + k * a_k];
        for (size_t j = 0; j < cols; j++) sum[j] = 0;
        for (size_t k = 0; k < inner; k++)
            for (size_t j = 0; j < cols; j++) sum[j] = fmaf(wide[k * cols + j], b[k * cols + j], sum[j]);
        for (size_t j = 0; j < cols; j++) sum[j] = sum[j] + 0;
    }
    free(wide);
}

/* tile: ROWS x WIDTH elements of c are kept in registers, from the first term to the last.

   Two vectors of b serve ROWS rows, a number of a serves WIDTH columns: the multipliers, not memory, set
   the pace. The last tile of a row or column is moved back so that it fits; what it shares with the one
   before is computed twice, with the same bits. */
#include "vectors.h"

/* The tile of c that begins at row i and column j. */
static void tile(float *c, const float *a, size_t a_row, size_t a_k, const float *b, size_t inner,
                 size_t cols) {
    vec sum[ROWS][2] = {{{0}}};
    for (size_t k = 0; k < inner; k++) {
        vec left = load(b + k * cols), right = load(b + k * cols + LANES);
#pragma GCC unroll 16
        for (size_t r = 0; r < ROWS; r++) {
            vec x = all(a[r * a_row + k * a_k]);
            sum[r][0] = fma_vec(x, left, sum[r][0]);
            sum[r][1] = fma_vec(x, right, sum[r][1]);
        }
    }
#pragma GCC unroll 16
    for (size_t r = 0; r < ROWS; r++) {
        store(c + r * cols, sum[r][0] + 0);
        store(c + r * cols + LANES, sum[r][1] + 0);
    }
}

/* Where there is no room for a tile: one element. */
static void element(float *c, const float *a, size_t a_k, const float *b, size_t inner, size_t cols) {
    float sum = 0;
    for (size_t k = 0; k < inner; k++) sum = fmaf(a[k * a_k], b[k * cols], sum);
    *c = sum + 0;
}

static void product(float *c, const float *a, size_t a_row, size_t a_k, const float *b, size_t rows,
                    size_t inner, size_t cols) {
    if (rows < ROWS || cols < WIDTH) {
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++)
                element(c + i * cols + j, a + i * a_row, a_k, b + j, inner, cols);
        return;
    }
    for (size_t j = 0; j < cols; j += WIDTH) {
        size_t column = smaller(j, cols - WIDTH);
        for (size_t i = 0; i < rows; i += ROWS) {
            size_t row = smaller(i, rows - ROWS);
            tile(c + row * cols + column, a + row * a_row, a_row, a_k, b + column, inner, cols);
        }
    }
}

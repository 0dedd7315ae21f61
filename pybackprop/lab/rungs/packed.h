/* packed.h: operands copied into the order in which tiles read them, and the tile that reads them.

   A panel of b is WIDTH columns, row after row; a strip of a is ROWS rows, column after column. Both are
   filled up with zeros at the edge, which are multiplied but never stored. */
#ifndef LAB_PACKED_H
#define LAB_PACKED_H
#include "vectors.h"

/* count rows of b, from row k and column j on, side by side */
static void pack_panel(float *to, const float *b, size_t k, size_t j, size_t count, size_t cols) {
    size_t width = smaller(WIDTH, cols - j);
    for (size_t p = 0; p < count; p++, to += WIDTH) {
        memcpy(to, b + (k + p) * cols + j, width * sizeof *to);
        if (width < WIDTH) memset(to + width, 0, (WIDTH - width) * sizeof *to);
    }
}

/* count columns of a, from row i and column k on */
static void pack_strip(float *to, const float *a, size_t a_row, size_t a_k, size_t i, size_t k,
                       size_t count, size_t rows) {
    size_t height = smaller(ROWS, rows - i);
    for (size_t p = 0; p < count; p++, to += ROWS)
        for (size_t r = 0; r < ROWS; r++) to[r] = r < height ? a[(i + r) * a_row + (k + p) * a_k] : 0;
}

/* sum += strip @ panel */
static inline void multiply(vec sum[ROWS][2], const float *strip, const float *panel, size_t count) {
    for (size_t p = 0; p < count; p++, strip += ROWS, panel += WIDTH) {
        vec left = load(panel), right = load(panel + LANES);
#pragma GCC unroll 16
        for (size_t r = 0; r < ROWS; r++) {
            vec x = all(strip[r]);
            sum[r][0] = fma_vec(x, left, sum[r][0]);
            sum[r][1] = fma_vec(x, right, sum[r][1]);
        }
    }
}

/* A finished tile to c, at its row i and column j, with bias[j] added where there is a bias. */
static void finish(float *c, vec sum[ROWS][2], const float *bias, size_t i, size_t j, size_t rows,
                   size_t cols) {
    size_t width = smaller(WIDTH, cols - j), height = smaller(ROWS, rows - i);
    for (size_t r = 0; r < height; r++) {
        float line[WIDTH], *to = c + (i + r) * cols + j;
        store(line, sum[r][0] + 0);
        store(line + LANES, sum[r][1] + 0);
        if (bias)
            for (size_t l = 0; l < width; l++) line[l] = line[l] + bias[j + l];
        memcpy(to, line, width * sizeof *to);
    }
}

#endif

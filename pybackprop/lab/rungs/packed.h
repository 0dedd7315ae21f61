/* packed.h: a panel of b copied into the order in which tiles read it, and the tile that reads it.

   A panel is WIDTH columns of b, row after row, filled up with zeros at the edge; those are multiplied
   but never stored. A strip is ROWS rows of a. Strips are read where they lie, as each number of theirs
   is used once per panel; only the last one is copied, if it has fewer rows. */
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

/* A strip of a, from row i and column k on. */
typedef struct {
    const float *first;
    size_t row, k; /* how far the next row, the next column is */
} strip;

/* The strip of row i. spare: room for count columns, where the last strip is filled up with zeros. */
static strip strip_at(float *spare, const float *a, size_t a_row, size_t a_k, size_t i, size_t k,
                      size_t count, size_t rows) {
    if (rows - i >= ROWS) return (strip){a + i * a_row + k * a_k, a_row, a_k};
    for (size_t p = 0; p < count; p++)
        for (size_t r = 0; r < ROWS; r++)
            spare[p * ROWS + r] = i + r < rows ? a[(i + r) * a_row + (k + p) * a_k] : 0;
    return (strip){spare, 1, ROWS};
}

/* With IN_LOOP: asks for the numbers of the panel that are read eight steps later; beyond its end, in
 * vain.
 */
static inline void fetch_later(const float *panel) {
#ifdef IN_LOOP
    uintptr_t later = (uintptr_t)panel + 8 * WIDTH * sizeof *panel;
    __builtin_prefetch((const void *)later);
    __builtin_prefetch((const void *)(later + LANES * sizeof *panel));
#else
    (void)panel;
#endif
}

/* sum += strip @ panel */
static inline void multiply(vec sum[ROWS][2], strip s, const float *panel, size_t count) {
    const float *at = s.first;
    for (size_t p = 0; p < count; p++, at += s.k, panel += WIDTH) {
        vec left = load(panel), right = load(panel + LANES);
        fetch_later(panel);
#pragma GCC unroll 16
        for (size_t r = 0; r < ROWS; r++) {
            vec x = all(at[r * s.row]);
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

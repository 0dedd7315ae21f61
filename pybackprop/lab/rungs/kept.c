/* kept: blocks of k small enough for the first cache; sums wait tile by tile until the last block.

   A panel of DEPTH rows stays in the first cache while all strips pass by. Between blocks a tile's sums
   lie side by side in a buffer of their own, not scattered over c: c is written once, at the end.

   With AHEAD, what a tile will write is fetched while the multipliers work. The hardware foresees
   reading line after line, as strips and panels are read, but not where the next tile of c begins.
   Nothing is fetched in the loop over k: there an instruction more takes the place of a multiplication.
 */
#include "packed.h"

#define DEPTH 256

static void ahead(const float *c, size_t i, size_t j, size_t rows, size_t cols) {
#ifdef AHEAD
    for (size_t r = i; r < smaller(i + ROWS, rows); r++) {
        __builtin_prefetch(c + r * cols + j, 1);
        __builtin_prefetch(c + r * cols + smaller(j + WIDTH, cols) - 1, 1);
    }
#endif
}

/* One block of k for the panel of column j: all strips. kept: the tiles of this panel. */
static void block(float *c, vec (*kept)[ROWS][2], const float *strips, const float *panel, size_t count,
                  int is_first, int is_last, const float *bias, size_t j, size_t rows, size_t cols) {
    for (size_t i = 0, s = 0; i < rows; i += ROWS, s++) {
        vec sum[ROWS][2] = {{{0}}};
        if (is_last) ahead(c, i, j, rows, cols);
        if (!is_first) memcpy(sum, kept[s], sizeof sum);
        multiply(sum, strips + s * ROWS * count, panel, count);
        if (is_last)
            finish(c, sum, bias, i, j, rows, cols);
        else
            memcpy(kept[s], sum, sizeof sum);
    }
}

/* bias: added to each row of c as its tiles are finished, while they are in registers; NULL: none */
static void by_blocks(float *c, const float *a, size_t a_row, size_t a_k, const float *b,
                      const float *bias, size_t rows, size_t inner, size_t cols) {
    size_t strips = (rows + ROWS - 1) / ROWS, panels = (cols + WIDTH - 1) / WIDTH;
    float *strip = floats(strips * ROWS * DEPTH), *panel = floats(WIDTH * DEPTH);
    vec(*kept)[ROWS][2] = (void *)floats(inner > DEPTH ? strips * panels * ROWS * WIDTH : 0);
    size_t k = 0;
    do {
        size_t count = smaller(DEPTH, inner - k);
        for (size_t s = 0; s < strips; s++)
            pack_strip(strip + s * ROWS * count, a, a_row, a_k, s * ROWS, k, count, rows);
        for (size_t p = 0; p < panels; p++) {
            pack_panel(panel, b, k, p * WIDTH, count, cols);
            block(c, kept + p * strips, strip, panel, count, k == 0, k + count == inner, bias, p * WIDTH,
                  rows, cols);
        }
        k += count;
    } while (k < inner);
    free(kept);
    free(panel);
    free(strip);
}

#define product_bias by_blocks
#define product(c, a, a_row, a_k, b, rows, inner, cols)                                                 \
    product_bias(c, a, a_row, a_k, b, NULL, rows, inner, cols)

/* packed: the operands are copied first, so that tiles read them line after line.

   Rows of b are far apart: every step of a tile would touch another page. A panel lies in one piece,
   and is used by all strips of a, so that copying it costs little. */
#include "packed.h"

static void product(float *c, const float *a, size_t a_row, size_t a_k, const float *b, size_t rows,
                    size_t inner, size_t cols) {
    size_t strips = (rows + ROWS - 1) / ROWS;
    float *strip = floats(strips * ROWS * inner), *panel = floats(WIDTH * inner);
    for (size_t s = 0; s < strips; s++)
        pack_strip(strip + s * ROWS * inner, a, a_row, a_k, s * ROWS, 0, inner, rows);
    for (size_t j = 0; j < cols; j += WIDTH) {
        pack_panel(panel, b, 0, j, inner, cols);
        for (size_t s = 0; s < strips; s++) {
            vec sum[ROWS][2] = {{{0}}};
            multiply(sum, strip + s * ROWS * inner, panel, inner);
            finish(c, sum, NULL, s * ROWS, j, rows, cols);
        }
    }
    free(panel);
    free(strip);
}

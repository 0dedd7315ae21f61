/* packed: b is copied first, so that tiles read it line after line.

   Rows of b are far apart: every step of a tile would touch another page. A panel of b lies in one
   piece, and is used by all strips of a, so that copying it costs little. */
#include "packed.h"

static void product(float *c, const float *a, size_t a_row, size_t a_k, const float *b, size_t rows,
                    size_t inner, size_t cols) {
    float *panel = floats(WIDTH * inner), *spare = floats(ROWS * inner);
    for (size_t j = 0; j < cols; j += WIDTH) {
        pack_panel(panel, b, 0, j, inner, cols);
        for (size_t i = 0; i < rows; i += ROWS) {
            vec sum[ROWS][2] = {{{0}}};
            multiply(sum, strip_at(spare, a, a_row, a_k, i, 0, inner, rows), panel, inner);
            finish(c, sum, NULL, i, j, rows, cols);
        }
    }
    free(spare);
    free(panel);
}

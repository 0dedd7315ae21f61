/* kept: blocks of k small enough for the first cache; sums wait tile by tile until the last block.

   A panel of DEPTH rows stays in the first cache while all strips pass by. Between blocks a tile's sums
   lie side by side in a buffer of their own, not scattered over c: c is written once, at the end.

   With AHEAD, what a tile will write is fetched while the multipliers work. The hardware foresees
   reading line after line, as strips and panels are read, but not where the next tile of c begins.
   With IN_LOOP the panel is fetched in the loop over k instead, which is what one tries first. */
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

/* What is the same for all tiles of a block of k. */
typedef struct {
    const float *a, *bias;
    size_t a_row, a_k, k, count, rows, cols;
    int is_first, is_last; /* of the blocks */
    float *c, *panel, *spare;
} work;

/* One block of k for the panel of column j: all strips. kept: the tiles of this panel. */
static void block(const work *w, vec (*kept)[ROWS][2], size_t j) {
    for (size_t i = 0; i < w->rows; i += ROWS, kept++) {
        vec sum[ROWS][2] = {{{0}}};
        if (w->is_last) ahead(w->c, i, j, w->rows, w->cols);
        if (!w->is_first) memcpy(sum, kept, sizeof sum);
        strip s = strip_at(w->spare, w->a, w->a_row, w->a_k, i, w->k, w->count, w->rows);
        multiply(sum, s, w->panel, w->count);
        if (w->is_last)
            finish(w->c, sum, w->bias, i, j, w->rows, w->cols);
        else
            memcpy(kept, sum, sizeof sum);
    }
}

/* bias: added to each row of c as its tiles are finished, while they are in registers; NULL: none */
static void by_blocks(float *c, const float *a, size_t a_row, size_t a_k, const float *b,
                      const float *bias, size_t rows, size_t inner, size_t cols) {
    size_t strips = (rows + ROWS - 1) / ROWS, panels = (cols + WIDTH - 1) / WIDTH;
    vec(*kept)[ROWS][2] = (void *)floats(inner > DEPTH ? strips * panels * ROWS * WIDTH : 0);
    work w = {.a = a, .bias = bias, .a_row = a_row, .a_k = a_k, .rows = rows, .cols = cols, .c = c};
    w.panel = floats(WIDTH * DEPTH), w.spare = floats(ROWS * DEPTH);
    do {
        w.count = smaller(DEPTH, inner - w.k);
        w.is_first = w.k == 0, w.is_last = w.k + w.count == inner;
        for (size_t p = 0; p < panels; p++) {
            pack_panel(w.panel, b, w.k, p * WIDTH, w.count, cols);
            block(&w, kept + p * strips, p * WIDTH);
        }
        w.k += w.count;
    } while (w.k < inner);
    free(w.spare);
    free(w.panel);
    free(kept);
}

#define product_bias by_blocks
#define product(c, a, a_row, a_k, b, rows, inner, cols)                                                 \
    product_bias(c, a, a_row, a_k, b, NULL, rows, inner, cols)

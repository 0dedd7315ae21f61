/* threads: each thread computes some rows of c, from beginning to end.

   Two shares of rows for each thread: who has finished one takes the next, so that a thread that another
   program has held up costs little. A share's rows belong to one thread, so there are no locks, and
   nobody waits but at the end. Which thread computes an element changes no bit of it: its chain is never
   divided. Each share packs for itself. */
#ifdef _OPENMP
#include <omp.h>
#endif
#define AHEAD
#include "kept.c"

#ifndef LEAST
#define LEAST 400000 /* multiply-adds for a thread: waking it takes as long as some 100,000 */
#endif

static void by_threads(float *c, const float *a, size_t a_row, size_t a_k, const float *b,
                       const float *bias, size_t rows, size_t inner, size_t cols) {
    size_t strips = (rows + ROWS - 1) / ROWS, share = strips + !strips;
#ifdef _OPENMP
    size_t threads = (size_t)omp_get_max_threads();
    if (rows * inner * cols >= LEAST * threads) share = (strips + 2 * threads - 1) / (2 * threads);
#endif
#pragma omp parallel for schedule(dynamic)
    for (size_t first = 0; first < strips; first += share) {
        size_t row = first * ROWS, count = smaller(rows - row, share * ROWS);
        by_blocks(c + row * cols, a + row * a_row, a_row, a_k, b, bias, count, inner, cols);
    }
}

#undef product_bias
#define product_bias by_threads

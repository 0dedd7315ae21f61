/* backward_w: dw (m,h) = x.T (m,n) @ dout (n,h), by the rung's product.

   The definition adds each segment of 512 rows from 0, and then the segments. x is not transposed: a
   product reads a[i,k] at a[i * a_row + k * a_k], and 1 and m for the two steps are a transpose.

   With SEGMENTS each thread computes segments of its own, so that all their sums must be kept. */
#include RUNG
#include "segments.h"

#define SEGMENT 512

typedef struct {
    float *dw, *parts;
    const float *x, *dout;
    size_t n, m, h;
} task;

/* The sums of a segment; those of the last one are there no more unless segments are shared. */
static float *part_of(const task *w, size_t s) {
#ifndef SEGMENTS
    s = 0;
#endif
    return w->parts + s * w->m * w->h;
}

static void compute(void *job, size_t s) {
    const task *w = job;
    size_t first = s * SEGMENT, rows = w->n - first < SEGMENT ? w->n - first : SEGMENT;
    product(part_of(w, s), w->x + first * w->m, 1, w->m, w->dout + first * w->h, w->m, rows, w->h);
}

static void add(void *job, size_t s) {
    const task *w = job;
    const float *part = part_of(w, s);
    for (size_t e = 0; e < w->m * w->h; e++) w->dw[e] = w->dw[e] + part[e];
}

void linear_backward_w(float *dw, const float *x, const float *dout, size_t n, size_t m, size_t h) {
    size_t segments = (n + SEGMENT - 1) / SEGMENT;
    task w = {dw, NULL, x, dout, n, m, h};
    for (size_t e = 0; e < m * h; e++) dw[e] = 0;
#ifdef SEGMENTS
    w.parts = malloc((segments * m * h + 1) * sizeof(float));
    if (!w.parts) abort();
    each_segment(segments, compute, add, &w);
#else
    w.parts = malloc((m * h + 1) * sizeof(float));
    if (!w.parts) abort();
    for (size_t s = 0; s < segments; s++) compute(&w, s), add(&w, s);
#endif
    free(w.parts);
}

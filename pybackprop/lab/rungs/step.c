/* step: forward and backward of mse(relu(x (n,m) @ w1 (m,h) + b1) @ w2 (h,1) + b2, targ), by the rung's
   product.

   Rows are taken in segments of 512, as the definition adds gradients and loss. Without SEGMENTS each
   operation goes through all segments before the next one begins, and what is between two operations
   goes to memory and back. With SEGMENTS a segment goes through all operations, and stays in the caches;
   each thread takes whole segments, and what they add up to is added in order. */
#include RUNG
#include "segments.h"
#include <stdlib.h>
#include <string.h>

#define SEGMENT 512
#define SUMS 16 /* of squared errors, side by side */

/* What lies between the operations: l1 = x @ w1 + b1, l2 = relu(l1), out = l2 @ w2 + b2, and gradients.
 */
typedef struct {
    float *l1, *l2, *out, *dout, *dl1;
} between;

/* What a segment adds. */
typedef struct {
    float *dw1, *db1, *dw2;
    float db2;
    double loss;
} part;

static float *room(size_t count) {
    float *memory = malloc((count + 1) * sizeof *memory);
    if (!memory) abort();
    return memory;
}

static void forward(between t, const float *x, const float *w1, const float *b1, const float *w2,
                    const float *b2, size_t n, size_t m, size_t h) {
    product(t.l1, x, m, 1, w1, n, m, h);
    for (size_t i = 0; i < n; i++) {
        float *l1 = t.l1 + i * h, *l2 = t.l2 + i * h, sum = 0;
        for (size_t j = 0; j < h; j++) l1[j] = l1[j] + b1[j];
        for (size_t j = 0; j < h; j++) l2[j] = l1[j] > 0 ? l1[j] : (l1[j] != l1[j] ? l1[j] : 0);
        for (size_t j = 0; j < h; j++) sum = fmaf(l2[j], w2[j], sum);
        t.out[i] = sum + 0 + b2[0];
    }
}

/* dout = 2 (out - targ) / rows of the whole batch, and the sum of the squares */
static double errors(between t, const float *targ, size_t n, size_t batch) {
    float factor = (float)(2.0 / (double)batch);
    double sum[SUMS] = {0};
    for (size_t i = 0; i < n; i++) {
        float difference = t.out[i] - targ[i];
        t.dout[i] = difference * factor;
        sum[i % SUMS] = fma(difference, difference, sum[i % SUMS]);
    }
    for (size_t width = SUMS / 2; width > 0; width /= 2)
        for (size_t s = 0; s < width; s++) sum[s] = sum[s] + sum[s + width];
    return sum[0];
}

static void backward(part *p, between t, const float *x, const float *w2, size_t n, size_t m, size_t h) {
    memset(p->db1, 0, h * sizeof(float));
    memset(p->dw2, 0, h * sizeof(float));
    p->db2 = 0;
    for (size_t i = 0; i < n; i++) {
        float *l1 = t.l1 + i * h, *l2 = t.l2 + i * h, *dl1 = t.dl1 + i * h, dout = t.dout[i];
        for (size_t j = 0; j < h; j++) dl1[j] = l1[j] > 0 ? dout * w2[j] + 0 : 0;
        for (size_t j = 0; j < h; j++) p->db1[j] = p->db1[j] + dl1[j];
        for (size_t j = 0; j < h; j++) p->dw2[j] = fmaf(l2[j], dout, p->dw2[j]);
        p->db2 = p->db2 + dout;
    }
    product(p->dw1, x, 1, m, t.dl1, m, n, h);
}

/* The whole step: inputs, gradients, and what each segment has. */
typedef struct {
    const float *x, *targ, *w1, *b1, *w2, *b2;
    float *dw1, *db1, *dw2, *db2;
    size_t n, m, h;
    between all;
    float *gradients;
    part *parts;
    double loss;
} task;

static size_t rows_of(const task *w, size_t s) {
    size_t left = w->n - s * SEGMENT;
    return left < SEGMENT ? left : SEGMENT;
}

/* What is between the operations, of a segment. */
static between of_segment(const task *w, size_t s) {
    size_t first = s * SEGMENT, at = first * w->h;
    return (between){w->all.l1 + at, w->all.l2 + at, w->all.out + first, w->all.dout + first,
                     w->all.dl1 + at};
}

static void forward_segment(void *job, size_t s) {
    const task *w = job;
    forward(of_segment(w, s), w->x + s * SEGMENT * w->m, w->w1, w->b1, w->w2, w->b2, rows_of(w, s), w->m,
            w->h);
}

static void backward_segment(void *job, size_t s) {
    const task *w = job;
    size_t first = s * SEGMENT, mh = w->m * w->h;
    float *g = w->gradients + s * (mh + 2 * w->h);
    part *p = &w->parts[s];
    *p = (part){g, g + mh, g + mh + w->h, 0, 0};
    p->loss = errors(of_segment(w, s), w->targ + first, rows_of(w, s), w->n);
    backward(p, of_segment(w, s), w->x + first * w->m, w->w2, rows_of(w, s), w->m, w->h);
}

static inline void both(void *job, size_t s) {
    forward_segment(job, s);
    backward_segment(job, s);
}

static void add(float *total, const float *more, size_t count) {
    for (size_t e = 0; e < count; e++) total[e] = total[e] + more[e];
}

static void add_segment(void *job, size_t s) {
    task *w = job;
    const part *p = &w->parts[s];
    add(w->dw1, p->dw1, w->m * w->h);
    add(w->db1, p->db1, w->h);
    add(w->dw2, p->dw2, w->h);
    *w->db2 = *w->db2 + p->db2;
    w->loss = w->loss + p->loss;
}

void step(float *loss, float *dw1, float *db1, float *dw2, float *db2, const float *x, const float *targ,
          const float *w1, const float *b1, const float *w2, const float *b2, size_t n, size_t m,
          size_t h) {
    size_t segments = (n + SEGMENT - 1) / SEGMENT;
    between all = {room(n * h), room(n * h), room(n), room(n), room(n * h)};
    task w = {x, targ, w1, b1, w2, b2, dw1, db1, dw2, db2, n, m, h, all, NULL, NULL, 0};
    w.gradients = room(segments * (m * h + 2 * h));
    w.parts = malloc((segments + 1) * sizeof *w.parts);
    if (!w.parts) abort();
    memset(dw1, 0, m * h * sizeof *dw1);
    memset(db1, 0, h * sizeof *db1);
    memset(dw2, 0, h * sizeof *dw2);
    *db2 = 0;
#ifdef SEGMENTS
    each_segment(segments, both, add_segment, &w);
#else
    for (size_t s = 0; s < segments; s++) forward_segment(&w, s);
    for (size_t s = 0; s < segments; s++) backward_segment(&w, s);
    for (size_t s = 0; s < segments; s++) add_segment(&w, s);
#endif
    *loss = (float)(w.loss / (double)n);
    free(all.l1), free(all.l2), free(all.out), free(all.dout), free(all.dl1);
    free(w.parts), free(w.gradients);
}

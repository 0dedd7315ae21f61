/* train.c: `pybackprop train --epochs 2` from plain C: 64 -> 50 -> 10, batches of 8, momentum.
   Reads x (N,64) and targ (N,10) as raw floats from the file named first, writes w1, b1, w2, b2 to the
   second. The same bits come out wherever it is compiled and run. */
#include "pybackprop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1438, M = 64, H = 50, O = 10, BATCH = 8, EPOCHS = 2 };

typedef struct {
    float w1[M * H], b1[H], w2[H * O], b2[O];
} network;

static network p, g, v;
static float x[N * M], targ[N * O];
static int64_t order[N];

static void start(void) {
    uint64_t state = bp_random_stream(0, 0);
    bp_random_uniform_f32(p.w1, sqrt(6.0 / M), &state, M * H);
    bp_random_uniform_f32(p.w2, sqrt(6.0 / H), &state, H * O);
}

static void gradients(const float *xb, const float *tb, size_t n) {
    static float l1[BATCH * H], l2[BATCH * H], out[BATCH * O], dout[BATCH * O], dl[BATCH * H];
    bp_linear_forward_f32(l1, xb, p.w1, p.b1, n, M, H);
    bp_relu_forward_f32(l2, l1, n * H);
    bp_linear_forward_f32(out, l2, p.w2, p.b2, n, H, O);
    bp_mse_backward_f32(dout, out, tb, n * O);
    bp_linear_backward_x_f32(dl, dout, p.w2, n, H, O, 0);
    bp_linear_backward_w_f32(g.w2, l2, dout, n, H, O, 0);
    bp_linear_backward_b_f32(g.b2, dout, n, O, 0);
    bp_relu_backward_f32(dl, l1, dl, n * H);
    bp_linear_backward_w_f32(g.w1, xb, dl, n, M, H, 0);
    bp_linear_backward_b_f32(g.b1, dl, n, H, 0);
}

static void step(size_t from) {
    static float xb[BATCH * M], tb[BATCH * O];
    size_t n = N - from < BATCH ? N - from : BATCH;
    for (size_t i = 0; i < n; i++) {
        memcpy(xb + i * M, x + order[from + i] * M, M * sizeof *x);
        memcpy(tb + i * O, targ + order[from + i] * O, O * sizeof *x);
    }
    gradients(xb, tb, n);
    bp_sgd_momentum_update_f32((float *)&p, (float *)&v, (float *)&g, 0.05f, 0.9f,
                               sizeof p / sizeof(float));
}

int main(int count, char **names) {
    if (count != 3) return 2;
    FILE *in = fopen(names[1], "rb"), *out = fopen(names[2], "wb");
    if (!in || !out || fread(x, sizeof x, 1, in) != 1 || fread(targ, sizeof targ, 1, in) != 1) return 2;
    start();
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint64_t state = bp_random_stream(0, 1 + epoch);
        bp_random_permutation(order, &state, N);
        for (size_t from = 0; from < N; from += BATCH) step(from);
    }
    fclose(in);
    return fwrite(&p, sizeof p, 1, out) != 1 || fclose(out) != 0;
}

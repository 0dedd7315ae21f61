/* lesson.c: the lesson's network from plain C: mse(relu(x @ w1 + b1) @ w2 + b2, targ), forward,
   backward and a few steps down. Exits with 1 if a gradient disagrees with its measured slope or the
   loss does not fall.

       cc -Icsrc tests/c/lesson.c $(find csrc -name '*.c') -lm */
#include "pybackprop.h"

#include <math.h>
#include <stdio.h>

enum { N = 40, M = 6, H = 8 };

typedef struct {
    double w1[M * H], b1[H], w2[H], b2[1];
} parameters;

typedef struct {
    double l1[N * H], l2[N * H], out[N], loss;
} activations;

static double x[N * M], targ[N];

static void forward(const parameters *p, activations *a) {
    bp_linear_forward_f64(a->l1, x, p->w1, p->b1, N, M, H);
    bp_relu_forward_f64(a->l2, a->l1, N * H);
    bp_linear_forward_f64(a->out, a->l2, p->w2, p->b2, N, H, 1);
    bp_mse_forward_f64(&a->loss, a->out, targ, N, 1);
}

static void backward(parameters *g, const parameters *p, const activations *a) {
    double dout[N], dl2[N * H], dl1[N * H];
    bp_mse_backward_f64(dout, a->out, targ, N);
    bp_linear_backward_x_f64(dl2, dout, p->w2, N, H, 1, 0);
    bp_linear_backward_w_f64(g->w2, a->l2, dout, N, H, 1, 0);
    bp_linear_backward_b_f64(g->b2, dout, N, 1, 0);
    bp_relu_backward_f64(dl1, a->l1, dl2, N * H);
    bp_linear_backward_w_f64(g->w1, x, dl1, N, M, H, 0);
    bp_linear_backward_b_f64(g->b1, dl1, N, H, 0);
}

/* How the loss changes when w1[0,0] moves. */
static double measured_slope(parameters p) {
    const double step = 1e-6;
    activations left, right;
    p.w1[0] -= step;
    forward(&p, &left);
    p.w1[0] += 2 * step;
    forward(&p, &right);
    return (right.loss - left.loss) / (2 * step);
}

static void step_down(parameters *p, const parameters *g) {
    const double lr = 0.05;
    bp_sgd_update_f64(p->w1, g->w1, lr, M * H);
    bp_sgd_update_f64(p->b1, g->b1, lr, H);
    bp_sgd_update_f64(p->w2, g->w2, lr, H);
    bp_sgd_update_f64(p->b2, g->b2, lr, 1);
}

int main(void) {
    parameters p = {.b2 = {0}}, g;
    activations a;
    uint64_t state = bp_random_stream(1, 0);
    bp_random_uniform_f64(x, 1, &state, N * M);
    bp_random_uniform_f64(p.w1, 1, &state, M * H);
    bp_random_uniform_f64(p.w2, 1, &state, H);
    for (size_t i = 0; i < N; i++) targ[i] = x[i * M] - 2 * x[i * M + 1];

    forward(&p, &a);
    backward(&g, &p, &a);
    double slope = measured_slope(p), first = a.loss;
    printf("dw1[0,0] = %.9f, measured %.9f\n", g.w1[0], slope);
    for (int step = 0; step < 200; step++) {
        step_down(&p, &g);
        forward(&p, &a);
        backward(&g, &p, &a);
    }
    forward(&p, &a);
    printf("loss %.6f -> %.6f, kernel %s\n", first, a.loss, bp_kernel_name(bp_active_kernel()));
    backward(&g, &p, &a);
    int right = fabs(g.w1[0] - measured_slope(p)) < 1e-6 && a.loss < 0.05 * first;
    return right ? 0 : 1;
}

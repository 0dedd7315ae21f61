/* activation.c: the table of activations. A new one needs a line here, a file with its forward and
   backward, its declarations in pybackprop.h and its loops in reference.c. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/activation.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

int bp_activation_makes_zeros(int activation) { return activation == BP_ACTIVATION_RELU; }

#define BP_TEMPLATE "ops/activation.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

typedef struct {
    void (*forward)(REAL *out, const REAL *x, double parameter, size_t size);
    void (*backward)(REAL *dx, const REAL *out, const REAL *dout, double parameter, size_t size);
    void (*backward_of_input)(REAL *dx, const REAL *x, const REAL *dout, double parameter, size_t size);
    int needs_slope; /* negative_slope must be positive and finite */
} NAME(functions);

/* Those without a parameter. */
static void NAME(relu_forward)(REAL *out, const REAL *x, double parameter, size_t size) {
    (void)parameter;
    NAME(bp_relu_forward)(out, x, size);
}

static void NAME(relu_backward)(REAL *dx, const REAL *x, const REAL *dout, double parameter,
                                size_t size) {
    (void)parameter;
    NAME(bp_relu_backward)(dx, x, dout, size);
}

static void NAME(sigmoid_forward)(REAL *out, const REAL *x, double parameter, size_t size) {
    (void)parameter;
    NAME(bp_sigmoid_forward)(out, x, size);
}

static void NAME(sigmoid_backward)(REAL *dx, const REAL *out, const REAL *dout, double parameter,
                                   size_t size) {
    (void)parameter;
    NAME(bp_sigmoid_backward)(dx, out, dout, size);
}

static void NAME(sigmoid_backward_of_input)(REAL *dx, const REAL *x, const REAL *dout, double parameter,
                                            size_t size) {
    (void)parameter;
    NAME(bp_sigmoid_backward_of_input)(dx, x, dout, size);
}

static void NAME(tanh_forward)(REAL *out, const REAL *x, double parameter, size_t size) {
    (void)parameter;
    NAME(bp_tanh_forward)(out, x, size);
}

static void NAME(tanh_backward)(REAL *dx, const REAL *out, const REAL *dout, double parameter,
                                size_t size) {
    (void)parameter;
    NAME(bp_tanh_backward)(dx, out, dout, size);
}

static void NAME(tanh_backward_of_input)(REAL *dx, const REAL *x, const REAL *dout, double parameter,
                                         size_t size) {
    (void)parameter;
    NAME(bp_tanh_backward_of_input)(dx, x, dout, size);
}

/* relu's and leaky_relu's input and output are positive in the same places, so either tells. */
static const NAME(functions) NAME(table)[] = {
    [BP_ACTIVATION_RELU] = {NAME(relu_forward), NAME(relu_backward), NAME(relu_backward), 0},
    [BP_ACTIVATION_LEAKY_RELU] = {NAME(bp_leaky_relu_forward), NAME(bp_leaky_relu_backward),
                                  NAME(bp_leaky_relu_backward), 1},
    [BP_ACTIVATION_SIGMOID] = {NAME(sigmoid_forward), NAME(sigmoid_backward),
                               NAME(sigmoid_backward_of_input), 0},
    [BP_ACTIVATION_TANH] = {NAME(tanh_forward), NAME(tanh_backward), NAME(tanh_backward_of_input), 0},
};

int NAME(bp_layers_valid)(const bp_layer *layers, size_t count) {
    const int known = (int)(sizeof NAME(table) / sizeof *NAME(table));
    for (const bp_layer *l = layers; l < layers + count; l++) {
        REAL slope = (REAL)l->negative_slope;
        if (l->activation < 0 || l->activation >= known) return 0;
        if (NAME(table)[l->activation].needs_slope && !(slope > 0 && isfinite(slope))) return 0;
    }
    return NAME(bp_loss_valid)(layers, count);
}

void NAME(bp_activation_forward)(bp_epilogue e, REAL *out, const REAL *x, size_t size) {
    NAME(table)[e.activation].forward(out, x, e.negative_slope, size);
}

void NAME(bp_activation_backward)(bp_epilogue e, REAL *dx, const REAL *out, const REAL *dout,
                                  size_t size) {
    NAME(table)[e.activation].backward(dx, out, dout, e.negative_slope, size);
}

void NAME(bp_activation_backward_of_input)(bp_epilogue e, REAL *dx, const REAL *x, const REAL *dout,
                                           size_t size) {
    NAME(table)[e.activation].backward_of_input(dx, x, dout, e.negative_slope, size);
}

void NAME(bp_activation_rows)(bp_epilogue e, REAL *c, size_t ldc, size_t rows, size_t cols) {
    for (size_t i = 0; i < rows; i++) NAME(bp_activation_forward)(e, c + i * ldc, c + i * ldc, cols);
}

#endif

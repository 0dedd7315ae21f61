/* activation.h: any activation, by its bp_activation. Included once per element type. */
#ifndef BP_ACTIVATION_H
#define BP_ACTIVATION_H

/* Applied to a finished sum and its bias: a bp_activation and its parameter. All zero: nothing. */
typedef struct {
    int activation;
    double negative_slope;
} bp_epilogue;

static inline bp_epilogue bp_epilogue_of(const bp_layer *layer) {
    return (bp_epilogue){layer->activation, layer->negative_slope};
}

/* Whether many of its outputs and gradients are exactly zero, so that leaving them out may pay. */
int bp_activation_makes_zeros(int activation);

#endif

/* 1 if all layers' activations are known and their parameters, rounded to this type, allowed, and the
   last layer's loss is known. */
int NAME(bp_layers_valid)(const bp_layer *layers, size_t count);

/* out (size) = the activation of x; out may be x. Not for BP_ACTIVATION_NONE. */
void NAME(bp_activation_forward)(bp_epilogue epilogue, REAL *out, const REAL *x, size_t size);

/* dx (size) = the gradient of its input, told from its output or, `of_input`, from its input. dx may be
   dout or the array that tells. Not for BP_ACTIVATION_NONE. */
void NAME(bp_activation_backward)(bp_epilogue epilogue, REAL *dx, const REAL *out, const REAL *dout,
                                  size_t size);
void NAME(bp_activation_backward_of_input)(bp_epilogue epilogue, REAL *dx, const REAL *x,
                                           const REAL *dout, size_t size);

/* The forward in place, of c (rows,cols), rows ldc apart. */
void NAME(bp_activation_rows)(bp_epilogue epilogue, REAL *c, size_t ldc, size_t rows, size_t cols);

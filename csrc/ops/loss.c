/* loss.c: the table of losses at the end of a chain of layers. A new one needs a line in each table
   here, a file with its functions, its declarations in pybackprop.h and its loops in reference.c. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

/* labels: instead of targets in the outputs' shape; per_element: the loss is a mean over elements, else
   over rows; scale: of its gradient */
static const struct {
    int is_known, labels, per_element;
    double scale;
} facts[] = {
    [BP_LOSS_MSE] = {1, 0, 1, 2.0},
    [BP_LOSS_CROSS_ENTROPY] = {1, 0, 0, 1.0},
    [BP_LOSS_CROSS_ENTROPY_LABELS] = {1, 1, 0, 1.0},
};

size_t bp_loss_width(int loss, size_t h) { return facts[loss].labels ? 1 : h; }

double bp_loss_terms(int loss, size_t n, size_t h) {
    return (double)(facts[loss].per_element ? n * h : n);
}

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

/* labels: whether targ has a label for each row instead of h numbers. */
typedef struct {
    void (*segment)(double *sum, const REAL *out, const REAL *targ, size_t rows, size_t h, int labels);
    void (*rows_backward)(REAL *dout, const REAL *out, const REAL *targ, REAL factor, size_t rows,
                          size_t h, int labels);
    void (*part_backward)(NAME(bp_loss_row) * row, REAL *dout, const REAL *out, const REAL *targ,
                          REAL factor, bp_range columns, size_t h, int labels);
    bp_status (*forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n, size_t h, int labels);
    bp_status (*backward)(REAL *dout, const REAL *out, const REAL *targ, size_t n, size_t h, int labels);
} NAME(functions);

static void NAME(mse_segment)(double *sum, const REAL *out, const REAL *targ, size_t rows, size_t h,
                              int labels) {
    (void)labels;
    NAME(bp_segment_error)(sum, out, targ, rows * h);
}

static void NAME(mse_rows)(REAL *dout, const REAL *out, const REAL *targ, REAL factor, size_t rows,
                           size_t h, int labels) {
    (void)labels;
    NAME(bp_mse_difference)(dout, out, targ, factor, rows * h);
}

static void NAME(mse_part)(NAME(bp_loss_row) * row, REAL *dout, const REAL *out, const REAL *targ,
                           REAL factor, bp_range columns, size_t h, int labels) {
    size_t at = columns.begin;
    (void)row, (void)h, (void)labels;
    NAME(bp_mse_difference)(dout, out + at, targ + at, factor, columns.end - at);
}

static bp_status NAME(mse_forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n, size_t h,
                                   int labels) {
    (void)labels;
    return NAME(bp_mse_forward)(loss, out, targ, n, h);
}

static bp_status NAME(mse_backward)(REAL *dout, const REAL *out, const REAL *targ, size_t n, size_t h,
                                    int labels) {
    (void)labels;
    NAME(bp_mse_backward)(dout, out, targ, n * h);
    return BP_OK;
}

static void NAME(cross_entropy_segment)(double *sum, const REAL *out, const REAL *targ, size_t rows,
                                        size_t h, int labels) {
    *sum = 0;
    NAME(bp_cross_entropy_rows)(sum, NULL, out, targ, 0, rows, h, labels);
}

static void NAME(cross_entropy_rows)(REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                     size_t rows, size_t h, int labels) {
    NAME(bp_cross_entropy_rows)(NULL, dout, out, targ, factor, rows, h, labels);
}

#define BP_CROSS_ENTROPY_FUNCTIONS                                                                      \
    {NAME(cross_entropy_segment), NAME(cross_entropy_rows), NAME(bp_cross_entropy_part),                \
     NAME(bp_cross_entropy_forward), NAME(bp_cross_entropy_backward)}

static const NAME(functions) NAME(table)[] = {
    [BP_LOSS_MSE] = {NAME(mse_segment), NAME(mse_rows), NAME(mse_part), NAME(mse_forward),
                     NAME(mse_backward)},
    [BP_LOSS_CROSS_ENTROPY] = BP_CROSS_ENTROPY_FUNCTIONS,
    [BP_LOSS_CROSS_ENTROPY_LABELS] = BP_CROSS_ENTROPY_FUNCTIONS,
};
#undef BP_CROSS_ENTROPY_FUNCTIONS

REAL NAME(bp_loss_factor)(int loss, size_t n, size_t h) {
    return (REAL)(facts[loss].scale / bp_loss_terms(loss, n, h));
}

void NAME(bp_loss_segment)(int loss, double *sum, const REAL *out, const REAL *targ, size_t rows,
                           size_t h) {
    NAME(table)[loss].segment(sum, out, targ, rows, h, facts[loss].labels);
}

void NAME(bp_loss_rows_backward)(int loss, REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                 size_t rows, size_t h) {
    NAME(table)[loss].rows_backward(dout, out, targ, factor, rows, h, facts[loss].labels);
}

bp_status NAME(bp_loss_forward)(int kind, REAL *loss, const REAL *out, const REAL *targ, size_t n,
                                size_t h) {
    return NAME(table)[kind].forward(loss, out, targ, n, h, facts[kind].labels);
}

void NAME(bp_loss_backward)(int loss, REAL *dout, const REAL *out, const REAL *targ, size_t n,
                            size_t h) {
    NAME(table)[loss].backward(dout, out, targ, n, h, facts[loss].labels);
}

void NAME(bp_loss_part_backward)(int loss, NAME(bp_loss_row) * row, REAL *dout, const REAL *out,
                                 const REAL *targ, REAL factor, bp_range columns, size_t h) {
    NAME(table)[loss].part_backward(row, dout, out, targ, factor, columns, h, facts[loss].labels);
}

int NAME(bp_loss_valid)(const bp_layer *layers, size_t count) {
    const int known = (int)(sizeof facts / sizeof *facts), loss = count ? layers[count - 1].loss : 0;
    return loss >= 0 && loss < known && facts[loss].is_known;
}

#endif

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
    [BP_LOSS_BINARY_CROSS_ENTROPY] = {1, 0, 1, 1.0},
};

static int kind_of(int loss) { return loss & ~BP_LOSS_WEIGHTED; }

static int has_weights(int loss) { return (loss & BP_LOSS_WEIGHTED) != 0; }

size_t bp_loss_width(int loss, size_t h) {
    return (facts[kind_of(loss)].labels ? 1 : h) + (size_t)has_weights(loss);
}

double bp_loss_terms(int loss, size_t n, size_t h) {
    return (double)(facts[kind_of(loss)].per_element ? n * h : n);
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

/* A loss over elements, each of which has a target. */
typedef struct {
    void (*segment)(double *sum, const REAL *out, const REAL *targ, size_t size);
    void (*gradient)(REAL *dout, const REAL *out, const REAL *targ, REAL factor, size_t size);
    bp_status (*forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n, size_t h);
    void (*backward)(REAL *dout, const REAL *out, const REAL *targ, size_t size);
} NAME(of_elements);

/* A loss over rows. labels: whether targ has a label for each row instead of h numbers. */
typedef struct {
    void (*rows)(double *loss, REAL *dout, const REAL *out, const REAL *targ, REAL factor, size_t rows,
                 size_t h, int labels);
    void (*part)(NAME(bp_loss_row) * row, REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                 bp_range columns, size_t h, int labels);
    bp_status (*forward)(REAL *loss, const REAL *out, const REAL *targ, size_t n, size_t h, int labels);
    bp_status (*backward)(REAL *dout, const REAL *out, const REAL *targ, size_t n, size_t h, int labels);
} NAME(of_rows);

static const NAME(of_elements) NAME(elements)[] = {
    [BP_LOSS_MSE] = {NAME(bp_segment_error), NAME(bp_mse_difference), NAME(bp_mse_forward),
                     NAME(bp_mse_backward)},
    [BP_LOSS_BINARY_CROSS_ENTROPY] = {NAME(bp_binary_cross_entropy_segment),
                                      NAME(bp_binary_cross_entropy_gradient),
                                      NAME(bp_binary_cross_entropy_forward),
                                      NAME(bp_binary_cross_entropy_backward)},
};

#define BP_CROSS_ENTROPY_FUNCTIONS                                                                      \
    {NAME(bp_cross_entropy_rows), NAME(bp_cross_entropy_part), NAME(bp_cross_entropy_forward),          \
     NAME(bp_cross_entropy_backward)}

static const NAME(of_rows) NAME(by_rows)[] = {
    [BP_LOSS_CROSS_ENTROPY] = BP_CROSS_ENTROPY_FUNCTIONS,
    [BP_LOSS_CROSS_ENTROPY_LABELS] = BP_CROSS_ENTROPY_FUNCTIONS,
};
#undef BP_CROSS_ENTROPY_FUNCTIONS

REAL NAME(bp_loss_factor)(int loss, size_t n, size_t h) {
    return (REAL)(facts[kind_of(loss)].scale / bp_loss_terms(loss, n, h));
}

/* ---- a row's weight, which stands behind its targets ---- */

static void NAME(weighted_segment)(int loss, double *sum, const REAL *out, const REAL *targ, size_t rows,
                                   size_t h) {
    const size_t width = bp_loss_width(loss, h);
    *sum = 0;
    for (size_t i = 0; i < rows; i++, out += h, targ += width) {
        double of_row;
        NAME(bp_loss_segment)(kind_of(loss), &of_row, out, targ, 1, h);
        *sum = fma((double)targ[width - 1], of_row, *sum);
    }
}

static void NAME(weighted_rows)(int loss, REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                size_t rows, size_t h) {
    const size_t width = bp_loss_width(loss, h);
    for (size_t i = 0; i < rows; i++, dout += h, out += h, targ += width)
        NAME(bp_loss_rows_backward)(kind_of(loss), dout, out, targ, factor * targ[width - 1], 1, h);
}

bp_status NAME(bp_weighted_loss_backward)(int kind, REAL *dout, const REAL *out, const REAL *targ,
                                          size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    NAME(weighted_rows)(kind | BP_LOSS_WEIGHTED, dout, out, targ, NAME(bp_loss_factor)(kind, n, h), n,
                        h);
    return BP_OK;
}

/* ---- any loss ---- */

void NAME(bp_loss_segment)(int loss, double *sum, const REAL *out, const REAL *targ, size_t rows,
                           size_t h) {
    if (has_weights(loss)) {
        NAME(weighted_segment)(loss, sum, out, targ, rows, h);
    } else if (facts[loss].per_element) {
        NAME(elements)[loss].segment(sum, out, targ, rows * h);
    } else {
        *sum = 0;
        NAME(by_rows)[loss].rows(sum, NULL, out, targ, 0, rows, h, facts[loss].labels);
    }
}

void NAME(bp_loss_rows_backward)(int loss, REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                 size_t rows, size_t h) {
    if (has_weights(loss))
        NAME(weighted_rows)(loss, dout, out, targ, factor, rows, h);
    else if (facts[loss].per_element)
        NAME(elements)[loss].gradient(dout, out, targ, factor, rows * h);
    else
        NAME(by_rows)[loss].rows(NULL, dout, out, targ, factor, rows, h, facts[loss].labels);
}

/* The losses of the segments, added in ascending order. */
static bp_status NAME(forward_by_segments)(bp_mean mean, int loss, REAL *value, const REAL *out,
                                           const REAL *targ, size_t n, size_t h) {
    if (bp_overflows(n, h, sizeof(REAL))) return BP_OVERFLOW;
    if (n * h == 0) return BP_EMPTY;
    const size_t width = bp_loss_width(loss, h);
    double total = 0;
    for (size_t start = 0; start < n; start += BP_SEGMENT) {
        double sum;
        NAME(bp_loss_segment)(loss, &sum, out + start * h, targ + start * width,
                              n - start < BP_SEGMENT ? n - start : BP_SEGMENT, h);
        total += sum;
    }
    if (mean.sum) *mean.sum = total;
    *value = (REAL)(total / bp_loss_terms(loss, bp_mean_rows(mean, n), h));
    return BP_OK;
}

bp_status NAME(bp_weighted_loss_forward)(int kind, REAL *loss, const REAL *out, const REAL *targ,
                                         size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    return NAME(forward_by_segments)((bp_mean){0}, kind | BP_LOSS_WEIGHTED, loss, out, targ, n, h);
}

bp_status NAME(bp_loss_forward)(int kind, REAL *loss, const REAL *out, const REAL *targ, size_t n,
                                size_t h) {
    if (has_weights(kind)) return NAME(bp_weighted_loss_forward)(kind_of(kind), loss, out, targ, n, h);
    if (facts[kind].per_element) return NAME(elements)[kind].forward(loss, out, targ, n, h);
    return NAME(by_rows)[kind].forward(loss, out, targ, n, h, facts[kind].labels);
}

bp_status NAME(bp_loss_forward_of)(bp_mean mean, int kind, REAL *loss, const REAL *out, const REAL *targ,
                                   size_t n, size_t h) {
    if (!mean.rows && !mean.sum) return NAME(bp_loss_forward)(kind, loss, out, targ, n, h);
    return NAME(forward_by_segments)(mean, kind, loss, out, targ, n, h);
}

void NAME(bp_loss_backward)(int loss, REAL *dout, const REAL *out, const REAL *targ, size_t n,
                            size_t h) {
    if (has_weights(loss))
        NAME(bp_weighted_loss_backward)(kind_of(loss), dout, out, targ, n, h);
    else if (facts[loss].per_element)
        NAME(elements)[loss].backward(dout, out, targ, n * h);
    else
        NAME(by_rows)[loss].backward(dout, out, targ, n, h, facts[loss].labels);
}

void NAME(bp_loss_part_backward)(int loss, NAME(bp_loss_row) * row, REAL *dout, const REAL *out,
                                 const REAL *targ, REAL factor, bp_range columns, size_t h) {
    const int kind = kind_of(loss);
    const size_t at = columns.begin;
    if (has_weights(loss)) factor = factor * targ[bp_loss_width(loss, h) - 1];
    if (facts[kind].per_element)
        NAME(elements)[kind].gradient(dout, out + at, targ + at, factor, columns.end - at);
    else
        NAME(by_rows)[kind].part(row, dout, out, targ, factor, columns, h, facts[kind].labels);
}

int NAME(bp_loss_valid)(const bp_layer *layers, size_t count) {
    const int known = (int)(sizeof facts / sizeof *facts);
    const int loss = count ? kind_of(layers[count - 1].loss) : 0;
    return loss >= 0 && loss < known && facts[loss].is_known;
}

#endif

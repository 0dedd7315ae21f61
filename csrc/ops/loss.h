/* loss.h: any loss, by its bp_loss. Included once per element type. */
#ifndef BP_LOSS_H
#define BP_LOSS_H

/* The numbers of a row of targets, for h outputs. */
size_t bp_loss_width(int loss, size_t h);

#endif

/* The factor of the gradient for n rows in all. */
REAL NAME(bp_loss_factor)(int loss, size_t n, size_t h);

/* *sum = the losses of a segment's rows, added as the loss's forward adds them. */
void NAME(bp_loss_segment)(int loss, double *sum, const REAL *out, const REAL *targ, size_t rows,
                           size_t h);

/* dout (rows,h) = the gradient of some of the rows. dout may be out. */
void NAME(bp_loss_rows_backward)(int loss, REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                 size_t rows, size_t h);

/* The same of some columns of one row, at out (h) and targ, which may be overwritten from left to right;
   the call with columns.begin = 0 comes first, and notes in `row` what the others need. */
typedef struct {
    REAL most, by;
} NAME(bp_loss_row);

void NAME(bp_loss_part_backward)(int loss, NAME(bp_loss_row) * row, REAL *dout, const REAL *out,
                                 const REAL *targ, REAL factor, bp_range columns, size_t h);

/* loss (1) and dout (n,h) of all rows. */
bp_status NAME(bp_loss_forward)(int kind, REAL *loss, const REAL *out, const REAL *targ, size_t n,
                                size_t h);
void NAME(bp_loss_backward)(int loss, REAL *dout, const REAL *out, const REAL *targ, size_t n, size_t h);

/* The loss of a part of the rows that it is a mean over. */
bp_status NAME(bp_loss_forward_of)(bp_mean mean, int kind, REAL *loss, const REAL *out, const REAL *targ,
                                   size_t n, size_t h);

/* 1 if the last layer's loss is known. */
int NAME(bp_loss_valid)(const bp_layer *layers, size_t count);

/* cross_entropy.c: *loss += the losses of some rows, if it is not NULL; dout = (softmax(out) - targ)
   factor, if it is not NULL. It may be out. */
void NAME(bp_cross_entropy_rows)(double *loss, REAL *dout, const REAL *out, const REAL *targ,
                                 REAL factor, size_t rows, size_t h, int labels);

void NAME(bp_cross_entropy_part)(NAME(bp_loss_row) * row, REAL *dout, const REAL *out, const REAL *targ,
                                 REAL factor, bp_range columns, size_t h, int labels);

/* binary_cross_entropy.c: *sum = the terms of a segment; dout = (sigmoid(out) - targ) factor. It may be
   out. */
void NAME(bp_binary_cross_entropy_segment)(double *sum, const REAL *out, const REAL *targ, size_t size);
void NAME(bp_binary_cross_entropy_gradient)(REAL *dout, const REAL *out, const REAL *targ, REAL factor,
                                            size_t size);

/* A label as an index; SIZE_MAX if it is not a whole number below h. */
static inline size_t NAME(bp_label)(REAL label, size_t h) {
    if (!(label >= 0 && label < (REAL)h)) return SIZE_MAX;
    size_t j = (size_t)label;
    return (REAL)j == label && j < h ? j : SIZE_MAX;
}

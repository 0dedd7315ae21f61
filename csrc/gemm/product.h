/* product.h: the one blocked product behind matmul and linear. Included once per element type. */
#include "gemm/prefetch.h"
#include "ops/activation.h"

/* c (rows,cols) = a (rows,inner) @ b (inner,cols), each element addressed by strides, so that
   a transpose only swaps two strides:
   a[i,p] = a[i * a_row + p * a_inner], b[p,j] = b[p * b_inner + j * b_col], c[i,j] = c[i * ldc + j]. */
typedef struct {
    REAL *c;
    const REAL *a, *b;
    const REAL *bias; /* (cols), added to the finished chain, or NULL */
    REAL *sums;       /* (cols) += b summed over inner, segment by segment, or NULL; b_col is 1 */
    size_t ldc, a_row, a_inner, b_inner, b_col;
    size_t rows, inner, cols;
    bp_epilogue epilogue; /* the activation of the finished chain and bias */
    int accumulate;       /* start from c */
    int segmented;        /* split the sum over inner into segments */
    int unfinished;       /* bp_multiply_here: the chains continue later, so a -0 in them stays */
    REAL *memory;         /* bp_multiply_here: BP_HERE_WORKSPACE bytes */
    const bp_workspace *workspace; /* bp_multiply: for packing. NULL or too small: it allocates its own,
                                      or if there is no memory computes without */
} NAME(bp_product);

/* Computes a product with as many threads as pay; each computes some of c's rows or columns. */
void NAME(bp_multiply)(const NAME(bp_product) * product);

/* Computes these rows and columns in the calling thread. */
void NAME(bp_multiply_part)(const NAME(bp_product) * product, bp_range rows, bp_range cols);

/* Bytes of one thread's workspace for any part of a product of this size or smaller, with the current
 * kernel and block sizes. */
size_t NAME(bp_multiply_workspace)(size_t rows, size_t inner, size_t cols);

/* The linear operations, with workspace; forward also applies an activation. */
bp_status NAME(bp_linear_forward_in)(const bp_workspace *workspace, REAL *out, const REAL *x,
                                     const REAL *w, const REAL *b, bp_epilogue epilogue, size_t n,
                                     size_t m, size_t h);
bp_status NAME(bp_linear_backward_x_in)(const bp_workspace *workspace, REAL *dx, const REAL *dout,
                                        const REAL *w, size_t n, size_t m, size_t h, int accumulate);
bp_status NAME(bp_linear_backward_wb_in)(const bp_workspace *workspace, REAL *dw, REAL *db,
                                         const REAL *x, const REAL *dout, size_t n, size_t m, size_t h,
                                         int accumulate);
NAME(bp_product)
NAME(bp_backward_w_product)(REAL *dw, const REAL *x, const REAL *dout, size_t n, size_t m, size_t h,
                            int accumulate);

/* bp_mse_backward of some of the rows, with the factor of all of them. */
void NAME(bp_mse_difference)(REAL *dout, const REAL *out, const REAL *targ, REAL factor, size_t size);

/* Computes a product in the calling thread, without packing: b_col is 1, and the padding of the rows
   of b and c, up to whole cache lines of 64 bytes, may be read and written. */
void NAME(bp_multiply_here)(const NAME(bp_product) * product);

/* *sum = the squared errors of one segment's elements, as bp_mse_forward adds them. */
void NAME(bp_segment_error)(double *sum, const REAL *out, const REAL *targ, size_t size);

/* The same of a layer whose weights are stored unit by unit, and whose values lie unit by unit too: see
   plan/units.h. */

/* out (units,step): in column i the chains of row i, + 0 */
typedef struct {
    REAL *out;
    const REAL *const *row; /* the inputs: row i at row[i], or where row is NULL */
    const REAL *in;         /* unit by unit: (inner,in_step) */
    size_t in_step;
    const REAL *w; /* of unit j and input k: w[j * w_unit + k * w_input] */
    size_t w_unit, w_input, units, inner, rows, step;
    REAL *panel;           /* memory of BP_PANEL_BYTES bytes, where row is not NULL */
    int packed, kernel;    /* w was packed by bp_pack_units with this kernel, */
    bp_prefetch *prefetch; /* and this is prefetched a little before each tile, unless it is NULL */
} NAME(bp_unit_product);

void NAME(bp_units_multiply)(const NAME(bp_unit_product) * product);

/* packed (units * inner) = w (inner,units) in the order in which a kernel's tiles read it */
void NAME(bp_pack_units)(REAL *packed, const REAL *w, size_t inner, size_t units, int kernel);

/* How often bp_units_multiply then calls bp_prefetch_some. */
size_t NAME(bp_units_times)(size_t rows, size_t inner, size_t units, int kernel);

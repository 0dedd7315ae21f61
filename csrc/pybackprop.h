/* pybackprop.h: the whole C API, and the conventions that every file here follows.

   Arrays are row-major and contiguous unless a leading dimension is given. n rows (samples), m
   inputs, h outputs: x (n,m), w (m,h), b (h), out (n,h). Arguments: outputs, inputs, sizes. Every
   operation is defined by its function bp_ref_... in reference.c: the same inputs give the same bits
   for every kernel, thread count, compiler and machine (a NaN counts as equal to a NaN).

   How sums are added. A *chain* over an index starts at +0 and, index ascending, does acc = fma(a,
   b, acc); it ends with acc + 0, so that a -0 left by underflow never shows. Sums over rows (dw,
   db, the loss) are split into segments of BP_SEGMENT rows; each segment is summed from 0, and the
   segments' partial sums are added in ascending order, from +0. With accumulate != 0 a chain, or
   the total of the segments, starts from the value in the output; otherwise the output is never
   read.

   relu'(0) = 0. mse is the mean over all elements, so its gradient has the factor 2 / (n*h).

   The arithmetic is IEEE 754's with its usual settings: round to nearest, subnormal numbers as they
   are, no traps. Functions that compute set them, on each thread, and give the caller's back; so a
   caller that flushes subnormal numbers to zero gets the same bits. Numbers that are passed by value
   (a learning rate, a slope) are double, and are rounded once to the arrays' type.

   Memory: products pack their operands, and a gradient that is written over the outputs it reads waits
   in a tile. In a plan, packing takes the plan's workspace; without one, or if it was laid out for fewer
   threads, and for tiles, a thread takes one of 16 static blocks of 64 KiB. If that is too little or all
   are taken, it allocates, and frees before it returns: see bp_matmul_workspace. If there is no memory,
   it computes without: slower, the same bits. The first operation that uses several threads creates
   them, with 1 MiB of address space each; without those that cannot be created it does. Nothing else
   allocates, and no function takes more than 4 KiB of the stack, so threads may have small ones.

   Outputs must not overlap inputs, except where a function says "may be". No function prints, exits or
   keeps a pointer. Results are undefined if sizes are wrong; an array may be NULL if its size is 0. */
#ifndef PYBACKPROP_H
#define PYBACKPROP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [cdef: the Python binding reads from here ...] */

/* Rows in a segment. A constant of the library: changing it changes bits. With 512, a segment's
   partial sums are cheap compared with its products, and 50,000 rows still give threads 98 segments. */
#define BP_SEGMENT 512
/* Lanes, doubles in which a segment's squared errors are summed in parallel: element e of the segment
   goes to lane e % BP_LANES; then lane l takes lane l + 8, l + 4, l + 2, l + 1 in turn. */
#define BP_LANES 16

typedef enum {
    BP_OK = 0,
    BP_OVERFLOW = 1, /* a product of sizes does not fit in size_t bytes */
    BP_EMPTY = 2,    /* the mean of no elements */
    BP_UNKNOWN = 3,  /* no such kernel, or not on this CPU */
    BP_MISMATCH = 4, /* matrices that do not fit each other; nothing was written */
    BP_DIVERGED = 5, /* the loss is not finite */
    BP_INVALID = 6   /* an unknown activation, loss or operation, or its parameter out of range; nothing
                        was written */
} bp_status;

/* ---- linear: out = x @ w + b ------------------------------------------------------------ */

/* out (n,h) = x (n,m) @ w (m,h) + b (h): out[i,j] = (chain over k of x[i,k] w[k,j]) + b[j].
   b may be NULL: no bias. */
bp_status bp_linear_forward_f32(float *out, const float *x, const float *w, const float *b, size_t n,
                                size_t m, size_t h);
bp_status bp_linear_forward_f64(double *out, const double *x, const double *w, const double *b, size_t n,
                                size_t m, size_t h);
bp_status bp_ref_linear_forward_f32(float *out, const float *x, const float *w, const float *b, size_t n,
                                    size_t m, size_t h);
bp_status bp_ref_linear_forward_f64(double *out, const double *x, const double *w, const double *b,
                                    size_t n, size_t m, size_t h);

/* dx (n,m) = dout (n,h) @ w.T (h,m): dx[i,k] = chain over j of dout[i,j] w[k,j]. */
bp_status bp_linear_backward_x_f32(float *dx, const float *dout, const float *w, size_t n, size_t m,
                                   size_t h, int accumulate);
bp_status bp_linear_backward_x_f64(double *dx, const double *dout, const double *w, size_t n, size_t m,
                                   size_t h, int accumulate);
bp_status bp_ref_linear_backward_x_f32(float *dx, const float *dout, const float *w, size_t n, size_t m,
                                       size_t h, int accumulate);
bp_status bp_ref_linear_backward_x_f64(double *dx, const double *dout, const double *w, size_t n,
                                       size_t m, size_t h, int accumulate);

/* dw (m,h) = x.T (m,n) @ dout (n,h): dw[k,j] = sum over segments of (chain over i of x[i,k] dout[i,j]).
   w[k,j] affects column j of out, in every row i: hence the sum over i. */
bp_status bp_linear_backward_w_f32(float *dw, const float *x, const float *dout, size_t n, size_t m,
                                   size_t h, int accumulate);
bp_status bp_linear_backward_w_f64(double *dw, const double *x, const double *dout, size_t n, size_t m,
                                   size_t h, int accumulate);
bp_status bp_ref_linear_backward_w_f32(float *dw, const float *x, const float *dout, size_t n, size_t m,
                                       size_t h, int accumulate);
bp_status bp_ref_linear_backward_w_f64(double *dw, const double *x, const double *dout, size_t n,
                                       size_t m, size_t h, int accumulate);

/* db (h) = dout (n,h) summed over its rows: db[j] = sum over segments of (sum over i of dout[i,j]).
   b[j] was broadcast over the rows, so it affects every row of column j. */
bp_status bp_linear_backward_b_f32(float *db, const float *dout, size_t n, size_t h, int accumulate);
bp_status bp_linear_backward_b_f64(double *db, const double *dout, size_t n, size_t h, int accumulate);
bp_status bp_ref_linear_backward_b_f32(float *db, const float *dout, size_t n, size_t h, int accumulate);
bp_status bp_ref_linear_backward_b_f64(double *db, const double *dout, size_t n, size_t h,
                                       int accumulate);

/* dw and db as above, reading dout once. */
bp_status bp_linear_backward_wb_f32(float *dw, float *db, const float *x, const float *dout, size_t n,
                                    size_t m, size_t h, int accumulate);
bp_status bp_linear_backward_wb_f64(double *dw, double *db, const double *x, const double *dout,
                                    size_t n, size_t m, size_t h, int accumulate);

/* ---- matmul: the product alone ---------------------------------------------------------- */

/* c (rows,cols) = op(a) (rows,inner) @ op(b) (inner,cols), one unsegmented chain over inner. op(a)
   is a, or with transpose_a the transpose of a stored (inner,rows); likewise b. lda, ldb, ldc:
   leading dimensions, elements from one stored row to the next, at least the row's length. */
bp_status bp_matmul_f32(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
                        size_t rows, size_t inner, size_t cols, int transpose_a, int transpose_b,
                        int accumulate);
bp_status bp_matmul_f64(double *c, size_t ldc, const double *a, size_t lda, const double *b, size_t ldb,
                        size_t rows, size_t inner, size_t cols, int transpose_a, int transpose_b,
                        int accumulate);
/* The most bytes that all threads together allocate, and free again, to pack such a product's operands
   and to finish its tiles; 0 where static memory is enough. For the current kernel, threads and block
   sizes. */
size_t bp_matmul_workspace_f32(size_t rows, size_t inner, size_t cols);
size_t bp_matmul_workspace_f64(size_t rows, size_t inner, size_t cols);
bp_status bp_ref_matmul_f32(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb,
                            size_t rows, size_t inner, size_t cols, int transpose_a, int transpose_b,
                            int accumulate);
bp_status bp_ref_matmul_f64(double *c, size_t ldc, const double *a, size_t lda, const double *b,
                            size_t ldb, size_t rows, size_t inner, size_t cols, int transpose_a,
                            int transpose_b, int accumulate);

/* A matrix in memory. transposed: its transpose is what is stored row by row. */
typedef struct {
    void *data;
    size_t rows, cols;
    size_t ld; /* leading dimension: elements from one stored row to the next */
    int is_double, transposed;
} bp_matrix;

/* The same for matrices that are described once and used often. BP_MISMATCH if shapes or types
   do not fit, c is stored transposed, or the memory between c's first and last element might
   overlap that of a or b. */
bp_status bp_matmul(const bp_matrix *c, const bp_matrix *a, const bp_matrix *b, int transpose_a,
                    int transpose_b, int accumulate);

/* ---- relu: out = max(x, 0) -------------------------------------------------------------- */

/* out = x where x > 0, NaN where x is NaN, else +0 (so -0 becomes +0). out may be x. */
void bp_relu_forward_f32(float *out, const float *x, size_t size);
void bp_relu_forward_f64(double *out, const double *x, size_t size);
void bp_ref_relu_forward_f32(float *out, const float *x, size_t size);
void bp_ref_relu_forward_f64(double *out, const double *x, size_t size);

/* dx = dout where x > 0, else +0. x may be relu's input or its output: both are positive in the same
   places. dx may be dout or x. */
void bp_relu_backward_f32(float *dx, const float *x, const float *dout, size_t size);
void bp_relu_backward_f64(double *dx, const double *x, const double *dout, size_t size);
void bp_ref_relu_backward_f32(float *dx, const float *x, const float *dout, size_t size);
void bp_ref_relu_backward_f64(double *dx, const double *x, const double *dout, size_t size);

/* ---- leaky_relu: out = x where x > 0, else negative_slope * x ---------------------------- */

/* out = x where x > 0, else negative_slope * x, rounded once. NaN stays NaN, and -0 stays -0.
   out may be x. */
void bp_leaky_relu_forward_f32(float *out, const float *x, double negative_slope, size_t size);
void bp_leaky_relu_forward_f64(double *out, const double *x, double negative_slope, size_t size);
void bp_ref_leaky_relu_forward_f32(float *out, const float *x, double negative_slope, size_t size);
void bp_ref_leaky_relu_forward_f64(double *out, const double *x, double negative_slope, size_t size);

/* dx = dout where x > 0, else negative_slope * dout, rounded once. x is the input of the forward or,
   if negative_slope > 0, its output: both are then positive in the same places. dx may be dout or x. */
void bp_leaky_relu_backward_f32(float *dx, const float *x, const float *dout, double negative_slope,
                                size_t size);
void bp_leaky_relu_backward_f64(double *dx, const double *x, const double *dout, double negative_slope,
                                size_t size);
void bp_ref_leaky_relu_backward_f32(float *dx, const float *x, const float *dout, double negative_slope,
                                    size_t size);
void bp_ref_leaky_relu_backward_f64(double *dx, const double *x, const double *dout,
                                    double negative_slope, size_t size);

/* ---- mse: loss = mean((out - targ)^2) --------------------------------------------------- */

/* loss (1) = mean over all n*h elements. The difference is taken in the arrays' type; squares and
   sums are double: lane = fma(d, d, lane), see BP_LANES; the segments' sums are added in ascending
   order, and the mean is rounded once. BP_EMPTY if n*h = 0. */
bp_status bp_mse_forward_f32(float *loss, const float *out, const float *targ, size_t n, size_t h);
bp_status bp_mse_forward_f64(double *loss, const double *out, const double *targ, size_t n, size_t h);
bp_status bp_ref_mse_forward_f32(float *loss, const float *out, const float *targ, size_t n, size_t h);
bp_status bp_ref_mse_forward_f64(double *loss, const double *out, const double *targ, size_t n,
                                 size_t h);

/* dout = (out - targ) * (2 / size), the factor rounded once to the arrays' type. dout may be out. */
void bp_mse_backward_f32(float *dout, const float *out, const float *targ, size_t size);
void bp_mse_backward_f64(double *dout, const double *out, const double *targ, size_t size);
void bp_ref_mse_backward_f32(float *dout, const float *out, const float *targ, size_t size);
void bp_ref_mse_backward_f64(double *dout, const double *out, const double *targ, size_t size);

/* ---- arithmetic: a + b, a - b, a * b, a / b ----------------------------------------------- */

typedef enum { BP_ADD = 0, BP_SUBTRACT = 1, BP_MULTIPLY = 2, BP_DIVIDE = 3 } bp_arithmetic_operation;

/* out (n,h) = a + b and so on, each element rounded once. a_row and a_column: elements from one row,
   one column, of a to the next; 0 where a is broadcast, and a column is 1 otherwise. out may be an
   operand that is not broadcast. BP_INVALID: another operation or column. */
bp_status bp_arithmetic_f32(float *out, int operation, const float *a, size_t a_row, size_t a_column,
                            const float *b, size_t b_row, size_t b_column, size_t n, size_t h);
bp_status bp_arithmetic_f64(double *out, int operation, const double *a, size_t a_row, size_t a_column,
                            const double *b, size_t b_row, size_t b_column, size_t n, size_t h);
bp_status bp_ref_arithmetic_f32(float *out, int operation, const float *a, size_t a_row, size_t a_column,
                                const float *b, size_t b_row, size_t b_column, size_t n, size_t h);
bp_status bp_ref_arithmetic_f64(double *out, int operation, const double *a, size_t a_row,
                                size_t a_column, const double *b, size_t b_row, size_t b_column,
                                size_t n, size_t h);

/* out (size) = a + number and so on, or number + a if number_first. */
bp_status bp_arithmetic_number_f32(float *out, int operation, const float *a, double number,
                                   int number_first, size_t size);
bp_status bp_arithmetic_number_f64(double *out, int operation, const double *a, double number,
                                   int number_first, size_t size);

/* ---- powers --------------------------------------------------------------------------------- */

#define BP_MAX_EXPONENT 64

/* out = x * x * ... * x, |exponent| factors multiplied from the left; 1 over that for a negative
   exponent, 1 for exponent 0. out may be x. BP_INVALID for |exponent| > BP_MAX_EXPONENT. */
bp_status bp_power_f32(float *out, const float *x, int exponent, size_t size);
bp_status bp_power_f64(double *out, const double *x, int exponent, size_t size);
bp_status bp_ref_power_f32(float *out, const float *x, int exponent, size_t size);
bp_status bp_ref_power_f64(double *out, const double *x, int exponent, size_t size);

/* out = the square root of x, rounded once. out may be x. */
void bp_square_root_f32(float *out, const float *x, size_t size);
void bp_square_root_f64(double *out, const double *x, size_t size);
void bp_ref_square_root_f32(float *out, const float *x, size_t size);
void bp_ref_square_root_f64(double *out, const double *x, size_t size);

/* ---- sum -------------------------------------------------------------------------------------- */

/* out (outer,inner) = x (outer,count,inner) summed over the middle axis: in segments of BP_SEGMENT, as
   db is over rows. */
bp_status bp_sum_f32(float *out, const float *x, size_t outer, size_t count, size_t inner);
bp_status bp_sum_f64(double *out, const double *x, size_t outer, size_t count, size_t inner);
bp_status bp_ref_sum_f32(float *out, const float *x, size_t outer, size_t count, size_t inner);
bp_status bp_ref_sum_f64(double *out, const double *x, size_t outer, size_t count, size_t inner);

/* ---- clamp_min: out = max(x, low) ---------------------------------------------------------- */

/* out = x where x > low, NaN where x is NaN, else low. out may be x. */
void bp_clamp_min_forward_f32(float *out, const float *x, double low, size_t size);
void bp_clamp_min_forward_f64(double *out, const double *x, double low, size_t size);
void bp_ref_clamp_min_forward_f32(float *out, const float *x, double low, size_t size);
void bp_ref_clamp_min_forward_f64(double *out, const double *x, double low, size_t size);

/* dx = dout where x > low, else +0. x is the input of the forward, or its output. dx may be dout or x.
 */
void bp_clamp_min_backward_f32(float *dx, const float *x, const float *dout, double low, size_t size);
void bp_clamp_min_backward_f64(double *dx, const double *x, const double *dout, double low, size_t size);
void bp_ref_clamp_min_backward_f32(float *dx, const float *x, const float *dout, double low,
                                   size_t size);
void bp_ref_clamp_min_backward_f64(double *dx, const double *x, const double *dout, double low,
                                   size_t size);

/* ---- exp and log ---------------------------------------------------------------------------- */

/* out = e^x, and out = log(x), within 1 ulp, and the same bits everywhere: see ops/exponential.h. NaN
   stays NaN; exp of infinity is infinity, of -infinity +0; log of 0 is -infinity, of what is below NaN.
   out may be x. */
void bp_exp_f32(float *out, const float *x, size_t size);
void bp_exp_f64(double *out, const double *x, size_t size);
void bp_ref_exp_f32(float *out, const float *x, size_t size);
void bp_ref_exp_f64(double *out, const double *x, size_t size);
void bp_log_f32(float *out, const float *x, size_t size);
void bp_log_f64(double *out, const double *x, size_t size);
void bp_ref_log_f32(float *out, const float *x, size_t size);
void bp_ref_log_f64(double *out, const double *x, size_t size);

/* ---- sigmoid and tanh ------------------------------------------------------------------------ */

/* out = 1 / (1 + e^-x): with e = exp(-|x|), 1 / (1 + e) where x > 0, else e / (1 + e). out may be x. */
void bp_sigmoid_forward_f32(float *out, const float *x, size_t size);
void bp_sigmoid_forward_f64(double *out, const double *x, size_t size);
void bp_ref_sigmoid_forward_f32(float *out, const float *x, size_t size);
void bp_ref_sigmoid_forward_f64(double *out, const double *x, size_t size);

/* dx = dout * fma(-out, out, out), that is out (1 - out). out is the forward's result. dx may be dout or
   out. */
void bp_sigmoid_backward_f32(float *dx, const float *out, const float *dout, size_t size);
void bp_sigmoid_backward_f64(double *dx, const double *out, const double *dout, size_t size);
void bp_ref_sigmoid_backward_f32(float *dx, const float *out, const float *dout, size_t size);
void bp_ref_sigmoid_backward_f64(double *dx, const double *out, const double *dout, size_t size);

/* The same from the forward's input, computing the result again. dx may be dout or x. */
void bp_sigmoid_backward_of_input_f32(float *dx, const float *x, const float *dout, size_t size);
void bp_sigmoid_backward_of_input_f64(double *dx, const double *x, const double *dout, size_t size);

/* out = t / (t + 2) with t = e^2|x| - 1, and the sign of x. -0 stays -0. out may be x. */
void bp_tanh_forward_f32(float *out, const float *x, size_t size);
void bp_tanh_forward_f64(double *out, const double *x, size_t size);
void bp_ref_tanh_forward_f32(float *out, const float *x, size_t size);
void bp_ref_tanh_forward_f64(double *out, const double *x, size_t size);

/* dx = dout * fma(-out, out, 1). out is the forward's result. dx may be dout or out. */
void bp_tanh_backward_f32(float *dx, const float *out, const float *dout, size_t size);
void bp_tanh_backward_f64(double *dx, const double *out, const double *dout, size_t size);
void bp_ref_tanh_backward_f32(float *dx, const float *out, const float *dout, size_t size);
void bp_ref_tanh_backward_f64(double *dx, const double *out, const double *dout, size_t size);

/* The same from the forward's input, computing the result again. dx may be dout or x. */
void bp_tanh_backward_of_input_f32(float *dx, const float *x, const float *dout, size_t size);
void bp_tanh_backward_of_input_f64(double *dx, const double *x, const double *dout, size_t size);

/* ---- softmax and its logarithm, of each row --------------------------------------------------- */

/* e[i,j] = exp(x[i,j] - most), most the row's largest number; sum: of the row's e, in double, element j
   added to lane j % BP_LANES, and the lanes as those of mse. softmax: out = e * (1 / sum), that factor
   rounded to the arrays' type. log_softmax: out = (x - most) - log(sum), the second difference in
   double. x (n,h); out may be x. */
bp_status bp_softmax_forward_f32(float *out, const float *x, size_t n, size_t h);
bp_status bp_softmax_forward_f64(double *out, const double *x, size_t n, size_t h);
bp_status bp_ref_softmax_forward_f32(float *out, const float *x, size_t n, size_t h);
bp_status bp_ref_softmax_forward_f64(double *out, const double *x, size_t n, size_t h);
bp_status bp_log_softmax_forward_f32(float *out, const float *x, size_t n, size_t h);
bp_status bp_log_softmax_forward_f64(double *out, const double *x, size_t n, size_t h);
bp_status bp_ref_log_softmax_forward_f32(float *out, const float *x, size_t n, size_t h);
bp_status bp_ref_log_softmax_forward_f64(double *out, const double *x, size_t n, size_t h);

/* From the forward's result. softmax: dx = out * (dout - s), s = the row's sum of dout out, in lanes as
   above, by fma, rounded once. log_softmax: dx = fma(-exp(out), s, dout), s = the row's sum of dout. dx
   may be dout or out. */
bp_status bp_softmax_backward_f32(float *dx, const float *out, const float *dout, size_t n, size_t h);
bp_status bp_softmax_backward_f64(double *dx, const double *out, const double *dout, size_t n, size_t h);
bp_status bp_ref_softmax_backward_f32(float *dx, const float *out, const float *dout, size_t n,
                                      size_t h);
bp_status bp_ref_softmax_backward_f64(double *dx, const double *out, const double *dout, size_t n,
                                      size_t h);
bp_status bp_log_softmax_backward_f32(float *dx, const float *out, const float *dout, size_t n,
                                      size_t h);
bp_status bp_log_softmax_backward_f64(double *dx, const double *out, const double *dout, size_t n,
                                      size_t h);
bp_status bp_ref_log_softmax_backward_f32(float *dx, const float *out, const float *dout, size_t n,
                                          size_t h);
bp_status bp_ref_log_softmax_backward_f64(double *dx, const double *out, const double *dout, size_t n,
                                          size_t h);

/* ---- cross_entropy: loss = mean over rows of -sum of targ log(softmax(out)) ------------------- */

/* loss (1). targ: probabilities (n,h), each row's sum 1; or if labels is not 0, for each row the column
   whose probability is 1, (n): both give the same bits. A row's loss is fma(w, log(sum), -q), sum as in
   softmax, w the sum of targ, q that of fma(targ, out - most), all in double and in the lanes of
   softmax, q without the terms whose targ is 0. Rows are added in ascending order within a segment,
   segments in ascending order; the mean is rounded once. A label that is not a whole number below h
   makes its row's loss and gradient NaN, and reads nothing. BP_EMPTY if n*h = 0. */
bp_status bp_cross_entropy_forward_f32(float *loss, const float *out, const float *targ, size_t n,
                                       size_t h, int labels);
bp_status bp_cross_entropy_forward_f64(double *loss, const double *out, const double *targ, size_t n,
                                       size_t h, int labels);
bp_status bp_ref_cross_entropy_forward_f32(float *loss, const float *out, const float *targ, size_t n,
                                           size_t h, int labels);
bp_status bp_ref_cross_entropy_forward_f64(double *loss, const double *out, const double *targ, size_t n,
                                           size_t h, int labels);

/* dout = (softmax(out) - targ) * (1 / n), the factor rounded once to the arrays' type. dout may be out.
 */
bp_status bp_cross_entropy_backward_f32(float *dout, const float *out, const float *targ, size_t n,
                                        size_t h, int labels);
bp_status bp_cross_entropy_backward_f64(double *dout, const double *out, const double *targ, size_t n,
                                        size_t h, int labels);
bp_status bp_ref_cross_entropy_backward_f32(float *dout, const float *out, const float *targ, size_t n,
                                            size_t h, int labels);
bp_status bp_ref_cross_entropy_backward_f64(double *dout, const double *out, const double *targ,
                                            size_t n, size_t h, int labels);

/* Both, in one pass. */
bp_status bp_cross_entropy_f32(float *loss, float *dout, const float *out, const float *targ, size_t n,
                               size_t h, int labels);
bp_status bp_cross_entropy_f64(double *loss, double *dout, const double *out, const double *targ,
                               size_t n, size_t h, int labels);

/* The same loss where out are logarithms of probabilities, as of log_softmax: a row's loss is -q, q the
   sum of fma(targ, out), and dout = (0 - targ) * (1 / n). */
bp_status bp_nll_forward_f32(float *loss, const float *out, const float *targ, size_t n, size_t h,
                             int labels);
bp_status bp_nll_forward_f64(double *loss, const double *out, const double *targ, size_t n, size_t h,
                             int labels);
bp_status bp_ref_nll_forward_f32(float *loss, const float *out, const float *targ, size_t n, size_t h,
                                 int labels);
bp_status bp_ref_nll_forward_f64(double *loss, const double *out, const double *targ, size_t n, size_t h,
                                 int labels);
bp_status bp_nll_backward_f32(float *dout, const float *targ, size_t n, size_t h, int labels);
bp_status bp_nll_backward_f64(double *dout, const double *targ, size_t n, size_t h, int labels);
bp_status bp_ref_nll_backward_f32(float *dout, const float *targ, size_t n, size_t h, int labels);
bp_status bp_ref_nll_backward_f64(double *dout, const double *targ, size_t n, size_t h, int labels);

/* ---- binary_cross_entropy: loss = mean of -(targ log(s) + (1 - targ) log(1 - s)), s = sigmoid(out)
 * ---- */

/* loss (1); out, targ (n,h), targ from 0 to 1. An element's term is fma(|out|, q, log(1 + e)) with
   e = exp(-|out|), rounded to the arrays' type as bp_exp does, and q = 1 - targ where out > 0, else
   targ; without its first part where q = 0. log(1 + e) = log(m) + (e - (m - 1)) / m, m = 1 + e; all of
   that and the sums in double, in the lanes and segments of mse. BP_EMPTY if n*h = 0. */
bp_status bp_binary_cross_entropy_forward_f32(float *loss, const float *out, const float *targ, size_t n,
                                              size_t h);
bp_status bp_binary_cross_entropy_forward_f64(double *loss, const double *out, const double *targ,
                                              size_t n, size_t h);
bp_status bp_ref_binary_cross_entropy_forward_f32(float *loss, const float *out, const float *targ,
                                                  size_t n, size_t h);
bp_status bp_ref_binary_cross_entropy_forward_f64(double *loss, const double *out, const double *targ,
                                                  size_t n, size_t h);

/* dout = (sigmoid(out) - targ) * (1 / size), the factor rounded once to the arrays' type. dout may be
   out. */
void bp_binary_cross_entropy_backward_f32(float *dout, const float *out, const float *targ, size_t size);
void bp_binary_cross_entropy_backward_f64(double *dout, const double *out, const double *targ,
                                          size_t size);
void bp_ref_binary_cross_entropy_backward_f32(float *dout, const float *out, const float *targ,
                                              size_t size);
void bp_ref_binary_cross_entropy_backward_f64(double *dout, const double *out, const double *targ,
                                              size_t size);

/* ---- weighted_loss: any loss whose rows count with weights ------------------------------------ */

/* loss (1). kind: a bp_loss; targ: its targets, each row with one number more behind it, the row's
   weight. A row's loss is what the kind adds up for a segment of this row alone; they are added to a
   segment's sum by fma(weight, loss, sum), in ascending order, segments in ascending order. The divisor
   is the kind's own, n or n*h, whatever the weights. BP_EMPTY if n*h = 0. */
bp_status bp_weighted_loss_forward_f32(int kind, float *loss, const float *out, const float *targ,
                                       size_t n, size_t h);
bp_status bp_weighted_loss_forward_f64(int kind, double *loss, const double *out, const double *targ,
                                       size_t n, size_t h);
bp_status bp_ref_weighted_loss_forward_f32(int kind, float *loss, const float *out, const float *targ,
                                           size_t n, size_t h);
bp_status bp_ref_weighted_loss_forward_f64(int kind, double *loss, const double *out, const double *targ,
                                           size_t n, size_t h);

/* dout = the kind's gradient, with the factor times the row's weight, rounded, for its factor. dout may
   be out. */
bp_status bp_weighted_loss_backward_f32(int kind, float *dout, const float *out, const float *targ,
                                        size_t n, size_t h);
bp_status bp_weighted_loss_backward_f64(int kind, double *dout, const double *out, const double *targ,
                                        size_t n, size_t h);
bp_status bp_ref_weighted_loss_backward_f32(int kind, float *dout, const float *out, const float *targ,
                                            size_t n, size_t h);
bp_status bp_ref_weighted_loss_backward_f64(int kind, double *dout, const double *out,
                                            const double *targ, size_t n, size_t h);

/* ---- chain: a sequence of layers with a loss at its end, in one call ------------------------- */

typedef enum {
    BP_ACTIVATION_NONE = 0,       /* a layer's output is z */
    BP_ACTIVATION_RELU = 1,       /* bp_relu_forward, bp_relu_backward */
    BP_ACTIVATION_LEAKY_RELU = 2, /* bp_leaky_relu_forward, bp_leaky_relu_backward */
    BP_ACTIVATION_SIGMOID = 3,    /* bp_sigmoid_forward, bp_sigmoid_backward */
    BP_ACTIVATION_TANH = 4        /* bp_tanh_forward, bp_tanh_backward */
} bp_activation;

typedef enum {
    BP_LOSS_MSE = 0,                  /* bp_mse_forward, bp_mse_backward */
    BP_LOSS_CROSS_ENTROPY = 1,        /* bp_cross_entropy_forward, bp_cross_entropy_backward */
    BP_LOSS_CROSS_ENTROPY_LABELS = 2, /* the same with labels: targ is (n), not (n,h) */
    BP_LOSS_BINARY_CROSS_ENTROPY = 3, /* bp_binary_cross_entropy_forward, ..._backward */
    BP_LOSS_WEIGHTED = 64             /* added to one of them: bp_weighted_loss_forward, ..._backward */
} bp_loss;

/* What a bp_loss of n rows of h outputs is a mean over: n, or n*h. */
double bp_loss_terms(int loss, size_t n, size_t h);

/* A linear layer and the activation after it. Arrays of the type in the call's name. */
typedef struct {
    size_t m, h;           /* inputs, outputs */
    const void *w, *b;     /* (m,h), (h); b may be NULL: no bias */
    int activation;        /* a bp_activation */
    double negative_slope; /* of BP_ACTIVATION_LEAKY_RELU: positive and finite, after rounding to the
                              arrays' type, since backward may read outputs only; else BP_INVALID */
    void *z, *a;           /* (n,h) each: z = in @ w + b, a = activation(z). a may be z, and is not used
                              with BP_ACTIVATION_NONE */
    void *dz;              /* (n,h): the gradient of a and then of z. May be the dz of any layer but the
                              neighbours. May be a, which backward then overwrites: it reads z or, if a is
                              z too, each tile's outputs before writing it. May be z without an activation */
    void *dw, *db;         /* gradients of w and b; NULL: not computed */
    int loss;              /* of the last layer: the bp_loss of its output; of others not used */
} bp_layer;

/* z, a of each layer, and loss (1), the last layer's loss of its output (n,h) and targ, (n,h) or as that
   loss says: the operations above, one after another, with the same bits. layers[0].m = m of x (n,m),
   and each m is the previous layer's h. BP_EMPTY if count = 0 or n*h = 0. */
bp_status bp_chain_forward_f32(float *loss, const bp_layer *layers, size_t count, const float *x,
                               const float *targ, size_t n);
bp_status bp_chain_forward_f64(double *loss, const bp_layer *layers, size_t count, const double *x,
                               const double *targ, size_t n);

/* dw, db of each layer and dx (n,m), which may be NULL, after bp_chain_forward. z, a, x and targ are
   only read, so it may be called again, unless a dz shares memory with its layer's a or z and so
   overwrites it. Overwrites, or with accumulate adds to, dw, db and dx. */
bp_status bp_chain_backward_f32(float *dx, const bp_layer *layers, size_t count, const float *x,
                                const float *targ, size_t n, int accumulate);
bp_status bp_chain_backward_f64(double *dx, const bp_layer *layers, size_t count, const double *x,
                                const double *targ, size_t n, int accumulate);

/* ---- sgd: the update -------------------------------------------------------------------- */

/* p = fma(-lr, dp, p). */
void bp_sgd_update_f32(float *p, const float *dp, double lr, size_t size);
void bp_sgd_update_f64(double *p, const double *dp, double lr, size_t size);
void bp_ref_sgd_update_f32(float *p, const float *dp, double lr, size_t size);
void bp_ref_sgd_update_f64(double *p, const double *dp, double lr, size_t size);

/* v = fma(mu, v, dp), then p = fma(-lr, v, p): momentum. */
void bp_sgd_momentum_update_f32(float *p, float *v, const float *dp, double lr, double mu, size_t size);
void bp_sgd_momentum_update_f64(double *p, double *v, const double *dp, double lr, double mu,
                                size_t size);
void bp_ref_sgd_momentum_update_f32(float *p, float *v, const float *dp, double lr, double mu,
                                    size_t size);
void bp_ref_sgd_momentum_update_f64(double *p, double *v, const double *dp, double lr, double mu,
                                    size_t size);

/* A parameter p, its momentum v (NULL without momentum) and gradient dp, of the type in the call's
   name. Of Adam v is the mean of the gradients, and squares that of their squares; else squares is not
   used. is_bias: not decayed by an optimizer with decays_weights_only. */
typedef struct {
    void *p, *v;
    const void *dp;
    size_t size;
    void *squares;
    int is_bias;
} bp_parameter;

/* The updates above for each of them; momentum where v is not NULL. */
void bp_sgd_step_f32(const bp_parameter *parameters, size_t count, double lr, double mu);
void bp_sgd_step_f64(const bp_parameter *parameters, size_t count, double lr, double mu);

/* ---- optimizers: weight decay, Nesterov's momentum, Adam -------------------------------------- */

typedef enum { BP_SGD = 0, BP_ADAM = 1 } bp_rule;

/* How parameters are updated, besides the learning rate lr and mu, which each call is given: the
   momentum of SGD, beta1 of Adam. Zeroed, it is the sgd above. */
typedef struct {
    int rule;
    int nesterov;  /* SGD: the update goes along mu v + dp instead of v */
    int decoupled; /* Adam: the weights shrink by lr weight_decay (AdamW); else weight_decay p is added
                      to the gradient, as SGD always does */
    double beta2, eps; /* Adam */
    double weight_decay;
    int decays_weights_only; /* weight_decay is 0 for biases */
    uint64_t steps; /* updates done, which Adam's next one depends on. Who calls an update counts it
                       here; a plan's steps count themselves */
} bp_optimizer;

/* dp = fma(weight_decay, p, dp), unless weight_decay is 0; where v is not NULL, v = fma(mu, v, dp), and
   dp = v, or with nesterov fma(mu, v, dp); then p = fma(-lr, dp, p). dp's array is only read. */
void bp_sgd_decay_update_f32(float *p, float *v, const float *dp, const bp_optimizer *optimizer,
                             double lr, double mu, size_t size);
void bp_sgd_decay_update_f64(double *p, double *v, const double *dp, const bp_optimizer *optimizer,
                             double lr, double mu, size_t size);
void bp_ref_sgd_decay_update_f32(float *p, float *v, const float *dp, const bp_optimizer *optimizer,
                                 double lr, double mu, size_t size);
void bp_ref_sgd_decay_update_f64(double *p, double *v, const double *dp, const bp_optimizer *optimizer,
                                 double lr, double mu, size_t size);

/* Adam. With t = steps + 1, computed in double and then rounded once to the arrays' type:
   c1 = 1 - mu, c2 = 1 - beta2, step = lr / (1 - mu^t), root = sqrt(1 - beta2^t), keep = 1 - lr
   weight_decay; powers by squaring, from t's highest binary digit on. Then in the arrays' type
       dp = fma(weight_decay, p, dp), or if decoupled p = keep p; neither if weight_decay is 0
       m = fma(c1, dp - m, m)
       v = fma(c2 dp, dp, beta2 v)
       p = fma(-step, m / (sqrt(v) / root + eps), p)
   where each operation is rounded once. dp's array is only read. */
void bp_adam_update_f32(float *p, float *m, float *v, const float *dp, const bp_optimizer *optimizer,
                        double lr, double mu, size_t size);
void bp_adam_update_f64(double *p, double *m, double *v, const double *dp, const bp_optimizer *optimizer,
                        double lr, double mu, size_t size);
void bp_ref_adam_update_f32(float *p, float *m, float *v, const float *dp, const bp_optimizer *optimizer,
                            double lr, double mu, size_t size);
void bp_ref_adam_update_f64(double *p, double *m, double *v, const double *dp,
                            const bp_optimizer *optimizer, double lr, double mu, size_t size);

/* The optimizer's update of each of them; NULL: bp_sgd_step. Does not count optimizer->steps. */
void bp_optimizer_step_f32(const bp_parameter *parameters, size_t count, const bp_optimizer *optimizer,
                           double lr, double mu);
void bp_optimizer_step_f64(const bp_parameter *parameters, size_t count, const bp_optimizer *optimizer,
                           double lr, double mu);

/* ---- the norm of gradients, and clipping by it ------------------------------------------------- */

/* The sum of the squares of dp, in double: in segments of BP_SEGMENT * BP_LANES elements, each in
   BP_LANES lanes as mse adds its squares; the segments' sums are added in ascending order, from +0. */
double bp_sum_squares_f32(const float *dp, size_t size);
double bp_sum_squares_f64(const double *dp, size_t size);
double bp_ref_sum_squares_f32(const float *dp, size_t size);
double bp_ref_sum_squares_f64(const double *dp, size_t size);

/* The factor by which gradients are scaled whose squares add up to `sum`, computed in double:
   max_norm / (sqrt(sum) + 1e-6), at most 1. */
double bp_clip_factor(double sum, double max_norm);

/* dp = dp factor, the factor rounded once to the array's type. */
void bp_scale_f32(float *dp, double factor, size_t size);
void bp_scale_f64(double *dp, double factor, size_t size);
void bp_ref_scale_f32(float *dp, double factor, size_t size);
void bp_ref_scale_f64(double *dp, double factor, size_t size);

/* ---- plan: training steps in memory that was laid out in advance ------------------------------ */

typedef enum {
    BP_LAYERS = 0, /* the chain above, one layer after another */
    BP_FUSED = 1,  /* tiles of rows, each through all layers and back while it is in cache */
    BP_SPLIT = 2   /* threads share the rows, then the elements of the gradients */
} bp_strategy;

/* What all steps share. The caller owns all memory. Two threads must not use one plan at once.
   Strategies differ in speed only. */
typedef struct {
    const bp_layer *layers; /* BP_FUSED does not use z, a and dz. BP_SPLIT writes no z where there is an
                               activation, and needs a separate dz for each layer */
    size_t count;
    const bp_parameter *parameters; /* what a step updates, each dp a layer's dw or db */
    size_t parameter_count;
    int strategy, sparse; /* sparse: terms that are exactly zero may be left out */
    size_t batch;         /* the most rows in a step */
    void *x, *targ;  /* (batch,m), (batch,h+1): where bp_plan_run gathers a batch; targets as the loss
                        says, their weights behind them */
    void *workspace; /* what the strategy needs besides the layers' arrays; initially zero, as padding
                        after rows is read, though no result depends on it */
    size_t workspace_bytes;
    void *run_memory; /* where a run may copy the parameters in a form that suits its steps; initially
                         zero, or NULL. A run without it gives the same bits */
    size_t run_bytes;
    bp_optimizer *optimizer; /* of steps, which count themselves there; NULL: bp_sgd_step */
    const bp_parameter
        *clipped;         /* the gradients whose norm is taken, each added after the one before; */
    size_t clipped_count; /* only dp and size are used */
    double
        max_norm; /* steps scale their gradients down to that norm before the update; 0: they do not */
    size_t mean_rows; /* of bp_plan_grads: the rows that the loss is a mean over, where a call has only
                         some of them; 0: the call's own */
    double *loss_sum; /* where bp_plan_grads writes the sum that the loss divides; NULL: nowhere */
} bp_plan;

/* The bytes of workspace that a plan's strategy needs for steps of up to plan->batch rows. BP_UNKNOWN:
   the strategy cannot compute these layers. */
bp_status bp_plan_workspace_f32(const bp_plan *plan, size_t *bytes);
bp_status bp_plan_workspace_f64(const bp_plan *plan, size_t *bytes);

/* The bytes of run_memory that bp_plan_run uses, 0 where copies would not pay. */
size_t bp_plan_run_bytes_f32(const bp_plan *plan);
size_t bp_plan_run_bytes_f64(const bp_plan *plan);

/* loss (1) and all gradients that are not NULL, for x (n,m) and targ (n,h): the bits of
   bp_chain_forward and bp_chain_backward. BP_MISMATCH for more rows than the plan's batch. */
bp_status bp_plan_grads_f32(const bp_plan *plan, float *loss, const float *x, const float *targ,
                            size_t n, float *dx, int accumulate);
bp_status bp_plan_grads_f64(const bp_plan *plan, double *loss, const double *x, const double *targ,
                            size_t n, double *dx, int accumulate);

/* The same, then bp_plan_update. */
bp_status bp_plan_step_f32(const bp_plan *plan, float *loss, const float *x, const float *targ, size_t n,
                           double lr, double mu);
bp_status bp_plan_step_f64(const bp_plan *plan, double *loss, const double *x, const double *targ,
                           size_t n, double lr, double mu);

/* The part of a step after its gradients: clips them if plan->max_norm is not 0, and updates the
   parameters. BP_DIVERGED: the norm of the gradients is not finite; nothing was changed. */
bp_status bp_plan_update_f32(const bp_plan *plan, double lr, double mu);
bp_status bp_plan_update_f64(const bp_plan *plan, double lr, double mu);

/* out (n,h) for x (n,m), any n: the layers' forward, at most plan->batch rows at a time. */
bp_status bp_plan_predict_f32(const bp_plan *plan, float *out, const float *x, size_t n);
bp_status bp_plan_predict_f64(const bp_plan *plan, double *out, const double *x, size_t n);

/* The progress of an epoch. */
typedef struct {
    size_t row, steps;   /* rows and steps done */
    double loss_sum;     /* over the steps done: loss times rows, added in their order */
    double loss;         /* of the last step */
    const double *rates; /* the learning rate of each step of the epoch; NULL: lr of all */
} bp_progress;

/* Steps over batches of the rows x[order[0]], x[order[1]], ... of x (rows,m) and targ (rows,h), from
   at->row on, until all rows are done or `seconds` have passed; at least one step. The last batch takes
   the remaining rows. order NULL: rows in their order. BP_DIVERGED: at->loss, or if that is finite, the
   norm of the clipped gradients is not finite; the parameters are those from before that step, which
   does not count as done. */
bp_status bp_plan_run_f32(const bp_plan *plan, bp_progress *at, const float *x, const float *targ,
                          const int64_t *order, size_t rows, size_t batch, double lr, double mu,
                          double seconds);
bp_status bp_plan_run_f64(const bp_plan *plan, bp_progress *at, const double *x, const double *targ,
                          const int64_t *order, size_t rows, size_t batch, double lr, double mu,
                          double seconds);

/* ---- the frozen random stream (splitmix64), the same on every machine --------------------- */

/* The start state of one of a seed's independent streams. */
uint64_t bp_random_stream(uint64_t seed, uint64_t stream);
/* out[i] = bound * u, u uniform in [-1, 1) on a grid of 2^-52, rounded once. Advances *state. */
void bp_random_uniform_f32(float *out, double bound, uint64_t *state, size_t size);
void bp_random_uniform_f64(double *out, double bound, uint64_t *state, size_t size);
/* index (size) = a random permutation of 0 .. size-1 (Fisher-Yates). size < 2^32. Advances *state. */
void bp_random_permutation(int64_t *index, uint64_t *state, size_t size);

/* ---- settings: which kernel, how many threads -------------------------------------------- */

/* Kernels known to this build: 0 is the plain C one; higher is faster. They differ in speed only. */
int bp_kernel_count(void);
const char *bp_kernel_name(int kernel);
/* 1 if this CPU and operating system can run the kernel. */
int bp_kernel_available(int kernel);
int bp_active_kernel(void);
bp_status bp_use_kernel(int kernel);

/* Threads that a large operation may use, at most OMP_THREAD_LIMIT of the environment. They change
   speed, never bits, and an operation uses fewer where they do not pay: if it is small, if another
   caller is using them, if they have lately come late, as beside other busy processes, or if the system
   creates no more. set_threads(0): the usual number, which is OMP_NUM_THREADS or that of the processors
   this process may use. All functions may be called from several threads at once, and in a forked child.
 */
int bp_threads(void);
void bp_set_threads(int threads);
/* A limit for the usual number, such as a container's share of its machine; 0: no limit. */
void bp_limit_threads(int threads);
/* The least elementary operations for each thread: smaller work is done by fewer threads. Affects speed,
   never bits; 1 lets tests use threads in the smallest product. set_thread_work(0): the usual number. */
int bp_thread_work(void);
void bp_set_thread_work(int operations);
/* Changes what bp_threads returns, whether it was set or is the usual number, so that it can be set
   back: for those who limit the threads of all libraries. */
void bp_lend_threads(int threads);
/* What threads are made with, "" in a serial build. */
const char *bp_pool(void);
/* For tests: with 1, every operation that may use several threads waits until each has begun. And the
   shares of operations that other threads than the caller's have done so far. */
void bp_insist_on_helpers(int insist);
size_t bp_helped(void);
/* How products are split into blocks: affects speed, never bits. block: bytes of the packed operand,
   4096 to 4194304; depth: elements of one chain in a block, 8 to 2048. 0: chosen from the cache sizes,
   for the kernel in use. BP_UNKNOWN for other values. */
bp_status bp_set_tiles(size_t block, size_t depth);
size_t bp_tiles_block(void);
size_t bp_tiles_depth(void);
/* The bytes of a core's second cache, 64 KiB to 2 MiB. */
size_t bp_second_cache(void);
/* Runs fused multiply-adds in registers, `steps` rounds on every thread, and returns the number of
   floating-point operations. Timing it gives the machine's peak. */
double bp_fma_burst_f32(size_t steps);
double bp_fma_burst_f64(size_t steps);
const char *bp_compiler(void);

/* ---- measure: loops whose times tell about the machine --------------------------------------- */

/* Each runs on the calling thread, with the kernel in use, over the first `count` elements, rounded
   down to a multiple of BP_MEASURE_STEP, so many rounds. They return what was done: floating-point
   operations of multiply-adds with one operand from memory; bytes read; bytes written; bytes read and
   written by a copy. */
#define BP_MEASURE_STEP 192
double bp_measure_fma_loads_f32(const float *from, size_t count, size_t rounds);
double bp_measure_fma_loads_f64(const double *from, size_t count, size_t rounds);
double bp_measure_read_f32(const float *from, size_t count, size_t rounds);
double bp_measure_read_f64(const double *from, size_t count, size_t rounds);
double bp_measure_write_f32(float *to, size_t count, size_t rounds);
double bp_measure_write_f64(double *to, size_t count, size_t rounds);
double bp_measure_copy_f32(float *to, const float *from, size_t count, size_t rounds);
double bp_measure_copy_f64(double *to, const double *from, size_t count, size_t rounds);
/* The bytes that an update by adam moves, and nothing else: adds dp to p, m and v, on the library's
   threads, shared as an update's elements are. Returns the bytes read and written. */
double bp_measure_update_f32(float *p, float *m, float *v, const float *dp, size_t size);
double bp_measure_update_f64(double *p, double *m, double *v, const double *dp, size_t size);
/* Integer additions, each waiting for the one before: BP_ADDS a round, of one cycle each. Returns how
   many. */
#define BP_ADDS 16
size_t bp_measure_adds(size_t rounds);
/* The same, beside 12 multiply-adds of vectors a round, which take less time than the additions where
   two can begin in a cycle: it tells the frequency under vectors. */
size_t bp_measure_adds_beside_fma_f32(size_t rounds);
size_t bp_measure_adds_beside_fma_f64(size_t rounds);
/* Follows so many pointers, from where start points; returns the last. */
const void *bp_measure_chase(const void *start, size_t steps);
/* So many regions of the library's threads, one after another, in which each thread has one share and
   nothing to do. */
void bp_measure_regions(int threads, size_t count);
/* eax, ebx, ecx, edx of the instruction cpuid; 0: no x86, or no such leaf, and nothing was written. */
int bp_cpuid(unsigned leaf, unsigned subleaf, uint32_t *registers);

/* [... to here] */

#ifdef __cplusplus
}
#endif

#endif

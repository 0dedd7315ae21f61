/* sparse.h: products that leave out terms that are exactly zero. Included once per element type.

   Adding such a term changes nothing in a chain but the sign of a zero, which its end makes +; so
   the bits are the same as with all terms, as long as the other factor is finite. */

#include "gemm/prefetch.h"
#include "ops/activation.h"

/* The elements of pairs of rows of a matrix (rows,size), where at least one of the two is not zero:
   pair by pair, and in a pair block by block. Two rows share their loads, and neighbouring images
   often have their zeros in the same places. */
typedef struct {
    REAL *first, *second; /* the elements of the pair's rows; a single last row is paired with `zeros` */
    REAL *zeros;          /* (size) */
    uint32_t *at;         /* their index, times step */
    uint32_t *end;        /* (pairs,blocks): where in these lists the terms of a pair and block end */
    size_t most;          /* capacity of the lists */
    size_t block, blocks, step;
} NAME(bp_terms);

/* The nonzero elements of each column of a matrix (rows,h), and where their rows begin. */
typedef struct {
    REAL *value;     /* (h,rows) */
    uint32_t *at;    /* (h,rows): the row, times step */
    uint32_t *count; /* (h) */
    size_t rows, h, step;
} NAME(bp_columns);

/* Whether a product of a matrix with many zeros and h columns may be faster this way. */
int NAME(bp_terms_may_pay)(size_t size, size_t h);

/* Bytes for the terms of (rows,size), and lists laid out there; step: between the rows of what they
   multiply. Such rows, here and below, are whole cache lines of 64 bytes, padding included in
   reads and writes. */
size_t NAME(bp_terms_bytes)(size_t rows, size_t size, size_t step);
NAME(bp_terms) NAME(bp_terms_at)(void *memory, size_t rows, size_t size, size_t step);

/* Fills them from x (rows,size), rows ld apart. 0 if there are too many to pay: they are then undefined.
 */
int NAME(bp_list_terms)(NAME(bp_terms) * terms, const REAL *x, size_t ld, size_t rows, size_t size);

/* How often each product below calls bp_prefetch_some. */
size_t NAME(bp_terms_times)(const NAME(bp_terms) * terms, size_t rows, size_t h);

/* out (rows,h), rows ld apart, = the activation of x @ w (size,h) + b. Rows of w are a step apart. */
void NAME(bp_terms_forward)(REAL *out, size_t ld, const NAME(bp_terms) * x, const REAL *w, const REAL *b,
                            bp_epilogue epilogue, size_t rows, size_t h, bp_prefetch *prefetch);

/* sum (size,h), rows a step apart, += x.T @ dout (rows,h), rows ld apart: chains that continue later.
   dout is finite. */
void NAME(bp_terms_backward_w)(REAL *sum, const NAME(bp_terms) * x, const REAL *dout, size_t ld,
                               size_t rows, size_t h, bp_prefetch *prefetch);

/* The least step for h elements: an odd number of cache lines, against 4K aliasing: nearby rows are then
 * never a multiple of 4096 bytes apart. */
size_t NAME(bp_terms_step)(size_t h);

size_t NAME(bp_columns_bytes)(size_t rows, size_t h);

/* The columns of d (rows,h), rows ld apart, in memory; step: between the rows of what they multiply. h
   is 0 where they are too many for it to pay. */
NAME(bp_columns)
NAME(bp_list_columns)(void *memory, const REAL *d, size_t ld, size_t rows, size_t h, size_t step);

/* sum (h,size) += d.T @ x (rows,size), rows of both `step` apart: chains that continue later. */
void NAME(bp_columns_backward_w)(REAL *sum, const NAME(bp_columns) * d, const REAL *x);

int NAME(bp_all_finite)(const REAL *a, size_t size);

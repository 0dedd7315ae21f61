/* sparse.h: products that leave out terms that are exactly zero. Included once per element type.

   Which numbers are zero is told by bits: a mask for each row, column or unit, walked from its lowest
   bit on; the numbers themselves stay where they are.

   Adding such a term changes nothing in a chain but the sign of a zero, which its end makes +; so
   the bits are the same as with all terms, as long as the other factor is finite. */

#include "gemm/prefetch.h"

#ifndef BP_SPARSE
#define BP_SPARSE

enum { BP_MASK_ROWS = 64 }; /* rows of a matrix that masks tell of, at most */

/* The numbers of a matrix (rows,size) that are not zero. */
typedef struct {
    uint64_t *rows;    /* (words,BP_MASK_ROWS): bit b of (q,i) for element (i, 64 q + b) */
    uint64_t *columns; /* (64 words): bit i of k for element (i,k) */
    size_t words;
} bp_bits;

/* Bytes for the bits of rows of so many elements, and bits laid out there. */
size_t bp_bits_bytes(size_t size);
bp_bits bp_bits_at(void *memory, size_t size);
#endif

/* Whether a product of a matrix with many zeros and h columns may be faster without them. */
int NAME(bp_bits_may_pay)(size_t size, size_t h);

/* Whether in products of x (rows,size), rows ld apart, with h columns it seems to be, by a sample of x's
   rows. */
int NAME(bp_looks_sparse)(const REAL *x, size_t ld, size_t rows, size_t size, size_t h);

/* The rows' bits of x, and whether it is; and the columns' bits, from those of the rows. */
int NAME(bp_find_terms)(bp_bits *bits, const REAL *x, size_t ld, size_t rows, size_t size, size_t h);
void NAME(bp_turn_bits)(const bp_bits *bits);

/* masks (64), transposed as a matrix of bits: bit i of k was bit k of i. */
void NAME(bp_turn_masks)(uint64_t *masks);

/* What both products below work on: x (rows,size) and its bits; `other`, whose rows belong to x's
   columns in the forward, to its rows in the backward; and what is added to. The rows of the last two
   have h numbers and are whole cache lines of 64 bytes, padding included in reads and writes. */
typedef struct {
    REAL *to;
    const bp_bits *bits;
    const REAL *x, *other;
    size_t to_step, x_step, other_step, rows, size, h;
    bp_prefetch *prefetch;
} NAME(bp_bits_product);

/* How often each of them calls bp_prefetch_some. */
void NAME(bp_bits_times)(size_t *forward, size_t *backward, size_t rows, size_t size, size_t h);

/* to (rows,h) = x @ other (size,h), + 0. other is finite. */
void NAME(bp_bits_forward)(const NAME(bp_bits_product) * product);

/* to (size,h) += x.T @ other (rows,h): chains that continue later. other is finite. */
void NAME(bp_bits_backward_w)(const NAME(bp_bits_product) * product);

/* mask (units): in which rows a unit's number in d (units,step) is not zero; how many there are. */
size_t NAME(bp_find_active)(uint64_t *mask, const REAL *d, size_t step, size_t rows, size_t units);

/* sum (units,size) += d (units,rows) @ x (rows,size), by the terms that the units' masks tell, chains
   that continue later, or begin with `first`. x is finite. If head is not 0, the first vector of a row
   of sums holds only that many numbers: the others begin where x is aligned. */
typedef struct {
    REAL *sum;
    const uint64_t *mask;
    const REAL *d, *x;
    size_t sum_step, d_step, x_step, size, units, head;
    int first, kernel;
} NAME(bp_active_product);

void NAME(bp_active_backward_w)(const NAME(bp_active_product) * product);

int NAME(bp_all_finite)(const REAL *a, size_t size);

/* masks.h: products that leave out terms whose left factor is zero, as bits tell: each of 64 rows or
   columns has one. Included once per element type.

   See sparse.h for why that changes no bit as long as the other factor is finite. Values are read where
   they lie, so nothing is copied but the rows that are added up, which thereby are whole vectors. */

#include "ops/activation.h"

#ifndef BP_MASKS
#define BP_MASKS
enum { BP_MASK_BITS = 64 }; /* in a word of a mask */

/* Words of 64 bits for so many columns. */
static inline size_t bp_mask_words(size_t size) { return (size + BP_MASK_BITS - 1) / BP_MASK_BITS; }

/* Whether leaving out zeros pays, with so many terms of all. */
int bp_masks_pay(size_t terms, size_t all);
#endif

/* masks (rows, words): the bits of a row of x (rows,size), rows ld apart, tell what is not zero;
   how much that is. */
size_t NAME(bp_mask_rows)(uint64_t *masks, const REAL *x, size_t ld, size_t rows, size_t size);

/* out (rows,h) = the activation of x (rows,m) @ w + b; b may be NULL. masks are those of x's rows. */
typedef struct {
    REAL *out;
    const uint64_t *masks;
    const REAL *x, *w, *b;
    bp_epilogue epilogue;
    size_t rows, m, h;
} NAME(bp_masked_layer);

/* The rows `mine` of dw (m,h) = x.T @ dz, of n rows. */
typedef struct {
    REAL *dw;
    const uint64_t *masks;
    const REAL *x, *dz;
    size_t n, m, h;
    bp_range mine;
} NAME(bp_masked_gradient);

/* Each returns 0, and what is at out is then undefined and dw as it was, where there is no memory, or
   what zeros would be multiplied by is not finite. */
int NAME(bp_masked_forward)(const NAME(bp_masked_layer) * layer);
int NAME(bp_masked_backward_w)(const NAME(bp_masked_gradient) * gradient);

/* units.h: products and updates of a layer whose weights are stored unit by unit, and whose values lie
   unit by unit too: the rows of a batch side by side. Included once per element type.

   A vector holds one unit's values in some rows of the batch, or one unit's weights of some inputs: a
   lane is one chain, as everywhere. All arrays are in rows of whole cache lines, a step apart. */
#include "ops/activation.h"

/* Each unit's column of values += its bias, then the activation; bias may be NULL. */
void NAME(bp_units_finish)(REAL *out, size_t step, size_t units, size_t rows, const REAL *bias,
                           bp_epilogue epilogue);

/* The rows in which a unit's gradient counts: value[e] is that of the row at row[e]. */
typedef struct {
    const REAL *value, *const *row;
    size_t count;
} NAME(bp_unit_terms);

/* The terms of d (rows), the gradients of one unit: all of them, or if memory is given, those that are
   not zero. The inputs must then be finite. */
size_t NAME(bp_unit_terms_bytes)(size_t rows);
NAME(bp_unit_terms)
NAME(bp_list_unit)(void *memory, const REAL *d, const REAL *const *row, size_t rows);

/* w, v of some units of a layer: each unit's inputs, w_step apart. */
typedef struct {
    REAL *to; /* the new weights, which may be those at w */
    const REAL *w;
    REAL *v; /* momentum, or NULL */
    size_t w_step, inputs;
    const NAME(bp_unit_terms) * terms; /* of each unit, */
    const REAL *dw;                    /* or if not NULL, dw itself: (units,w_step) */
    size_t units;
    REAL lr, mu;
    const REAL *const *next; /* rows of as many inputs that are prefetched meanwhile */
    size_t next_rows;
} NAME(bp_unit_update);

/* dw = the chains of the terms, + 0; then bp_sgd_step of w, v and dw. Whole vectors of each row are
   read, and what lies after `inputs` in to and v is undefined. Terms pay where rows are long. */
void NAME(bp_units_update)(const NAME(bp_unit_update) * update);

/* The biases of some units, whose gradients are d (units,step); v may be NULL, to may be b. */
typedef struct {
    REAL *to, *v;
    const REAL *b, *d;
    size_t step, units, rows;
    REAL lr, mu;
} NAME(bp_bias_update);

void NAME(bp_update_biases)(const NAME(bp_bias_update) * update);

/* The least step for so many numbers: an odd number of cache lines, against 4K aliasing: nearby rows are
   then never a multiple of 4096 bytes apart. */
size_t NAME(bp_units_step)(size_t numbers);

/* sums (units) += d (units,step), row after row of `rows` rows. */
void NAME(bp_units_sum)(REAL *sums, const REAL *d, size_t step, size_t units, size_t rows);

/* to (cols,to_step) = the transpose of from (rows,from_step). */
void NAME(bp_turn)(REAL *to, size_t to_step, const REAL *from, size_t from_step, size_t rows,
                   size_t cols);

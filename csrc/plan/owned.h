/* owned.h: a run of steps in which the weights of a network lie unit by unit. Included once per element
   type. */

#ifndef BP_OWNED
#define BP_OWNED
/* Where a layer's arrays begin, in elements: in the memory that all share, or in each share's own. What
   others read while it is written is there twice. */
typedef struct {
    size_t mp;          /* from one unit's weights, one row of inputs, to the next */
    int copied, narrow; /* whether the data's rows are copied to whole lines; whether rows are short */
    size_t w[2], v, b[2], vb; /* shared: (h,mp), (h,mp), (h), (h) */
    size_t a[2];              /* (h,step): outputs; shared in the first layer, else own, and one */
    size_t d, rows;           /* own: (h,step), the outputs' gradients; (batch,mp), the inputs */
} bp_owned_layer;
#endif

/* A run. The inputs of a step's batch are at x[parity], its targets at targ[parity]. */
typedef struct {
    const bp_plan *plan;
    bp_owned_layer *layers;
    REAL *memory;
    size_t batch, step, own_at, own_size, panel, lists, terms, out, pointers, bytes, list_bytes;

    const REAL *data, *targets, **x[2], **targ[2];
    const int64_t *order;
    size_t n[2]; /* rows of the batches */
    double work;
    REAL lr, mu;
    int threads, lists_pay, moves, parity;
    int ends, begins; /* what the shares do: the rest of a step, and the first layer of the next */
    int finite[2];    /* whether a batch's data is known to be finite */
    REAL loss;
    int done; /* whether the step has ended with an update: its loss is finite, and so is what lists need
               */
} NAME(bp_owned);

typedef struct {
    NAME(bp_owned) * run;
    size_t shares;
} NAME(bp_owned_region);

/* A share of a region (a bp_owned_region). */
void NAME(bp_owned_share)(const void *region, size_t share);

/* The bytes that a run of this plan needs, 0 where it would not pay. */
size_t NAME(bp_owned_bytes)(const bp_plan *plan);

/* Copies the parameters, and takes the rows row .. row + n of the data forward through the first layer.
   0: not with this plan. */
int NAME(bp_owned_begin)(NAME(bp_owned) * run, const bp_plan *plan, const REAL *x, const REAL *targ,
                         const int64_t *order, size_t row, size_t n, double lr, double mu);

/* One step, and the first layer of the next one, of the rows row .. row + n; n may be 0. 0: nothing was
   updated, since a number is not finite. */
int NAME(bp_owned_step)(NAME(bp_owned) * run, size_t row, size_t n);

/* Copies the parameters back. */
void NAME(bp_owned_end)(NAME(bp_owned) * run);

/* fused.h: a fused pass, and the layout of its workspace. Included once per element type. */
#ifndef BP_STAGE
#define BP_STAGE

enum {
    BP_MAX_TILE_ROWS = 64, /* of a tile */
    BP_W_PANEL = 128       /* bytes of w's columns that are copied to be contiguous */
};

/* to (rows,ld) = rows of from (rows,size), elements of `bytes` bytes; those beyond size are 0 */
void bp_copy_rows(void *to, size_t ld, const void *from, size_t size, size_t rows, size_t bytes);

/* Where a layer's arrays begin, in elements; rows are mp or hp apart, whole cache lines. */
typedef struct {
    size_t mp, hp, step;          /* step: of rows that belong to the data's terms */
    size_t w, wt, b;              /* among the shared: (m,hp), (h,mp), (hp) */
    size_t a, d, sum, sum_b, out; /* among a thread's: (rows,hp), (rows,hp), (h,mp), (hp); the
                                     segment's outputs (BP_SEGMENT,h) */
    size_t terms, transposed_sum; /* likewise: lists of the data's nonzero elements, (m,step) */
    size_t rows_of_w;             /* among the shared: (m,step) */
} bp_stage;
#endif

typedef struct {
    const bp_plan *plan;
    const REAL *x, *targ;
    REAL *dx, *out; /* out: if not NULL, only the forward pass, written there */
    size_t n, lowest;
    int accumulate, sparse;
    REAL factor;
    double total;
    const bp_stage *stages;
    REAL *shared;
    size_t rows, shared_size, own_size, x_at, memory_at, columns_at;
    int lists; /* whether lists of the data's terms may pay */
} NAME(pass);

/* One thread's memory, and the state of its current tile and segment. */
typedef struct {
    const NAME(pass) * p;
    REAL *own;
    NAME(bp_terms) x;     /* the data's terms, */
    int listed;           /* whether they are so few that this tile uses only them */
    bp_prefetch prefetch; /* then: the inputs of the next tile */
    int by_rows;          /* the first layer's sums are in transposed_sum (m,step), not in sum (h,mp) */
} NAME(worker);

/* Sets the places in p, and the layers' stages if they are not NULL. */
void NAME(bp_fused_place)(NAME(pass) * p, bp_stage *stages);

/* The size of the stages in elements; they come first in the workspace. */
size_t NAME(bp_fused_stages)(const bp_plan *plan);

/* The parameters in rows of whole cache lines, w and its transpose, for products without packing. */
void NAME(bp_fused_copy)(const NAME(pass) * p);

bp_status NAME(bp_fused_workspace)(const bp_plan *plan, size_t *bytes);

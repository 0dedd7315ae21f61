/* fused.h: a fused pass, and the placement of its workspace. Included once per element type. */
#ifndef BP_STAGE
#define BP_STAGE

enum {
    BP_MAX_TILE_ROWS = 64, /* of a tile */
    BP_W_PANEL = 128       /* bytes of w's columns, copied so that they lie together */
};

/* to (rows,ld) = rows of from (rows,size), numbers of so many bytes; what is beyond size is 0 */
void bp_copy_rows(void *to, size_t ld, const void *from, size_t size, size_t rows, size_t bytes);

/* Where a layer's arrays begin, in numbers; rows are mp or hp apart, whole lines. */
typedef struct {
    size_t mp, hp, step;          /* step: of rows that belong to the data's terms */
    size_t w, wt, b;              /* among the shared: (m,hp), (h,mp), (hp) */
    size_t a, d, sum, sum_b, out; /* among a thread's: (rows,hp), (rows,hp), (h,mp), (hp); the
                                     segment's outputs (BP_SEGMENT,h) */
    size_t terms, transposed_sum; /* likewise: lists of the data's numbers that are not zero, (m,step) */
    size_t rows_of_w;             /* among the shared: (m,step) */
} bp_stage;
#endif

typedef struct {
    const bp_plan *plan;
    const REAL *x, *targ;
    REAL *dx, *out; /* out: only the forward pass, to there */
    size_t n, lowest;
    int accumulate, sparse;
    REAL factor;
    double total;
    const bp_stage *stages;
    REAL *shared;
    size_t rows, shared_size, own_size, x_at, memory_at, columns_at;
    int lists; /* whether lists of the data's terms may pay */
} NAME(pass);

/* One thread's memory, and what it knows of the tile and the segment at hand. */
typedef struct {
    const NAME(pass) * p;
    REAL *own;
    NAME(bp_terms) x;     /* the data's terms, */
    int listed;           /* if they are so few that they alone are used in this tile */
    bp_prefetch prefetch; /* then: the inputs of the next tile */
    int by_rows;          /* the first layer's sums are in transposed_sum (m,step), not in sum (h,mp) */
} NAME(worker);

/* Fills what p says of places, and the layers' stages, where they are not NULL. */
void NAME(bp_fused_place)(NAME(pass) * p, bp_stage *stages);

/* Numbers that the stages take, which are the first in the workspace. */
size_t NAME(bp_fused_stages)(const bp_plan *plan);

/* The parameters in rows of whole lines, w and its transpose, as products without packing read them. */
void NAME(bp_fused_copy)(const NAME(pass) * p);

bp_status NAME(bp_fused_workspace)(const bp_plan *plan, size_t *bytes);

/* fused.h: a fused pass, and the layout of its workspace. Included once per element type.

   In a tile, a layer's values lie unit by unit, as in units.h: the rows of the tile side by side. */
#include "gemm/prefetch.h"

#ifndef BP_STAGE
#define BP_STAGE

enum { BP_MAX_TILE_ROWS = 64 }; /* of a tile: as many as a mask has bits */

/* Where a layer's arrays begin, in elements; rows are whole cache lines apart. */
typedef struct {
    size_t mp, hp, row;  /* from one row of inputs, of outputs, of sums to the next */
    size_t w, wt, total; /* among the shared: packed, (h,mp), (h,row) */
    size_t a, d;         /* among a thread's: (h,step), (h,step) */
    size_t out;          /* likewise: the segment's outputs (BP_SEGMENT,h) */
    size_t sum, sum_b;   /* among a segment's sums: (h,row), (hp) */
    size_t bits;         /* of the first layer, among a thread's: the data's terms; */
    size_t sum_rows;     /* among a segment's sums: (m,hp); */
    size_t w_rows;       /* among the shared: (m,hp) */
} bp_stage;

/* What a segment found. */
typedef struct {
    int by_rows; /* the first layer's sums are in sum_rows, not in sum */
    double error;
    void *sums;
} bp_segment;
#endif

typedef struct {
    const bp_plan *plan;
    const REAL *x, *targ;
    REAL *dx, *out; /* out: if not NULL, only the forward pass, written there */
    size_t n, lowest, threads;
    int accumulate, sparse, kernel; /* kernel: the one that chose where numbers lie */
    REAL factor;
    double total;
    const bp_stage *stages;
    REAL *shared;
    size_t rows, step, shared_size, own_size, rows_at, masks_at, memory_at;
    size_t held_at, sums_at,
        sums_size; /* among a thread's: bp_segments (BP_HELD) and bp_held, their sums */
    int bits;      /* whether leaving out the data's zeros may pay */
    int copies;    /* whether rows of x are copied to be aligned as sums are, */
    size_t head;   /* or else how many of their numbers come before the first aligned vector */
    int by_rows;   /* the first layer's totals are in dw (m,h), not in total */
} NAME(pass);

/* One thread's memory, and the state of its current tile and segment. */
typedef struct {
    const NAME(pass) * p;
    REAL *own, *sums;
    bp_segment *segment;
    bp_bits x;            /* the data's terms, */
    int listed;           /* whether they are so few that this tile uses only them */
    int finite;           /* whether the tile's data is known to be finite */
    bp_prefetch prefetch; /* the inputs of the next tile */
} NAME(worker);

/* Sets the places in p, and the layers' stages if they are not NULL. */
void NAME(bp_fused_place)(NAME(pass) * p, bp_stage *stages);

/* The size of the stages in elements; they come first in the workspace. */
size_t NAME(bp_fused_stages)(const bp_plan *plan);

/* The parameters in the forms in which a pass reads them. */
void NAME(bp_fused_copy)(const NAME(pass) * p);

bp_status NAME(bp_fused_workspace)(const bp_plan *plan, size_t *bytes);

/* fused_tile.c: the rows row .. row + rows of the data, a tile; meanwhile the inputs of the next one,
   from row `next` on, are prefetched. */
void NAME(bp_tile_forward)(NAME(worker) * t, size_t row, size_t rows, size_t next, size_t next_rows);
void NAME(bp_tile_predict)(const NAME(worker) * t, size_t row, size_t rows);
void NAME(bp_tile_backward)(NAME(worker) * t, size_t row, size_t rows);

/* Between the first layer's sums, or totals, unit by unit and rows of them, `step` apart. */
void NAME(bp_sums_to_rows)(const NAME(pass) * p, size_t q, REAL *rows, size_t step, const REAL *sums);
void NAME(bp_sums_from_rows)(const NAME(pass) * p, size_t q, REAL *sums, const REAL *rows, size_t step);

/* fused.h: what fused.c knows of a pass. Included once per element type. */
#ifndef BP_STAGE
#define BP_STAGE
/* Where a layer's arrays begin, in numbers; rows are mp or hp apart, whole lines. */
typedef struct {
    size_t mp, hp;
    size_t w, wt, b;              /* among the shared: (m,hp), (h,mp), (hp) */
    size_t a, d, sum, sum_b, out; /* among a thread's: (rows,hp), (rows,hp), (h,mp), (hp); the
                                     segment's outputs (BP_SEGMENT,h) */
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
    size_t rows, shared_size, own_size, x_at, room_at, value_at, row_at, count_at;
} NAME(pass);

/* For each column so many of its terms: value, and where its row begins. */
typedef struct {
    REAL *value;
    uint32_t *at, *count;
} NAME(list);

/* macro_kernel.h: one block of a product: both operands packed, or read in place, and all of its tiles;
 * included by ops/matmul.c once per element type and kernel. */
#define PACKED_MR (MR <= LANES ? MR : (MR + LANES - 1) / LANES * LANES)

typedef struct {
    const REAL *at;
    size_t stride, inner_stride; /* element (d,p) is at[d * stride + p * inner_stride] */
    size_t size;                 /* of dimension d */
} LOCAL(operand);

typedef struct {
    LOCAL(operand) left, right;
    REAL *c;
    size_t ldc, inner;
    int transposed; /* left is b.T and right a.T: tiles are transposed when written to c */
    int accumulate, segmented;
    bp_epilogue epilogue;
    const REAL *bias;
    REAL *sums;
    REAL *right_workspace, *left_workspace;
    REAL *tiles; /* (rows of a block,NR): a column of tiles that waits to be finished */
    size_t right_capacity, left_capacity; /* numbers of a block that fit */
} LOCAL(work);

/* One block: inner indices p .. p + kc, `nc` elements of right from j on, `mc` of left from i on. */
typedef struct {
    size_t p, kc, j, nc, i, mc;
    size_t full_kc, full_nc, full_mc; /* of all blocks but the last */
    size_t first_packed;              /* of right: those before it are read in place */
    int left_packed, streams;         /* right is read in place, from memory */
    bp_finish finish;
    int from_c, last; /* chains start from c; chains end here */
    bp_prefetch prefetch;
} LOCAL(block);

static const REAL *LOCAL(element)(const LOCAL(operand) * o, size_t d, size_t p) {
    return o->at + d * o->stride + p * o->inner_stride;
}

static size_t LOCAL(at_most)(size_t value, size_t most) { return value < most ? value : most; }

/* Rows of the next tile, so that all tiles are about equal: 50 is 13 + 13 + 12 + 12, not 14 + 14 + 14
 * + 8. */
static inline size_t LOCAL(next_rows)(size_t left) {
    size_t chunks = (left + MR - 1) / MR;
    return (left + chunks - 1) / chunks;
}

static inline size_t LOCAL(packed_mr)(size_t rows) {
    return MR <= LANES ? rows : (rows + LANES - 1) / LANES * LANES;
}

/* Rows whole KiB apart map to few sets of the cache and evict each other. */
static int LOCAL(set_conflicts)(size_t stride) { return stride * sizeof(REAL) % 1024 == 0; }

/* Whether operands are so small that packing them would not pay. */
static int LOCAL(fits_unpacked)(const LOCAL(work) * w, const LOCAL(block) * b) {
    size_t width = LOCAL(at_most)(w->right.size, b->full_nc);
    size_t bytes = b->kc * (width + w->left.size) * sizeof(REAL);
    int set_conflicts =
        LOCAL(set_conflicts)(w->right.inner_stride) || LOCAL(set_conflicts)(w->left.stride);
    return bytes <= (set_conflicts ? UNPACKED_BYTES / 8 : UNPACKED_BYTES);
}

/* Whether an operand is too large for L2. */
static int LOCAL(is_large)(const LOCAL(operand) * o, size_t inner) {
    return inner * o->size > bp_second_cache() / sizeof(REAL);
}

/* Whole vectors may be read in place. It pays where few rows of tiles read them, or where a panel stays
 * in L1. */
static void LOCAL(pack_right)(const LOCAL(work) * w, LOCAL(block) * b) {
    const LOCAL(operand) *right = &w->right;
    int stays =
        !LOCAL(set_conflicts)(right->inner_stride) && b->kc * NR * sizeof(REAL) <= BP_PANEL_BYTES;
    int few = w->left.size <= 4 * MR;
    int direct = right->stride == 1 && (stays || few || LOCAL(fits_unpacked)(w, b));
    b->first_packed = direct ? b->nc / NR * NR : 0;
    b->streams = direct && few && LOCAL(is_large)(right, w->inner);
    size_t d = b->first_packed, whole = right->stride == 1 ? b->nc / NR * NR : 0;
    for (size_t panels; d < whole; d += panels * NR) {
        panels = (whole - d) / NR < LOCAL(panels_at_once) ? (whole - d) / NR : LOCAL(panels_at_once);
        LOCAL(copy_panels)(w->right_workspace + (d - b->first_packed) * b->kc,
                           LOCAL(element)(right, b->j + d, b->p), right->inner_stride, panels, b->kc);
    }
    for (; d < b->nc; d += NR) {
        size_t count = b->nc - d < NR ? b->nc - d : NR;
        LOCAL(pack)(w->right_workspace + (d - b->first_packed) * b->kc, count > LANES ? NR : LANES,
                    LOCAL(element)(right, b->j + d, b->p), right->stride, right->inner_stride, count,
                    b->kc);
    }
}

/* Whether so few columns of tiles read left that packing it would not pay. */
static int LOCAL(is_narrow)(size_t cols) { return cols <= 4 * NR; }

static void LOCAL(pack_left)(const LOCAL(work) * w, LOCAL(block) * b) {
    const LOCAL(operand) *left = &w->left;
    int narrow =
        left->stride != 1 && !LOCAL(set_conflicts)(left->stride) && LOCAL(is_narrow)(w->right.size);
    b->left_packed = !narrow && w->right.size > NR && !LOCAL(fits_unpacked)(w, b);
    if (!b->left_packed) return;
    REAL *to = w->left_workspace;
    for (size_t s = 0, rows; s < b->mc; s += rows) {
        rows = LOCAL(next_rows)(b->mc - s);
        LOCAL(pack)(to, LOCAL(packed_mr)(rows), LOCAL(element)(left, b->i + s, b->p), left->stride,
                    left->inner_stride, rows, b->kc);
        to += LOCAL(packed_mr)(rows) * b->kc;
    }
}

/* Lines per call, so that all are requested when the block's tiles are done. */
static void LOCAL(set_prefetch_rate)(LOCAL(block) * b) {
    size_t tiles = ((b->nc + NR - 1) / NR) * ((b->mc + MR - 1) / MR);
    size_t lines = b->prefetch.rows * ((b->prefetch.bytes + 63) / 64);
    size_t times = tiles * ((b->kc + BP_PREFETCH_STEPS - 1) / BP_PREFETCH_STEPS);
    b->prefetch.lines = times ? (lines + times - 1) / times : 0;
}

/* Each tile prefetches a part of the next block of right, if that is in memory. Elsewhere it would cost
 * more than it gains: what is packed is read row by row, which the hardware foresees. */
static void LOCAL(prefetch_next_block)(const LOCAL(work) * w, LOCAL(block) * b) {
    const LOCAL(operand) *right = &w->right;
    size_t from = b->j + b->nc, p = b->p;
    b->prefetch = (bp_prefetch){0};
    if (from >= right->size) from = 0, p += b->kc;
    if (!b->streams || p >= w->inner) return;
    b->prefetch.at = (const char *)LOCAL(element)(right, from, p);
    b->prefetch.stride = right->inner_stride * sizeof(REAL);
    b->prefetch.rows = LOCAL(at_most)(w->inner - p, b->full_kc);
    b->prefetch.bytes = LOCAL(at_most)(right->size - from, b->full_nc) * sizeof(REAL);
    LOCAL(set_prefetch_rate)(b);
}

/* The tiles of one panel, from column d of the block on: written straight to c where they are whole
 * vectors that end as plain chains, else through a buffer. */
static void LOCAL(run_panel)(const LOCAL(work) * w, LOCAL(block) * b, size_t d) {
    REAL *buffer = w->tiles;
    size_t count = b->nc - d < NR ? b->nc - d : NR, vectors = count > LANES ? 2 : 1;
    const REAL *bias = w->bias && b->last ? w->bias + (w->transposed ? b->i : b->j + d) : NULL;
    int activation = b->last ? w->epilogue.activation : BP_ACTIVATION_NONE;
    REAL *c = w->transposed ? w->c + (b->j + d) * w->ldc + b->i : w->c + b->i * w->ldc + b->j + d;
    int straight = !w->transposed && b->finish != FINISH_ADD && count == vectors * LANES;
    REAL *to = straight ? c : buffer;
    size_t ld = straight ? w->ldc : NR;
    if (!straight && b->from_c)
        (w->transposed ? LOCAL(read_columns) : LOCAL(read_rows))(buffer, c, w->ldc, b->mc, count);
    LOCAL(tile_job)
    job = {.inner = b->kc,
           .left_row = b->left_packed ? 1 : w->left.stride,
           .right = LOCAL(element)(&w->right, b->j + d, b->p),
           .right_inner = w->right.inner_stride,
           .ldc = ld,
           .right_ahead = b->streams && d < b->first_packed,
           .from_out = b->from_c,
           .addend = straight && b->finish == FINISH_CHAIN ? 0 : -(REAL)0,
           .prefetch = &b->prefetch};
    if (d >= b->first_packed)
        job.right = w->right_workspace + (d - b->first_packed) * b->kc,
        job.right_inner = vectors * LANES;
    const REAL *packed_left = w->left_workspace;
    for (size_t s = 0, rows; s < b->mc; s += rows) {
        rows = LOCAL(next_rows)(b->mc - s);
        size_t width = LOCAL(packed_mr)(rows);
        job.left = b->left_packed ? packed_left : LOCAL(element)(&w->left, b->i + s, b->p);
        job.left_inner = b->left_packed ? width : w->left.inner_stride;
        if (b->left_packed) packed_left += width * b->kc;
        job.out = to + s * ld;
        LOCAL(run_tile)(&job, rows, vectors);
    }
    if (w->transposed)
        LOCAL(write_columns)(c, w->ldc, buffer, b->mc, count, b->finish, bias, activation);
    else if (!straight || bias || activation == BP_ACTIVATION_RELU)
        LOCAL(write_rows)(c, w->ldc, to, ld, b->mc, count, b->finish, bias, activation);
}

/* The activation of c's elements, if write_rows and write_columns have not applied it. */
static void LOCAL(activate)(bp_epilogue epilogue, REAL *c, size_t ldc, size_t rows, size_t cols) {
    if (epilogue.activation != BP_ACTIVATION_NONE && epilogue.activation != BP_ACTIVATION_RELU)
        NAME(bp_activation_rows)(epilogue, c, ldc, rows, cols);
}

static void LOCAL(run_block)(const LOCAL(work) * w, LOCAL(block) * b) {
    for (size_t d = 0; d < b->nc; d += NR) LOCAL(run_panel)(w, b, d);
    if (!b->last) return;
    if (w->transposed)
        LOCAL(activate)(w->epilogue, w->c + b->j * w->ldc + b->i, w->ldc, b->nc, b->mc);
    else
        LOCAL(activate)(w->epilogue, w->c + b->i * w->ldc + b->j, w->ldc, b->mc, b->nc);
}

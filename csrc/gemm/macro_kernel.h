/* macro_kernel.h: one block of a product: both operands packed, or read where they lie, and all of its
 * tiles; included by matmul.c once per element type and kernel.
 */
#define CHUNK_WIDTH (TILE_ROWS <= LANES ? TILE_ROWS : (TILE_ROWS + LANES - 1) / LANES * LANES)
#define MOST_HEIGHT 252 /* rows of a column of tiles that waits in a buffer to be finished */

typedef struct {
    const REAL *at;
    size_t step, along; /* number (d,p) of an operand at at[d * step + p * along] */
    size_t size;        /* of its own dimension */
} LOCAL(operand);

typedef struct {
    LOCAL(operand) single, wide;
    REAL *c;
    size_t ldc, inner;
    int turned; /* the wide operand is a: tiles are transposed on their way to c */
    int accumulate, segmented;
    bp_epilogue epilogue;
    const REAL *bias;
    REAL *sums;
    REAL *room, *single_room;
    size_t most, single_most; /* numbers of a block that fit */
} LOCAL(work);

/* Inner indices p .. p + depth, of the wide operand from d on, `width` numbers, of the single one from s
   on, `height` numbers. */
typedef struct {
    size_t p, depth, d, width, s, height;
    size_t full_depth, full_width, full_height; /* of blocks that are not the last */
    size_t first_packed;                        /* of the wide operand: those before lie as they are */
    int single_packed;
    bp_finish finish;
    int from_c, last; /* chains begin with what c holds; they end here */
    bp_ahead ahead;
} LOCAL(block);

static const REAL *LOCAL(place)(const LOCAL(operand) * o, size_t d, size_t p) {
    return o->at + d * o->step + p * o->along;
}

static size_t LOCAL(at_most)(size_t value, size_t most) { return value < most ? value : most; }

/* Rows of a tile, so that those left over are spread evenly: 50 is 13 + 13 + 12 + 12, not 14 + 14 + 14
 * + 8. */
static inline size_t LOCAL(next_rows)(size_t left) {
    size_t chunks = (left + TILE_ROWS - 1) / TILE_ROWS;
    return (left + chunks - 1) / chunks;
}

static inline size_t LOCAL(chunk_width)(size_t rows) {
    return TILE_ROWS <= LANES ? rows : (rows + LANES - 1) / LANES * LANES;
}

/* Rows whole KiB apart fall on few of a cache's sets and drive each other out. */
static int LOCAL(crowded)(size_t stride) { return stride * sizeof(REAL) % 1024 == 0; }

/* Whether operands are so small that packing them would cost more than it saves. */
static int LOCAL(is_near)(const LOCAL(work) * w, const LOCAL(block) * b) {
    size_t width = LOCAL(at_most)(w->wide.size, b->full_width);
    size_t bytes = b->depth * (width + w->single.size) * sizeof(REAL);
    int crowded = LOCAL(crowded)(w->wide.along) || LOCAL(crowded)(w->single.step);
    return bytes <= (crowded ? NEAR_BYTES / 8 : NEAR_BYTES);
}

/* Vectors can be read where they lie, but for those that are not whole. It pays where few rows of tiles
   read them, or where a panel stays in the first cache. */
static void LOCAL(pack_wide)(const LOCAL(work) * w, LOCAL(block) * b) {
    const LOCAL(operand) *wide = &w->wide;
    int stays = !LOCAL(crowded)(wide->along) && b->depth * PANEL * sizeof(REAL) <= PANEL_BYTES;
    int direct = wide->step == 1 && (stays || w->single.size <= 4 * TILE_ROWS || LOCAL(is_near)(w, b));
    b->first_packed = direct ? b->width / PANEL * PANEL : 0;
    size_t d = b->first_packed, whole = wide->step == 1 ? b->width / PANEL * PANEL : 0;
    for (size_t panels; d < whole; d += panels * PANEL) {
        panels =
            (whole - d) / PANEL < LOCAL(panels_at_once) ? (whole - d) / PANEL : LOCAL(panels_at_once);
        LOCAL(copy_panels)(w->room + (d - b->first_packed) * b->depth,
                           LOCAL(place)(wide, b->d + d, b->p), wide->along, panels, b->depth);
    }
    for (; d < b->width; d += PANEL) {
        size_t count = b->width - d < PANEL ? b->width - d : PANEL;
        LOCAL(pack)(w->room + (d - b->first_packed) * b->depth, count > LANES ? PANEL : LANES,
                    LOCAL(place)(wide, b->d + d, b->p), wide->step, wide->along, count, b->depth);
    }
}

/* Whether a column of tiles reads the single operand so few times that it may stay where it is. */
static int LOCAL(are_few)(size_t wide) { return wide <= 4 * PANEL; }

static void LOCAL(pack_single)(const LOCAL(work) * w, LOCAL(block) * b) {
    const LOCAL(operand) *single = &w->single;
    int few = single->step != 1 && !LOCAL(crowded)(single->step) && LOCAL(are_few)(w->wide.size);
    b->single_packed = !few && w->wide.size > PANEL && !LOCAL(is_near)(w, b);
    if (!b->single_packed) return;
    REAL *to = w->single_room;
    for (size_t s = 0, rows; s < b->height; s += rows) {
        rows = LOCAL(next_rows)(b->height - s);
        LOCAL(pack)(to, LOCAL(chunk_width)(rows), LOCAL(place)(single, b->s + s, b->p), single->step,
                    single->along, rows, b->depth);
        to += LOCAL(chunk_width)(rows) * b->depth;
    }
}

/* So many lines at a time that all have been asked for when the block's tiles are done. */
static void LOCAL(share_out)(LOCAL(block) * b) {
    size_t tiles = ((b->width + PANEL - 1) / PANEL) * ((b->height + TILE_ROWS - 1) / TILE_ROWS);
    size_t lines = b->ahead.rows * ((b->ahead.bytes + 63) / 64);
    size_t times = tiles * ((b->depth + BP_STEPS - 1) / BP_STEPS);
    b->ahead.share = times ? (lines + times - 1) / times : 0;
}

/* Asks, with each tile of this block, for some of what will be packed or read after it. */
static void LOCAL(look_ahead)(const LOCAL(work) * w, LOCAL(block) * b) {
    const LOCAL(operand) *next = &w->single;
    size_t from = b->s + b->height, full = b->full_height, p = b->p;
    b->ahead = (bp_ahead){0};
    if (from >= w->single.size) {
        next = &w->wide, from = b->d + b->width, full = b->full_width;
        if (from >= next->size) from = 0, p += b->depth;
        if (p >= w->inner) return;
    }
    size_t count = next->size - from < full ? next->size - from : full;
    size_t depth = w->inner - p < b->full_depth ? w->inner - p : b->full_depth;
    b->ahead.at = (const char *)LOCAL(place)(next, from, p);
    b->ahead.stride = (next->step == 1 ? next->along : next->step) * sizeof(REAL);
    b->ahead.rows = next->step == 1 ? depth : count;
    b->ahead.bytes = (next->step == 1 ? count : depth) * sizeof(REAL);
    LOCAL(share_out)(b);
}

/* The tiles of one panel, from number d of the block on, one below the other: straight to c where they
   are whole vectors that end as plain chains, else through a buffer. */
static void LOCAL(run_panel)(const LOCAL(work) * w, LOCAL(block) * b, size_t d) {
    _Alignas(64) REAL buffer[(MOST_HEIGHT + LANES) * PANEL];
    size_t count = b->width - d < PANEL ? b->width - d : PANEL, vectors = count > LANES ? 2 : 1;
    const REAL *bias = w->bias && b->last ? w->bias + (w->turned ? b->s : b->d + d) : NULL;
    int activation = b->last ? w->epilogue.activation : BP_ACTIVATION_NONE;
    REAL *c = w->turned ? w->c + (b->d + d) * w->ldc + b->s : w->c + b->s * w->ldc + b->d + d;
    int straight = !w->turned && b->finish != FINISH_ADD && count == vectors * LANES;
    REAL *to = straight ? c : buffer;
    size_t stride = straight ? w->ldc : PANEL;
    if (!straight && b->from_c)
        (w->turned ? LOCAL(read_columns) : LOCAL(read_rows))(buffer, c, w->ldc, b->height, count);
    LOCAL(tile_job)
    job = {.inner = b->depth,
           .single_row = b->single_packed ? 1 : w->single.step,
           .packed = LOCAL(place)(&w->wide, b->d + d, b->p),
           .packed_inner = w->wide.along,
           .stride = stride,
           .from_out = b->from_c,
           .addend = straight && b->finish == FINISH_CHAIN ? 0 : -(REAL)0,
           .ahead = &b->ahead};
    if (d >= b->first_packed)
        job.packed = w->room + (d - b->first_packed) * b->depth, job.packed_inner = vectors * LANES;
    const REAL *packed = w->single_room;
    for (size_t s = 0, rows; s < b->height; s += rows) {
        rows = LOCAL(next_rows)(b->height - s);
        size_t width = LOCAL(chunk_width)(rows);
        job.single = b->single_packed ? packed : LOCAL(place)(&w->single, b->s + s, b->p);
        job.single_inner = b->single_packed ? width : w->single.along;
        if (b->single_packed) packed += width * b->depth;
        job.out = to + s * stride;
        LOCAL(run_tile)(&job, rows, vectors);
    }
    if (w->turned)
        LOCAL(write_columns)(c, w->ldc, buffer, b->height, count, b->finish, bias, activation);
    else if (!straight || bias || activation == BP_ACTIVATION_RELU)
        LOCAL(write_rows)(c, w->ldc, to, stride, b->height, count, b->finish, bias, activation);
}

/* The activation of c's numbers, where write_rows and write_columns have not applied it. */
static void LOCAL(activate)(bp_epilogue epilogue, REAL *c, size_t ldc, size_t rows, size_t cols) {
    if (epilogue.activation != BP_ACTIVATION_NONE && epilogue.activation != BP_ACTIVATION_RELU)
        NAME(bp_activation_rows)(epilogue, c, ldc, rows, cols);
}

static void LOCAL(run_block)(const LOCAL(work) * w, LOCAL(block) * b) {
    for (size_t d = 0; d < b->width; d += PANEL) LOCAL(run_panel)(w, b, d);
    if (!b->last) return;
    if (w->turned)
        LOCAL(activate)(w->epilogue, w->c + b->d * w->ldc + b->s, w->ldc, b->width, b->height);
    else
        LOCAL(activate)(w->epilogue, w->c + b->s * w->ldc + b->d, w->ldc, b->height, b->width);
}

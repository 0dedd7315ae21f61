/* matmul.c: the blocked product that matmul and linear share.
 *
 * One operand's numbers are read as vectors (`wide`), the other's one by one (`single`); lanes are
 * numbers of c, never parts of a sum, so no blocking and no direction changes a bit. The wide operand is
 * b, and vectors run along c's rows; or, where that is cheaper (few columns, or a operand that lies the
 * right way), it is a, vectors run down c's columns, and tiles are transposed on their way to c. A block
 * of the wide operand is packed once (or read where it lies) and all of the single operand passes by.
 * docs/kernels.md tells it at length, with measurements.
 */
#ifndef REAL
#include "internal.h"

#include "kernels/generic.h"
#if defined BP_X86
#include "kernels/avx2.h"
#include "kernels/avx512.h"
#elif defined BP_ARM64
#include "kernels/neon.h"
#endif

#define BP_TEMPLATE "product.h"
#include "each_type.h"
#undef BP_TEMPLATE

enum {
    SMALL_BYTES = 16 * 1024, /* of stack where all blocks are smaller: no page is touched for nothing */
    NEAR_BYTES = 128 * 1024, /* operands that are read where they lie */
    SINGLE_ROOM = 16 * BP_SEGMENT + 64
};

#define BP_TEMPLATE "matmul.c"
#include "each_kernel.h"

static size_t bytes_of(const bp_matrix *m) {
    size_t rows = m->transposed ? m->cols : m->rows, cols = m->transposed ? m->rows : m->cols;
    return rows && cols
               ? ((rows - 1) * m->stride + cols) * (m->is_double ? sizeof(double) : sizeof(float))
               : 0;
}

static int may_overlap(const bp_matrix *a, const bp_matrix *b) {
    uintptr_t from_a = (uintptr_t)a->data, from_b = (uintptr_t)b->data;
    return from_a < from_b + bytes_of(b) && from_b < from_a + bytes_of(a);
}

bp_status bp_matmul(const bp_matrix *c, const bp_matrix *a, const bp_matrix *b, int transpose_a,
                    int transpose_b, int accumulate) {
    size_t rows = transpose_a ? a->cols : a->rows, inner = transpose_a ? a->rows : a->cols;
    size_t cols = transpose_b ? b->rows : b->cols, inner_b = transpose_b ? b->cols : b->rows;
    if (rows != c->rows || cols != c->cols || inner != inner_b || c->transposed ||
        a->is_double != c->is_double || b->is_double != c->is_double || may_overlap(c, a) ||
        may_overlap(c, b))
        return BP_MISMATCH;
    transpose_a = !transpose_a != !a->transposed, transpose_b = !transpose_b != !b->transposed;
    return c->is_double ? bp_matmul_f64(c->data, c->stride, a->data, a->stride, b->data, b->stride, rows,
                                        inner, cols, transpose_a, transpose_b, accumulate)
                        : bp_matmul_f32(c->data, c->stride, a->data, a->stride, b->data, b->stride, rows,
                                        inner, cols, transpose_a, transpose_b, accumulate);
}

#elif defined KERNEL

#include "kernels/tile.h"
#include "kernels/transpose.h"
#include "kernels/pack.h"

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
    const REAL *bias;
    REAL *room, *single_room;
} LOCAL(work);

/* About how many cycles a direction takes: multiplications, then what must be moved to get there. */
static double LOCAL(cost)(const LOCAL(operand) * single, const LOCAL(operand) * wide, size_t inner,
                          int turned, int segmented) {
    double k = (double)inner, s = (double)single->size, v = (double)wide->size;
    double lanes = LANES, vectors = (double)((wide->size + LANES - 1) / LANES);
    double chunks = (double)((single->size + TILE_ROWS - 1) / TILE_ROWS), rows = s / chunks;
    double at_once = rows * (vectors > 1 ? 2 : 1); /* chains side by side must hide the latency of one */
    double stores = segmented ? k / BP_SEGMENT + 1 : 1;
    double cycles = k * s * vectors * (at_once < 8 ? 8 / at_once : 1);
    cycles += wide->step == 1 ? 0 : 0.4 * k * vectors * lanes;
    cycles += single->step == 1 ? 0 : 0.4 * k * s;
    cycles += stores * (turned ? 0.7 * s * v : 2 * s * vectors);
    return cycles;
}

static LOCAL(work) LOCAL(plan)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    LOCAL(operand) a = {t->a + rows.begin * t->a_row, t->a_row, t->a_inner, rows.end - rows.begin};
    LOCAL(operand) b = {t->b + cols.begin * t->b_col, t->b_col, t->b_inner, cols.end - cols.begin};
    LOCAL(work)
    w = {.c = t->c + rows.begin * t->ldc + cols.begin,
         .ldc = t->ldc,
         .inner = t->inner,
         .accumulate = t->accumulate,
         .segmented = t->segmented,
         .bias = t->bias ? t->bias + cols.begin : NULL};
    w.turned =
        LOCAL(cost)(&b, &a, t->inner, 1, t->segmented) < LOCAL(cost)(&a, &b, t->inner, 0, t->segmented);
    w.single = w.turned ? b : a, w.wide = w.turned ? a : b;
    return w;
}

/* One block: inner indices p .. p + depth, of the wide operand from d on, `width` numbers. */
typedef struct {
    size_t p, depth, d, width;
    bp_finish finish;
    int from_c, last;  /* chains begin with what c holds; they end here */
    const char *ahead; /* the next block, and how to walk through it: for each tile and each step */
    size_t ahead_tile, ahead_step, ahead_tiles;
} LOCAL(block);

/* A tile of c from column or row d of the wide operand and s of the single one; through a buffer where
   it is not whole vectors that end as plain chains. */
static void LOCAL(tile_of_c)(const LOCAL(work) * w, const LOCAL(block) * b, LOCAL(tile_job) * job,
                             size_t s, size_t rows, size_t d, size_t count) {
    const REAL *bias = w->bias && b->last ? w->bias + (w->turned ? s : d) : NULL;
    REAL *c = w->turned ? w->c + d * w->ldc + s : w->c + s * w->ldc + d;
    size_t vectors = count > LANES ? 2 : 1;
    if (!w->turned && !bias && b->finish == FINISH_CHAIN && count == vectors * LANES) {
        job->out = c, job->start = b->from_c ? c : NULL;
        job->out_row = job->start_row = w->ldc;
        job->addend = 0;
        LOCAL(run_tile)(job, rows, vectors);
        return;
    }
    REAL tile[(TILE_ROWS + LANES - 1) / LANES * LANES * PANEL];
    size_t whole = (rows + LANES - 1) / LANES * LANES; /* what a transpose reads */
    memset(tile + rows * PANEL, 0, (whole - rows) * PANEL * sizeof(REAL));
    if (b->from_c) (w->turned ? LOCAL(read_columns) : LOCAL(read_rows))(tile, c, w->ldc, rows, count);
    job->out = tile, job->start = b->from_c ? tile : NULL;
    job->out_row = job->start_row = PANEL;
    job->addend = -(REAL)0;
    LOCAL(run_tile)(job, rows, vectors);
    (w->turned ? LOCAL(write_columns) : LOCAL(write_rows))(c, w->ldc, tile, rows, count, b->finish,
                                                           bias);
}

/* Rows of a tile, so that those left over are spread evenly: 50 is 13 + 13 + 12 + 12, not 14 + 14 + 14
 * + 8. */
static size_t LOCAL(next_rows)(size_t left) {
    size_t chunks = (left + TILE_ROWS - 1) / TILE_ROWS;
    return chunks ? (left + chunks - 1) / chunks : 0;
}

/* Asks for rows first, first + every, ... of `count` rows of `length` numbers. */
static void LOCAL(fetch)(const REAL *from, size_t stride, size_t first, size_t every, size_t count,
                         size_t length) {
    for (size_t r = first; r < count; r += every)
        for (size_t k = 0; k < length; k += 64 / sizeof(REAL))
            __builtin_prefetch(from + r * stride + k, 0, 2);
}

/* Whether operands are so small that packing them would cost more than it saves. Rows whole KiB apart
   fall on few of a cache's sets and drive each other out, so only very few of those are left where they
   lie. */
static int LOCAL(is_near)(const LOCAL(work) * w, const LOCAL(block) * b) {
    size_t bytes = b->depth * (b->width + w->single.size) * sizeof(REAL);
    int crowded = w->wide.along * sizeof(REAL) % 1024 == 0 || w->single.step * sizeof(REAL) % 1024 == 0;
    return bytes <= (crowded ? NEAR_BYTES / 8 : NEAR_BYTES);
}

static void LOCAL(run_block)(const LOCAL(work) * w, const LOCAL(block) * b) {
    const LOCAL(operand) *single = &w->single, *wide = &w->wide;
    const REAL *from = wide->at + b->d * wide->step + b->p * wide->along;
    int near = LOCAL(is_near)(w, b);
    int direct = wide->step == 1 && (near || single->size <= 4 * TILE_ROWS);
    size_t first_packed = direct ? b->width / PANEL * PANEL : 0,
           tiles = 0; /* those before lie as they are */
    for (size_t d = first_packed; d < b->width; d += PANEL) {
        size_t count = b->width - d, width = count > LANES ? PANEL : LANES;
        LOCAL(pack)(w->room + (d - first_packed) * b->depth, width, from + d * wide->step, wide->step,
                    wide->along, count, b->depth);
    }
    for (size_t s = 0, rows; s < single->size; s += rows) {
        rows = LOCAL(next_rows)(single->size - s);
        LOCAL(tile_job)
        job = {.inner = b->depth, .single_row = single->step, .single_inner = single->along};
        job.single = single->at + s * single->step + b->p * single->along;
        if (single->step != 1 && !near && b->width > PANEL) {
            size_t width = (rows + LANES - 1) / LANES * LANES;
            LOCAL(pack)(w->single_room, width, job.single, single->step, single->along, rows, b->depth);
            job.single = w->single_room, job.single_row = 1, job.single_inner = width;
        }
        for (size_t d = 0; d < b->width; d += PANEL, tiles++) {
            size_t count = b->width - d < PANEL ? b->width - d : PANEL;
            int packed = d >= first_packed;
            job.packed = packed ? w->room + (d - first_packed) * b->depth : from + d;
            job.packed_inner = packed ? (count > LANES ? PANEL : LANES) : wide->along;
            job.ahead =
                tiles < b->ahead_tiles ? b->ahead + tiles * b->ahead_tile : (const char *)job.packed;
            job.ahead_step = tiles < b->ahead_tiles ? b->ahead_step : 0;
            if (job.single ==
                w->single_room) /* the rows that will be packed next, a few with each tile */
                LOCAL(fetch)(single->at + (s + rows) * single->step + b->p * single->along, single->step,
                             d / PANEL, (b->width + PANEL - 1) / PANEL,
                             LOCAL(next_rows)(single->size - s - rows), b->depth);
            if (b->from_c && !w->turned && d + PANEL < b->width) /* where the next chains begin */
                LOCAL(fetch)(w->c + s * w->ldc + b->d + d + PANEL, w->ldc, 0, 1, rows, PANEL);
            LOCAL(tile_of_c)(w, b, &job, s, rows, b->d + d, count);
        }
    }
}

/* Where the block after this one will be read, so that it is on its way meanwhile. */
static void LOCAL(look_ahead)(const LOCAL(work) * w, LOCAL(block) * b, size_t width) {
    const LOCAL(operand) *wide = &w->wide;
    size_t next = b->d + b->width, p = b->p;
    size_t chunks = (w->single.size + TILE_ROWS - 1) / TILE_ROWS;
    size_t tiles = chunks * ((b->width + PANEL - 1) / PANEL);
    b->ahead_tiles = 0;
    if (next >= wide->size) {
        next = 0, p += b->depth;
        if (p >= w->inner) return;
    }
    size_t count = wide->size - next < width ? wide->size - next : width;
    b->ahead = (const char *)(wide->at + next * wide->step + p * wide->along);
    if (wide->step == 1) { /* each tile fetches a line of every step's row */
        b->ahead_tile = 64, b->ahead_step = wide->along * sizeof(REAL);
        b->ahead_tiles = (count * sizeof(REAL) + 63) / 64;
    } else if (b->depth == w->inner) { /* whole rows, one after another: shared out over all steps */
        size_t bytes = count * wide->step * sizeof(REAL);
        b->ahead_step = bytes / (tiles * b->depth);
        b->ahead_tile = b->ahead_step * b->depth, b->ahead_tiles = tiles;
    }
}

static void LOCAL(run)(LOCAL(work) * w) {
    size_t deepest = bp_tiles_depth() / sizeof(REAL) * (w->single.step == 1 ? 2 : 1);
    size_t most = w->segmented ? BP_SEGMENT : deepest;
    size_t blocks = (w->inner + most - 1) / most;
    size_t depth = w->segmented ? BP_SEGMENT : blocks ? (w->inner + blocks - 1) / blocks : 0;
    if (depth > w->inner) depth = w->inner;
    size_t room = bp_tiles_block() / sizeof(REAL) / (w->turned ? 2 : 1);
    size_t width = depth ? (room < depth * PANEL ? PANEL : room / depth / PANEL * PANEL) : w->wide.size;
    LOCAL(block) b = {0};
    do { /* at least once: a sum of nothing is written too */
        b.depth = w->inner - b.p < depth ? w->inner - b.p : depth;
        b.last = b.p + b.depth == w->inner;
        b.finish = w->segmented && (b.p > 0 || w->accumulate) ? FINISH_ADD : FINISH_CHAIN;
        b.from_c = !w->segmented && (b.p > 0 || w->accumulate);
        for (b.d = 0; b.d < w->wide.size; b.d += b.width) {
            b.width = w->wide.size - b.d < width ? w->wide.size - b.d : width;
            LOCAL(look_ahead)(w, &b, width);
            LOCAL(run_block)(w, &b);
        }
        b.p += b.depth;
    } while (b.p < w->inner);
}

static __attribute__((noinline)) void LOCAL(run_large)(LOCAL(work) * w) {
    _Alignas(64) REAL room[BP_MOST_BLOCK / sizeof(REAL)], single_room[SINGLE_ROOM];
    w->room = room, w->single_room = single_room;
    LOCAL(run)(w);
}

static __attribute__((noinline)) void LOCAL(run_small)(LOCAL(work) * w) {
    _Alignas(64) REAL room[SMALL_BYTES / sizeof(REAL)], single_room[SMALL_BYTES / sizeof(REAL)];
    w->room = room, w->single_room = single_room;
    LOCAL(run)(w);
}

static void LOCAL(multiply)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    if (rows.begin >= rows.end || cols.begin >= cols.end) return;
    LOCAL(work) w = LOCAL(plan)(t, rows, cols);
    size_t wide = (w.wide.size + PANEL - 1) / PANEL * PANEL;
    if (w.inner <= SMALL_BYTES / sizeof(REAL) / 16 && wide * w.inner <= SMALL_BYTES / sizeof(REAL))
        LOCAL(run_small)(&w);
    else
        LOCAL(run_large)(&w);
}

#undef PANEL
#undef LANES
#undef TILE_ROWS

#else

void NAME(bp_multiply)(const NAME(bp_product) * t) {
    const bp_range rows = {0, t->rows}, cols = {0, t->cols};
    int threads = bp_threads_for((double)t->rows * (double)t->cols * (double)t->inner);
    if (threads == 1) {
        BP_DISPATCH(NAME(multiply), (t, rows, cols));
        return;
    }
    int by_rows = t->rows >= t->cols;
    BP_PARALLEL(threads) {
        bp_range mine = bp_my_share(by_rows ? t->rows : t->cols, 16);
        BP_DISPATCH(NAME(multiply), (t, by_rows ? mine : rows, by_rows ? cols : mine));
    }
}

/* c (rows,cols) = op(a) (rows,inner) @ op(b) (inner,cols) */
bp_status NAME(bp_matmul)(REAL *c, size_t ldc, const REAL *a, size_t lda, const REAL *b, size_t ldb,
                          size_t rows, size_t inner, size_t cols, int transpose_a, int transpose_b,
                          int accumulate) {
    if (bp_overflows(transpose_a ? inner : rows, lda, sizeof(REAL)) ||
        bp_overflows(transpose_b ? cols : inner, ldb, sizeof(REAL)) ||
        bp_overflows(rows, ldc, sizeof(REAL)))
        return BP_OVERFLOW;
    NAME(bp_product)
    t = {.c = c, .a = a, .b = b, .ldc = ldc, .rows = rows, .inner = inner, .cols = cols};
    t.a_row = transpose_a ? 1 : lda, t.a_inner = transpose_a ? lda : 1;
    t.b_inner = transpose_b ? 1 : ldb, t.b_col = transpose_b ? ldb : 1;
    t.accumulate = accumulate;
    NAME(bp_multiply)(&t);
    return BP_OK;
}

#endif

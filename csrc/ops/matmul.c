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

#include <stdlib.h>

#include "isa/all.h"

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

enum {
    SMALL_BYTES = 32 * 1024, /* of stack, where all of both operands fits */
    LEAST_BYTES = 64 * 1024, /* of stack, where there is no other memory: one panel of one segment */
    SINGLE_BYTES = 256 * 1024,
    NEAR_BYTES = 128 * 1024, /* operands that are read where they lie */
    PANEL_BYTES = 16 * 1024, /* one panel, likewise */
    SHALLOW = 128            /* inner indices, up to which writing c takes most of the time */
};

#define BP_TEMPLATE "ops/matmul.c"
#include "template/for_each_kernel.h"

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

#include "isa/simd.h"
#include "gemm/micro_kernel.h"
#include "gemm/transpose.h"
#include "gemm/pack.h"
#include "gemm/macro_kernel.h"
#include "gemm/blocking.h"
#include "gemm/column_sums.h"
#include "gemm/small.h"

/* Just before this part of b is packed or read, so that memory is read once for both. */
static void LOCAL(add_sums)(const LOCAL(work) * w, const LOCAL(block) * b) {
    const LOCAL(operand) *of = w->turned ? &w->single : &w->wide;
    LOCAL(add_segment)(w->sums, LOCAL(place)(of, 0, b->p), of->along, b->depth, of->size);
}

static void LOCAL(run)(LOCAL(work) * w) {
    LOCAL(block) b = {.full_depth = LOCAL(depth)(w)};
    size_t deep = b.full_depth ? b.full_depth : 1;
    size_t chunks = w->single_most / deep / CHUNK_WIDTH;
    if (chunks == 0 || LOCAL(is_shallow)(w)) chunks = 1;
    b.full_height =
        LOCAL(part)(w->single.size, LOCAL(at_most)(chunks * TILE_ROWS, MOST_HEIGHT), TILE_ROWS);
    int stays = b.full_height >= w->single.size; /* packed once for all blocks of the wide operand */
    size_t room = w->most / (stays ? 4 : 1) / deep / PANEL * PANEL;
    b.full_width = LOCAL(part)(w->wide.size, room ? room : PANEL, PANEL);
    size_t lead = LOCAL(lead)(w);
    do { /* at least once: a sum of nothing is written too */
        b.depth = LOCAL(at_most)(w->inner - b.p, b.full_depth);
        b.last = b.p + b.depth == w->inner;
        b.finish = w->segmented && (b.p > 0 || w->accumulate) ? FINISH_ADD : FINISH_CHAIN;
        b.from_c = !w->segmented && (b.p > 0 || w->accumulate);
        if (w->sums) LOCAL(add_sums)(w, &b);
        for (b.d = 0; b.d < w->wide.size; b.d += b.width) {
            b.width = b.d == 0 && lead ? lead : LOCAL(at_most)(w->wide.size - b.d, b.full_width);
            LOCAL(pack_wide)(w, &b);
            for (b.s = 0; b.s < w->single.size; b.s += b.height) {
                b.height = LOCAL(at_most)(w->single.size - b.s, b.full_height);
                if (b.d == 0 || !stays) LOCAL(pack_single)(w, &b);
                LOCAL(look_ahead)(w, &b);
                LOCAL(run_block)(w, &b);
            }
        }
        b.p += b.depth;
    } while (b.p < w->inner);
}

#define BP_RUN_ON_STACK(name, bytes)                                                                    \
    static __attribute__((noinline)) void LOCAL(name)(LOCAL(work) * w) {                                \
        _Alignas(64) REAL room[bytes / sizeof(REAL)], single_room[bytes / sizeof(REAL)];                \
        w->room = room, w->single_room = single_room;                                                   \
        w->most = bytes / sizeof(REAL), w->single_most = bytes / sizeof(REAL) - LANES;                  \
        LOCAL(run)(w);                                                                                  \
    }
BP_RUN_ON_STACK(run_small, SMALL_BYTES)
BP_RUN_ON_STACK(run_least, LEAST_BYTES)
#undef BP_RUN_ON_STACK

static void LOCAL(run_large)(LOCAL(work) * w, const bp_rooms *rooms) {
    size_t single_room, numbers = LOCAL(rooms_for)(w, &single_room), mine = bp_thread();
    int given = rooms && mine < rooms->count && numbers * sizeof(REAL) <= rooms->bytes;
    REAL *memory =
        given ? (REAL *)(rooms->at + mine * rooms->bytes) : aligned_alloc(64, numbers * sizeof(REAL));
    if (!memory) {
        LOCAL(run_least)(w);
        return;
    }
    w->single_room = memory, w->room = memory + single_room;
    LOCAL(run)(w);
    if (!given) free(memory);
}

/* c (rows,cols) = the chains of those rows and columns, by one thread */
static void LOCAL(multiply)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    if (rows.begin >= rows.end || cols.begin >= cols.end) return;
    LOCAL(work) w = LOCAL(work_of)(t, rows, cols);
    if (LOCAL(are_few_terms)(w.single.size, w.inner, w.wide.size)) {
        LOCAL(run_few)(&w);
        return;
    }
    LOCAL(choose_direction)(&w);
    size_t most = SMALL_BYTES / sizeof(REAL) - LANES;
    if ((w.wide.size + PANEL) * w.inner <= most && (w.single.size + CHUNK_WIDTH) * w.inner <= most)
        LOCAL(run_small)(&w);
    else
        LOCAL(run_large)(&w, t->rooms);
}

/* One column of tiles of the turned product: rows d .. d + count of a, put across vectors a piece at a
   time that stays in the first cache; columns from .. from + height of c. */
static void LOCAL(turned_panel)(const NAME(bp_product) * t, bp_ahead *ahead, size_t d, size_t count,
                                size_t from, size_t height) {
    _Alignas(64) REAL buffer[(MOST_HEIGHT + LANES) * PANEL];
    size_t vectors = count > LANES ? 2 : 1, width = vectors * LANES;
    size_t p = 0, depth;
    do { /* at least once: a sum of nothing is written too */
        depth = LOCAL(at_most)(t->inner - p, BP_TURNED_DEPTH);
        LOCAL(pack)(t->room, width, t->a + d * t->a_row + p, t->a_row, 1, count, depth);
        LOCAL(tile_job)
        job = {.single_row = 1,
               .single_inner = t->b_inner,
               .packed = t->room,
               .packed_inner = width,
               .inner = depth,
               .stride = PANEL,
               .from_out = p > 0,
               .addend = -(REAL)0,
               .ahead = ahead};
        for (size_t s = 0, rows; s < height; s += rows) {
            rows = LOCAL(next_rows)(height - s);
            job.single = t->b + p * t->b_inner + from + s, job.out = buffer + s * PANEL;
            LOCAL(run_tile)(&job, rows, vectors);
        }
        p += depth;
    } while (p < t->inner);
    LOCAL(write_columns)(t->c + d * t->ldc + from, t->ldc, buffer, height, count, FINISH_CHAIN,
                         t->bias ? t->bias + from : NULL, t->epilogue.activation);
}

/* Asks for what the caller will need next, with each tile for some of it. */
static void LOCAL(ask_for_next)(LOCAL(block) * b, const NAME(bp_product) * t) {
    b->ahead = (bp_ahead){.at = t->next, .rows = t->next_bytes > 0, .bytes = t->next_bytes};
    LOCAL(share_out)(b);
}

static void LOCAL(multiply_turned)(const NAME(bp_product) * t) {
    LOCAL(block) b = {.depth = t->inner, .width = t->rows, .height = t->cols};
    LOCAL(ask_for_next)(&b, t);
    for (size_t from = 0; from < t->cols; from += MOST_HEIGHT)
        for (size_t d = 0; d < t->rows; d += PANEL)
            LOCAL(turned_panel)(t, &b.ahead, d, LOCAL(at_most)(t->rows - d, PANEL), from,
                                LOCAL(at_most)(t->cols - from, MOST_HEIGHT));
    LOCAL(activate)(t->epilogue, t->c, t->ldc, t->rows, t->cols);
}

/* Whether lanes are better used by rows than by columns, which must then be packed. */
static void LOCAL(turn_pays)(int *pays, size_t cols) {
    *pays = cols >= 32 && (cols + LANES - 1) / LANES * LANES * 20 > cols * 23;
}

/* The same by the calling thread, with a and b read where they lie. Rows of b and c hold whole vectors.
 */
static void LOCAL(multiply_here)(const NAME(bp_product) * t) {
    LOCAL(work)
    w = {.single = {t->a, t->a_row, t->a_inner, t->rows},
         .wide = {t->b, 1, t->b_inner, t->cols},
         .c = t->c,
         .ldc = t->ldc,
         .inner = t->inner,
         .accumulate = t->accumulate,
         .epilogue = t->epilogue,
         .bias = t->bias};
    LOCAL(block)
    b = {.depth = t->inner,
         .width = t->cols,
         .height = t->rows,
         .first_packed = t->cols,
         .finish = t->unfinished ? FINISH_LATER : FINISH_CHAIN,
         .from_c = t->accumulate,
         .last = 1};
    LOCAL(ask_for_next)(&b, t);
    for (b.s = 0; b.s < t->rows; b.s += b.height) {
        b.height = LOCAL(at_most)(t->rows - b.s, MOST_HEIGHT);
        LOCAL(run_block)(&w, &b);
    }
}

#undef CHUNK_WIDTH
#undef MOST_HEIGHT
#undef PANEL
#undef LANES
#undef TILE_ROWS

#else

void NAME(bp_multiply_here)(const NAME(bp_product) * t) { BP_DISPATCH(NAME(multiply_here), (t)); }

void NAME(bp_multiply_turned)(const NAME(bp_product) * t) { BP_DISPATCH(NAME(multiply_turned), (t)); }

int NAME(bp_turn_pays)(size_t cols) {
    int pays = 0;
    BP_DISPATCH(NAME(turn_pays), (&pays, cols));
    return pays;
}

void NAME(bp_multiply_part)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    BP_DISPATCH(NAME(multiply), (t, rows, cols));
}

size_t NAME(bp_room_bytes)(size_t rows, size_t inner, size_t cols) {
    size_t bytes = 0;
    BP_DISPATCH(NAME(room_bytes), (&bytes, rows, inner, cols));
    return bytes;
}

void NAME(bp_multiply)(const NAME(bp_product) * t) {
    const bp_range rows = {0, t->rows}, cols = {0, t->cols};
    const int by_rows = t->rows >= t->cols;
    BP_SHARE(bp_threads_for((double)t->rows * (double)t->cols * (double)t->inner),
             by_rows ? t->rows : t->cols, 16, mine,
             NAME(bp_multiply_part)(t, by_rows ? mine : rows, by_rows ? cols : mine));
}

size_t NAME(bp_matmul_room)(size_t rows, size_t inner, size_t cols) {
    size_t threads = (size_t)bp_threads_for((double)rows * (double)cols * (double)inner);
    size_t *shared = rows >= cols ? &rows : &cols;
    *shared = *shared / threads + (*shared % threads != 0);
    size_t each = NAME(bp_room_bytes)(rows, inner, cols);
    return each <= 2 * SMALL_BYTES ? 0 : threads * each;
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

/* matmul.c: c (rows,cols) = a (rows,inner) @ b (inner,cols), the blocked product that matmul and linear
   share.

   The left operand's elements are broadcast, the right operand's are loaded as vectors; lanes are
   elements of c, never parts of a sum, so no blocking and no direction changes a bit. Usually left
   is a and right is b: vectors run along c's rows. If it is cheaper (few columns, or operands
   stored transposed), the product is computed transposed: left is b.T, right is a.T, and tiles are
   transposed when they are written to c. A block of right (KC x NC) is packed once, or read in
   place, and multiplied by all of left; a block that is transposed to be packed is one that stays in
   L1. See docs/kernels.md. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#include "isa/all.h"

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

enum {
    LEFT_BYTES = 256 * 1024,     /* of left's blocks, or half of the second cache */
    UNPACKED_BYTES = 128 * 1024, /* operands that are read in place */
    SPREAD_BYTES = 1 << 20,      /* 256 pages: as many as a TLB holds besides others' */
    SHALLOW = 128                /* inner length up to which writing c takes most of the time */
};

enum { UNIT_DEPTH = BP_PANEL_BYTES / 128 }; /* inputs in a panel of two of the widest vectors */

#define BP_TEMPLATE "ops/matmul.c"
#include "template/for_each_kernel.h"

static size_t bytes_of(const bp_matrix *m) {
    size_t rows = m->transposed ? m->cols : m->rows, cols = m->transposed ? m->rows : m->cols;
    return rows && cols ? ((rows - 1) * m->ld + cols) * (m->is_double ? sizeof(double) : sizeof(float))
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
    return c->is_double ? bp_matmul_f64(c->data, c->ld, a->data, a->ld, b->data, b->ld, rows, inner,
                                        cols, transpose_a, transpose_b, accumulate)
                        : bp_matmul_f32(c->data, c->ld, a->data, a->ld, b->data, b->ld, rows, inner,
                                        cols, transpose_a, transpose_b, accumulate);
}

#elif defined KERNEL
/* ---- per type and kernel ---- */

#include "isa/simd.h"
#include "gemm/micro_kernel.h"
#include "gemm/transpose.h"
#include "gemm/pack.h"
#include "gemm/macro_kernel.h"
#include "gemm/column_sums.h"
#include "gemm/small.h"
#include "gemm/blocking.h"
#include "gemm/unpacked.h"
#include "gemm/unit_product.h"

/* Just before this part of b is packed or read, so that memory is read once for both. */
static void LOCAL(add_sums)(const LOCAL(work) * w, const LOCAL(block) * b) {
    const LOCAL(operand) *of = w->transposed ? &w->left : &w->right;
    LOCAL(add_segment)(w->sums, LOCAL(element)(of, 0, b->p), of->inner_stride, b->kc, of->size);
}

static void LOCAL(run)(LOCAL(work) * w) {
    LOCAL(block) b = {.full_kc = LOCAL(choose_kc)(w)};
    size_t deep = b.full_kc ? b.full_kc : 1;
    size_t chunks = w->left_capacity / deep / PACKED_MR;
    if (chunks == 0 || LOCAL(is_shallow)(w)) chunks = 1;
    b.full_mc = LOCAL(part)(w->left.size, LOCAL(at_most)(chunks * MR, BP_MAX_MC), MR);
    int stays = b.full_mc >= w->left.size; /* packed once for all blocks of right */
    size_t near =
        bp_second_cache() / 4 / sizeof(REAL); /* for blocks of right, if all of left is there too */
    size_t fits = (stays ? LOCAL(at_most)(near, w->right_capacity) : w->right_capacity) / deep / NR * NR;
    b.full_nc = LOCAL(part)(w->right.size, fits ? fits : NR, NR);
    size_t head = LOCAL(head)(w);
    do { /* at least once: a sum of nothing is written too */
        b.kc = LOCAL(at_most)(w->inner - b.p, b.full_kc);
        b.last = b.p + b.kc == w->inner;
        b.finish = w->segmented && (b.p > 0 || w->accumulate) ? FINISH_ADD : FINISH_CHAIN;
        b.from_c = !w->segmented && (b.p > 0 || w->accumulate);
        if (w->sums) LOCAL(add_sums)(w, &b);
        for (b.j = 0; b.j < w->right.size; b.j += b.nc) {
            b.nc = b.j == 0 && head ? head : LOCAL(at_most)(w->right.size - b.j, b.full_nc);
            LOCAL(pack_right)(w, &b);
            for (b.i = 0; b.i < w->left.size; b.i += b.mc) {
                b.mc = LOCAL(at_most)(w->left.size - b.i, b.full_mc);
                if (b.j == 0 || !stays) LOCAL(pack_left)(w, &b);
                LOCAL(prefetch_next_block)(w, &b);
                LOCAL(run_block)(w, &b);
            }
        }
        b.p += b.kc;
    } while (b.p < w->inner);
}

/* memory: bytes_of(needs) on whole cache lines. */
static void LOCAL(run_in)(LOCAL(work) * w, LOCAL(needs) needs, REAL *memory) {
    w->tiles = memory;
    w->left_workspace = w->tiles + needs.tiles, w->right_workspace = w->left_workspace + needs.left;
    LOCAL(run)(w);
}

/* In the caller's workspace, or in memory for this product. 0: there is none, and nothing was written.
 */
static int LOCAL(run_packed)(LOCAL(work) * w, const bp_workspace *workspace) {
    const LOCAL(needs) needs = LOCAL(needs_of)(w);
    size_t bytes = LOCAL(bytes_of)(needs), mine = bp_thread();
    if (workspace && mine < workspace->count && bytes <= workspace->bytes) {
        LOCAL(run_in)(w, needs, (REAL *)(workspace->at + mine * workspace->bytes));
        return 1;
    }
    int small = bytes <= BP_BLOCK_BYTES;
    void *memory = small ? bp_take_block() : bp_allocate_lines(bytes);
    if (!memory) return 0;
    LOCAL(run_in)(w, needs, memory);
    if (small)
        bp_give_block(memory);
    else
        bp_free_lines(memory);
    return 1;
}

/* One column of tiles of the transposed product: rows d .. d + count of a, packed KC elements at a time
 * so that they stay in L1; columns from .. from + height of c. */
static void LOCAL(transposed_panel)(const NAME(bp_product) * t, size_t d, size_t count, size_t from,
                                    size_t height) {
    bp_prefetch nothing = {0};
    REAL *buffer = t->memory, *panel = buffer + BP_TILES_BYTES / sizeof(REAL);
    size_t vectors = count > LANES ? 2 : 1, width = vectors * LANES;
    size_t p = 0, depth;
    do { /* at least once: a sum of nothing is written too */
        depth = LOCAL(at_most)(t->inner - p, BP_PANEL_BYTES / (2 * VECTOR_BYTES));
        LOCAL(pack)(panel, width, t->a + d * t->a_row + p, t->a_row, 1, count, depth);
        LOCAL(tile_job)
        job = {.left_row = 1,
               .left_inner = t->b_inner,
               .right = panel,
               .right_inner = width,
               .inner = depth,
               .ldc = NR,
               .from_out = p > 0,
               .addend = -(REAL)0,
               .prefetch = &nothing};
        for (size_t s = 0, rows; s < height; s += rows) {
            rows = LOCAL(next_rows)(height - s);
            job.left = t->b + p * t->b_inner + from + s, job.out = buffer + s * NR;
            LOCAL(run_tile)(&job, rows, vectors);
        }
        p += depth;
    } while (p < t->inner);
    LOCAL(write_columns)(t->c + d * t->ldc + from, t->ldc, buffer, height, count, FINISH_CHAIN,
                         t->bias ? t->bias + from : NULL, t->epilogue.activation);
}

static void LOCAL(multiply_transposed)(const NAME(bp_product) * t) {
    for (size_t from = 0; from < t->cols; from += BP_MAX_MC)
        for (size_t d = 0; d < t->rows; d += NR)
            LOCAL(transposed_panel)(t, d, LOCAL(at_most)(t->rows - d, NR), from,
                                    LOCAL(at_most)(t->cols - from, BP_MAX_MC));
    LOCAL(activate)(t->epilogue, t->c, t->ldc, t->rows, t->cols);
}

/* Whether the product is computed transposed, without packing more of a than stays in L1. */
static int LOCAL(takes_panels)(const NAME(bp_product) * t, const LOCAL(work) * w) {
    return w->transposed && t->a_inner == 1 && t->b_col == 1 && !t->accumulate && !t->segmented &&
           !LOCAL(set_conflicts)(t->b_inner);
}

/* The same as run_packed, for these rows and columns. */
static int LOCAL(run_panels)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    NAME(bp_product) some = *t;
    some.a += rows.begin * t->a_row, some.b += cols.begin;
    if (t->bias) some.bias += cols.begin;
    some.c += rows.begin * t->ldc + cols.begin;
    some.rows = rows.end - rows.begin, some.cols = cols.end - cols.begin;
    if (!(some.memory = bp_take_block())) return 0;
    LOCAL(multiply_transposed)(&some);
    bp_give_block(some.memory);
    return 1;
}

/* c (rows,cols) = the chains of those rows and columns, by one thread */
static void LOCAL(multiply)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    if (rows.begin >= rows.end || cols.begin >= cols.end) return;
    LOCAL(work) w = LOCAL(work_of)(t, rows, cols);
    if (LOCAL(is_small)(w.left.size, w.inner, w.right.size)) {
        LOCAL(run_small)(&w); /* before the copy, which would take as long as this */
        return;
    }
    const LOCAL(work) plain = w;
    LOCAL(choose_direction)(&w);
    int done = LOCAL(takes_panels)(t, &w) ? LOCAL(run_panels)(t, rows, cols)
                                          : LOCAL(run_packed)(&w, t->workspace);
    if (!done) LOCAL(run_unpacked)(&plain);
}

/* c = a @ b by the calling thread, with a and b read where they lie. Rows of b and c hold whole
   vectors. */
static void LOCAL(multiply_here)(const NAME(bp_product) * t) {
    LOCAL(work)
    w = {.left = {t->a, t->a_row, t->a_inner, t->rows},
         .right = {t->b, 1, t->b_inner, t->cols},
         .c = t->c,
         .ldc = t->ldc,
         .inner = t->inner,
         .accumulate = t->accumulate,
         .epilogue = t->epilogue,
         .bias = t->bias,
         .tiles = t->memory};
    LOCAL(block)
    b = {.kc = t->inner,
         .nc = t->cols,
         .mc = t->rows,
         .first_packed = t->cols,
         .finish = t->unfinished ? FINISH_LATER : FINISH_CHAIN,
         .from_c = t->accumulate,
         .last = 1};
    for (b.i = 0; b.i < t->rows; b.i += b.mc) {
        b.mc = LOCAL(at_most)(t->rows - b.i, BP_MAX_MC);
        LOCAL(run_block)(&w, &b);
    }
}

#undef PACKED_MR
#undef NR
#undef LANES
#undef MR

#else
/* ---- per type ---- */

void NAME(bp_multiply_here)(const NAME(bp_product) * t) { BP_DISPATCH(NAME(multiply_here), (t)); }

void NAME(bp_units_multiply)(const NAME(bp_unit_product) * t) {
    BP_DISPATCH_TO(t->packed ? t->kernel : bp_active_kernel(), NAME(units_multiply), (t));
}

void NAME(bp_pack_units)(REAL *packed, const REAL *w, size_t inner, size_t units, int kernel) {
    BP_DISPATCH_TO(kernel, NAME(pack_units), (packed, w, inner, units));
}

size_t NAME(bp_units_times)(size_t rows, size_t inner, size_t units, int kernel) {
    size_t times = 0;
    BP_DISPATCH_TO(kernel, NAME(units_times), (&times, rows, inner, units));
    return times;
}

void NAME(bp_multiply_part)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    BP_DISPATCH(NAME(multiply), (t, rows, cols));
}

size_t NAME(bp_multiply_workspace)(size_t rows, size_t inner, size_t cols) {
    size_t bytes = 0;
    BP_DISPATCH(NAME(multiply_workspace), (&bytes, rows, inner, cols));
    return bytes;
}

static void NAME(some_rows)(const void *job, bp_range mine) {
    const NAME(bp_product) *t = job;
    NAME(bp_multiply_part)(t, mine, (bp_range){0, t->cols});
}

static void NAME(some_columns)(const void *job, bp_range mine) {
    const NAME(bp_product) *t = job;
    NAME(bp_multiply_part)(t, (bp_range){0, t->rows}, mine);
}

void NAME(bp_multiply)(const NAME(bp_product) * t) {
    const int by_rows = t->rows >= t->cols;
    const size_t size =
        by_rows ? t->rows : t->cols; /* one part for each thread: each packs, and asks for memory */
    bp_run_parts((double)t->rows * (double)t->cols * (double)t->inner, size, 16, size,
                 by_rows ? NAME(some_rows) : NAME(some_columns), t);
}

size_t NAME(bp_matmul_workspace)(size_t rows, size_t inner, size_t cols) {
    size_t threads = (size_t)bp_useful_threads((double)rows * (double)cols * (double)inner);
    size_t *shared = rows >= cols ? &rows : &cols;
    *shared = *shared / threads + (*shared % threads != 0);
    size_t each = NAME(bp_multiply_workspace)(rows, inner, cols);
    return each <= BP_BLOCK_BYTES ? 0 : threads * each;
}

/* c (rows,cols) = op(a) (rows,inner) @ op(b) (inner,cols) */
bp_status NAME(bp_matmul)(REAL *c, size_t ldc, const REAL *a, size_t lda, const REAL *b, size_t ldb,
                          size_t rows, size_t inner, size_t cols, int transpose_a, int transpose_b,
                          int accumulate) {
    BP_DEFINED_ENVIRONMENT;
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

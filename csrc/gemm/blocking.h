/* blocking.h: the direction of vectors, the block sizes KC, MC and NC, and the workspace; included
   by matmul.c once per element type and kernel. */

/* An estimate of a direction's time in vector multiplications: those of the product, then the cost of
 * packing and storing. The factors were fitted to measurements of both directions over many shapes. */
static double LOCAL(cost)(const LOCAL(operand) * left, const LOCAL(operand) * right, size_t inner,
                          int transposed, int segmented) {
    const double bytes = sizeof(REAL);
    double k = (double)inner, s = (double)left->size, v = (double)right->size;
    double vectors = (double)((right->size + LANES - 1) / LANES);
    double chunks = (double)((left->size + MR - 1) / MR), rows = s / chunks;
    double at_once = rows * (vectors > 1 ? 2 : 1); /* parallel chains hide the latency of one */
    double stores = segmented ? k / BP_SEGMENT + 1 : 1;
    double cycles = k * s * vectors * (at_once < 8 ? 8 / at_once : 1);
    cycles += right->stride == 1 ? 0 : 0.15 * bytes * k * vectors * (double)LANES;
    cycles += left->stride == 1 || LOCAL(is_narrow)(right->size) ? 0 : 0.1 * bytes * k * s;
    cycles += stores * (transposed ? 0.23 * bytes * s * v : 4.4 * s * vectors);
    return cycles;
}

/* The work for these rows and columns, with vectors along c's rows. */
static LOCAL(work) LOCAL(work_of)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    return (LOCAL(work)){
        .left = {t->a + rows.begin * t->a_row, t->a_row, t->a_inner, rows.end - rows.begin},
        .right = {t->b + cols.begin * t->b_col, t->b_col, t->b_inner, cols.end - cols.begin},
        .c = t->c + rows.begin * t->ldc + cols.begin,
        .ldc = t->ldc,
        .inner = t->inner,
        .accumulate = t->accumulate,
        .segmented = t->segmented,
        .epilogue = t->epilogue,
        .bias = t->bias ? t->bias + cols.begin : NULL,
        .sums = t->sums && rows.begin == 0 ? t->sums + cols.begin : NULL};
}

static void LOCAL(choose_direction)(LOCAL(work) * w) {
    const LOCAL(operand) a = w->left, b = w->right;
    w->transposed =
        LOCAL(cost)(&b, &a, w->inner, 1, w->segmented) < LOCAL(cost)(&a, &b, w->inner, 0, w->segmented);
    w->left = w->transposed ? b : a, w->right = w->transposed ? a : b;
}

/* `size` in equal parts of at most `most`, each a multiple of `step` */
static size_t LOCAL(part)(size_t size, size_t most, size_t step) {
    size_t parts = (size + most - 1) / most;
    size_t each = parts ? (size + parts - 1) / parts : 0;
    return (each + step - 1) / step * step;
}

/* Whether packing all steps of the inner index would read from so many pages that their addresses are
 * looked up again for each panel. */
static int LOCAL(is_spread)(const LOCAL(operand) * o, size_t inner) {
    return o->stride == 1 && inner * o->inner_stride > SPREAD_BYTES / sizeof(REAL);
}

/* KC: the whole inner dimension if one packed operand then fits its workspace, so that c is written
 * only once. */
static size_t LOCAL(choose_kc)(const LOCAL(work) * w) {
    if (w->segmented) return LOCAL(at_most)(w->inner, BP_SEGMENT);
    size_t narrow = LOCAL(at_most)(w->left.size, w->right.size) + NR;
    int is_spread = LOCAL(is_spread)(&w->left, w->inner) || LOCAL(is_spread)(&w->right, w->inner);
    if (!is_spread && w->inner <= w->right_capacity / narrow &&
        w->inner <= w->left_capacity / PACKED_MR / 2)
        return w->inner;
    size_t most = LOCAL(at_most)(w->right_capacity / NR, w->left_capacity / PACKED_MR);
    return LOCAL(part)(w->inner, LOCAL(at_most)(bp_tiles_depth(), most), 1);
}

/* Whether c is better written row by row than panel by panel: it is not in cache, and KC is small. */
static int LOCAL(is_shallow)(const LOCAL(work) * w) {
    size_t bytes = w->left.size * w->right.size * sizeof(REAL);
    return !w->transposed && w->inner <= SHALLOW && bytes > bp_second_cache();
}

/* Elements before the first aligned vector. Where vectors would cross cache lines, a narrow first panel
 * makes all others aligned. */
static size_t LOCAL(head)(const LOCAL(work) * w) {
    const REAL *at = w->transposed ? w->right.at : w->c;
    size_t stride = w->transposed ? w->right.inner_stride : w->ldc, off = (uintptr_t)at % VECTOR_BYTES;
    if (w->right.size < 8 * NR || (w->transposed ? w->right.stride != 1 : w->inner > BP_SEGMENT))
        return 0;
    if (off % sizeof(REAL) != 0 || stride % LANES != 0) return 0;
    return off ? (VECTOR_BYTES - off) / sizeof(REAL) : 0;
}

/* Elements of workspace for `count` micro-panels (depth,width): as many as all of them need, but at
   most `bytes`, and at least one of a segment. *capacity = what blocks may use. */
static size_t LOCAL(operand_workspace)(size_t *capacity, size_t count, size_t width, size_t depth,
                                       size_t bytes) {
    size_t least = width * BP_SEGMENT, limit = bytes / sizeof(REAL);
    *capacity = limit > least ? limit : least;
    return count * width <= *capacity / (depth + 1) ? count * width * depth : *capacity;
}

/* At least what choose_kc may choose, with so much room for left. */
static size_t LOCAL(deepest)(const LOCAL(work) * w, size_t left_bytes) {
    size_t whole = left_bytes / sizeof(REAL) / PACKED_MR / 2, depth = bp_tiles_depth();
    if (whole < BP_SEGMENT) whole = BP_SEGMENT;
    return LOCAL(at_most)(w->inner, whole > depth ? whole : depth);
}

/* Numbers that a product needs beside its operands: blocks of left, of right, and a column of tiles,
   each on whole cache lines. */
typedef struct {
    size_t left, right, tiles;
} LOCAL(needs);

/* Sets what blocks may use of them, too. */
static LOCAL(needs) LOCAL(needs_of)(LOCAL(work) * w) {
    const size_t line = 64 / sizeof(REAL), block = bp_tiles_block(), half = bp_second_cache() / 2;
    const size_t left_bytes = LOCAL(at_most)(block / 2, half > LEFT_BYTES ? half : LEFT_BYTES);
    size_t panels = w->right.size / NR + 1, chunks = w->left.size / MR + 1;
    size_t depth = LOCAL(deepest)(w, left_bytes);
    size_t right = LOCAL(operand_workspace)(&w->right_capacity, panels, NR, depth, block);
    size_t left = LOCAL(operand_workspace)(&w->left_capacity, chunks, PACKED_MR, depth, left_bytes);
    return (LOCAL(needs)){bp_rounded(left + LANES, line), bp_rounded(right, line),
                          bp_rounded(LOCAL(at_most)(w->left.size, BP_MAX_MC) * NR, line)};
}

static size_t LOCAL(bytes_of)(LOCAL(needs) needs) {
    return (needs.left + needs.right + needs.tiles) * sizeof(REAL);
}

static void LOCAL(multiply_workspace)(size_t *bytes, size_t rows, size_t inner, size_t cols) {
    LOCAL(work)
    w = {.inner = inner, .left.size = rows, .right.size = cols}, transposed = {.inner = inner};
    transposed.left.size = cols, transposed.right.size = rows;
    size_t one = LOCAL(bytes_of)(LOCAL(needs_of)(&w));
    size_t other = LOCAL(bytes_of)(LOCAL(needs_of)(&transposed));
    *bytes = LOCAL(is_small)(rows, inner, cols) ? 0 : one > other ? one : other;
}

/* unpacked.h: products that get no memory to pack their operands: slower, the same bits; included by
   matmul.c once per element type and kernel. */

/* Numbers j .. j + n of an operand at inner index p, wherever they lie. */
static inline LOCAL(vector) LOCAL(numbers)(const LOCAL(operand) * o, size_t j, size_t p, size_t n) {
    const REAL *at = LOCAL(element)(o, j, p);
    if (o->stride == 1) return LOCAL(load_lanes)(at, n);
    REAL found[LANES] = {0};
    for (size_t l = 0; l < LANES && l < n; l++) found[l] = at[l * o->stride];
    return LOCAL(load)(found);
}

/* One vector of c: its chains over the inner indices p .. end. */
static void LOCAL(run_chains)(const LOCAL(work) * w, size_t i, size_t j, size_t p, size_t end) {
    const LOCAL(vector) zero = {0};
    const LOCAL(operand) *a = &w->left;
    REAL *c = w->c + i * w->ldc + j;
    size_t n = w->right.size - j;
    LOCAL(vector) sum = zero;
    if (w->accumulate && !w->segmented) sum = LOCAL(load_lanes)(c, n);
    bp_finish finish = w->segmented && (p > 0 || w->accumulate) ? FINISH_ADD : FINISH_CHAIN;
    for (; p < end; p++)
        sum =
            LOCAL(vector_fma)(*LOCAL(element)(a, i, p) - zero, LOCAL(numbers)(&w->right, j, p, n), sum);
    LOCAL(finish)(c, sum, n, finish, w->bias ? w->bias + j : NULL, w->epilogue.activation);
}

/* With vectors along c's rows, each of its chains, or segments of them, from end to end. */
static void LOCAL(run_unpacked)(const LOCAL(work) * w) {
    const LOCAL(operand) *b = &w->right;
    size_t p = 0, depth;
    do { /* at least once: a sum of nothing is written too */
        depth = LOCAL(at_most)(w->inner - p, w->segmented ? BP_SEGMENT : w->inner);
        if (w->sums)
            LOCAL(add_segment)(w->sums, LOCAL(element)(b, 0, p), b->inner_stride, depth, b->size);
        for (size_t j = 0; j < b->size; j += LANES)
            for (size_t i = 0; i < w->left.size; i++) LOCAL(run_chains)(w, i, j, p, p + depth);
        p += depth;
    } while (p < w->inner);
    LOCAL(activate)(w->epilogue, w->c, w->ldc, w->left.size, b->size);
}

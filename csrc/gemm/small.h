/* small.h: products so small that the way to the tiles would take longer than they do; included by
 * matmul.c once per element type and kernel.
 */
enum {
    LOCAL(few_terms) = 768,  /* multiplications, at most */
    LOCAL(few_numbers) = 256 /* of b, which lie on the stack where its rows have to be turned */
};

static int LOCAL(are_few_terms)(size_t rows, size_t inner, size_t cols) {
    return inner <= LOCAL(few_numbers) && cols <= LOCAL(few_numbers) && rows <= LOCAL(few_terms) &&
           inner * cols <= LOCAL(few_numbers) && inner * cols * rows <= LOCAL(few_terms);
}

/* b (inner,cols) with its rows side by side: where it lies, or a copy in room. */
static LOCAL(operand) LOCAL(rows_of)(const LOCAL(operand) * b, size_t inner, REAL *room) {
    if (b->step == 1) return *b;
    for (size_t j = 0; j < b->size; j++)
        for (size_t p = 0; p < inner; p++) room[p * b->size + j] = b->at[j * b->step + p * b->along];
    return (LOCAL(operand)){room, 1, b->size, b->size};
}

/* Vector by vector of c, each of its chains from end to end. */
static void LOCAL(run_few)(const LOCAL(work) * w) {
    REAL room[LOCAL(few_numbers)];
    const LOCAL(operand) *a = &w->single, b = LOCAL(rows_of)(&w->wide, w->inner, room);
    bp_finish finish = w->segmented && w->accumulate ? FINISH_ADD : FINISH_CHAIN;
    const LOCAL(vector) zero = {0};
    if (w->sums) LOCAL(add_segment)(w->sums, b.at, b.along, w->inner, b.size);
    for (size_t j = 0; j < b.size; j += LANES)
        for (size_t i = 0; i < a->size; i++) {
            REAL *c = w->c + i * w->ldc + j;
            size_t n = b.size - j;
            LOCAL(vector) sum = zero;
            if (w->accumulate && !w->segmented) sum = LOCAL(load_lanes)(c, n);
            for (size_t p = 0; p < w->inner; p++) {
                LOCAL(vector) number = a->at[i * a->step + p * a->along] - zero;
                sum = LOCAL(vector_fma)(number, LOCAL(load_lanes)(b.at + p * b.along + j, n), sum);
            }
            LOCAL(finish)(c, sum, n, finish, w->bias ? w->bias + j : NULL, w->epilogue.activation);
        }
    LOCAL(activate)(w->epilogue, w->c, w->ldc, a->size, b.size);
}

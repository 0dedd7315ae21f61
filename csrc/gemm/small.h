/* small.h: products too small for packing and tiles to pay; included by ops/matmul.c once per element
   type and kernel. */
enum {
    LOCAL(small_terms) = 768,  /* multiplications, at most */
    LOCAL(small_numbers) = 256 /* of b, copied to the stack where its rows are not contiguous */
};

static int LOCAL(is_small)(size_t rows, size_t inner, size_t cols) {
    return inner <= LOCAL(small_numbers) && cols <= LOCAL(small_numbers) && rows <= LOCAL(small_terms) &&
           inner * cols <= LOCAL(small_numbers) && inner * cols * rows <= LOCAL(small_terms);
}

/* b (inner,cols) with contiguous rows: in place, or a copy in `copy`. */
static LOCAL(operand) LOCAL(rows_of)(const LOCAL(operand) * b, size_t inner, REAL *copy) {
    if (b->stride == 1) return *b;
    for (size_t j = 0; j < b->size; j++)
        for (size_t p = 0; p < inner; p++)
            copy[p * b->size + j] = b->at[j * b->stride + p * b->inner_stride];
    return (LOCAL(operand)){copy, 1, b->size, b->size};
}

/* Vector by vector of c, each of its chains from end to end. */
static __attribute__((noinline)) void LOCAL(run_small)(const LOCAL(work) * w) {
    REAL copy[LOCAL(small_numbers)];
    const LOCAL(operand) *a = &w->left, b = LOCAL(rows_of)(&w->right, w->inner, copy);
    bp_finish finish = w->segmented && w->accumulate ? FINISH_ADD : FINISH_CHAIN;
    const LOCAL(vector) zero = {0};
    if (w->sums) LOCAL(add_segment)(w->sums, b.at, b.inner_stride, w->inner, b.size);
    for (size_t j = 0; j < b.size; j += LANES)
        for (size_t i = 0; i < a->size; i++) {
            REAL *c = w->c + i * w->ldc + j;
            size_t n = b.size - j;
            LOCAL(vector) sum = zero;
            if (w->accumulate && !w->segmented) sum = LOCAL(load_lanes)(c, n);
            for (size_t p = 0; p < w->inner; p++) {
                LOCAL(vector) number = a->at[i * a->stride + p * a->inner_stride] - zero;
                sum =
                    LOCAL(vector_fma)(number, LOCAL(load_lanes)(b.at + p * b.inner_stride + j, n), sum);
            }
            LOCAL(finish)(c, sum, n, finish, w->bias ? w->bias + j : NULL, w->epilogue.activation);
        }
    LOCAL(activate)(w->epilogue, w->c, w->ldc, a->size, b.size);
}

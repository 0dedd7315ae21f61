/* memory_cases.h: products whose arrays end where memory ends, and matrices described by bp_matrix;
   included once per element type with REAL and NAME(op), after core_cases.h. */

/* An array of size numbers at the end (or the beginning) of one of the rooms: beyond it any access
 * traps. */
static REAL *NAME(placed)(int room, size_t size, int at_end) {
    return (REAL *)(void *)(rooms[room] + (at_end ? ROOM - size * sizeof(REAL) : 0));
}

static REAL *NAME(placed_numbers)(int room, size_t size, int at_end) {
    REAL *a = NAME(placed)(room, size, at_end);
    NAME(fill)(a, size, ODD);
    return a;
}

static size_t NAME(extent)(size_t rows, size_t cols, size_t stride) {
    return rows && cols ? (rows - 1) * stride + cols
                        : 0; /* the last row need not be as long as the others */
}

/* Compares c with what the reference makes of a copy; room 3 holds the copy. */
static void NAME(at_the_end)(size_t rows, size_t inner, size_t cols, int t, size_t more) {
    int ta = t & 1, tb = t >> 1 & 1, accumulate = t >> 2 & 1, at_end = t >> 3 & 1;
    size_t lda = (ta ? rows : inner) + more, ldb = (tb ? inner : cols) + more, ldc = cols + more;
    size_t c_size = NAME(extent)(rows, cols, ldc);
    const REAL *a =
        NAME(placed_numbers)(0, NAME(extent)(ta ? inner : rows, ta ? rows : inner, lda), at_end);
    const REAL *b =
        NAME(placed_numbers)(1, NAME(extent)(tb ? cols : inner, tb ? inner : cols, ldb), at_end);
    REAL *c = NAME(placed_numbers)(2, c_size, at_end), *ref = NAME(placed)(3, c_size, at_end);
    case_is("matmul at the end of memory", rows, inner, cols);
    NAME(copy)(ref, c, c_size);
    expect(NAME(bp_matmul)(c, ldc, a, lda, b, ldb, rows, inner, cols, ta, tb, accumulate) == BP_OK);
    NAME(bp_ref_matmul)(ref, ldc, a, lda, b, ldb, rows, inner, cols, ta, tb, accumulate);
    NAME(same)(c, ref, c_size);
}

static void NAME(layer_at_the_end)(size_t n, size_t m, size_t h, int t) {
    int accumulate = t & 1, at_end = t >> 1;
    const REAL *x = NAME(placed_numbers)(0, n * m, at_end), *w = NAME(placed_numbers)(1, m * h, at_end);
    const REAL *b = NAME(placed_numbers)(4, h, at_end);
    REAL *out = NAME(placed_numbers)(2, n * h, at_end), *ref = NAME(placed)(3, n * h, at_end);
    case_is("linear at the end of memory", n, m, h);
    expect(NAME(bp_linear_forward)(out, x, w, accumulate ? b : NULL, n, m, h) == BP_OK);
    NAME(bp_ref_linear_forward)(ref, x, w, accumulate ? b : NULL, n, m, h);
    NAME(same)(out, ref, n * h);
    REAL *dx = NAME(placed_numbers)(3, n * m, at_end), *dx_ref = NAME(placed)(4, n * m, at_end);
    NAME(copy)(dx_ref, dx, n * m);
    expect(NAME(bp_linear_backward_x)(dx, out, w, n, m, h, accumulate) == BP_OK);
    NAME(bp_ref_linear_backward_x)(dx_ref, out, w, n, m, h, accumulate);
    NAME(same)(dx, dx_ref, n * m);
    REAL *dw = NAME(placed_numbers)(3, m * h, at_end), *dw_ref = NAME(placed)(4, m * h, at_end);
    NAME(copy)(dw_ref, dw, m * h);
    expect(NAME(bp_linear_backward_w)(dw, x, out, n, m, h, accumulate) == BP_OK);
    NAME(bp_ref_linear_backward_w)(dw_ref, x, out, n, m, h, accumulate);
    NAME(same)(dw, dw_ref, m * h);
    REAL *db = NAME(placed_numbers)(3, h, at_end), *db_ref = NAME(placed)(4, h, at_end);
    NAME(copy)(db_ref, db, h);
    expect(NAME(bp_linear_backward_b)(db, out, n, h, accumulate) == BP_OK);
    NAME(bp_ref_linear_backward_b)(db_ref, out, n, h, accumulate);
    NAME(same)(db, db_ref, h);
}

static void NAME(memory)(int quick) {
    static const size_t some[] = {1, 2, 3, 5, 8, 13, 15, 17, 33};
    const size_t count = sizeof some / sizeof some[0];
    for (size_t k = 0; k < count * count * count; k += quick ? 7 : 1) {
        size_t rows = some[k % count], inner = some[k / count % count], cols = some[k / count / count];
        NAME(at_the_end)(rows, inner, cols, (int)(k % 16), k % 5);
        NAME(at_the_end)(rows, inner, cols, (int)(k % 16) ^ 8, k % 7);
        NAME(layer_at_the_end)(rows, inner, cols, (int)(k % 4));
    }
    /* operands that are packed, in several blocks; two segments */
    for (int t = 0; t < 4; t += quick ? 3 : 1)
        NAME(at_the_end)(quick ? 33 : 59, 611, 67, 8 | (t & 1) << 2 | t, (size_t)t);
    NAME(layer_at_the_end)(523, 33, 17, 3);
}

/* c = a @ b with matrices that are stored as they are or transposed, and multiplied as they are or
 * transposed. */
static void NAME(described)(size_t rows, size_t inner, size_t cols, int t) {
    int ta = t & 1, tb = t >> 1 & 1, a_stored = t >> 2 & 1, b_stored = t >> 3 & 1,
        accumulate = t >> 4 & 1;
    size_t lda = (ta != a_stored ? rows : inner) + 2, ldb = (tb != b_stored ? inner : cols) + 1;
    size_t a_size = (ta != a_stored ? inner : rows) * lda,
           b_size = (tb != b_stored ? cols : inner) * ldb;
    REAL *a = NAME(random)(a_size, ODD), *b = NAME(random)(b_size, ODD), *c[2];
    NAME(pair)(c, rows * cols, accumulate, ODD);
    bp_matrix left = {a, ta ? inner : rows, ta ? rows : inner, lda, sizeof(REAL) == 8, a_stored};
    bp_matrix right = {b, tb ? cols : inner, tb ? inner : cols, ldb, sizeof(REAL) == 8, b_stored};
    bp_matrix out = {c[0], rows, cols, cols, sizeof(REAL) == 8, 0};
    case_is("bp_matmul", rows, inner, cols);
    expect(bp_matmul(&out, &left, &right, ta, tb, accumulate) == BP_OK);
    NAME(bp_ref_matmul)(c[1], cols, a, lda, b, ldb, rows, inner, cols, ta != a_stored, tb != b_stored,
                        accumulate);
    NAME(check_pair)(c, rows * cols);
    NAME(drop)(a, a_size), NAME(drop)(b, b_size);
}

/* What does not fit is refused, and nothing is written: the numbers are 0, 1, 2, ... before and
   after. */
static void NAME(misfits)(void) {
    enum { N = 64 };
    const int d = sizeof(REAL) == 8;
    REAL all[N];
    for (int e = 0; e < N; e++) all[e] = (REAL)e;
    const bp_matrix a = {all, 3, 4, 4, d, 0}, b = {all + 12, 4, 2, 2, d, 0},
                    c = {all + 20, 3, 2, 2, d, 0};
    const bp_matrix wrong[] = {
        {all + 20, 2, 2, 2, d, 0}, {all + 20, 3, 3, 3, d, 0}, {all + 20, 3, 2, 2, !d, 0},
        {all + 20, 3, 2, 3, d, 1}, {all + 19, 3, 2, 2, d, 0}, {all, 3, 2, 2, d, 0},
        {all + 11, 3, 2, 2, d, 0}, {all + 12, 3, 2, 2, d, 0}, {all + 1, 3, 2, 20, d, 0},
    };
    const bp_matrix bad_a[] = {
        {all, 3, 3, 4, d, 0}, {all, 2, 4, 4, d, 0}, {all, 3, 4, 4, !d, 0}, {all + 25, 3, 4, 4, d, 0}};
    const bp_matrix bad_b[] = {
        {all + 12, 3, 2, 2, d, 0}, {all + 12, 4, 3, 2, d, 0}, {all + 12, 4, 2, 2, !d, 0}};
    case_is("bp_matmul of misfits", 3, 4, 2);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
            expect(bp_matmul(&wrong[k], &a, &b, 0, 0, accumulate) == BP_MISMATCH);
        for (size_t k = 0; k < sizeof bad_a / sizeof *bad_a; k++)
            expect(bp_matmul(&c, &bad_a[k], &b, 0, 0, accumulate) == BP_MISMATCH);
        for (size_t k = 0; k < sizeof bad_b / sizeof *bad_b; k++)
            expect(bp_matmul(&c, &a, &bad_b[k], 0, 0, accumulate) == BP_MISMATCH);
        expect(bp_matmul(&c, &a, &b, 1, 0, accumulate) == BP_MISMATCH);
        expect(bp_matmul(&c, &a, &b, 0, 1, accumulate) == BP_MISMATCH);
    }
    for (int e = 0; e < N; e++) expect(all[e] == (REAL)e);
    expect(bp_matmul(&c, &a, &b, 0, 0, 0) == BP_OK && all[20] != 20 && all[19] == 19 && all[26] == 26);
}

/* core_cases.h: the cases of test_core.c, included once per element type with REAL and NAME(op). */

static REAL NAME(special)(uint64_t pick) {
    static const REAL odd[] = {
        NAN, INFINITY, -INFINITY, 0, -(REAL)0, NAME(tiny) / 4, -NAME(tiny) / 4, NAME(huge), -NAME(huge)};
    return odd[pick % (sizeof odd / sizeof odd[0])];
}

/* Random numbers in [-1, 1); with odd != 0 one in 32 is one that rounding and branches stumble over. */
static void NAME(fill)(REAL *a, size_t size, int odd) {
    NAME(bp_random_uniform)(a, 1, &state, size);
    for (size_t e = 0; odd && e < size; e++)
        if (bp_random_stream(state, e) % 32 == 0) a[e] = NAME(special)(bp_random_stream(e, state));
}

/* An array of size numbers between two guards, that nobody may write to. */
static REAL *NAME(guarded)(size_t size) {
    REAL *a = malloc((size + 2 * GUARD) * sizeof *a);
    for (size_t e = 0; e < GUARD; e++) a[e] = a[GUARD + size + e] = 12345;
    return a + GUARD;
}

static REAL *NAME(random)(size_t size, int odd) {
    REAL *a = NAME(guarded)(size);
    NAME(fill)(a, size, odd);
    return a;
}

static REAL *NAME(stale)(size_t size) { /* what an output holds before: reading it would show */
    REAL *a = NAME(guarded)(size);
    for (size_t e = 0; e < size; e++) a[e] = NAN;
    return a;
}

static void NAME(drop)(REAL *a, size_t size) {
    for (size_t e = 0; e < GUARD; e++)
        if (a[-1 - (ptrdiff_t)e] != 12345 || a[size + e] != 12345) fail("wrote outside its output");
    free(a - GUARD);
}

static void NAME(same)(REAL *fast, const REAL *ref, size_t size) {
    NAME(spoil)(fast, size);
    for (size_t e = 0; e < size; e++) {
        REAL a = fast[e], b = ref[e];
        if (isnan(a)) a = NAN;
        if (isnan(b)) b = NAN;
        if (memcmp(&a, &b, sizeof a) && !(isnan(a) && isnan(b))) {
            fprintf(stderr, "element %zu of %zu: %.17g, defined %.17g\n", e, size, (double)a, (double)b);
            fail("differs from the reference");
            break;
        }
        hash_bytes(&b, isnan(b) ? 0 : sizeof b);
    }
    compared += size;
}

static void NAME(linear)(size_t n, size_t m, size_t h, int odd) {
    REAL *x = NAME(random)(n * m, odd), *w = NAME(random)(m * h, odd), *b = NAME(random)(h, odd);
    REAL *out = NAME(stale)(n * h), *ref = NAME(stale)(n * h);
    case_is("linear_forward", n, m, h);
    NAME(bp_linear_forward)(out, x, w, b, n, m, h);
    NAME(bp_ref_linear_forward)(ref, x, w, b, n, m, h);
    NAME(same)(out, ref, n * h);
    NAME(bp_linear_forward)(out, x, w, NULL, n, m, h);
    NAME(bp_ref_linear_forward)(ref, x, w, NULL, n, m, h);
    NAME(same)(out, ref, n * h);
    NAME(drop)(out, n * h), NAME(drop)(ref, n * h);
    NAME(drop)(x, n * m), NAME(drop)(w, m * h), NAME(drop)(b, h);
}

static void NAME(gradients)(size_t n, size_t m, size_t h, int odd) {
    REAL *x = NAME(random)(n * m, odd), *w = NAME(random)(m * h, odd), *dout = NAME(random)(n * h, odd);
    REAL *dx[2] = {NAME(stale)(n * m), NAME(stale)(n * m)};
    REAL *dw[2] = {NAME(stale)(m * h), NAME(stale)(m * h)}, *db[2] = {NAME(stale)(h), NAME(stale)(h)};
    for (int accumulate = 0; accumulate < 2; accumulate++) { /* the second adds to what the first left */
        case_is("linear_backward_x", n, m, h);
        NAME(bp_linear_backward_x)(dx[0], dout, w, n, m, h, accumulate);
        NAME(bp_ref_linear_backward_x)(dx[1], dout, w, n, m, h, accumulate);
        NAME(same)(dx[0], dx[1], n * m);
        case_is("linear_backward_w", n, m, h);
        NAME(bp_linear_backward_w)(dw[0], x, dout, n, m, h, accumulate);
        NAME(bp_ref_linear_backward_w)(dw[1], x, dout, n, m, h, accumulate);
        NAME(same)(dw[0], dw[1], m * h);
        case_is("linear_backward_b", n, m, h);
        NAME(bp_linear_backward_b)(db[0], dout, n, h, accumulate);
        NAME(bp_ref_linear_backward_b)(db[1], dout, n, h, accumulate);
        NAME(same)(db[0], db[1], h);
    }
    for (int k = 0; k < 2; k++) NAME(drop)(dx[k], n * m), NAME(drop)(dw[k], m * h), NAME(drop)(db[k], h);
    NAME(drop)(x, n * m), NAME(drop)(w, m * h), NAME(drop)(dout, n * h);
}

/* Rows of c are ldc = cols + 3 apart: what lies between them must stay. */
static void NAME(product)(size_t rows, size_t inner, size_t cols, int ta, int tb, int odd) {
    size_t lda = (ta ? rows : inner) + 2, ldb = (tb ? inner : cols) + 1, ldc = cols + 3;
    size_t a_size = (ta ? inner : rows) * lda, b_size = (tb ? cols : inner) * ldb, c_size = rows * ldc;
    REAL *a = NAME(random)(a_size, odd), *b = NAME(random)(b_size, odd);
    REAL *c = NAME(random)(c_size, odd), *ref = NAME(guarded)(c_size);
    if (c_size) memcpy(ref, c, c_size * sizeof *c);
    for (int accumulate = 1; accumulate >= 0; accumulate--) {
        case_is("matmul", rows, inner, cols);
        NAME(bp_matmul)(c, ldc, a, lda, b, ldb, rows, inner, cols, ta, tb, accumulate);
        NAME(bp_ref_matmul)(ref, ldc, a, lda, b, ldb, rows, inner, cols, ta, tb, accumulate);
        NAME(same)(c, ref, c_size);
    }
    NAME(drop)(a, a_size), NAME(drop)(b, b_size), NAME(drop)(c, c_size), NAME(drop)(ref, c_size);
}

static void NAME(elementwise)(size_t size, int odd) {
    REAL *x = NAME(random)(size, odd), *dout = NAME(random)(size, odd);
    REAL *fast = NAME(stale)(size), *ref = NAME(stale)(size);
    case_is("relu", size, 1, 1);
    NAME(bp_relu_forward)(fast, x, size);
    NAME(bp_ref_relu_forward)(ref, x, size);
    NAME(same)(fast, ref, size);
    NAME(bp_relu_backward)(fast, ref, dout, size);  /* from the output ... */
    NAME(bp_ref_relu_backward)(ref, x, dout, size); /* ... as from the input */
    NAME(same)(fast, ref, size);
    case_is("mse_backward", size, 1, 1);
    NAME(bp_mse_backward)(fast, x, dout, size);
    NAME(bp_ref_mse_backward)(ref, x, dout, size);
    NAME(same)(fast, ref, size);
    case_is("in place", size, 1, 1);
    NAME(bp_mse_backward)(x, x, dout, size);
    NAME(same)(x, ref, size);
    NAME(bp_relu_backward)(dout, x, dout, size);
    NAME(bp_ref_relu_backward)(x, ref, x, size);
    NAME(bp_relu_forward)(ref, ref, size);
    NAME(bp_ref_relu_forward)(fast, ref, size);
    NAME(same)(ref, fast, size);
    NAME(drop)(x, size), NAME(drop)(dout, size), NAME(drop)(fast, size), NAME(drop)(ref, size);
}

static void NAME(loss)(size_t n, size_t h, int odd) {
    REAL *out = NAME(random)(n * h, odd), *targ = NAME(random)(n * h, odd), fast = 0, ref = 0;
    case_is("mse_forward", n, h, 1);
    if (NAME(bp_mse_forward)(&fast, out, targ, n, h) != NAME(bp_ref_mse_forward)(&ref, out, targ, n, h))
        fail("another status than the reference");
    NAME(same)(&fast, &ref, 1);
    NAME(drop)(out, n * h), NAME(drop)(targ, n * h);
}

static void NAME(sgd)(size_t size, int odd) {
    REAL *p = NAME(random)(size, odd), *v = NAME(random)(size, odd), *dp = NAME(random)(size, odd);
    REAL *rp = NAME(guarded)(size), *rv = NAME(guarded)(size);
    if (size) memcpy(rp, p, size * sizeof *p), memcpy(rv, v, size * sizeof *v);
    case_is("sgd", size, 1, 1);
    NAME(bp_sgd_update)(p, dp, (REAL)0.1, size);
    NAME(bp_ref_sgd_update)(rp, dp, (REAL)0.1, size);
    NAME(same)(p, rp, size);
    NAME(bp_sgd_momentum_update)(p, v, dp, (REAL)0.1, (REAL)0.9, size);
    NAME(bp_ref_sgd_momentum_update)(rp, rv, dp, (REAL)0.1, (REAL)0.9, size);
    NAME(same)(p, rp, size);
    NAME(same)(v, rv, size);
    NAME(drop)(p, size), NAME(drop)(v, size), NAME(drop)(dp, size), NAME(drop)(rp, size),
        NAME(drop)(rv, size);
}

static void NAME(statuses)(void) {
    REAL one[4] = {1, 1, 1, 1};
    const size_t half = SIZE_MAX / 2;
    case_is("status", 0, 0, 0);
    expect(NAME(bp_linear_forward)(one, one, one, one, half, half, 1) == BP_OVERFLOW);
    expect(NAME(bp_linear_backward_x)(one, one, one, 1, half, half, 0) == BP_OVERFLOW);
    expect(NAME(bp_linear_backward_w)(one, one, one, half, 1, half, 0) == BP_OVERFLOW);
    expect(NAME(bp_linear_backward_b)(one, one, half, 4, 0) == BP_OVERFLOW);
    expect(NAME(bp_matmul)(one, half, one, half, one, half, 4, 4, 4, 0, 0, 0) == BP_OVERFLOW);
    expect(NAME(bp_mse_forward)(one, one, one, half, half) == BP_OVERFLOW);
    expect(NAME(bp_mse_forward)(one, one, one, 0, 3) == BP_EMPTY);
    expect(NAME(bp_mse_forward)(one, one, one, 3, 0) == BP_EMPTY);
    expect(one[0] == 1 && one[1] == 1);
    expect(NAME(bp_linear_forward)(NULL, NULL, NULL, NULL, 0, 3, 0) == BP_OK);
}

/* -0 never comes out of a sum, not even of products that underflow. */
static void NAME(zeros)(void) {
    REAL a[2] = {-NAME(tiny), 0}, b[2] = {NAME(tiny), 0}, c[1] = {1}, minus = -(REAL)0;
    case_is("sign of zero", 1, 1, 1);
    NAME(bp_matmul)(c, 1, a, 1, b, 1, 1, 1, 1, 0, 0, 0);
    expect(c[0] == 0 && !signbit(c[0]));
    NAME(bp_linear_backward_w)(c, a, b, 1, 1, 1, 0);
    expect(c[0] == 0 && !signbit(c[0]));
    NAME(bp_relu_forward)(c, &minus, 1);
    expect(c[0] == 0 && !signbit(c[0]));
}

static void NAME(all)(int quick) {
    static const size_t around[] = {0,  1,  2,  3,  4,  5,  7,  8,  9,  15, 16,
                                    17, 31, 32, 33, 47, 63, 64, 65, 97, 129};
    const size_t count = sizeof around / sizeof around[0];
    for (int odd = 0; odd < 2; odd++) {
        for (size_t k = 0; k < count; k++) {
            size_t s = around[k], other = around[(k * 7 + 3) % count],
                   third = around[(k * 5 + 1) % count];
            NAME(linear)(s, other, third, odd), NAME(linear)(third, s, other, odd);
            NAME(gradients)(s, other, third, odd), NAME(gradients)(third, s, other, odd);
            for (int t = 0; t < 4; t++) NAME(product)(s, third, other, t & 1, t >> 1, odd);
            NAME(elementwise)(s, odd), NAME(loss)(s, other, odd), NAME(sgd)(s, odd);
        }
        for (size_t n = BP_SEGMENT - 1; n <= BP_SEGMENT + 1; n++) {
            NAME(linear)(3, n, 5, odd), NAME(gradients)(n, 5, 3, odd), NAME(loss)(n, 3, odd);
            NAME(product)(5, n, 33, 0, 1, odd);
        }
        NAME(gradients)(2 * BP_SEGMENT + 1, 3, 2, odd), NAME(loss)(2 * BP_SEGMENT + 1, 7, odd);
        if (quick) continue;
        NAME(linear)(301, 97, 53, odd), NAME(gradients)(601, 53, 47, odd); /* enough for threads */
        NAME(product)(97, 131, 113, 1, 1, odd), NAME(product)(7, 131, 1009, 0, 0, odd);
        NAME(elementwise)(1000003, odd), NAME(sgd)(500009, odd), NAME(loss)(5003, 101, odd);
    }
    NAME(statuses)();
    NAME(zeros)();
}

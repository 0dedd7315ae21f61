/* core_cases.h: the cases of test_core.c, included once per element type with REAL and NAME(op). */

static REAL NAME(special)(uint64_t pick) {
    static const REAL odd[] = {
        NAN, INFINITY, -INFINITY, 0, -(REAL)0, NAME(tiny) / 4, -NAME(tiny) / 4, NAME(huge), -NAME(huge)};
    return odd[pick % (sizeof odd / sizeof odd[0])];
}

static REAL NAME(small)(REAL x, uint64_t pick) {
    static const REAL scale[] = {1, 0, NAME(tiny), NAME(tiny) * 64, NAME(least), 1};
    return x * scale[pick % (sizeof scale / sizeof scale[0])];
}

/* Random numbers in [-1, 1). ODD: a few that rounding and branches stumble over, fewer in large arrays,
   lest every sum be NaN. SMALL: many whose products underflow, or lose a bit when they do. */
static void NAME(fill)(REAL *a, size_t size, int kind) {
    const uint64_t every = size > 4096 ? 4096 : 32;
    NAME(bp_random_uniform)(a, 1, &state, size);
    for (size_t e = 0; kind != PLAIN && e < size; e++) {
        uint64_t pick = bp_random_stream(state, e);
        if (kind == SMALL) a[e] = NAME(small)(a[e], pick);
        if (kind == ODD && pick % every == 0) a[e] = NAME(special)(bp_random_stream(e, state));
    }
}

/* An array of size numbers between two guards, that nobody may write to. */
static REAL *NAME(guarded)(size_t size) {
    REAL *a = malloc((size + 2 * GUARD) * sizeof *a);
    for (size_t e = 0; e < GUARD; e++) a[e] = a[GUARD + size + e] = 12345;
    return a + GUARD;
}

static REAL *NAME(random)(size_t size, int kind) {
    REAL *a = NAME(guarded)(size);
    NAME(fill)(a, size, kind);
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

static void NAME(copy)(REAL *to, const REAL *from, size_t size) {
    if (size) memcpy(to, from, size * sizeof *to);
}

static int NAME(differ)(REAL a, REAL b) { return memcmp(&a, &b, sizeof a) && !(isnan(a) && isnan(b)); }

static size_t NAME(first_difference)(const REAL *a, const REAL *b, size_t size) {
    size_t e = 0;
    while (e < size && !NAME(differ)(a[e], b[e])) e++;
    return e;
}

/* What a faulty operation might have left instead of a. */
static REAL *NAME(spoil)(const REAL *a, size_t size) {
    REAL *wrong = malloc((size + 1) * sizeof *wrong);
    NAME(copy)(wrong, a, size);
    for (size_t e = 0; e < size; e++) {
        if (!strcmp(broken, "zero")) wrong[e] = 0;
        if (!strcmp(broken, "nan")) wrong[e] = NAN;
        if (!strcmp(broken, "sign")) wrong[e] = -a[e];
        if (!strcmp(broken, "swap")) wrong[e] = a[size - 1 - e];
    }
    if (!strcmp(broken, "bit") && size) *(unsigned char *)(wrong + size / 2) ^= 1;
    return wrong;
}

static void NAME(same)(const REAL *fast, const REAL *ref, size_t size) {
    REAL *wrong = *broken ? NAME(spoil)(fast, size) : NULL;
    size_t e = NAME(first_difference)(wrong ? wrong : fast, ref, size);
    if (wrong && NAME(first_difference)(wrong, fast, size) < size) spoiled++, missed += e == size;
    if (e < size) fail_at(e, (double)(wrong ? wrong : fast)[e], (double)ref[e]);
    for (e = 0; e < size; e++)
        hash_bytes(isnan(ref[e]) ? (const void *)"NaN" : ref + e, isnan(ref[e]) ? 3 : sizeof *ref);
    compared += size;
    free(wrong);
}

static void NAME(linear)(size_t n, size_t m, size_t h, int kind) {
    REAL *x = NAME(random)(n * m, kind), *w = NAME(random)(m * h, kind), *b = NAME(random)(h, kind);
    for (int biased = 0; biased < 2; biased++) {
        REAL *out = NAME(stale)(n * h), *ref = NAME(stale)(n * h), *bias = biased ? b : NULL;
        case_is(biased ? "linear_forward" : "linear_forward without b", n, m, h);
        expect(NAME(bp_linear_forward)(out, x, w, bias, n, m, h) == BP_OK);
        NAME(bp_ref_linear_forward)(ref, x, w, bias, n, m, h);
        NAME(same)(out, ref, n * h);
        NAME(drop)(out, n * h), NAME(drop)(ref, n * h);
    }
    NAME(drop)(x, n * m), NAME(drop)(w, m * h), NAME(drop)(b, h);
}

/* Two arrays that hold what an output may hold before: the operation's and the reference's. */
static void NAME(pair)(REAL *both[2], size_t size, int accumulate, int kind) {
    both[0] = accumulate ? NAME(random)(size, kind) : NAME(stale)(size);
    both[1] = NAME(guarded)(size);
    NAME(copy)(both[1], both[0], size);
}

static void NAME(check_pair)(REAL *both[2], size_t size) {
    NAME(same)(both[0], both[1], size);
    NAME(drop)(both[0], size), NAME(drop)(both[1], size);
}

static void NAME(gradients)(size_t n, size_t m, size_t h, int kind) {
    REAL *x = NAME(random)(n * m, kind), *w = NAME(random)(m * h, kind), *g = NAME(random)(n * h, kind);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        REAL *dx[2], *dw[2], *db[2], *both[2];
        NAME(pair)(dx, n * m, accumulate, kind);
        case_is("linear_backward_x", n, m, h);
        expect(NAME(bp_linear_backward_x)(dx[0], g, w, n, m, h, accumulate) == BP_OK);
        NAME(bp_ref_linear_backward_x)(dx[1], g, w, n, m, h, accumulate);
        NAME(check_pair)(dx, n * m);
        NAME(pair)(dw, m * h, accumulate, kind);
        case_is("linear_backward_w", n, m, h);
        expect(NAME(bp_linear_backward_w)(dw[0], x, g, n, m, h, accumulate) == BP_OK);
        NAME(bp_ref_linear_backward_w)(dw[1], x, g, n, m, h, accumulate);
        NAME(check_pair)(dw, m * h);
        NAME(pair)(db, h, accumulate, kind);
        case_is("linear_backward_b", n, m, h);
        expect(NAME(bp_linear_backward_b)(db[0], g, n, h, accumulate) == BP_OK);
        NAME(bp_ref_linear_backward_b)(db[1], g, n, h, accumulate);
        NAME(check_pair)(db, h);
        NAME(pair)(dw, m * h, accumulate, kind), NAME(pair)(both, h, accumulate, kind);
        case_is("linear_backward_wb", n, m, h);
        expect(NAME(bp_linear_backward_wb)(dw[0], both[0], x, g, n, m, h, accumulate) == BP_OK);
        NAME(bp_ref_linear_backward_w)(dw[1], x, g, n, m, h, accumulate);
        NAME(bp_ref_linear_backward_b)(both[1], g, n, h, accumulate);
        NAME(check_pair)(dw, m * h), NAME(check_pair)(both, h);
    }
    NAME(drop)(x, n * m), NAME(drop)(w, m * h), NAME(drop)(g, n * h);
}

/* Rows of c are ldc = cols + 3 apart: what lies between them must stay. */
static void NAME(product)(size_t rows, size_t inner, size_t cols, int ta, int tb, int kind) {
    size_t lda = (ta ? rows : inner) + 2, ldb = (tb ? inner : cols) + 1, ldc = cols + 3;
    size_t a_size = (ta ? inner : rows) * lda, b_size = (tb ? cols : inner) * ldb, c_size = rows * ldc;
    REAL *a = NAME(random)(a_size, kind), *b = NAME(random)(b_size, kind);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        REAL *c[2];
        NAME(pair)(c, c_size, accumulate, kind);
        for (size_t e = 0; e < c_size; e++)
            if (e % ldc >= cols) c[0][e] = c[1][e] = 12345;
        case_is(accumulate ? "matmul, accumulating" : "matmul", rows, inner, cols);
        expect(NAME(bp_matmul)(c[0], ldc, a, lda, b, ldb, rows, inner, cols, ta, tb, accumulate) ==
               BP_OK);
        NAME(bp_ref_matmul)(c[1], ldc, a, lda, b, ldb, rows, inner, cols, ta, tb, accumulate);
        for (size_t e = 0; e < c_size; e++)
            if (e % ldc >= cols && c[0][e] != 12345) fail("wrote between its rows");
        NAME(check_pair)(c, c_size);
    }
    NAME(drop)(a, a_size), NAME(drop)(b, b_size);
}

static void NAME(elementwise)(size_t size, int kind) {
    REAL *x = NAME(random)(size, kind), *dout = NAME(random)(size, kind);
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
    NAME(drop)(x, size), NAME(drop)(dout, size), NAME(drop)(fast, size), NAME(drop)(ref, size);
}

/* Wherever the header says that an output may be an input. */
static void NAME(in_place)(size_t size, int kind) {
    REAL *x = NAME(random)(size, kind), *dout = NAME(random)(size, kind);
    REAL *a = NAME(guarded)(size), *ref = NAME(stale)(size);
    case_is("in place", size, 1, 1);
    NAME(copy)(a, x, size);
    NAME(bp_relu_forward)(a, a, size);
    NAME(bp_ref_relu_forward)(ref, x, size);
    NAME(same)(a, ref, size);
    NAME(bp_ref_relu_backward)(ref, x, dout, size);
    NAME(copy)(a, x, size);
    NAME(bp_relu_backward)(a, a, dout, size);
    NAME(same)(a, ref, size);
    NAME(copy)(a, dout, size);
    NAME(bp_relu_backward)(a, x, a, size);
    NAME(same)(a, ref, size);
    NAME(copy)(a, x, size);
    NAME(bp_mse_backward)(a, a, dout, size);
    NAME(bp_ref_mse_backward)(ref, x, dout, size);
    NAME(same)(a, ref, size);
    NAME(drop)(x, size), NAME(drop)(dout, size), NAME(drop)(a, size), NAME(drop)(ref, size);
}

static void NAME(loss)(size_t n, size_t h, int kind) {
    REAL *out = NAME(random)(n * h, kind), *targ = NAME(random)(n * h, kind), fast = 7, ref = 7;
    case_is("mse_forward", n, h, 1);
    expect(NAME(bp_mse_forward)(&fast, out, targ, n, h) == (n && h ? BP_OK : BP_EMPTY));
    NAME(bp_ref_mse_forward)(&ref, out, targ, n, h);
    NAME(same)(&fast, &ref, 1);
    NAME(drop)(out, n * h), NAME(drop)(targ, n * h);
}

static void NAME(sgd)(size_t size, REAL lr, REAL mu, int kind) {
    REAL *p[2], *v[2], *dp = NAME(random)(size, kind);
    NAME(pair)(p, size, 1, kind), NAME(pair)(v, size, 1, kind);
    case_is("sgd", size, 1, 1);
    NAME(bp_sgd_update)(p[0], dp, lr, size);
    NAME(bp_ref_sgd_update)(p[1], dp, lr, size);
    NAME(same)(p[0], p[1], size);
    NAME(bp_sgd_momentum_update)(p[0], v[0], dp, lr, mu, size);
    NAME(bp_ref_sgd_momentum_update)(p[1], v[1], dp, lr, mu, size);
    NAME(check_pair)(p, size), NAME(check_pair)(v, size);
    NAME(drop)(dp, size);
}

static void NAME(statuses)(void) {
    REAL one[4] = {1, 1, 1, 1};
    const size_t half = SIZE_MAX / 2;
    case_is("status", 0, 0, 0);
    expect(NAME(bp_linear_forward)(one, one, one, one, half, half, 1) == BP_OVERFLOW);
    expect(NAME(bp_linear_forward)(one, one, one, one, 1, half, 1) == BP_OVERFLOW);
    expect(NAME(bp_linear_backward_x)(one, one, one, 1, half, half, 0) == BP_OVERFLOW);
    expect(NAME(bp_linear_backward_w)(one, one, one, half, 1, half, 0) == BP_OVERFLOW);
    expect(NAME(bp_linear_backward_b)(one, one, half, 4, 0) == BP_OVERFLOW);
    expect(NAME(bp_ref_linear_backward_b)(one, one, half, 4, 0) == BP_OVERFLOW);
    for (int t = 0; t < 4; t++) { /* a, b and c in turn are too large */
        expect(NAME(bp_matmul)(one, 4, one, half, one, 4, 4, 4, 4, t & 1, t >> 1, 0) == BP_OVERFLOW);
        expect(NAME(bp_matmul)(one, 4, one, 4, one, half, 4, 4, 4, t & 1, t >> 1, 0) == BP_OVERFLOW);
        expect(NAME(bp_matmul)(one, half, one, 4, one, 4, 4, 4, 4, t & 1, t >> 1, 0) == BP_OVERFLOW);
        expect(NAME(bp_ref_matmul)(one, half, one, 4, one, 4, 4, 4, 4, t & 1, t >> 1, 0) == BP_OVERFLOW);
    }
    expect(NAME(bp_mse_forward)(one, one, one, half, half) == BP_OVERFLOW);
    for (int e = 0; e < 4; e++) expect(one[e] == 1);
    expect(NAME(bp_linear_forward)(NULL, NULL, NULL, NULL, 0, 3, 0) == BP_OK);
    expect(NAME(bp_linear_backward_b)(NULL, NULL, 3, 0, 0) == BP_OK);
}

/* -0 never comes out of a sum, not even of products that underflow. */
static void NAME(zeros)(void) {
    const REAL minus = -(REAL)0, a = -NAME(tiny), b = NAME(tiny);
    REAL c = 1;
    case_is("sign of zero", 1, 1, 1);
    NAME(bp_matmul)(&c, 1, &a, 1, &b, 1, 1, 1, 1, 0, 0, 0), expect(plus_zero((double)c));
    c = minus;
    NAME(bp_matmul)(&c, 1, &a, 1, &b, 1, 1, 1, 1, 0, 0, 1), expect(plus_zero((double)c));
    c = minus;
    NAME(bp_matmul)(&c, 1, &a, 1, &b, 1, 1, 0, 1, 0, 0, 1), expect(plus_zero((double)c));
    NAME(bp_linear_forward)(&c, &a, &b, NULL, 1, 1, 1), expect(plus_zero((double)c));
    NAME(bp_linear_forward)(&c, &a, &b, &minus, 1, 1, 1), expect(plus_zero((double)c));
    NAME(bp_linear_backward_x)(&c, &a, &b, 1, 1, 1, 0), expect(plus_zero((double)c));
    NAME(bp_linear_backward_w)(&c, &a, &b, 1, 1, 1, 0), expect(plus_zero((double)c));
    NAME(bp_linear_backward_b)(&c, &minus, 1, 1, 0), expect(plus_zero((double)c));
    NAME(bp_relu_forward)(&c, &minus, 1), expect(plus_zero((double)c));
    NAME(bp_relu_backward)(&c, &minus, &a, 1), expect(plus_zero((double)c));
}

static void NAME(sizes)(size_t s, size_t other, size_t third, int kind) {
    NAME(linear)(s, other, third, kind), NAME(linear)(third, s, other, kind);
    NAME(gradients)(s, other, third, kind), NAME(gradients)(third, s, other, kind);
    for (int t = 0; t < 4; t++) NAME(product)(s, third, other, t & 1, t >> 1, kind);
    NAME(elementwise)(s, kind), NAME(in_place)(s, kind), NAME(loss)(s, other, kind);
    NAME(sgd)(s, (REAL)0.1, (REAL)0.9, kind), NAME(sgd)(s, NAME(least), NAME(huge), kind);
}

/* Large enough for several threads, and not always a share for each of them. */
static void NAME(large)(int kind) {
    NAME(linear)(301, 97, 53, kind), NAME(gradients)(601, 53, 47, kind);
    NAME(gradients)(2503, 2, 263, kind), NAME(gradients)(1500, 17, 29, kind);
    NAME(product)(97, 131, 113, 1, 1, kind), NAME(product)(7, 131, 1009, 0, 0, kind);
    NAME(product)(17, 2503, 17, 0, 1, kind), NAME(product)(1009, 131, 5, 1, 0, kind);
    NAME(elementwise)(1000003, kind), NAME(in_place)(600011, kind);
    NAME(sgd)(600011, (REAL)0.1, (REAL)0.9, kind), NAME(loss)(5003, 101, kind);
}

static void NAME(all)(int quick) {
    static const size_t around[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  15,
                                    16, 17, 31, 32, 33, 47, 63, 64, 65, 97, 129};
    const size_t count = sizeof around / sizeof around[0];
    for (int kind = PLAIN; kind <= SMALL; kind++) {
        for (size_t k = 0; k < count; k++)
            NAME(sizes)(around[k], around[(k * 7 + 3) % count], around[(k * 5 + 1) % count], kind);
        for (size_t n = BP_SEGMENT - 1; n <= BP_SEGMENT + 1; n++) {
            NAME(linear)(3, n, 5, kind), NAME(gradients)(n, 5, 3, kind), NAME(loss)(n, 3, kind);
            NAME(gradients)(n / 2, 2, n / 2, kind);
            NAME(product)(5, n, 33, 0, 1, kind), NAME(loss)(n + BP_SEGMENT, 7, kind);
        }
        NAME(gradients)(2 * BP_SEGMENT, 3, 2, kind), NAME(gradients)(2 * BP_SEGMENT + 1, 3, 2, kind);
        if (!quick && kind != SMALL) NAME(large)(kind);
    }
    NAME(statuses)();
    NAME(zeros)();
}

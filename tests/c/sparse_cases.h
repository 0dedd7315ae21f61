/* sparse_cases.h: products without the terms that are zero, beside the definition; included once per
   element type, after core_cases.h. */

#include "plan/sparse.h"

/* An array of whole lines, as these products read and write them, with guards behind. */
static REAL *NAME(lines)(size_t size) {
    REAL *a = NULL;
    if (posix_memalign((void **)&a, 64, (size + GUARD) * sizeof *a)) exit(2);
    for (size_t e = 0; e < size; e++) a[e] = 0;
    for (size_t e = 0; e < GUARD; e++) a[size + e] = 12345;
    return a;
}

static void NAME(free_lines)(REAL *a, size_t size) {
    for (size_t e = 0; e < GUARD; e++)
        if (a[size + e] != 12345) fail("wrote behind its memory");
    free(a);
}

/* to (rows,ld) = from (rows,size) or, back, the other way round */
static void NAME(move_rows)(REAL *to, size_t ld, REAL *from, size_t size, size_t rows, int back) {
    for (size_t i = 0; i < rows; i++)
        NAME(copy)(back ? from + i * size : to + i * ld, back ? to + i * ld : from + i * size, size);
}

/* Numbers of which one in `every` is left, others are +0 or -0; every tenth column is zero. */
static REAL *NAME(few)(size_t rows, size_t size, size_t every, int kind) {
    REAL *x = NAME(random)(rows * size, kind);
    for (size_t e = 0; e < rows * size; e++) {
        uint64_t pick = bp_random_stream(e, every);
        if (pick % every || e % size % 10 == 3) x[e] = pick & 256 ? 0 : -(REAL)0;
    }
    return x;
}

static void NAME(sparse)(size_t rows, size_t size, size_t h, size_t every, int kind) {
    const size_t line = 64 / sizeof(REAL), step = NAME(bp_terms_step)(h),
                 ld = (h + line - 1) / line * line;
    size_t bytes = (NAME(bp_terms_bytes)(rows, size, step) + 63) / 64 * 64;
    REAL *memory = NAME(lines)(bytes / sizeof(REAL)), *x = NAME(few)(rows, size, every, kind);
    REAL *w = NAME(random)(size * h, SMALL), *b = NAME(random)(h, SMALL),
         *dout = NAME(random)(rows * h, SMALL);
    REAL *out = NAME(stale)(rows * h), *dw = NAME(stale)(size * h), *ref = NAME(stale)(rows * h);
    REAL *ref_dw = NAME(stale)(size * h), *wide = NAME(lines)(rows * ld),
         *tall = NAME(lines)(size * step);
    REAL *wide_b = NAME(lines)(ld);
    NAME(bp_terms) terms = NAME(bp_terms_at)(memory, rows, size, step);
    bp_prefetch prefetch = {0};
    case_is("sparse products", rows, size, h);
    expect(NAME(bp_list_terms)(&terms, x, size, rows, size) == (every > 4));
    if (every > 4) {
        NAME(move_rows)(tall, step, w, h, size, 0), NAME(copy)(wide_b, b, h);
        for (int leaky = 0; leaky < 2; leaky++) {
            const bp_epilogue relu = {BP_ACTIVATION_RELU, 0}, other = {BP_ACTIVATION_LEAKY_RELU, 0.01};
            NAME(bp_terms_forward)(wide, ld, &terms, tall, wide_b, leaky ? other : relu, rows, h,
                                   &prefetch);
            NAME(move_rows)(wide, ld, out, h, rows, 1);
            NAME(bp_ref_linear_forward)(ref, x, w, b, rows, size, h);
            if (leaky)
                NAME(bp_ref_leaky_relu_forward)(ref, ref, (REAL)0.01, rows * h);
            else
                NAME(bp_ref_relu_forward)(ref, ref, rows * h);
            NAME(same)(out, ref, rows * h);
        }
        memset(tall, 0, size * step * sizeof *tall);
        NAME(move_rows)(wide, ld, dout, h, rows, 0);
        NAME(bp_terms_backward_w)(tall, &terms, wide, ld, rows, h, &prefetch);
        NAME(move_rows)(tall, step, dw, h, size, 1);
        for (size_t e = 0; e < size * h; e++)
            dw[e] = 0 + dw[e]; /* as the total of the segments begins */
        NAME(bp_ref_linear_backward_w)(ref_dw, x, dout, rows, size, h, 0);
        NAME(same)(dw, ref_dw, size * h);
    }
    NAME(free_lines)(memory, bytes / sizeof(REAL)), NAME(drop)(x, rows * size), NAME(drop)(w, size * h);
    NAME(drop)(b, h), NAME(drop)(dout, rows * h), NAME(drop)(out, rows * h), NAME(drop)(dw, size * h);
    NAME(drop)(ref, rows * h), NAME(drop)(ref_dw, size * h), NAME(free_lines)(wide, rows * ld);
    NAME(free_lines)(tall, size * step), NAME(free_lines)(wide_b, ld);
}

static void NAME(sparse_shapes)(void) {
    static const size_t rows[] = {1, 63, 64}, sizes[] = {64, 109}, widths[] = {16, 33, 81};
    for (size_t r = 0; r < 3; r++)
        for (size_t s = 0; s < 2; s++)
            for (size_t h = 0; h < 3; h++)
                NAME(sparse)(rows[r], sizes[s], widths[h], 9, (r + s + h) % 2 ? ODD : PLAIN);
    NAME(sparse)(64, 200, 33, 1, PLAIN), NAME(sparse)(64, 200, 33, 2, PLAIN);
    NAME(sparse)(127, 200, 140, 9, ODD);
    NAME(sparse)(2, 1500, 33, 1000, PLAIN);
}

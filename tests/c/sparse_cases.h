/* sparse_cases.h: products without the terms that are zero, and those of a fused pass, beside the
   definition; included once per element type, after core_cases.h. */

#include "plan/sparse.h"
#include "plan/units.h"

#include "gemm/product.h"

/* An array of whole lines, as these products read and write them, with guards behind. */
static REAL *NAME(lines)(size_t size) {
    REAL *a = bp_allocate_lines(bp_rounded((size + GUARD) * sizeof *a, 64));
    if (!a) exit(2);
    for (size_t e = 0; e < size; e++) a[e] = 0;
    for (size_t e = 0; e < GUARD; e++) a[size + e] = 12345;
    return a;
}

static void NAME(free_lines)(REAL *a, size_t size) {
    for (size_t e = 0; e < GUARD; e++)
        if (a[size + e] != 12345) fail("wrote behind its memory");
    bp_free_lines(a);
}

/* to (rows,ld) = from (rows,size) or, back, the other way round */
static void NAME(move_rows)(REAL *to, size_t ld, REAL *from, size_t size, size_t rows, int back) {
    for (size_t i = 0; i < rows; i++)
        NAME(copy)(back ? from + i * size : to + i * ld, back ? to + i * ld : from + i * size, size);
}

/* Numbers of which one in `every` is left, others are +0 or -0; every tenth column is zero, every
   seventh full, and so are rows 5 and 6. */
static REAL *NAME(few)(size_t rows, size_t size, size_t every, int kind) {
    REAL *x = NAME(random)(rows * size, kind);
    for (size_t e = 0; e < rows * size; e++) {
        uint64_t pick = bp_random_stream(e, every);
        int full = e % size % 7 == 2 || e / size == 6;
        if ((pick % every && !full) || e % size % 10 == 3 || e / size == 5)
            x[e] = pick & 256 ? 0 : -(REAL)0;
    }
    return x;
}

static void NAME(check_bits)(const bp_bits *bits, const REAL *x, size_t rows, size_t size) {
    for (size_t i = 0; i < BP_MASK_ROWS; i++)
        for (size_t k = 0; k < bits->words * BP_MASK_ROWS; k++) {
            uint64_t wanted = i < rows && k < size && x[i * size + k] != 0;
            uint64_t row = bits->rows[k / BP_MASK_ROWS * BP_MASK_ROWS + i];
            expect((row >> k % BP_MASK_ROWS & 1) == wanted);
            expect((bits->columns[k] >> i & 1) == wanted);
        }
}

static void NAME(sparse)(size_t rows, size_t size, size_t h, size_t every, int kind) {
    const size_t line = 64 / sizeof(REAL), ld = (h + line - 1) / line * line;
    size_t numbers = bp_bits_bytes(size) / sizeof(REAL);
    REAL *memory = NAME(lines)(numbers), *x = NAME(few)(rows, size, every, kind);
    REAL *w = NAME(random)(size * h, SMALL), *dout = NAME(random)(rows * h, SMALL);
    REAL *out = NAME(stale)(rows * h), *dw = NAME(stale)(size * h), *ref = NAME(stale)(rows * h);
    REAL *ref_dw = NAME(stale)(size * h), *wide = NAME(lines)(rows * ld), *tall = NAME(lines)(size * ld);
    bp_bits bits = bp_bits_at(memory, size);
    bp_prefetch prefetch = {0};
    NAME(bp_bits_product)
    forward = {.to = wide, .bits = &bits, .x = x, .other = tall, .to_step = ld, .x_step = size};
    forward.other_step = ld, forward.rows = rows, forward.size = size, forward.h = h;
    forward.prefetch = &prefetch;
    NAME(bp_bits_product) backward = forward;
    backward.to = tall, backward.other = wide;
    case_is("sparse products", rows, size, h);
    (void)NAME(bp_find_terms)(&bits, x, size, rows, size, h);
    NAME(bp_turn_bits)(&bits);
    NAME(check_bits)(&bits, x, rows, size);

    NAME(move_rows)(tall, ld, w, h, size, 0);
    NAME(bp_bits_forward)(&forward);
    NAME(move_rows)(wide, ld, out, h, rows, 1);
    NAME(bp_ref_linear_forward)(ref, x, w, NULL, rows, size, h);
    NAME(same)(out, ref, rows * h);

    memset(tall, 0, size * ld * sizeof *tall);
    NAME(move_rows)(wide, ld, dout, h, rows, 0);
    NAME(bp_bits_backward_w)(&backward);
    NAME(move_rows)(tall, ld, dw, h, size, 1);
    for (size_t e = 0; e < size * h; e++) dw[e] = 0 + dw[e]; /* as the total of the segments begins */
    NAME(bp_ref_linear_backward_w)(ref_dw, x, dout, rows, size, h, 0);
    NAME(same)(dw, ref_dw, size * h);
    NAME(free_lines)(memory, numbers), NAME(drop)(x, rows * size), NAME(drop)(w, size * h);
    NAME(drop)(dout, rows * h), NAME(drop)(out, rows * h), NAME(drop)(dw, size * h);
    NAME(drop)(ref, rows * h), NAME(drop)(ref_dw, size * h), NAME(free_lines)(wide, rows * ld);
    NAME(free_lines)(tall, size * ld);
}

/* Whether leaving out is chosen, by the share of numbers that are not zero. */
static void NAME(sparse_or_not)(size_t every, int wanted) {
    enum { ROWS = 64, SIZE = 640, WIDE = 50 };
    REAL *memory = NAME(lines)(bp_bits_bytes(SIZE) / sizeof(REAL)),
         *x = NAME(random)(ROWS * SIZE, PLAIN);
    bp_bits bits = bp_bits_at(memory, SIZE);
    case_is("a share of zeros", ROWS, SIZE, every);
    for (size_t e = 0; e < ROWS * SIZE; e++)
        if (e % every) x[e] = 0;
    expect(NAME(bp_looks_sparse)(x, SIZE, ROWS, SIZE, WIDE) == wanted);
    expect(NAME(bp_find_terms)(&bits, x, SIZE, ROWS, SIZE, WIDE) == wanted);
    NAME(free_lines)(memory, bp_bits_bytes(SIZE) / sizeof(REAL)), NAME(drop)(x, ROWS * SIZE);
}

/* dw of a tile of `rows` rows in two parts, the first as long as `cut`, by masks; x begins `off` numbers
   after a cache line. */
static void NAME(masked)(size_t rows, size_t size, size_t units, size_t off, size_t cut, int kind) {
    const size_t line = 64 / sizeof(REAL), step = BP_MASK_ROWS,
                 lanes = bp_vector_bytes(bp_active_kernel());
    const size_t vector = lanes / sizeof(REAL), row = (size + line - 1) / line * line + line;
    REAL *d = NAME(few)(units, rows, 2, kind), *dout = NAME(stale)(rows * units);
    REAL *by_unit = NAME(lines)(units * step), *sum = NAME(lines)(units * row);
    REAL *memory = NAME(lines)(off + rows * size), *x = memory + off,
         *random = NAME(random)(rows * size, SMALL);
    REAL *dw = NAME(stale)(size * units), *ref = NAME(stale)(size * units);
    uint64_t *mask = malloc((units + 1) * sizeof *mask);
    NAME(bp_active_product) t = {.sum = sum, .mask = mask, .sum_step = row, .d_step = step};
    t.x_step = size, t.size = size, t.units = units, t.kernel = bp_active_kernel();
    t.head = size % vector ? 0 : (vector - off % vector) % vector;
    case_is("masked products", rows, size, units);
    NAME(copy)(x, random, rows * size);
    for (size_t e = 0; e < units * row; e++) sum[e] = NAN; /* a first product does not read it */
    for (size_t i = 0, some; i < rows; i += some) {
        some = i ? rows - cut : cut;
        for (size_t j = 0; j < units; j++) NAME(copy)(by_unit + j * step, d + j * rows + i, some);
        size_t found = 0, active = NAME(bp_find_active)(mask, by_unit, step, some, units);
        for (size_t j = 0; j < units; j++)
            for (size_t l = 0; l < some; l++) {
                int bit = mask[j] >> l & 1;
                found += (size_t)bit;
                expect(bit == (by_unit[j * step + l] != 0));
            }
        expect(found == active);
        t.d = by_unit, t.x = x + i * size, t.first = i == 0;
        NAME(bp_active_backward_w)(&t);
    }
    for (size_t j = 0; j < units; j++)
        for (size_t k = 0; k < size; k++) {
            size_t at = t.head && k >= t.head ? vector + k - t.head : k;
            dw[k * units + j] = 0 + sum[j * row + at];
        }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < units; j++) dout[i * units + j] = d[j * rows + i];
    NAME(bp_ref_linear_backward_w)(ref, x, dout, rows, size, units, 0);
    NAME(same)(dw, ref, size * units);
    NAME(drop)(d, units * rows), NAME(drop)(dout, rows * units), NAME(free_lines)(by_unit, units * step);
    NAME(free_lines)(sum, units * row), NAME(free_lines)(memory, off + rows * size), free(mask);
    NAME(drop)(random, rows * size), NAME(drop)(dw, size * units), NAME(drop)(ref, size * units);
}

/* A layer whose weights were packed, from rows and from values that lie unit by unit; and the sums of
   its units. */
static void NAME(packed_units)(size_t rows, size_t m, size_t h, int kind) {
    const size_t line = 64 / sizeof(REAL), step = (rows + line - 1) / line * line;
    REAL *x = NAME(random)(rows * m, kind), *w = NAME(random)(m * h, kind), *out = NAME(stale)(rows * h);
    REAL *packed = NAME(lines)(m * h), *z = NAME(lines)(h * step), *in = NAME(lines)(m * step);
    REAL *ref = NAME(stale)(rows * h), *db = NAME(stale)(h), *ref_db = NAME(stale)(h);
    REAL *panel = NAME(lines)(BP_PANEL_BYTES / sizeof(REAL));
    const REAL *row[BP_MASK_ROWS];
    const int kernel = bp_active_kernel();
    case_is("packed units", rows, m, h);
    NAME(bp_pack_units)(packed, w, m, h, kernel);
    NAME(bp_turn)(in, step, x, m, rows, m);
    for (size_t i = 0; i < rows; i++) row[i] = x + i * m;
    NAME(bp_unit_product)
    t = {.out = z, .row = row, .in = in, .in_step = step, .w = packed, .panel = panel};
    t.units = h, t.inner = m, t.rows = rows, t.step = step, t.packed = 1, t.kernel = kernel;
    NAME(bp_ref_linear_forward)(ref, x, w, NULL, rows, m, h);
    for (int by_rows = 1; by_rows >= 0; by_rows--) {
        t.row = by_rows ? row : NULL;
        NAME(bp_units_multiply)(&t);
        NAME(bp_turn)(out, h, z, step, h, rows);
        NAME(same)(out, ref, rows * h);
    }
    for (size_t j = 0; j < h; j++) db[j] = 0;
    NAME(bp_units_sum)(db, z, step, h, rows);
    NAME(bp_ref_linear_backward_b)(ref_db, ref, rows, h, 0);
    NAME(same)(db, ref_db, h);
    NAME(drop)(x, rows * m), NAME(drop)(w, m * h), NAME(drop)(out, rows * h), NAME(drop)(ref, rows * h);
    NAME(free_lines)(packed, m * h), NAME(free_lines)(z, h * step), NAME(free_lines)(in, m * step);
    NAME(drop)(db, h), NAME(drop)(ref_db, h), NAME(free_lines)(panel, BP_PANEL_BYTES / sizeof(REAL));
}

static void NAME(sparse_shapes)(void) {
    static const size_t rows[] = {1, 63, 64}, sizes[] = {64, 109}, widths[] = {16, 33, 81};
    for (size_t r = 0; r < 3; r++)
        for (size_t s = 0; s < 2; s++)
            for (size_t h = 0; h < 3; h++)
                NAME(sparse)(rows[r], sizes[s], widths[h], 9, (r + s + h) % 2 ? ODD : PLAIN);
    NAME(sparse)(64, 200, 33, 1, PLAIN), NAME(sparse)(64, 200, 33, 2, PLAIN);
    NAME(sparse)(2, 1500, 33, 1000, PLAIN), NAME(sparse)(35, 65, 140, 3, ODD);
    for (size_t h = 1; h <= 130; h += h < 20 ? 1 : 11) NAME(sparse)(7, 70, h, 3, PLAIN);
    NAME(sparse_or_not)(1, 0), NAME(sparse_or_not)(2, 0), NAME(sparse_or_not)(9, 1);
    for (size_t size = 1; size <= 130; size += size < 20 ? 1 : 7) {
        NAME(masked)(50, size, 9, size % 5, 33, PLAIN);
        NAME(packed_units)(1 + size % 64, size, 1 + size * 7 % 60, size % 2 ? SMALL : ODD);
        NAME(packed_units)(1 + size * 5 % 64, 1 + size * 3 % 140, size, PLAIN);
    }
    for (size_t off = 0; off < 64 / sizeof(REAL); off++) {
        NAME(masked)(64, 48, 20, off, 64, ODD);
        NAME(masked)(64, 512, 7, off, 11, PLAIN);
        NAME(masked)(63, 16, 7, off, 1, PLAIN);
    }
}

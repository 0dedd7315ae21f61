/* arithmetic_cases.h: + - * / with broadcasting, powers, sums and clamp_min; included once per element
   type, after core_cases.h. */

enum { NAME(FULL) = 0, NAME(A_ROW), NAME(A_COLUMN), NAME(A_NUMBER), NAME(BROADCASTS) };

/* How far the next row and column are of an operand (n,h) that is broadcast in this way. */
static size_t NAME(row_step)(int how, size_t h) {
    return how == NAME(FULL) ? h : (size_t)(how == NAME(A_COLUMN));
}

static size_t NAME(column_step)(int how) { return how == NAME(FULL) || how == NAME(A_ROW); }

static void NAME(arithmetic)(size_t n, size_t h, int kind) {
    REAL *a = NAME(random)(n * h, kind), *b = NAME(random)(n * h, kind);
    REAL *fast = NAME(stale)(n * h), *ref = NAME(stale)(n * h);
    for (int operation = BP_ADD; operation <= BP_DIVIDE; operation++)
        for (int how = 0; how < NAME(BROADCASTS) * NAME(BROADCASTS); how++) {
            const int left = how / NAME(BROADCASTS), right = how % NAME(BROADCASTS);
            const size_t steps[] = {NAME(row_step)(left, h), NAME(column_step)(left),
                                    NAME(row_step)(right, h), NAME(column_step)(right)};
            case_is("arithmetic", n, h, (size_t)(100 * operation + how));
            expect(NAME(bp_ref_arithmetic)(ref, operation, a, steps[0], steps[1], b, steps[2], steps[3],
                                           n, h) == BP_OK);
            expect(NAME(bp_arithmetic)(fast, operation, a, steps[0], steps[1], b, steps[2], steps[3], n,
                                       h) == BP_OK);
            NAME(same)(fast, ref, n * h);
            if (left == NAME(FULL)) {
                NAME(copy)(fast, a, n * h);
                NAME(bp_arithmetic)(fast, operation, fast, h, 1, b, steps[2], steps[3], n, h);
                NAME(same)(fast, ref, n * h);
            }
        }
    for (int operation = BP_ADD; operation <= BP_DIVIDE && n && h; operation++) {
        case_is("arithmetic with a number", n, h, (size_t)operation);
        NAME(bp_ref_arithmetic)(ref, operation, a, h, 1, b, 0, 0, n, h);
        expect(NAME(bp_arithmetic_number)(fast, operation, a, (double)*b, 0, n * h) == BP_OK);
        NAME(same)(fast, ref, n * h);
        NAME(bp_ref_arithmetic)(ref, operation, b, 0, 0, a, h, 1, n, h);
        expect(NAME(bp_arithmetic_number)(fast, operation, a, (double)*b, 1, n * h) == BP_OK);
        NAME(same)(fast, ref, n * h);
    }
    NAME(drop)(a, n * h), NAME(drop)(b, n * h), NAME(drop)(fast, n * h), NAME(drop)(ref, n * h);
}

static void NAME(powers)(size_t size, int kind) {
    static const int exponents[] = {0, 1, 2, 3, 5, BP_MAX_EXPONENT, -1, -2, -7, -BP_MAX_EXPONENT};
    REAL *x = NAME(random)(size, kind), *dout = NAME(random)(size, kind);
    REAL *fast = NAME(stale)(size), *ref = NAME(stale)(size);
    const REAL low = size % 2 ? (REAL)0.25 : -(REAL)0;
    for (size_t k = 0; k < sizeof exponents / sizeof *exponents; k++) {
        case_is("power", size, k, 1);
        expect(NAME(bp_ref_power)(ref, x, exponents[k], size) == BP_OK);
        expect(NAME(bp_power)(fast, x, exponents[k], size) == BP_OK);
        NAME(same)(fast, ref, size);
        NAME(copy)(fast, x, size);
        NAME(bp_power)(fast, fast, exponents[k], size);
        NAME(same)(fast, ref, size);
    }
    expect(NAME(bp_power)(fast, x, BP_MAX_EXPONENT + 1, size) == BP_INVALID);
    expect(NAME(bp_ref_power)(fast, x, -BP_MAX_EXPONENT - 1, size) == BP_INVALID);
    case_is("square root", size, 1, 1);
    NAME(bp_square_root)(fast, x, size), NAME(bp_ref_square_root)(ref, x, size);
    NAME(same)(fast, ref, size);
    case_is("clamp_min", size, 1, 1);
    NAME(bp_clamp_min_forward)(fast, x, low, size), NAME(bp_ref_clamp_min_forward)(ref, x, low, size);
    NAME(same)(fast, ref, size);
    NAME(bp_clamp_min_backward)(fast, ref, dout, low, size); /* from the output as from the input */
    NAME(bp_ref_clamp_min_backward)(ref, x, dout, low, size);
    NAME(same)(fast, ref, size);
    NAME(drop)(x, size), NAME(drop)(dout, size), NAME(drop)(fast, size), NAME(drop)(ref, size);
}

static void NAME(sums)(size_t outer, size_t count, size_t inner, int kind) {
    REAL *x = NAME(random)(outer * count * inner, kind);
    REAL *fast = NAME(stale)(outer * inner), *ref = NAME(stale)(outer * inner);
    case_is("sum", outer, count, inner);
    expect(NAME(bp_ref_sum)(ref, x, outer, count, inner) == BP_OK);
    expect(NAME(bp_sum)(fast, x, outer, count, inner) == BP_OK);
    NAME(same)(fast, ref, outer * inner);
    NAME(drop)(x, outer * count * inner), NAME(drop)(fast, outer * inner),
        NAME(drop)(ref, outer * inner);
}

static void NAME(arithmetic_all)(int quick) {
    static const size_t around[] = {0, 1, 2, 5, 8, 17, 64, 65, 130};
    static const size_t counts[] = {0, 1, 7, 511, 512, 513, 1024, 4095, 4096, 4097, 9000};
    for (int kind = PLAIN; kind <= SMALL; kind++) {
        for (size_t i = 0; i < 9; i++)
            for (size_t j = 0; j < 9; j++) NAME(arithmetic)(around[i], around[j], kind);
        for (size_t k = 0; k < 11; k++) {
            NAME(powers)(counts[k], kind);
            for (size_t outer = 0; outer < 20; outer += 1 + 6 * (outer > 1))
                NAME(sums)(outer, counts[k], 1, kind), NAME(sums)(outer, counts[k], 3, kind);
        }
    }
    if (quick) return;
    NAME(arithmetic)(1003, 1009, ODD), NAME(powers)(1000003, ODD);
    NAME(sums)(1, 1000003, 1, PLAIN), NAME(sums)(100003, 10, 1, ODD), NAME(sums)(3, 10007, 30, SMALL);
}

/* arithmetic.c: out = a + b, a - b, a * b, a / b, of matrices that broadcast, or of an array and a
   number. Their gradients are made of the same four. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "ops/arithmetic.c"
#include "template/for_each_kernel.h"

#elif defined KERNEL
/* ---- per type and kernel ---- */

/* One row; a step is 1, or 0 for one number that is used in all columns. */
#define BP_ROW(name, operator)                                                                          \
    static void LOCAL(name)(REAL * out, const REAL *a, size_t a_step, const REAL *b, size_t b_step,     \
                            size_t size) {                                                              \
        if (a_step == b_step && a_step) {                                                               \
            for (size_t i = 0; i < size; i++) out[i] = a[i] operator b[i];                              \
        } else if (a_step) {                                                                            \
            const REAL right = *b;                                                                      \
            for (size_t i = 0; i < size; i++) out[i] = a[i] operator right;                             \
        } else if (b_step) {                                                                            \
            const REAL left = *a;                                                                       \
            for (size_t i = 0; i < size; i++) out[i] = left operator b[i];                              \
        } else {                                                                                        \
            const REAL both = *a operator * b;                                                          \
            for (size_t i = 0; i < size; i++) out[i] = both;                                            \
        }                                                                                               \
    }
BP_ROW(add_row, +)
BP_ROW(subtract_row, -)
BP_ROW(multiply_row, *)
BP_ROW(divide_row, /)
#undef BP_ROW

static void LOCAL(arithmetic_row)(REAL *out, int operation, const REAL *a, size_t a_step, const REAL *b,
                                  size_t b_step, size_t size) {
    if (size == 0) return;
    switch (operation) {
    case BP_ADD: LOCAL(add_row)(out, a, a_step, b, b_step, size); break;
    case BP_SUBTRACT: LOCAL(subtract_row)(out, a, a_step, b, b_step, size); break;
    case BP_MULTIPLY: LOCAL(multiply_row)(out, a, a_step, b, b_step, size); break;
    default: LOCAL(divide_row)(out, a, a_step, b, b_step, size); break;
    }
}

#else
/* ---- per type ---- */

/* out (n,h), of a and b whose elements [i,j] are at i * row + j * column */
typedef struct {
    REAL *out;
    int operation;
    const REAL *a, *b;
    size_t a_row, a_column, b_row, b_column, h;
} NAME(broadcast);

static void NAME(columns_part)(const void *job, bp_range mine) {
    const NAME(broadcast) *j = job;
    BP_DISPATCH(NAME(arithmetic_row),
                (j->out + mine.begin, j->operation, j->a + mine.begin * j->a_column, j->a_column,
                 j->b + mine.begin * j->b_column, j->b_column, mine.end - mine.begin));
}

static void NAME(rows_part)(const void *job, bp_range mine) {
    const NAME(broadcast) *j = job;
    for (size_t i = mine.begin; i < mine.end; i++)
        BP_DISPATCH(NAME(arithmetic_row), (j->out + i * j->h, j->operation, j->a + i * j->a_row,
                                           j->a_column, j->b + i * j->b_row, j->b_column, j->h));
}

static void NAME(one_row)(REAL *out, int operation, const REAL *a, size_t a_step, const REAL *b,
                          size_t b_step, size_t size) {
    const NAME(broadcast) j = {out, operation, a, b, .a_column = a_step, .b_column = b_step};
    bp_run_elements((double)size, size, NAME(columns_part), &j);
}

bp_status NAME(bp_arithmetic)(REAL *out, int operation, const REAL *a, size_t a_row, size_t a_column,
                              const REAL *b, size_t b_row, size_t b_column, size_t n, size_t h) {
    BP_DEFINED_ENVIRONMENT;
    if (operation < BP_ADD || operation > BP_DIVIDE || a_column > 1 || b_column > 1) return BP_INVALID;
    if (bp_overflows(n, h, sizeof(REAL)) || bp_overflows(n, a_row, sizeof(REAL)) ||
        bp_overflows(n, b_row, sizeof(REAL)))
        return BP_OVERFLOW;
    if (a_row == a_column * h && b_row == b_column * h) { /* the rows lie one after another */
        NAME(one_row)(out, operation, a, a_column, b, b_column, n * h);
        return BP_OK;
    }
    const NAME(broadcast) j = {out, operation, a, b, a_row, a_column, b_row, b_column, h};
    bp_run_parts((double)n * (double)h, n, 1, 1, NAME(rows_part), &j);
    return BP_OK;
}

bp_status NAME(bp_arithmetic_number)(REAL *out, int operation, const REAL *a, double number,
                                     int number_first, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL rounded = (REAL)bp_here(number);
    if (operation < BP_ADD || operation > BP_DIVIDE) return BP_INVALID;
    if (number_first)
        NAME(one_row)(out, operation, &rounded, 0, a, 1, size);
    else
        NAME(one_row)(out, operation, a, 1, &rounded, 0, size);
    return BP_OK;
}

#endif

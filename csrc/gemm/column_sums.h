/* column_sums.h: the columns of a matrix, summed over the rows of a segment; included once per
   element type and kernel. */
#define COLUMNS 256 /* partial sums on the stack */

/* sums (cols) += (the sum over the rows of `at` (rows,cols), ld apart, from +0 on) */
static __attribute__((noinline)) void LOCAL(add_segment)(REAL *restrict sums, const REAL *restrict at,
                                                         size_t ld, size_t rows, size_t cols) {
    for (size_t j = 0; j < cols; j += COLUMNS) {
        size_t some = cols - j < COLUMNS ? cols - j : COLUMNS;
        REAL acc[COLUMNS];
        memset(acc, 0, some * sizeof(REAL));
        for (size_t i = 0; i < rows; i++)
            for (size_t l = 0; l < some; l++) acc[l] += at[i * ld + j + l];
        for (size_t l = 0; l < some; l++) sums[j + l] += acc[l];
    }
}

#undef COLUMNS

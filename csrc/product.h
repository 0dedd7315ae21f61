/* product.h: the one blocked product behind matmul and linear. Included once per element type. */

/* c (rows,cols) = a (rows,inner) @ b (inner,cols), each element reached by strides, so that a
   transpose is only a matter of which stride is which:
   a[i,p] = a[i * a_row + p * a_inner], b[p,j] = b[p * b_inner + j * b_col], c[i,j] = c[i * ldc + j]. */
typedef struct {
    REAL *c;
    const REAL *a, *b;
    const REAL *bias; /* (cols), added to the finished chain, or NULL */
    size_t ldc, a_row, a_inner, b_inner, b_col;
    size_t rows, inner, cols;
    int accumulate; /* start from c */
    int segmented;  /* cut the sum over inner into segments */
} NAME(bp_product);

/* Computes it with as many threads as it is worth; each owns some of c's rows or columns. */
void NAME(bp_multiply)(const NAME(bp_product) * product);

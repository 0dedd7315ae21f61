/* adam.h: the arrays and the rounded numbers of an update. Included once per element type. */

typedef struct {
    REAL *p, *m, *v;
    const REAL *dp;
    REAL c1, c2, beta2, step, root, eps, decay, keep; /* as in pybackprop.h */
    int decays, decoupled;
} NAME(adam);

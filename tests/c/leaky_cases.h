/* leaky_cases.h: leaky_relu by itself, and in chains and plans beside other activations; included once
   per element type, after plan_cases.h. */

static void NAME(leaky)(size_t size, REAL slope, int kind) {
    REAL *x = NAME(random)(size, kind), *dout = NAME(random)(size, kind);
    REAL *fast = NAME(stale)(size), *ref = NAME(stale)(size);
    case_is("leaky_relu", size, 1, 1);
    NAME(bp_leaky_relu_forward)(fast, x, slope, size);
    NAME(bp_ref_leaky_relu_forward)(ref, x, slope, size);
    NAME(same)(fast, ref, size);
    NAME(bp_leaky_relu_backward)(fast, ref, dout, slope, size);  /* from the output ... */
    NAME(bp_ref_leaky_relu_backward)(ref, x, dout, slope, size); /* ... as from the input */
    NAME(same)(fast, ref, size);
    case_is("leaky_relu in place", size, 1, 1);
    NAME(copy)(fast, x, size);
    NAME(bp_leaky_relu_backward)(fast, fast, dout, slope, size);
    NAME(same)(fast, ref, size);
    NAME(copy)(fast, dout, size);
    NAME(bp_leaky_relu_backward)(fast, x, fast, slope, size);
    NAME(same)(fast, ref, size);
    NAME(copy)(fast, x, size);
    NAME(bp_leaky_relu_forward)(fast, fast, slope, size);
    NAME(bp_ref_leaky_relu_forward)(ref, x, slope, size);
    NAME(same)(fast, ref, size);
    NAME(drop)(x, size), NAME(drop)(dout, size), NAME(drop)(fast, size), NAME(drop)(ref, size);
}

/* The zeros keep their signs, as slope * x has them; the gradient at 0 is the slope's. */
static void NAME(leaky_zeros)(void) {
    const REAL slope = (REAL)0.01, x[] = {0, -(REAL)0, -1, 1, NAN}, dout[] = {1, 1, 1, 1, 1};
    REAL out[5], dx[5];
    case_is("leaky_relu's zeros", 5, 1, 1);
    NAME(bp_leaky_relu_forward)(out, x, slope, 5);
    NAME(bp_leaky_relu_backward)(dx, x, dout, slope, 5);
    expect(plus_zero((double)out[0]) && out[1] == 0 && signbit(out[1]));
    expect(out[2] == -slope && out[3] == 1 && isnan(out[4]));
    expect(dx[0] == slope && dx[1] == slope && dx[2] == slope && dx[3] == 1 && dx[4] == slope);
}

static void NAME(leaky_all)(int quick) {
    static const size_t around[] = {0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 129, 1000};
    const REAL slopes[] = {(REAL)0.01, (REAL)0.25, 3, NAME(least)};
    for (int kind = PLAIN; kind <= SMALL; kind++)
        for (size_t k = 0; k < sizeof around / sizeof *around; k++)
            NAME(leaky)(around[k], slopes[k % 4], kind);
    if (!quick) NAME(leaky)(1000003, slopes[0], ODD);
    NAME(leaky_zeros)();
}

/* A layer whose activation is unknown, or whose slope is not allowed in this type, changes nothing. */
static void NAME(invalid)(int activation, double slope) {
    REAL one[4] = {1, 1, 1, 1}, loss = 7;
    size_t bytes = 7;
    bp_layer l = {.m = 1, .h = 1, .activation = activation, .negative_slope = slope};
    l.w = one, l.z = one + 1, l.a = one + 2, l.dz = one + 3;
    const bp_plan plan = {.layers = &l, .count = 1, .batch = 1};
    case_is("an activation that is not allowed", 1, 1, 1);
    expect(NAME(bp_chain_forward)(&loss, &l, 1, one, one, 1) == BP_INVALID);
    expect(NAME(bp_chain_backward)(NULL, &l, 1, one, one, 1, 0) == BP_INVALID);
    expect(NAME(bp_plan_workspace)(&plan, &bytes) == BP_INVALID);
    expect(NAME(bp_plan_grads)(&plan, &loss, one, one, 1, NULL, 0) == BP_INVALID);
    expect(NAME(bp_plan_predict)(&plan, one, one, 1) == BP_INVALID);
    expect(loss == 7 && bytes == 7 && one[1] == 1 && one[2] == 1 && one[3] == 1);
}

static void NAME(all_invalid)(void) {
    static const double slopes[] = {0, -(double)0, -0.01, NAN, INFINITY};
    for (size_t k = 0; k < sizeof slopes / sizeof *slopes; k++)
        NAME(invalid)(BP_ACTIVATION_LEAKY_RELU, slopes[k]);
    if (sizeof(REAL) == 4) NAME(invalid)(BP_ACTIVATION_LEAKY_RELU, 1e-300); /* 0 as a float */
    if (sizeof(REAL) == 4) NAME(invalid)(BP_ACTIVATION_LEAKY_RELU, 1e300);
    NAME(invalid)(-1, 1), NAME(invalid)(BP_ACTIVATION_TANH + 1, 1);
}

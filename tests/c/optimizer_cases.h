/* optimizer_cases.h: the updates of Adam and of sgd with weight decay, and the norm of gradients;
   included once per element type, after core_cases.h. */

static void NAME(updates)(size_t size, int kind) {
    for (int option = 0; option < 8; option++) {
        const bp_optimizer o = {.rule = option & 1 ? BP_ADAM : BP_SGD,
                                .nesterov = option >> 1 & 1,
                                .decoupled = option >> 1 & 1,
                                .beta2 = 0.99,
                                .eps = 1e-8,
                                .weight_decay = option >> 2 ? 0.01 : 0,
                                .steps = (uint64_t)size % 5};
        REAL *p[2], *m[2], *v[2], *dp = NAME(random)(size, kind);
        NAME(pair)(p, size, 1, kind), NAME(pair)(m, size, 1, kind), NAME(pair)(v, size, 1, kind);
        const bp_parameter one = {p[0], m[0], dp, size, v[0], 0};
        case_is(option & 1 ? "adam" : "sgd with decay", size, (size_t)option, 1);
        NAME(bp_optimizer_step)(&one, 1, &o, 0.1, 0.9);
        if (option & 1)
            NAME(bp_ref_adam_update)(p[1], m[1], v[1], dp, &o, 0.1, 0.9, size);
        else
            NAME(bp_ref_sgd_decay_update)(p[1], m[1], dp, &o, 0.1, 0.9, size);
        NAME(check_pair)(p, size), NAME(check_pair)(m, size), NAME(check_pair)(v, size);
        NAME(drop)(dp, size);
    }
}

static void NAME(without_momentum)(size_t size, int kind) {
    const bp_optimizer o = {.weight_decay = 0.01};
    REAL *p[2], *dp = NAME(random)(size, kind);
    NAME(pair)(p, size, 1, kind);
    case_is("sgd with decay, without momentum", size, 1, 1);
    NAME(bp_sgd_decay_update)(p[0], NULL, dp, &o, 0.1, 0, size);
    NAME(bp_ref_sgd_decay_update)(p[1], NULL, dp, &o, 0.1, 0, size);
    NAME(check_pair)(p, size), NAME(drop)(dp, size);
}

static void NAME(norm)(size_t size, int kind) {
    REAL *dp[2];
    NAME(pair)(dp, size, 1, kind);
    case_is("sum_squares", size, 1, 1);
    double fast = NAME(bp_sum_squares)(dp[0], size), ref = NAME(bp_ref_sum_squares)(dp[1], size);
    same_f64(&fast, &ref, 1);
    case_is("scale", size, 1, 1);
    NAME(bp_scale)(dp[0], 0.3, size), NAME(bp_ref_scale)(dp[1], 0.3, size);
    NAME(check_pair)(dp, size);
}

static void NAME(optimizer_all)(int quick) {
    static const size_t counts[] = {0,  1,  2,  3,  7,   8,    9,    15,   16,    17,   31,
                                    33, 64, 65, 97, 513, 8191, 8192, 8193, 16400, 70000};
    for (int kind = PLAIN; kind <= SMALL; kind++) {
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
            NAME(updates)(counts[k], kind), NAME(without_momentum)(counts[k], kind),
                NAME(norm)(counts[k], kind);
        if (!quick) NAME(updates)(600011, kind), NAME(norm)(1000003, kind);
    }
    expect(bp_clip_factor(4, 1) == 1 / (2 + 1e-6) && bp_clip_factor(4, 3) == 1 && !bp_clip_factor(4, 0));
}

/* plan_cases.h: whole steps of a plan beside the definition; included once per element type, after
   chain_cases.h. */

/* What a plan works on. Each of its steps is also made by the definition, on `right`. */
typedef struct {
    NAME(net) net, right;
    bp_layer layers[DEEP];
    bp_parameter parameters[2 * DEEP];
    REAL *v[2 * DEEP], *right_v[2 * DEEP], *workspace, *x, *targ;
    size_t size[2 * DEEP], workspace_size;
    bp_plan plan;
} NAME(planned);

static REAL *NAME(of_parameter)(const NAME(net) * net, size_t k, int gradient) {
    if (k % 2) return gradient ? net->db[k / 2] : net->b[k / 2];
    return gradient ? net->dw[k / 2] : net->w[k / 2];
}

/* Without workspace yet. */
static void NAME(lay_out)(NAME(planned) * p, int strategy, size_t n, const size_t *width) {
    p->right = NAME(new_net)(n, width, NULL), p->net = NAME(new_net)(n, width, NULL);
    NAME(copy)(p->net.x, p->right.x, n * width[0]);
    NAME(copy)(p->net.targ, p->right.targ, n * width[DEEP]);
    for (size_t k = 0; k < 2 * DEEP; k++) {
        REAL *w = NAME(of_parameter)(&p->net, k, 0);
        p->size[k] = width[k / 2 + 1] * (k % 2 ? 1 : width[k / 2]);
        NAME(copy)(w, NAME(of_parameter)(&p->right, k, 0), p->size[k]);
        p->v[k] = NAME(random)(p->size[k], PLAIN), p->right_v[k] = NAME(stale)(p->size[k]);
        NAME(copy)(p->right_v[k], p->v[k], p->size[k]);
        p->parameters[k] =
            (bp_parameter){w, p->v[k], NAME(of_parameter)(&p->net, k, 1), p->size[k], NULL, 0};
    }
    for (size_t k = 0; k < DEEP; k++) {
        NAME(net) *net = &p->net;
        p->layers[k] = (bp_layer){.m = width[k],
                                  .h = width[k + 1],
                                  .w = net->w[k],
                                  .b = net->b[k],
                                  .activation = net->activation[k],
                                  .negative_slope = slope_of(k),
                                  .z = net->z[k],
                                  .a = in_place             ? net->z[k]
                                       : net->activation[k] ? net->a[k]
                                                            : NULL,
                                  .dz = net->dz[k],
                                  .dw = net->dw[k],
                                  .db = net->db[k]};
    }
    p->x = NAME(stale)(n * width[0]), p->targ = NAME(stale)(n * width[DEEP]);
    p->plan = (bp_plan){.layers = p->layers,
                        .count = DEEP,
                        .parameters = p->parameters,
                        .parameter_count = 2 * DEEP,
                        .strategy = strategy,
                        .sparse = 1,
                        .batch = n,
                        .x = p->x,
                        .targ = p->targ};
}

static void NAME(put_away)(NAME(planned) * p) {
    size_t n = p->net.n;
    for (size_t k = 0; k < 2 * DEEP; k++)
        NAME(drop)(p->v[k], p->size[k]), NAME(drop)(p->right_v[k], p->size[k]);
    NAME(drop)(p->x, n * p->net.width[0]), NAME(drop)(p->targ, n * p->net.width[DEEP]);
    if (p->workspace) NAME(drop)(p->workspace, p->workspace_size);
    NAME(drop_net)(&p->net, 0), NAME(drop_net)(&p->right, 0);
}

/* The definition's step is the one before, and both have the same parameters and gradients. */
static void NAME(same_step)(NAME(planned) * p, REAL loss, REAL lr, REAL mu) {
    NAME(define_with)(&p->right, 1);
    NAME(same)(&loss, &p->right.loss, 1);
    for (size_t k = 0; k < 2 * DEEP; k++) {
        REAL *w = NAME(of_parameter)(&p->right, k, 0), *dw = NAME(of_parameter)(&p->right, k, 1);
        NAME(same)(NAME(of_parameter)(&p->net, k, 1), dw, p->size[k]);
        NAME(bp_ref_sgd_momentum_update)(w, p->right_v[k], dw, lr, mu, p->size[k]);
        NAME(same)(NAME(of_parameter)(&p->net, k, 0), w, p->size[k]);
        NAME(same)(p->v[k], p->right_v[k], p->size[k]);
    }
}

/* An epoch of one batch: the rows lie backwards and are gathered in order. */
static void NAME(run_backwards)(NAME(planned) * p, REAL lr, REAL mu) {
    size_t n = p->net.n, m = p->net.width[0], o = p->net.width[DEEP];
    int64_t *order = malloc(n * sizeof *order);
    bp_progress at = {0};
    for (size_t i = 0; i < n; i++) {
        order[i] = (int64_t)(n - 1 - i);
        NAME(copy)(p->net.x + i * m, p->right.x + (n - 1 - i) * m, m);
        NAME(copy)(p->net.targ + i * o, p->right.targ + (n - 1 - i) * o, o);
    }
    expect(NAME(bp_plan_run)(&p->plan, &at, p->net.x, p->net.targ, order, n, n, lr, mu, 9) == BP_OK);
    expect(at.row == n && at.steps == 1 && at.loss_sum == at.loss * (double)n);
    NAME(same_step)(p, (REAL)at.loss, lr, mu);
    p->net.targ[0] = (REAL)NAN;
    at = (bp_progress){0};
    expect(NAME(bp_plan_run)(&p->plan, &at, p->net.x, p->net.targ, order, n, n, lr, mu, 9) ==
           BP_DIVERGED);
    expect(at.row == 0 && at.steps == 0 && !isfinite(at.loss));
    for (size_t k = 0; k < 2 * DEEP; k++)
        NAME(same)(NAME(of_parameter)(&p->net, k, 0), NAME(of_parameter)(&p->right, k, 0), p->size[k]);
    free(order);
}

static void NAME(planned_steps)(int strategy, size_t n, size_t m, size_t h, size_t o) {
    const size_t width[DEEP + 1] = {m, h, h + 1, o};
    const REAL lr = (REAL)0.125, mu = (REAL)0.875;
    NAME(planned) p = {0};
    REAL loss = NAN;
    NAME(lay_out)(&p, strategy, n, width);
    case_is("plan", n, m, h);
    if (NAME(bp_plan_workspace)(&p.plan, &p.plan.workspace_bytes) == BP_OK) {
        p.workspace_size = p.plan.workspace_bytes / sizeof(REAL) + 1;
        p.plan.workspace = p.workspace = NAME(stale)(p.workspace_size);
        expect(NAME(bp_plan_grads)(&p.plan, &loss, p.net.x, p.net.targ, n + 1, NULL, 0) == BP_MISMATCH);
        expect(NAME(bp_plan_grads)(&p.plan, &loss, p.net.x, p.net.targ, n, p.net.dx, 0) == BP_OK);
        NAME(define_with)(&p.right, 1);
        NAME(same)(p.net.dx, p.right.dx, n * m);
        p.plan.batch = n / 2 + 1;
        REAL *out = NAME(stale)(n * o);
        expect(NAME(bp_plan_predict)(&p.plan, out, p.net.x, n) == BP_OK);
        NAME(same)(out, p.right.a[DEEP - 1], n * o);
        NAME(drop)(out, n * o);
        p.plan.batch = n;
        expect(NAME(bp_plan_step)(&p.plan, &loss, p.net.x, p.net.targ, n, lr, mu) == BP_OK);
        NAME(same_step)(&p, loss, lr, mu);
        if (data_kind != ODD) NAME(run_backwards)(&p, lr, mu);
    } else {
        expect(strategy != BP_LAYERS);
    }
    NAME(put_away)(&p);
}

/* Workspace, and what a run may use besides: zeros, exactly as many as it asks for. */
static REAL *NAME(add_memory)(NAME(planned) * p, size_t *numbers) {
    expect(NAME(bp_plan_workspace)(&p->plan, &p->plan.workspace_bytes) == BP_OK);
    p->workspace_size = p->plan.workspace_bytes / sizeof(REAL) + 1;
    p->plan.workspace = p->workspace = NAME(stale)(p->workspace_size);
    p->plan.run_bytes = NAME(bp_plan_run_bytes)(&p->plan);
    *numbers = p->plan.run_bytes / sizeof(REAL);
    REAL *memory = NAME(stale)(*numbers);
    memset(memory, 0, p->plan.run_bytes);
    return p->plan.run_memory = memory;
}

/* A run on copies of the parameters gives the bits of one without. */
static void NAME(run_on_copies)(size_t n, size_t batch, size_t m, size_t h, size_t o) {
    const size_t width[DEEP + 1] = {m, h, h + 1, o};
    NAME(planned) p = {0}, q = {0};
    size_t numbers, others;
    bp_progress at = {0}, other = {0};
    case_is("run", n, m, h);
    NAME(lay_out)(&p, BP_SPLIT, n, width), NAME(lay_out)(&q, BP_SPLIT, n, width);
    NAME(copy)(q.net.x, p.net.x, n * m), NAME(copy)(q.net.targ, p.net.targ, n * o);
    for (size_t k = 0; k < 2 * DEEP; k++) {
        NAME(copy)(NAME(of_parameter)(&q.net, k, 0), NAME(of_parameter)(&p.net, k, 0), p.size[k]);
        NAME(copy)(q.v[k], p.v[k], p.size[k]);
    }
    p.plan.batch = q.plan.batch = batch;
    REAL *memory = NAME(add_memory)(&p, &numbers), *unused = NAME(add_memory)(&q, &others);
    expect(numbers > 0);
    q.plan.run_memory = NULL;
    expect(NAME(bp_plan_run)(&p.plan, &at, p.net.x, p.net.targ, NULL, n, batch, 1e-4, 0.5, 9) == BP_OK);
    expect(NAME(bp_plan_run)(&q.plan, &other, q.net.x, q.net.targ, NULL, n, batch, 1e-4, 0.5, 9) ==
           BP_OK);
    expect(at.row == n && at.steps == other.steps && at.loss_sum == other.loss_sum);
    for (size_t k = 0; k < 2 * DEEP; k++) {
        for (int gradient = 0; gradient < 2; gradient++)
            NAME(same)(NAME(of_parameter)(&p.net, k, gradient), NAME(of_parameter)(&q.net, k, gradient),
                       p.size[k]);
        NAME(same)(p.v[k], q.v[k], p.size[k]);
    }
    NAME(drop)(memory, numbers), NAME(drop)(unused, others);
    NAME(put_away)(&p), NAME(put_away)(&q);
}

/* chain_cases.h: a chain beside the definition of each of its operations; included once per element
 * type. */

typedef struct {
    REAL *w[DEEP], *b[DEEP], *z[DEEP], *a[DEEP], *dw[DEEP], *db[DEEP], *dz[DEEP], *x, *targ, *dx, loss;
    size_t n, width[DEEP + 1];
    int activation[DEEP];
} NAME(net);

/* The data of a network's input: data_kind, or mostly zeros. */
static REAL *NAME(inputs)(size_t size) {
    REAL *x = NAME(random)(size, data_kind == ODD ? ODD : PLAIN);
    for (size_t e = 0; data_kind == SPARSE && e < size; e++)
        if (bp_random_stream(e, 1) % 9) x[e] = 0;
    return x;
}

static NAME(net) NAME(new_net)(size_t n, const size_t *width, const NAME(net) * like) {
    NAME(net) net = {.n = n, .loss = NAN};
    memcpy(net.width, width, sizeof net.width);
    memcpy(net.activation, activations, sizeof net.activation);
    net.x = like ? like->x : NAME(inputs)(n * width[0]);
    net.targ = like ? like->targ : NAME(random)(n * width[DEEP], PLAIN);
    net.dx = NAME(stale)(n * width[0]);
    for (size_t k = 0; k < DEEP; k++) {
        size_t m = width[k], h = width[k + 1];
        net.w[k] = like ? like->w[k] : NAME(random)(m * h, PLAIN);
        net.b[k] = like ? like->b[k] : NAME(random)(h, PLAIN);
        net.z[k] = NAME(stale)(n * h), net.a[k] = NAME(stale)(n * h), net.dz[k] = NAME(stale)(n * h);
        net.dw[k] = NAME(stale)(m * h), net.db[k] = NAME(stale)(h);
    }
    return net;
}

static void NAME(drop_net)(NAME(net) * net, int shared) {
    size_t n = net->n;
    if (!shared) NAME(drop)(net->x, n * net->width[0]), NAME(drop)(net->targ, n * net->width[DEEP]);
    NAME(drop)(net->dx, n * net->width[0]);
    for (size_t k = 0; k < DEEP; k++) {
        size_t m = net->width[k], h = net->width[k + 1];
        if (!shared) NAME(drop)(net->w[k], m * h), NAME(drop)(net->b[k], h);
        NAME(drop)(net->z[k], n * h), NAME(drop)(net->a[k], n * h), NAME(drop)(net->dz[k], n * h);
        NAME(drop)(net->dw[k], m * h), NAME(drop)(net->db[k], h);
    }
}

/* a = the activation of z, and dz = its gradient, from z */
static void NAME(define_activation)(NAME(net) * net, size_t k, int backward) {
    size_t size = net->n * net->width[k + 1];
    REAL *z = net->z[k], *a = net->a[k], *dz = net->dz[k], slope = (REAL)slope_of(k);
    switch (net->activation[k]) {
    case BP_ACTIVATION_RELU:
        backward ? NAME(bp_ref_relu_backward)(dz, z, dz, size) : NAME(bp_ref_relu_forward)(a, z, size);
        break;
    case BP_ACTIVATION_LEAKY_RELU:
        backward ? NAME(bp_ref_leaky_relu_backward)(dz, z, dz, slope, size)
                 : NAME(bp_ref_leaky_relu_forward)(a, z, slope, size);
        break;
    default:
        if (!backward) NAME(copy)(a, z, size);
    }
}

/* with_b: the first layer has a bias too */
static void NAME(define_with)(NAME(net) * net, int with_b) {
    const REAL *in = net->x;
    for (size_t k = 0; k < DEEP; k++) {
        size_t m = net->width[k], h = net->width[k + 1];
        NAME(bp_ref_linear_forward)(net->z[k], in, net->w[k], k || with_b ? net->b[k] : NULL, net->n, m,
                                    h);
        NAME(define_activation)(net, k, 0);
        in = net->a[k];
    }
    NAME(bp_ref_mse_forward)(&net->loss, in, net->targ, net->n, net->width[DEEP]);
    NAME(bp_ref_mse_backward)(net->dz[DEEP - 1], in, net->targ, net->n * net->width[DEEP]);
    for (size_t k = DEEP; k-- > 0;) {
        size_t m = net->width[k], h = net->width[k + 1];
        const REAL *below = k ? net->a[k - 1] : net->x;
        NAME(define_activation)(net, k, 1);
        NAME(bp_ref_linear_backward_x)(k ? net->dz[k - 1] : net->dx, net->dz[k], net->w[k], net->n, m, h,
                                       0);
        NAME(bp_ref_linear_backward_w)(net->dw[k], below, net->dz[k], net->n, m, h, 0);
        NAME(bp_ref_linear_backward_b)(net->db[k], net->dz[k], net->n, h, 0);
    }
}

/* Gradients over activations: over a, or over z and a, which are then one */
static void NAME(share)(bp_layer *layers, int all) {
    for (bp_layer *l = layers; l < layers + DEEP; l++) {
        int none = l->activation == BP_ACTIVATION_NONE;
        if (all) l->a = l->z;
        if (all || !none) l->dz = none ? l->z : l->a;
    }
}

static void NAME(chain)(size_t n, size_t m, size_t h, size_t o) {
    const size_t width[DEEP + 1] = {m, h, h + 1, o};
    NAME(net) right = NAME(new_net)(n, width, NULL), net = NAME(new_net)(n, width, &right);
    bp_layer layers[DEEP];
    for (size_t k = 0; k < DEEP; k++)
        layers[k] = (bp_layer){.m = width[k],
                               .h = width[k + 1],
                               .w = net.w[k],
                               .b = k ? net.b[k] : NULL,
                               .z = net.z[k],
                               .activation = net.activation[k],
                               .negative_slope = slope_of(k),
                               .a = net.activation[k] ? net.a[k] : NULL,
                               .dz = net.dz[k],
                               .dw = net.dw[k],
                               .db = k ? net.db[k] : NULL};
    case_is("chain", n, m, h);
    NAME(define_with)(&right, 0);
    for (int shared = 0; shared < 3; shared++) {
        if (shared) NAME(share)(layers, shared == 2);
        expect(NAME(bp_chain_forward)(&net.loss, layers, DEEP, net.x, net.targ, n) == BP_OK);
        NAME(same)(&net.loss, &right.loss, 1);
        expect(NAME(bp_chain_backward)(net.dx, layers, DEEP, net.x, net.targ, n, 0) == BP_OK);
        NAME(same)(net.dx, right.dx, n * m);
        for (size_t k = 0; k < DEEP; k++) NAME(same)(net.dw[k], right.dw[k], width[k] * width[k + 1]);
        for (size_t k = 1; k < DEEP; k++) NAME(same)(net.db[k], right.db[k], width[k + 1]);
    }
    expect(NAME(bp_chain_forward)(&net.loss, layers, 0, net.x, net.targ, n) == BP_EMPTY);
    NAME(drop_net)(&net, 1), NAME(drop_net)(&right, 0);
}

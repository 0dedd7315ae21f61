/* chain.c: layers in a row and mse at their end, forward and backward in one call each. Layer by layer,
   by the public operations: the bits are theirs. */
#ifndef REAL
#include "internal.h"

size_t bp_lowest_wanted(const bp_layer *layers, size_t count, int dx) {
    size_t k = 0;
    while (!dx && k < count && !layers[k].dw && !layers[k].db) k++;
    return k;
}

double bp_forward_work(const bp_layer *layers, size_t count, size_t n) {
    double sum = 0;
    for (size_t k = 0; k < count; k++) sum += (double)layers[k].m * (double)layers[k].h;
    return sum * (double)n;
}

#define BP_TEMPLATE "product.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan.h"
#include "each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "chain.c"
#include "each_type.h"

#else

/* what the next layer reads */
REAL *NAME(bp_output)(const bp_layer *layer) { return layer->a ? layer->a : layer->z; }

bp_status NAME(bp_layers_forward)(const bp_rooms *rooms, REAL *out, const bp_layer *layers, size_t count,
                                  const REAL *x, size_t n) {
    const REAL *in = x;
    for (const bp_layer *l = layers; l < layers + count; l++) {
        int to_out = out && l == layers + count - 1, in_place = to_out || l->a == l->z;
        REAL *z = to_out ? out : l->z, *a = to_out ? out : NAME(bp_output)(l);
        bp_status status =
            NAME(bp_linear_forward_in)(rooms, z, in, l->w, l->b, l->a && in_place, n, l->m, l->h);
        if (status != BP_OK) return status;
        if (l->a && !in_place) NAME(bp_relu_forward)(a, z, n * l->h);
        in = a;
    }
    return BP_OK;
}

/* z (n,h) = in (n,m) @ w + b, a (n,h) = relu(z), layer after layer; loss = mean((output - targ)^2) */
bp_status NAME(bp_chain_forward)(REAL *loss, const bp_layer *layers, size_t count, const REAL *x,
                                 const REAL *targ, size_t n) {
    return NAME(bp_chain_forward_in)(NULL, loss, layers, count, x, targ, n);
}

bp_status NAME(bp_chain_forward_in)(const bp_rooms *rooms, REAL *loss, const bp_layer *layers,
                                    size_t count, const REAL *x, const REAL *targ, size_t n) {
    if (count == 0) return BP_EMPTY;
    const bp_layer *last = layers + count - 1;
    bp_status status = NAME(bp_layers_forward)(rooms, NULL, layers, count, x, n);
    return status == BP_OK ? NAME(bp_mse_forward)(loss, NAME(bp_output)(last), targ, n, last->h)
                           : status;
}

/* din (n,m) = dz @ w.T, dw (m,h) = in.T @ dz, db (h) = dz summed over rows: those that are not NULL */
static bp_status NAME(layer_backward)(const bp_rooms *rooms, REAL *din, const bp_layer *l,
                                      const REAL *in, size_t n, int add_din, int accumulate) {
    bp_status status = BP_OK;
    if (din) status = NAME(bp_linear_backward_x_in)(rooms, din, l->dz, l->w, n, l->m, l->h, add_din);
    if (status != BP_OK) return status;
    if (l->dw)
        return NAME(bp_linear_backward_wb_in)(rooms, l->dw, l->db, in, l->dz, n, l->m, l->h, accumulate);
    return l->db ? NAME(bp_linear_backward_b)(l->db, l->dz, n, l->h, accumulate) : BP_OK;
}

bp_status NAME(bp_chain_backward)(REAL *dx, const bp_layer *layers, size_t count, const REAL *x,
                                  const REAL *targ, size_t n, int accumulate) {
    return NAME(bp_chain_backward_in)(NULL, dx, layers, count, x, targ, n, accumulate);
}

bp_status NAME(bp_chain_backward_in)(const bp_rooms *rooms, REAL *dx, const bp_layer *layers,
                                     size_t count, const REAL *x, const REAL *targ, size_t n,
                                     int accumulate) {
    if (count == 0) return BP_EMPTY;
    const bp_layer *last = layers + count - 1;
    if (bp_overflows(n, last->h, sizeof(REAL))) return BP_OVERFLOW;
    NAME(bp_mse_backward)(last->dz, NAME(bp_output)(last), targ, n * last->h);
    for (size_t lowest = bp_lowest_wanted(layers, count, dx != NULL), k = count; k-- > lowest;) {
        const bp_layer *l = layers + k;
        const REAL *in = k ? NAME(bp_output)(l - 1) : x;
        REAL *din = k == 0 ? dx : k > lowest ? l[-1].dz : NULL;
        if (l->a) NAME(bp_relu_backward)(l->dz, l->a, l->dz, n * l->h);
        bp_status status = NAME(layer_backward)(rooms, din, l, in, n, k == 0 && accumulate, accumulate);
        if (status != BP_OK) return status;
    }
    return BP_OK;
}

#endif

/* layers.c: a chain of layers with a loss at its end, with one call for forward and one for backward.
   The operations run one after another. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

/* The elements of a tile, and its most columns, so that it has enough rows for packing to pay. */
enum { BP_SIGNS = 8192, BP_SIGNS_WIDTH = 128 };
enum { BP_FEW_BYTES = 2048 }; /* of a tile on the stack */

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

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/plan.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/layers.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

/* what the next layer reads */
REAL *NAME(bp_output)(const bp_layer *layer) {
    return layer->activation == BP_ACTIVATION_NONE ? layer->z : layer->a;
}

bp_status NAME(bp_layers_forward)(const bp_workspace *workspace, REAL *out, const bp_layer *layers,
                                  size_t count, const REAL *x, size_t n) {
    const REAL *in = x;
    for (const bp_layer *l = layers; l < layers + count; l++) {
        int to_out = out && l == layers + count - 1;
        REAL *z = to_out ? out : l->z, *a = to_out ? out : NAME(bp_output)(l);
        const bp_epilogue epilogue = bp_epilogue_of(l), none = {0};
        bp_status status = NAME(bp_linear_forward_in)(workspace, z, in, l->w, l->b,
                                                      a == z ? epilogue : none, n, l->m, l->h);
        if (status != BP_OK) return status;
        if (a != z) NAME(bp_activation_forward)(epilogue, a, z, n * l->h);
        in = a;
    }
    return BP_OK;
}

/* z (n,h) = in (n,m) @ w + b, a (n,h) = activation(z), layer after layer; and the loss of
   the output and targ */
bp_status NAME(bp_chain_forward)(REAL *loss, const bp_layer *layers, size_t count, const REAL *x,
                                 const REAL *targ, size_t n) {
    BP_DEFINED_ENVIRONMENT;
    if (!NAME(bp_layers_valid)(layers, count)) return BP_INVALID;
    return NAME(bp_chain_forward_in)(NULL, (bp_mean){0}, loss, layers, count, x, targ, n);
}

bp_status NAME(bp_chain_forward_in)(const bp_workspace *workspace, bp_mean mean, REAL *loss,
                                    const bp_layer *layers, size_t count, const REAL *x,
                                    const REAL *targ, size_t n) {
    if (count == 0) return BP_EMPTY;
    const bp_layer *last = layers + count - 1;
    bp_status status = NAME(bp_layers_forward)(workspace, NULL, layers, count, x, n);
    if (status != BP_OK) return status;
    return NAME(bp_loss_forward_of)(mean, last->loss, loss, NAME(bp_output)(last), targ, n, last->h);
}

/* dw (m,h) = in.T @ dz, db (h) = dz summed over rows: those that are not NULL */
static bp_status NAME(parameters_backward)(const bp_workspace *workspace, const bp_layer *l,
                                           const REAL *in, size_t n, int accumulate) {
    if (l->dw)
        return NAME(bp_linear_backward_wb_in)(workspace, l->dw, l->db, in, l->dz, n, l->m, l->h,
                                              accumulate);
    return l->db ? NAME(bp_linear_backward_b)(l->db, l->dz, n, l->h, accumulate) : BP_OK;
}

/* Whether a layer's gradient is written over the only array from which its activation's can be told. */
static int NAME(overwrites_output)(const bp_layer *l) {
    return l->activation != BP_ACTIVATION_NONE && l->a == l->z && l->dz == l->a;
}

/* a (rows,m) = the activation's gradient, from dz (rows,h) @ w.T and the outputs in a: the product
   waits in a tile until the outputs beneath it were read. An element's sum is over h, whatever the
   tile, so the bits are those of the whole. */
static void NAME(backward_in_tiles)(const bp_workspace *workspace, REAL *tile, size_t size, REAL *a,
                                    const bp_layer *l, bp_epilogue before, bp_range mine) {
    const REAL *dz = l->dz;
    size_t m = l->m, h = l->h, width = m < BP_SIGNS_WIDTH ? m : BP_SIGNS_WIDTH;
    for (size_t i = mine.begin, rows; width && i < mine.end; i += rows) {
        rows = mine.end - i < size / width ? mine.end - i : size / width;
        for (size_t k = 0, cols; k < m; k += cols) {
            cols = m - k < width ? m - k : width;
            const REAL *w = (const REAL *)l->w + k * h;
            NAME(bp_linear_backward_x_in)(workspace, tile, dz + i * h, w, rows, cols, h, 0);
            size_t run =
                cols == m ? rows * m : cols; /* numbers that lie side by side in a and in tile */
            for (size_t e = 0; e < rows * cols; e += run) {
                REAL *here = a + i * m + k + e / cols * m;
                NAME(bp_activation_backward)(before, here, here, tile + e, run);
            }
        }
    }
}

/* In a block of memory, or if there is none, on the stack. */
static void NAME(backward_over_rows)(const bp_workspace *workspace, REAL *a, const bp_layer *l,
                                     bp_epilogue before, bp_range mine) {
    _Static_assert(BP_SIGNS * sizeof(REAL) <= BP_BLOCK_BYTES, "a tile fits in a block");
    REAL few[BP_FEW_BYTES / sizeof(REAL)], *tile = bp_take_block();
    NAME(backward_in_tiles)(workspace, tile ? tile : few, tile ? BP_SIGNS : sizeof few / sizeof *few, a,
                            l, before, mine);
    if (tile) bp_give_block(tile);
}

typedef struct {
    const bp_workspace *workspace;
    REAL *a;
    const bp_layer *l;
    bp_epilogue before;
} NAME(over);

static void NAME(backward_over_part)(const void *job, bp_range mine) {
    const NAME(over) *o = job;
    NAME(backward_over_rows)(o->workspace, o->a, o->l, o->before, mine);
}

static bp_status NAME(backward_over)(const bp_workspace *workspace, REAL *a, const bp_layer *l,
                                     bp_epilogue before, size_t n) {
    if (bp_overflows(n, l->m, sizeof(REAL)) || bp_overflows(n, l->h, sizeof(REAL))) return BP_OVERFLOW;
    const NAME(over) o = {workspace, a, l, before};
    bp_run_parts((double)n * (double)l->m * (double)l->h, n, 64, 512, NAME(backward_over_part), &o);
    return BP_OK;
}

/* The gradient of the loss, over the output that it reads: where a row is longer than what there is on
   the stack, part by part */
static void NAME(wide_loss_backward_over)(const bp_layer *last, const REAL *targ, size_t n,
                                          REAL factor) {
    enum { FEW = BP_FEW_BYTES / sizeof(REAL) };
    REAL few[FEW], *a = last->a;
    NAME(bp_loss_row) row = {0};
    for (size_t i = 0, h = last->h; i < n; i++, a += h, targ += bp_loss_width(last->loss, h))
        for (size_t j = 0; j < h; j += FEW) {
            const bp_range part = {j, h - j < FEW ? h : j + FEW};
            NAME(bp_loss_part_backward)(last->loss, &row, few, a, targ, factor, part, h);
            NAME(bp_activation_backward)(bp_epilogue_of(last), a + j, a + j, few, part.end - j);
        }
}

/* The same, some rows at a time */
static void NAME(loss_backward_over)(const bp_layer *last, const REAL *targ, size_t n, REAL factor) {
    enum { FEW = BP_FEW_BYTES / sizeof(REAL) };
    size_t h = last->h, width = bp_loss_width(last->loss, h), most = h ? FEW / h : n, rows;
    if (most == 0) return NAME(wide_loss_backward_over)(last, targ, n, factor);
    REAL few[FEW], *a = last->a;
    for (size_t i = 0; i < n; i += rows) {
        rows = n - i < most ? n - i : most;
        NAME(bp_loss_rows_backward)(last->loss, few, a + i * h, targ + i * width, factor, rows, h);
        NAME(bp_activation_backward)(bp_epilogue_of(last), a + i * h, a + i * h, few, rows * h);
    }
}

/* dz of the last layer: the gradient of its output, or where that is overwritten, of its z */
static void NAME(last_backward)(bp_mean mean, const bp_layer *last, const REAL *targ, size_t n) {
    const REAL factor = NAME(bp_loss_factor)(last->loss, bp_mean_rows(mean, n), last->h);
    if (NAME(overwrites_output)(last))
        NAME(loss_backward_over)(last, targ, n, factor);
    else if (mean.rows)
        NAME(bp_loss_rows_backward)(last->loss, last->dz, NAME(bp_output)(last), targ, factor, n,
                                    last->h);
    else
        NAME(bp_loss_backward)(last->loss, last->dz, NAME(bp_output)(last), targ, n, last->h);
}

/* dz of a layer, from its output or, if dz has been written over that, from its z */
static void NAME(activation_backward)(const bp_layer *l, size_t size) {
    const bp_epilogue epilogue = bp_epilogue_of(l);
    if (l->dz == l->a)
        NAME(bp_activation_backward_of_input)(epilogue, l->dz, l->z, l->dz, size);
    else
        NAME(bp_activation_backward)(epilogue, l->dz, l->a, l->dz, size);
}

/* din (n,m) = dz @ w.T. It comes after the gradients of the parameters, as it may lie where the layer's
   input lay. before: the layer that din is the gradient of, NULL for the data */
static bp_status NAME(input_backward)(const bp_workspace *workspace, REAL *din, const bp_layer *l,
                                      const bp_layer *before, size_t n, int add) {
    if (!din) return BP_OK;
    if (before && NAME(overwrites_output)(before))
        return NAME(backward_over)(workspace, din, l, bp_epilogue_of(before), n);
    return NAME(bp_linear_backward_x_in)(workspace, din, l->dz, l->w, n, l->m, l->h, add);
}

bp_status NAME(bp_chain_backward)(REAL *dx, const bp_layer *layers, size_t count, const REAL *x,
                                  const REAL *targ, size_t n, int accumulate) {
    BP_DEFINED_ENVIRONMENT;
    if (!NAME(bp_layers_valid)(layers, count)) return BP_INVALID;
    return NAME(bp_chain_backward_in)(NULL, (bp_mean){0}, dx, layers, count, x, targ, n, accumulate);
}

bp_status NAME(bp_chain_backward_in)(const bp_workspace *workspace, bp_mean mean, REAL *dx,
                                     const bp_layer *layers, size_t count, const REAL *x,
                                     const REAL *targ, size_t n, int accumulate) {
    if (count == 0) return BP_EMPTY;
    const bp_layer *last = layers + count - 1;
    if (bp_overflows(n, last->h, sizeof(REAL))) return BP_OVERFLOW;
    NAME(last_backward)(mean, last, targ, n);
    for (size_t lowest = bp_lowest_wanted(layers, count, dx != NULL), k = count; k-- > lowest;) {
        const bp_layer *l = layers + k;
        const REAL *in = k ? NAME(bp_output)(l - 1) : x;
        REAL *din = k == 0 ? dx : k > lowest ? l[-1].dz : NULL;
        if (l->activation != BP_ACTIVATION_NONE && !NAME(overwrites_output)(l))
            NAME(activation_backward)(l, n * l->h);
        bp_status status = NAME(parameters_backward)(workspace, l, in, n, accumulate);
        if (status == BP_OK)
            status = NAME(input_backward)(workspace, din, l, k ? l - 1 : NULL, n, k == 0 && accumulate);
        if (status != BP_OK) return status;
    }
    return BP_OK;
}

#endif

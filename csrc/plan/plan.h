/* plan.h: the functions of the strategies that plan.c calls. Included once per element type. */

/* The update of the parameters in a step; guarded: only if the loss is finite. */
typedef struct {
    double lr, mu;
    int guarded;
} NAME(bp_update);

/* update.c: scales the gradients, if the plan clips them. 0: their norm is not finite, and nothing was
   changed. */
int NAME(bp_clip)(const bp_plan *plan);

/* bp_plan_update in the defined environment. */
bp_status NAME(bp_update_in)(const bp_plan *plan, double lr, double mu);

/* The n rows of a step: of x and targ those from the first on, or if order is not NULL, order[0],
   order[1]
   ... */
typedef struct {
    const REAL *x, *targ;
    const int64_t *order;
    size_t n;
} NAME(bp_batch);

/* Copies rows that come in an order to the plan's x and targ. */
void NAME(bp_gather)(const bp_plan *plan, const NAME(bp_batch) * batch, bp_range rows);

/* layers.c: layer by layer, with workspace for its products. */
REAL *NAME(bp_output)(const bp_layer *layer);
/* z, a of each layer; if out is not NULL, the last layer's output is written there instead. */
bp_status NAME(bp_layers_forward)(const bp_workspace *workspace, REAL *out, const bp_layer *layers,
                                  size_t count, const REAL *x, size_t n);
bp_status NAME(bp_chain_forward_in)(const bp_workspace *workspace, bp_mean mean, REAL *loss,
                                    const bp_layer *layers, size_t count, const REAL *x,
                                    const REAL *targ, size_t n);
bp_status NAME(bp_chain_backward_in)(const bp_workspace *workspace, bp_mean mean, REAL *dx,
                                     const bp_layer *layers, size_t count, const REAL *x,
                                     const REAL *targ, size_t n, int accumulate);

/* split.c: threads share rows, then gradients. update may be NULL. BP_DIVERGED: see bp_plan_update. */
bp_status NAME(bp_split_grads)(const bp_plan *plan, const bp_workspace *workspace, REAL *loss,
                               const NAME(bp_batch) * batch, REAL *dx, int accumulate,
                               const NAME(bp_update) * update);

/* The bytes of workspace, before those of products, that tell which numbers of a batch are zero. */
size_t NAME(bp_split_masks_bytes)(const bp_plan *plan);

/* fused.c, fused_workspace.c: one pass over the data. */
bp_status NAME(bp_fused_workspace)(const bp_plan *plan, size_t *bytes);
bp_status NAME(bp_fused_grads)(const bp_plan *plan, REAL *loss, const REAL *x, const REAL *targ,
                               size_t n, REAL *dx, int accumulate);
bp_status NAME(bp_fused_predict)(const bp_plan *plan, REAL *out, const REAL *x, size_t n);

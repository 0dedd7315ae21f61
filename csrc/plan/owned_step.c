/* owned_step.c: a share of the steps of owned.c. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "plan/units.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/owned.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/owned_step.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

typedef struct {
    NAME(bp_owned) * o;
    REAL *own;
    size_t share, shares, n;
    int parity;
} NAME(turn);

static bp_range NAME(units_of)(const NAME(turn) * t, size_t k) {
    return bp_cut(t->o->plan->layers[k].h, 1, t->share, t->shares);
}

static REAL *NAME(outputs)(const NAME(turn) * t, size_t k) {
    const bp_owned_layer *s = t->o->layers + k;
    return k ? t->own + s->a[0] : t->o->memory + s->a[t->parity];
}

static const REAL *NAME(biases)(const NAME(turn) * t, size_t k) {
    return t->o->plan->layers[k].b ? t->o->memory + t->o->layers[k].b[t->parity] : NULL;
}

/* The first layer's outputs, of the share's units */
static void NAME(first_layer)(const NAME(turn) * t) {
    const NAME(bp_owned) *o = t->o;
    const bp_layer *l = o->plan->layers;
    const bp_owned_layer *s = o->layers;
    bp_range mine = NAME(units_of)(t, 0);
    if (mine.begin >= mine.end) return;
    NAME(bp_unit_product)
    p = {.out = o->memory + s->a[t->parity] + mine.begin * o->step, .row = o->x[t->parity]};
    p.w = o->memory + s->w[0] + mine.begin * s->mp, p.w_unit = s->mp, p.w_input = 1;
    p.units = mine.end - mine.begin, p.inner = l->m, p.rows = t->n, p.step = o->step;
    p.panel = t->own + o->panel;
    NAME(bp_units_multiply)(&p);
    /* a NaN or an infinity in a row makes its chains not finite, and no later term can undo that */
    if (mine.begin == 0) t->o->finite[t->parity] = NAME(bp_all_finite)(p.out, t->n);
    const REAL *b = NAME(biases)(t, 0);
    NAME(bp_units_finish)(p.out, o->step, p.units, t->n, b ? b + mine.begin : NULL, bp_epilogue_of(l));
}

static void NAME(layers_above)(const NAME(turn) * t) {
    const NAME(bp_owned) *o = t->o;
    for (size_t k = 1; k < o->plan->count; k++) {
        const bp_layer *l = o->plan->layers + k;
        const bp_owned_layer *s = o->layers + k;
        NAME(bp_unit_product)
        p = {.out = t->own + s->a[0], .in = NAME(outputs)(t, k - 1), .in_step = o->step};
        p.w = o->memory + s->w[t->parity];
        p.w_unit = s->mp, p.w_input = 1, p.units = l->h, p.inner = l->m, p.rows = t->n, p.step = o->step;
        NAME(bp_units_multiply)(&p);
        NAME(bp_units_finish)(p.out, o->step, l->h, t->n, NAME(biases)(t, k), bp_epilogue_of(l));
    }
}

/* The loss, and d of the last layer. */
static REAL NAME(loss_of)(const NAME(turn) * t) {
    const NAME(bp_owned) *o = t->o;
    size_t last = o->plan->count - 1, h = o->plan->layers[last].h, size = t->n * h;
    const int loss = o->plan->layers[last].loss;
    size_t width = bp_loss_width(loss, h);
    const bp_epilogue epilogue = bp_epilogue_of(o->plan->layers + last);
    REAL *out = t->own + o->out, *targ = out + o->batch * h, *d = targ + o->batch * (h + 1);
    NAME(bp_turn)(out, h, NAME(outputs)(t, last), o->step, h, t->n);
    for (size_t i = 0; i < t->n; i++)
        memcpy(targ + i * width, o->targ[t->parity][i], width * sizeof(REAL));
    NAME(bp_loss_rows_backward)(loss, d, out, targ, NAME(bp_loss_factor)(loss, t->n, h), t->n, h);
    if (epilogue.activation != BP_ACTIVATION_NONE)
        NAME(bp_activation_backward)(epilogue, d, out, d, size);
    NAME(bp_turn)(t->own + o->layers[last].d, o->step, d, h, t->n, h);
    double error = 0;
    NAME(bp_loss_segment)(loss, &error, out, targ, t->n, h);
    return (REAL)(error / bp_loss_terms(loss, t->n, h));
}

/* Whether layer k's inputs are finite. */
static int NAME(finite_inputs)(const NAME(turn) * t, size_t k) {
    const NAME(bp_owned) *o = t->o;
    int finite = k > 0 || o->finite[t->parity];
    const REAL *in = k ? NAME(outputs)(t, k - 1) : NULL;
    for (size_t j = 0; k && finite && j < o->plan->layers[k].m; j++)
        finite = NAME(bp_all_finite)(in + j * o->step, t->n);
    return finite;
}

/* Whether the inputs of each layer that leaves out zeros are. */
static int NAME(may_list)(const NAME(turn) * t) {
    const NAME(bp_owned) *o = t->o;
    int may = 1;
    for (size_t k = 0; may && o->lists_pay && k < o->plan->count; k++)
        may = !bp_activation_makes_zeros(o->plan->layers[k].activation) || NAME(finite_inputs)(t, k);
    return may;
}

/* d of layer k, of those units, from d of the layer above. */
static void NAME(units_backward)(const NAME(turn) * t, size_t k, bp_range units) {
    const NAME(bp_owned) *o = t->o;
    const bp_layer *l = o->plan->layers + k;
    const bp_owned_layer *s = o->layers + k, *above = s + 1;
    size_t at = units.begin * o->step, count = units.end - units.begin;
    NAME(bp_unit_product) p = {.out = t->own + s->d + at, .in = t->own + above->d, .in_step = o->step};
    p.w = o->memory + above->w[t->parity] + units.begin, p.w_unit = 1, p.w_input = above->mp;
    p.units = count, p.inner = l[1].h, p.rows = t->n, p.step = o->step;
    NAME(bp_units_multiply)(&p);
    if (l->activation != BP_ACTIVATION_NONE)
        NAME(bp_activation_backward)(bp_epilogue_of(l), p.out, NAME(outputs)(t, k) + at, p.out,
                                     count * o->step);
}

/* Copies the data's rows to where whole lines begin. */
static void NAME(copy_rows)(REAL *to, size_t step, const REAL *const *row, size_t n, size_t m) {
    for (size_t i = 0; i < n; i++) memcpy(to + i * step, row[i], m * sizeof(REAL));
}

/* The rows of a layer's inputs, a step of its mp apart: the data's, or the outputs below, turned. NULL:
   the data's where they lie. */
static const REAL *NAME(input_rows)(const NAME(turn) * t, size_t k) {
    const NAME(bp_owned) *o = t->o;
    const bp_owned_layer *s = o->layers + k;
    REAL *rows = t->own + s->rows;
    size_t m = o->plan->layers[k].m;
    if (k == 0 && !s->copied) return NULL;
    if (k == 0)
        NAME(copy_rows)(rows, s->mp, o->x[t->parity], t->n, m);
    else
        NAME(bp_turn)(rows, s->mp, NAME(outputs)(t, k - 1), o->step, m, t->n);
    return rows;
}

/* The terms of the gradients of some units' weights, for each of them. */
static const NAME(bp_unit_terms) *
    NAME(terms_of)(const NAME(turn) * t, size_t k, bp_range units, const REAL *rows) {
    const NAME(bp_owned) *o = t->o;
    int zeros = o->lists_pay && bp_activation_makes_zeros(o->plan->layers[k].activation);
    NAME(bp_unit_terms) *terms = (NAME(bp_unit_terms) *)(t->own + o->terms);
    const REAL **row = (const REAL **)(t->own + o->lists);
    char *lists = (char *)row + bp_rounded(o->batch * sizeof(REAL *), 64);
    for (size_t i = 0; i < t->n; i++) row[i] = rows ? rows + i * o->layers[k].mp : o->x[t->parity][i];
    for (size_t j = units.begin; j < units.end; j++, lists += o->list_bytes)
        terms[j - units.begin] =
            NAME(bp_list_unit)(zeros ? lists : NULL, t->own + o->layers[k].d + j * o->step, row, t->n);
    return terms;
}

/* dw of some units of a layer with few inputs, by the product of all rows. */
static const REAL *NAME(narrow_dw)(const NAME(turn) * t, size_t k, bp_range units, const REAL *rows) {
    const NAME(bp_owned) *o = t->o;
    size_t mp = o->layers[k].mp;
    NAME(bp_unit_product) p = {.out = t->own + o->lists, .in = rows, .in_step = mp, .step = mp};
    p.w = t->own + o->layers[k].d + units.begin * o->step, p.w_unit = o->step, p.w_input = 1;
    p.units = units.end - units.begin, p.inner = t->n, p.rows = o->plan->layers[k].m;
    NAME(bp_units_multiply)(&p);
    return p.out;
}

/* The update of layer k's parameters, of those units. */
static void NAME(update)(const NAME(turn) * t, size_t k, bp_range units) {
    const NAME(bp_owned) *o = t->o;
    const bp_layer *l = o->plan->layers + k;
    const bp_owned_layer *s = o->layers + k;
    REAL *at = o->memory + units.begin * s->mp, *bias = o->memory + units.begin;

    NAME(bp_unit_update)
    u = {.to = at + s->w[!t->parity], .w = at + s->w[t->parity], .v = o->moves ? at + s->v : NULL};
    u.w_step = s->mp, u.inputs = l->m, u.units = units.end - units.begin, u.lr = o->lr, u.mu = o->mu;
    if (k == 0 && o->begins) u.next = o->x[!t->parity], u.next_rows = o->n[!t->parity];
    const REAL *rows = NAME(input_rows)(t, k);
    if (s->narrow)
        u.dw = NAME(narrow_dw)(t, k, units, rows);
    else
        u.terms = NAME(terms_of)(t, k, units, rows);
    NAME(bp_units_update)(&u);
    NAME(bp_bias_update) b = {.to = bias + s->b[!t->parity], .v = o->moves ? bias + s->vb : NULL};
    b.b = bias + s->b[t->parity], b.d = t->own + s->d + units.begin * o->step;
    b.step = o->step, b.units = u.units, b.rows = t->n, b.lr = o->lr, b.mu = o->mu;
    if (l->b) NAME(bp_update_biases)(&b);
}

/* Forward from the first layer's outputs on, backward, update. */
static void NAME(rest_of_step)(const NAME(turn) * t) {
    NAME(bp_owned) *o = t->o;
    NAME(layers_above)(t);
    REAL loss = NAME(loss_of)(t);
    int done = isfinite(loss) && NAME(may_list)(t);
    if (t->share == 0) o->loss = loss, o->done = done;
    for (size_t k = o->plan->count; done && k-- > 0;) {
        bp_range mine = NAME(units_of)(t, k), all = {0, o->plan->layers[k].h};
        if (k == 0) all = mine;
        if (k + 1 < o->plan->count && all.begin < all.end) NAME(units_backward)(t, k, all);
        if (mine.begin < mine.end) NAME(update)(t, k, mine);
    }
}

void NAME(bp_owned_share)(const void *job, size_t share) {
    const NAME(bp_owned_region) *r = job;
    NAME(bp_owned) *o = r->run;
    NAME(turn) t = {.o = o, .share = share, .shares = r->shares, .parity = o->parity};
    t.own = o->memory + o->own_at + share * o->own_size, t.n = o->n[o->parity];
    if (o->ends) NAME(rest_of_step)(&t);
    t.parity = !o->parity, t.n = o->n[!o->parity];
    if (o->begins) NAME(first_layer)(&t);
}

#endif

/* owned.c: a run of steps on copies of the parameters that lie unit by unit, where products and updates
   need neither packing nor a pass of their own. Each share of a step owns some units of each layer: it
   computes the first layer's outputs of its units, all of the layers above, and then the gradients and
   updates of its units. All shares need all of the first layer's outputs, so they meet once in a step.
 */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

enum {
    FEWEST_ROWS = 8,           /* of a batch, for which it pays */
    MOST_ROWS = 128,           /* so that their part of a block of weights stays in the first cache */
    FEWEST_PRODUCTS = 1 << 13, /* multiplications of a forward pass */
    NARROW_BYTES = 1024,       /* of a row of inputs */
    LONG_BYTES = 1536          /* of a row of data, for which it pays */
};

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/units.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/owned.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

/* The parameter at p, of numbers of so many bytes, as a part of one of the plan's; p NULL: there is
 * none. */
static bp_parameter parameter_of(const bp_plan *plan, const void *p, size_t bytes) {
    const bp_parameter *one = plan->parameters, *end = one + plan->parameter_count;
    while (one < end && !(p >= one->p && (const char *)p < (const char *)one->p + one->size * bytes))
        one++;
    if (one == end) return (bp_parameter){0};
    size_t before = (size_t)((const char *)p - (const char *)one->p);
    return (bp_parameter){.p = (char *)one->p + before, .v = one->v ? (char *)one->v + before : NULL};
}

/* Rows so short that a vector of chains for each of their parts would wait for itself: many units'
   chains are then computed side by side. */
static int is_narrow(size_t inputs, size_t bytes) { return inputs * bytes <= NARROW_BYTES; }

/* Whether every parameter is updated, all with momentum or all without. */
static int all_updated(const bp_plan *plan, size_t bytes) {
    int moves = parameter_of(plan, plan->layers[0].w, bytes).v != NULL;
    for (const bp_layer *l = plan->layers; l < plan->layers + plan->count; l++) {
        const bp_parameter w = parameter_of(plan, l->w, bytes);
        const bp_parameter b = l->b ? parameter_of(plan, l->b, bytes) : w;
        if (!w.p || !b.p || !l->dw || (l->b && !l->db) || !w.v != !moves || !b.v != !moves) return 0;
    }
    return 1;
}

/* Whether a run on copies may be faster: with the update of units.h, where rows of data are long, so
   that gathering them and passes over the weights take much of a step. Shares do all of the layers above
   the first, which must not be most of the work. */
static int may_pay(const bp_plan *plan, size_t bytes) {
    size_t n = plan->batch;
    if (!bp_is_plain_sgd(plan->optimizer) || plan->max_norm != 0) return 0;
    if (plan->count < 2 || n < FEWEST_ROWS || n > MOST_ROWS || !all_updated(plan, bytes)) return 0;
    if (plan->layers[0].m < LONG_BYTES / bytes) return 0;
    double all = bp_forward_work(plan->layers, plan->count, n),
           first = bp_forward_work(plan->layers, 1, n);
    return all >= FEWEST_PRODUCTS && all <= 1.25 * first;
}

#define BP_TEMPLATE "plan/owned.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

static size_t NAME(take)(size_t *at, size_t numbers) { return bp_take(at, numbers, sizeof(REAL)); }

/* Where everything is; layers (count) may be NULL, if only the sizes are asked for. */
static void NAME(place)(NAME(bp_owned) * o, const bp_plan *plan, bp_owned_layer *layers) {
    const size_t line = 64 / sizeof(REAL), batch = plan->batch, count = plan->count;
    size_t shared = bp_rounded(count * sizeof *layers, 64) / sizeof(REAL), own = 0, widest = 0,
           narrow = 0;
    *o = (NAME(bp_owned)){
        .plan = plan, .layers = layers, .batch = batch, .step = NAME(bp_units_step)(batch)};
    for (size_t k = 0; k < count; k++) {
        const bp_layer *l = plan->layers + k;
        bp_owned_layer s = {.mp = NAME(bp_units_step)(l->m), .narrow = is_narrow(l->m, sizeof(REAL))};
        s.copied = k == 0 && l->m % line;
        for (int q = 0; q < 2; q++) {
            s.w[q] = q && k == 0 ? s.w[0] : NAME(take)(&shared, l->h * s.mp);
            s.b[q] = NAME(take)(&shared, l->h);
            s.a[q] = q && k ? s.a[0] : NAME(take)(k ? &own : &shared, l->h * o->step);
        }
        s.v = NAME(take)(&shared, l->h * s.mp), s.vb = NAME(take)(&shared, l->h);
        s.d = NAME(take)(&own, l->h * o->step),
        s.rows = NAME(take)(&own, k || s.copied ? batch * s.mp : 0);
        if (layers) layers[k] = s;
        if (l->h > widest) widest = l->h;
        if (s.narrow && l->h * s.mp > narrow) narrow = l->h * s.mp;
    }
    size_t row_bytes = bp_rounded(batch * sizeof(REAL *), 64);
    o->pointers = NAME(take)(&shared, 4 * batch * sizeof(REAL *) / sizeof(REAL));
    o->list_bytes = NAME(bp_unit_terms_bytes)(batch);
    o->panel = NAME(take)(&own, BP_PANEL_BYTES / sizeof(REAL));
    o->terms = NAME(take)(&own, widest * sizeof(NAME(bp_unit_terms)) / sizeof(REAL));
    size_t lists = (row_bytes + widest * o->list_bytes) / sizeof(REAL);
    o->lists = NAME(take)(&own, lists > narrow ? lists : narrow);
    o->out = NAME(take)(&own, batch * (3 * plan->layers[count - 1].h + 1));
    o->own_at = shared, o->own_size = own, o->threads = bp_threads();
    o->bytes = (shared + (size_t)o->threads * own) * sizeof(REAL);
}

/* Whether the sums of place do not overflow, and the weights stay in the second cache. */
static int NAME(stays_in_cache)(const bp_plan *plan) {
    size_t most = bp_second_cache(), weights = 0;
    for (const bp_layer *l = plan->layers; l < plan->layers + plan->count; l++) {
        if (l->m == 0 || l->h == 0 || l->m > most || l->h > most) return 0;
        weights += 2 * (l->m + 64) * l->h * sizeof(REAL);
        if (weights > most) return 0;
    }
    return 1;
}

size_t NAME(bp_owned_bytes)(const bp_plan *plan) {
    NAME(bp_owned) o;
    if (!may_pay(plan, sizeof(REAL)) || !NAME(stays_in_cache)(plan)) return 0;
    NAME(place)(&o, plan, NULL);
    return o.bytes;
}

/* ---- a run ---- */

/* Points to the rows of a batch. */
static void NAME(take_rows)(NAME(bp_owned) * o, int parity, size_t row, size_t n) {
    const bp_layer *last = o->plan->layers + o->plan->count - 1;
    size_t m = o->plan->layers[0].m, width = bp_loss_width(last->loss, last->h);
    o->n[parity] = n;
    for (size_t i = 0; i < n; i++) {
        size_t at = o->order ? (size_t)o->order[row + i] : row + i;
        o->x[parity][i] = o->data + at * m;
        o->targ[parity][i] = o->targets + at * width;
        __builtin_prefetch(o->targ[parity][i]);
    }
}

static void NAME(meet)(NAME(bp_owned) * o) {
    int wanted = bp_threads_for(o->work), team = wanted < o->threads ? wanted : o->threads;
    const NAME(bp_owned_region) r = {o, (size_t)team};
    bp_run(team, r.shares, NAME(bp_owned_share), &r);
}

/* Between the plan's parameters and the copies. */
static void NAME(copy)(const NAME(bp_owned) * o, int back) {
    for (size_t k = 0; k < o->plan->count; k++) {
        const bp_layer *l = o->plan->layers + k;
        const bp_owned_layer *s = o->layers + k;
        const bp_parameter w = parameter_of(o->plan, l->w, sizeof(REAL));
        const bp_parameter b = l->b ? parameter_of(o->plan, l->b, sizeof(REAL)) : (bp_parameter){0};
        REAL *of_w[] = {w.p, w.v}, *of_b[] = {b.p, b.v};
        REAL *unit[] = {o->memory + s->w[o->parity], o->memory + s->v};
        REAL *bias[] = {o->memory + s->b[o->parity], o->memory + s->vb};
        for (int q = 0; q < 2; q++) {
            if (of_w[q] && back)
                NAME(bp_turn)(of_w[q], l->h, unit[q], s->mp, l->h, l->m);
            else if (of_w[q])
                NAME(bp_turn)(unit[q], s->mp, of_w[q], l->h, l->m, l->h);
            if (of_b[q]) memcpy(back ? of_b[q] : bias[q], back ? bias[q] : of_b[q], l->h * sizeof(REAL));
        }
    }
}

int NAME(bp_owned_begin)(NAME(bp_owned) * o, const bp_plan *plan, const REAL *x, const REAL *targ,
                         const int64_t *order, size_t row, size_t n, double lr, double mu) {
    size_t needed = plan->run_memory ? NAME(bp_owned_bytes)(plan) : 0;
    if (needed == 0 || needed > plan->run_bytes) return 0;
    NAME(place)(o, plan, plan->run_memory);
    o->memory = plan->run_memory, o->data = x, o->targets = targ, o->order = order;
    o->lr = (REAL)lr, o->mu = (REAL)mu, o->lists_pay = plan->sparse;
    o->moves = parameter_of(plan, plan->layers[0].w, sizeof(REAL)).v != NULL;
    o->work = 3 * bp_forward_work(plan->layers, plan->count, plan->batch);
    const REAL **pointers = (const REAL **)(o->memory + o->pointers);
    for (int q = 0; q < 2; q++)
        o->x[q] = pointers + 2 * (size_t)q * o->batch, o->targ[q] = o->x[q] + o->batch;
    o->parity = 1;
    NAME(copy)(o, 0);
    o->parity = 0, o->begins = 1;
    NAME(take_rows)(o, 1, row, n);
    NAME(meet)(o);
    o->parity = 1;
    return 1;
}

int NAME(bp_owned_step)(NAME(bp_owned) * o, size_t row, size_t n) {
    if (n) NAME(take_rows)(o, !o->parity, row, n);
    o->ends = 1, o->begins = n > 0, o->done = 0;
    NAME(meet)(o);
    if (o->done) o->parity = !o->parity;
    return o->done;
}

void NAME(bp_owned_end)(NAME(bp_owned) * o) { NAME(copy)(o, 1); }

#endif

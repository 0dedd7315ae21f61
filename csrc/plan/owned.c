/* owned.c: a run of steps on copies of the parameters that lie unit by unit, where products and updates need
   neither packing nor a pass of their own. Each share of a step owns some units of each layer: it computes
   the first layer's outputs of its units, all of the layers above, and then the gradients and updates of its
   units. All shares need all of the first layer's outputs, so they meet once in a step. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

enum {
    FEWEST_ROWS = 8,          /* of a batch, for which it pays */
    FEWEST_PRODUCTS = 1 << 14 /* multiplications of a forward pass */
};

#define BP_TEMPLATE "plan/units.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/owned.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

/* Steps between rows: an odd number of cache lines, so that neighbours lie in different sets of a cache. */
static size_t odd_lines(size_t numbers, size_t line) { return ((numbers + line - 1) / line | 1) * line; }

static const bp_parameter *parameter_of(const bp_plan *plan, const void *p) {
    for (const bp_parameter *one = plan->parameters; one < plan->parameters + plan->parameter_count; one++)
        if (one->p == p) return one;
    return NULL;
}

/* Whether every parameter is updated, all with momentum or all without. */
static int all_updated(const bp_plan *plan) {
    const bp_parameter *first = parameter_of(plan, plan->layers[0].w);
    for (const bp_layer *l = plan->layers; l < plan->layers + plan->count; l++) {
        const bp_parameter *w = parameter_of(plan, l->w), *b = l->b ? parameter_of(plan, l->b) : w;
        if (!w || !b || !l->dw || (l->b && !l->db) || !w->v != !first->v || !b->v != !first->v) return 0;
    }
    return 1;
}

/* Whether a run on copies may be faster. Shares do all of the layers above the first, so these must not be
   most of the work where there are several threads. */
static int may_pay(const bp_plan *plan) {
    size_t n = plan->batch;
    if (plan->count < 2 || n < FEWEST_ROWS || n > BP_SEGMENT || !all_updated(plan)) return 0;
    double all = bp_forward_work(plan->layers, plan->count, n), first = bp_forward_work(plan->layers, 1, n);
    return all >= FEWEST_PRODUCTS && (bp_threads() == 1 || all <= 3 * first);
}

#define BP_TEMPLATE "plan/owned.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

static size_t NAME(take)(size_t *at, size_t numbers) {
    size_t here = *at;
    *at += bp_rounded(numbers, 64 / sizeof(REAL));
    return here;
}

/* Where everything is; layers (count) may be NULL, if only the sizes are asked for. */
static void NAME(place)(NAME(bp_owned) * o, const bp_plan *plan, bp_owned_layer *layers) {
    const size_t line = 64 / sizeof(REAL), batch = plan->batch, count = plan->count;
    size_t shared = bp_rounded(count * sizeof *layers, 64) / sizeof(REAL), own = 0, widest = 0;
    *o = (NAME(bp_owned)){.plan = plan, .layers = layers, .batch = batch, .step = odd_lines(batch, line)};
    for (size_t k = 0; k < count; k++) {
        const bp_layer *l = plan->layers + k;
        bp_owned_layer s = {.mp = odd_lines(l->m, line), .hp = odd_lines(l->h, line)};
        for (int q = 0; q < 2; q++) {
            s.w[q] = q && k == 0 ? s.w[0] : NAME(take)(&shared, l->h * s.mp);
            s.b[q] = NAME(take)(&shared, l->h);
            s.a[q] = q && k ? s.a[0] : NAME(take)(k ? &own : &shared, l->h * o->step);
        }
        s.v = NAME(take)(&shared, l->h * s.mp), s.vb = NAME(take)(&shared, l->h);
        s.d = NAME(take)(&own, l->h * o->step), s.rows = NAME(take)(&own, batch * s.hp);
        if (layers) layers[k] = s;
        if (l->h > widest) widest = l->h;
    }
    size_t row_bytes = bp_rounded(batch * sizeof(REAL *), 64);
    o->tail = NAME(take)(&shared, odd_lines(plan->layers[0].m, line));
    o->pointers = NAME(take)(&shared, 5 * batch * sizeof(REAL *) / sizeof(REAL));
    o->list_bytes = NAME(bp_unit_terms_bytes)(batch);
    o->panel = NAME(take)(&own, BP_UNITS_PANEL / sizeof(REAL));
    o->terms = NAME(take)(&own, widest * sizeof(NAME(bp_unit_terms)) / sizeof(REAL));
    o->lists = NAME(take)(&own, (row_bytes + widest * o->list_bytes) / sizeof(REAL));
    o->out = NAME(take)(&own, 3 * batch * plan->layers[count - 1].h);
    o->own_at = shared, o->own_size = own, o->threads = bp_threads();
    o->bytes = (shared + (size_t)o->threads * own) * sizeof(REAL);
}

/* Whether the sums of place do not overflow, and the weights stay in the second cache. */
static int NAME(stays_in_cache)(const bp_plan *plan) {
    size_t most = bp_tiles_block(), weights = 0;
    for (const bp_layer *l = plan->layers; l < plan->layers + plan->count; l++) {
        if (l->m == 0 || l->h == 0 || l->m > most || l->h > most) return 0;
        weights += 2 * (l->m + 64) * l->h * sizeof(REAL);
        if (weights > most) return 0;
    }
    return 1;
}

size_t NAME(bp_owned_bytes)(const bp_plan *plan) {
    NAME(bp_owned) o;
    if (!may_pay(plan) || !NAME(stays_in_cache)(plan)) return 0;
    NAME(place)(&o, plan, NULL);
    return o.bytes;
}

/* ---- a share of a step ---- */

typedef struct {
    const NAME(bp_owned) * o;
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
    p.panel = t->own + o->panel, p.next = o->next, p.next_rows = o->next_rows;
    NAME(bp_units_multiply)(&p);
    /* a NaN or an infinity in a row makes its chains not finite, and no later term can undo that */
    if (mine.begin == 0) ((NAME(bp_owned) *)o)->finite[t->parity] = NAME(bp_all_finite)(p.out, t->n);
    const REAL *b = NAME(biases)(t, 0);
    NAME(bp_units_finish)(p.out, o->step, p.units, t->n, b ? b + mine.begin : NULL, bp_epilogue_of(l));
}

static void NAME(layers_above)(const NAME(turn) * t) {
    const NAME(bp_owned) *o = t->o;
    for (size_t k = 1; k < o->plan->count; k++) {
        const bp_layer *l = o->plan->layers + k;
        const bp_owned_layer *s = o->layers + k;
        NAME(bp_unit_product)
        p = {.out = t->own + s->a[0], .in = NAME(outputs)(t, k - 1), .w = o->memory + s->w[t->parity]};
        p.w_unit = s->mp, p.w_input = 1, p.units = l->h, p.inner = l->m, p.rows = t->n, p.step = o->step;
        NAME(bp_units_multiply)(&p);
        NAME(bp_units_finish)(p.out, o->step, l->h, t->n, NAME(biases)(t, k), bp_epilogue_of(l));
    }
}

/* The loss, and d of the last layer. */
static REAL NAME(loss_of)(const NAME(turn) * t) {
    const NAME(bp_owned) *o = t->o;
    size_t last = o->plan->count - 1, h = o->plan->layers[last].h, size = t->n * h;
    REAL *out = t->own + o->out, *targ = out + o->batch * h, *d = targ + o->batch * h;
    NAME(bp_turn)(out, h, NAME(outputs)(t, last), o->step, h, t->n);
    for (size_t i = 0; i < t->n; i++) memcpy(targ + i * h, o->targ[t->parity][i], h * sizeof(REAL));
    NAME(bp_mse_difference)(d, out, targ, (REAL)(2.0 / (double)size), size);
    NAME(bp_turn)(t->own + o->layers[last].d, o->step, d, h, t->n, h);
    double error = 0;
    NAME(bp_segment_error)(&error, out, targ, size);
    return (REAL)(error / (double)size);
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
    NAME(bp_unit_product) p = {.out = t->own + s->d + at, .in = t->own + above->d};
    p.w = o->memory + above->w[t->parity] + units.begin, p.w_unit = 1, p.w_input = above->mp;
    p.units = count, p.inner = l[1].h, p.rows = t->n, p.step = o->step;
    NAME(bp_units_multiply)(&p);
    if (l->activation != BP_ACTIVATION_NONE)
        NAME(bp_activation_backward)(bp_epilogue_of(l), p.out, NAME(outputs)(t, k) + at, p.out,
                                     count * o->step);
}

/* The rows of a layer's inputs: of the data, or of the outputs below, turned. */
static const REAL *const *NAME(input_rows)(const NAME(turn) * t, size_t k) {
    const NAME(bp_owned) *o = t->o;
    if (k == 0) return o->x[t->parity];
    const bp_owned_layer *below = o->layers + k - 1;
    REAL *rows = t->own + below->rows;
    const REAL **row = (const REAL **)(t->own + o->lists);
    NAME(bp_turn)(rows, below->hp, NAME(outputs)(t, k - 1), o->step, o->plan->layers[k].m, t->n);
    for (size_t i = 0; i < t->n; i++) row[i] = rows + i * below->hp;
    return row;
}

/* The terms of the gradients of some units' weights, for each of them. */
static const NAME(bp_unit_terms) *
    NAME(terms_of)(const NAME(turn) * t, size_t k, bp_range units, const REAL *const *row) {
    const NAME(bp_owned) *o = t->o;
    int zeros = o->lists_pay && bp_activation_makes_zeros(o->plan->layers[k].activation);
    NAME(bp_unit_terms) *terms = (NAME(bp_unit_terms) *)(t->own + o->terms);
    char *lists = (char *)(t->own + o->lists) + bp_rounded(o->batch * sizeof(REAL *), 64);
    for (size_t j = units.begin; j < units.end; j++)
        terms[j - units.begin] = NAME(bp_list_unit)(zeros ? lists + (j - units.begin) * o->list_bytes : NULL,
                                                    t->own + o->layers[k].d + j * o->step, row, t->n);
    return terms;
}

/* The update of layer k's parameters, of those units. */
static void NAME(update)(const NAME(turn) * t, size_t k, bp_range units) {
    const NAME(bp_owned) *o = t->o;
    const bp_layer *l = o->plan->layers + k;
    const bp_owned_layer *s = o->layers + k;
    REAL *at = o->memory + units.begin * s->mp, *bias = o->memory + units.begin;
    int moves = parameter_of(o->plan, l->w)->v != NULL;
    NAME(bp_unit_update)
    u = {.to = at + s->w[!t->parity], .w = at + s->w[t->parity], .v = moves ? at + s->v : NULL};
    u.w_step = s->mp, u.inputs = l->m, u.units = units.end - units.begin, u.lr = o->lr, u.mu = o->mu;
    u.terms = NAME(terms_of)(t, k, units, NAME(input_rows)(t, k));
    NAME(bp_units_update)(&u);
    NAME(bp_bias_update) b = {.to = bias + s->b[!t->parity], .v = moves ? bias + s->vb : NULL};
    b.b = bias + s->b[t->parity], b.d = t->own + s->d + units.begin * o->step;
    b.step = o->step, b.units = u.units, b.rows = t->n, b.lr = o->lr, b.mu = o->mu;
    if (l->b) NAME(bp_update_biases)(&b);
}

/* Forward from the first layer's outputs on, backward, update. */
static void NAME(rest_of_step)(const NAME(turn) * t) {
    NAME(bp_owned) *o = (NAME(bp_owned) *)t->o;
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

typedef struct {
    NAME(bp_owned) * o;
    size_t shares;
} NAME(region);

static void NAME(owned_share)(const void *job, size_t share) {
    const NAME(region) *r = job;
    const NAME(bp_owned) *o = r->o;
    NAME(turn) t = {.o = o, .share = share, .shares = r->shares, .parity = o->parity};
    t.own = o->memory + o->own_at + share * o->own_size, t.n = o->n[o->parity];
    if (o->ends) NAME(rest_of_step)(&t);
    t.parity = !o->parity, t.n = o->n[!o->parity];
    if (o->begins) NAME(first_layer)(&t);
}

/* ---- a run ---- */

static size_t NAME(row_at)(const NAME(bp_owned) * o, size_t row) {
    return o->order ? (size_t)o->order[row] : row;
}

/* Points to the rows of a batch, and to as many after it. The last one of the data is read in a copy, after
   which there is room for whole vectors. */
static void NAME(take_rows)(NAME(bp_owned) * o, int parity, size_t row, size_t n) {
    size_t m = o->plan->layers[0].m, h = o->plan->layers[o->plan->count - 1].h;
    size_t after = o->data_rows - row - n;
    o->n[parity] = n, o->next_rows = after < n ? after : n;
    for (size_t i = 0; i < n; i++) {
        size_t at = NAME(row_at)(o, row + i);
        o->x[parity][i] = at + 1 < o->data_rows ? o->data + at * m : o->memory + o->tail;
        o->targ[parity][i] = o->targets + at * h;
        __builtin_prefetch(o->targ[parity][i]);
    }
    for (size_t i = 0; i < o->next_rows; i++) o->next[i] = o->data + NAME(row_at)(o, row + n + i) * m;
}

static void NAME(meet)(NAME(bp_owned) * o) {
    int wanted = bp_threads_for(o->work), team = wanted < o->threads ? wanted : o->threads;
    const NAME(region) r = {o, (size_t)team};
    bp_run(team, r.shares, NAME(owned_share), &r);
}

/* Between the plan's parameters and the copies. */
static void NAME(copy)(const NAME(bp_owned) * o, int back) {
    for (size_t k = 0; k < o->plan->count; k++) {
        const bp_layer *l = o->plan->layers + k;
        const bp_owned_layer *s = o->layers + k;
        const bp_parameter *w = parameter_of(o->plan, l->w), *b = l->b ? parameter_of(o->plan, l->b) : NULL;
        REAL *of_w[] = {w->p, w->v}, *of_b[] = {b ? b->p : NULL, b ? b->v : NULL};
        REAL *unit[] = {o->memory + s->w[o->parity], o->memory + s->v};
        REAL *bias[] = {o->memory + s->b[o->parity], o->memory + s->vb};
        for (int q = 0; q < 2; q++) {
            if (of_w[q] && back)
                NAME(bp_turn)(of_w[q], l->h, unit[q], s->mp, l->h, l->m);
            else if (of_w[q])
                NAME(bp_turn)(unit[q], s->mp, of_w[q], l->h, l->m, l->h);
            if (of_b[q])
                memcpy(back ? of_b[q] : bias[q], back ? bias[q] : of_b[q], l->h * sizeof(REAL));
        }
    }
}

int NAME(bp_owned_begin)(NAME(bp_owned) * o, const bp_plan *plan, const REAL *x, const REAL *targ,
                         const int64_t *order, size_t rows, size_t row, size_t n, double lr, double mu) {
    if (!plan->run_memory || !may_pay(plan) || !NAME(stays_in_cache)(plan)) return 0;
    NAME(place)(o, plan, plan->run_memory);
    if (o->bytes > plan->run_bytes) return 0;
    o->memory = plan->run_memory, o->data = x, o->targets = targ, o->order = order, o->data_rows = rows;
    o->lr = (REAL)lr, o->mu = (REAL)mu, o->lists_pay = plan->sparse;
    o->work = 3 * bp_forward_work(plan->layers, plan->count, plan->batch);
    const REAL **pointers = (const REAL **)(o->memory + o->pointers);
    for (int q = 0; q < 2; q++)
        o->x[q] = pointers + 2 * (size_t)q * o->batch, o->targ[q] = o->x[q] + o->batch;
    o->next = pointers + 4 * o->batch;
    memcpy(o->memory + o->tail, x + (rows - 1) * plan->layers[0].m, plan->layers[0].m * sizeof(REAL));
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

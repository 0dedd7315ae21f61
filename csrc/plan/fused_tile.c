/* fused_tile.c: one tile of a fused pass, forward and backward through all layers. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

#define BP_TEMPLATE "gemm/product.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "ops/loss.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/sparse.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/units.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/fused.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE

#define BP_TEMPLATE "plan/fused_tile.c"
#include "template/for_each_type.h"

#else
/* ---- per type ---- */

/* ---- forward ---- */

/* The prefetch of the next tile, a part at each of so many calls. */
static void NAME(spread_prefetch)(NAME(worker) * t, size_t times) {
    size_t lines = (t->prefetch.bytes + 63) / 64;
    t->prefetch.lines = times ? (lines + times - 1) / times : 0;
}

/* The first layer's chains by the data's terms alone. */
static void NAME(listed_chains)(NAME(worker) * t, const REAL *x, size_t rows) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers;
    const bp_stage *s = p->stages;
    REAL *z = t->own + p->rows_at;
    size_t forward, backward;
    NAME(bp_bits_times)(&forward, &backward, rows, l->m, l->h);
    NAME(spread_prefetch)(t, p->out ? forward : forward + backward);
    NAME(bp_bits_product)
    product = {.to = z, .bits = &t->x, .x = x, .other = p->shared + s->w_rows, .to_step = s->hp};
    product.x_step = l->m, product.other_step = s->hp;
    product.rows = rows, product.size = l->m, product.h = l->h, product.prefetch = &t->prefetch;
    NAME(bp_bits_forward)(&product);
    NAME(bp_turn)(t->own + s->a, p->step, z, s->hp, rows, l->h);
}

/* a (h,step) of layer q = its chains, + 0 */
static void NAME(chains)(NAME(worker) * t, size_t q, const REAL *x, size_t rows) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    const REAL *row[BP_MAX_TILE_ROWS];
    NAME(bp_unit_product) product = {.out = t->own + s->a, .w = p->shared + s->w};
    product.units = l->h, product.inner = l->m, product.rows = rows, product.step = p->step;
    product.packed = 1, product.kernel = p->kernel;
    if (q == 0) {
        for (size_t i = 0; i < rows; i++) row[i] = x + i * l->m;
        product.row = row, product.panel = t->own + p->memory_at, product.prefetch = &t->prefetch;
        NAME(spread_prefetch)(t, NAME(bp_units_times)(rows, l->m, l->h, p->kernel));
    } else {
        product.in = t->own + s[-1].a, product.in_step = p->step;
    }
    NAME(bp_units_multiply)(&product);
}

/* Whether the first layer leaves out the data's zeros in this tile. */
static int NAME(may_list)(NAME(worker) * t, const REAL *x, size_t rows) {
    const bp_layer *l = t->p->plan->layers;
    if (!t->p->bits || !NAME(bp_looks_sparse)(x, l->m, rows, l->m, l->h)) return 0;
    return NAME(bp_find_terms)(&t->x, x, l->m, rows, l->m, l->h);
}

void NAME(bp_tile_forward)(NAME(worker) * t, size_t row, size_t rows, size_t next, size_t next_rows) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers;
    const REAL *x = p->x + row * l->m;
    t->prefetch = (bp_prefetch){.at = (const char *)(p->x + next * l->m), .rows = next_rows > 0};
    t->prefetch.bytes = next_rows * l->m * sizeof(REAL);
    t->listed = NAME(may_list)(t, x, rows);
    for (size_t q = 0; q < p->plan->count; q++, l++) {
        const bp_stage *s = p->stages + q;
        if (q == 0 && t->listed)
            NAME(listed_chains)(t, x, rows);
        else
            NAME(chains)(t, q, x, rows);
        /* a NaN or an infinity in a row makes its chains not finite, and no later term can undo that */
        if (q == 0) t->finite = NAME(bp_all_finite)(t->own + s->a, rows);
        NAME(bp_units_finish)(t->own + s->a, p->step, l->h, rows, l->b, bp_epilogue_of(l));
    }
}

void NAME(bp_tile_predict)(const NAME(worker) * t, size_t row, size_t rows) {
    const NAME(pass) *p = t->p;
    size_t last = p->plan->count - 1, h = p->plan->layers[last].h;
    NAME(bp_turn)(p->out + row * h, h, t->own + p->stages[last].a, p->step, h, rows);
}

/* ---- backward ---- */

/* d of the last layer; the outputs go to the segment's */
static void NAME(tile_loss)(const NAME(worker) * t, size_t row, size_t rows) {
    const NAME(pass) *p = t->p;
    size_t last = p->plan->count - 1, h = p->plan->layers[last].h;
    const int loss = p->plan->layers[last].loss;
    const bp_stage *s = p->stages + last;
    REAL *out = t->own + s->out + row % BP_SEGMENT * h, *d = t->own + p->rows_at;
    NAME(bp_turn)(out, h, t->own + s->a, p->step, h, rows);
    NAME(bp_loss_rows_backward)(loss, d, out, p->targ + row * bp_loss_width(loss, h), p->factor, rows,
                                h);
    NAME(bp_turn)(t->own + s->d, p->step, d, h, rows, h);
}

/* The numbers of layer q before the first aligned vector of a row of inputs. */
static size_t NAME(head_of)(const NAME(pass) * p, size_t q) { return q == 0 ? p->head : 0; }

static size_t NAME(lanes)(const NAME(pass) * p) { return bp_vector_bytes(p->kernel) / sizeof(REAL); }

void NAME(bp_sums_to_rows)(const NAME(pass) * p, size_t q, REAL *rows, size_t step, const REAL *sums) {
    const bp_layer *l = p->plan->layers + q;
    size_t head = NAME(head_of)(p, q), from = p->stages[q].row, lanes = head ? NAME(lanes)(p) : 0;
    if (head) NAME(bp_turn)(rows, step, sums, from, l->h, head);
    NAME(bp_turn)(rows + head * step, step, sums + lanes, from, l->h, l->m - head);
}

void NAME(bp_sums_from_rows)(const NAME(pass) * p, size_t q, REAL *sums, const REAL *rows, size_t step) {
    const bp_layer *l = p->plan->layers + q;
    size_t head = NAME(head_of)(p, q), to = p->stages[q].row, lanes = head ? NAME(lanes)(p) : 0;
    if (head) NAME(bp_turn)(sums, to, rows, step, head, l->h);
    NAME(bp_turn)(sums + lanes, to, rows + head * step, step, l->m - head, l->h);
}

/* Stores the first layer's sums by rows or unit by unit, as its next product wants them. */
static void NAME(lay_sums)(NAME(worker) * t, int by_rows, int first) {
    const NAME(pass) *p = t->p;
    const bp_stage *s = p->stages;
    REAL *sum = t->sums + s->sum, *rows = t->sums + s->sum_rows;
    if (first && by_rows)
        memset(rows, 0, p->plan->layers[0].m * s->hp * sizeof(REAL));
    else if (!first && by_rows && !t->segment->by_rows)
        NAME(bp_sums_to_rows)(p, 0, rows, s->hp, sum);
    else if (!first && !by_rows && t->segment->by_rows)
        NAME(bp_sums_from_rows)(p, 0, sum, rows, s->hp);
    t->segment->by_rows = by_rows;
}

/* The first layer's part of its segment's chains, by the data's terms alone. 0: d is not finite. */
static int NAME(listed_backward_w)(NAME(worker) * t, const REAL *x, size_t rows, int first) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers;
    const bp_stage *s = p->stages;
    REAL *d = t->own + p->rows_at;
    for (size_t j = 0; j < l->h; j++)
        if (!NAME(bp_all_finite)(t->own + s->d + j * p->step, rows)) return 0;
    NAME(bp_turn)(d, s->hp, t->own + s->d, p->step, l->h, rows);
    NAME(bp_turn_bits)(&t->x);
    NAME(lay_sums)(t, 1, first);
    NAME(bp_bits_product)
    product = {.to = t->sums + s->sum_rows, .bits = &t->x, .x = x, .other = d, .to_step = s->hp};
    product.x_step = l->m, product.other_step = s->hp;
    product.rows = rows, product.size = l->m, product.h = l->h, product.prefetch = &t->prefetch;
    NAME(bp_bits_backward_w)(&product);
    return 1;
}

/* From one such row to the next, with no more padding than whole lines need. */
static size_t NAME(input_step)(const NAME(pass) * p, size_t q) {
    return NAME(head_of)(p, q) ? p->stages[q].row : p->stages[q].mp;
}

/* The inputs of a layer in aligned rows: of x, as sums are laid out, or of the layer below, turned. */
static REAL *NAME(input_rows)(const NAME(worker) * t, size_t q, const REAL *x, size_t rows) {
    const NAME(pass) *p = t->p;
    const bp_stage *s = p->stages + q;
    size_t m = p->plan->layers[q].m, head = NAME(head_of)(p, q), ld = NAME(input_step)(p, q);
    REAL *to = t->own + p->rows_at;
    for (size_t i = 0; i < rows; i++) memset(to + i * ld, 0, ld * sizeof(REAL));
    if (q)
        NAME(bp_turn)(to, ld, t->own + s[-1].a, p->step, m, rows);
    else
        for (size_t i = 0; i < rows; i++) {
            REAL *row = to + i * ld;
            memcpy(row, x + i * m, head * sizeof(REAL));
            memcpy(row + (head ? NAME(lanes)(p) : 0), x + i * m + head, (m - head) * sizeof(REAL));
        }
    return to;
}

/* sum += the terms of the gradients that are not zero, with the rows at `in`, or where x is aligned,
   NULL. 0: they are too many for that to pay, or another factor is not finite. */
static int NAME(masked_backward_w)(NAME(worker) * t, size_t q, const REAL *x, const REAL *in,
                                   size_t rows, int first) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    uint64_t *mask = (uint64_t *)(t->own + p->masks_at);
    if (!(q ? NAME(bp_all_finite)(in, rows * s->mp) : t->finite)) return 0;
    size_t active = NAME(bp_find_active)(mask, t->own + s->d, p->step, rows, l->h);
    if (active * 10 >= rows * l->h * 7) return 0;
    NAME(bp_active_product) product = {.sum = t->sums + s->sum, .mask = mask, .d = t->own + s->d};
    product.x = in ? in : x, product.x_step = in ? NAME(input_step)(p, q) : l->m;
    product.size = in ? s->mp : l->m, product.units = l->h, product.head = NAME(head_of)(p, q);
    product.sum_step = s->row, product.d_step = p->step;
    product.first = first, product.kernel = p->kernel;
    NAME(bp_active_backward_w)(&product);
    return 1;
}

/* sum (h,row) += d @ in (rows,m): a part of the segment's chains. Terms that are exactly zero may be
   left out; but where -0 in dw is added to, only all of them give its sign. */
static void NAME(tile_backward_w)(NAME(worker) * t, size_t q, const REAL *x, size_t rows, int first) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    int zeros = p->sparse && bp_activation_makes_zeros(l->activation) && s->mp >= 128;
    const REAL *in = NULL;
    if (q == 0 && t->listed && NAME(listed_backward_w)(t, x, rows, first)) return;
    if (q == 0 && p->bits) NAME(lay_sums)(t, 0, first);
    if (q || p->copies) in = NAME(input_rows)(t, q, x, rows);
    if (zeros && NAME(masked_backward_w)(t, q, x, in, rows, first)) return;
    if (!in) in = NAME(input_rows)(t, q, x, rows);
    NAME(bp_product)
    product = {.c = t->sums + s->sum, .a = t->own + s->d, .b = in, .rows = l->h, .inner = rows};
    product.cols = product.b_inner = NAME(input_step)(p, q), product.b_col = 1;
    product.ldc = s->row, product.a_row = p->step, product.a_inner = 1;
    product.accumulate = !first, product.unfinished = 1;
    product.memory = t->own + p->memory_at;
    NAME(bp_multiply_here)(&product);
}

/* d of the layer below layer q */
static void NAME(tile_backward_in)(const NAME(worker) * t, size_t q, size_t rows) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers + q;
    const bp_stage *s = p->stages + q;
    NAME(bp_unit_product) product = {.out = t->own + s[-1].d, .in = t->own + s->d, .in_step = p->step};
    product.w = l->w, product.w_unit = l->h, product.w_input = 1;
    product.units = l->m, product.inner = l->h, product.rows = rows, product.step = p->step;
    NAME(bp_units_multiply)(&product);
}

/* Rows of dx, the gradient of the data. */
static void NAME(tile_backward_x)(const NAME(worker) * t, size_t row, size_t rows) {
    const NAME(pass) *p = t->p;
    const bp_layer *l = p->plan->layers;
    const bp_stage *s = p->stages;
    NAME(bp_product) product = {.c = p->dx + row * l->m, .a = t->own + s->d, .b = p->shared + s->wt};
    product.rows = rows, product.inner = l->h, product.cols = product.ldc = l->m;
    product.a_row = 1, product.a_inner = p->step, product.b_inner = s->mp, product.b_col = 1;
    product.accumulate = p->accumulate, product.memory = t->own + p->memory_at;
    NAME(bp_multiply_here)(&product);
}

void NAME(bp_tile_backward)(NAME(worker) * t, size_t row, size_t rows) {
    const NAME(pass) *p = t->p;
    const REAL *x = p->x + row * p->plan->layers[0].m;
    int first = row % BP_SEGMENT == 0;
    NAME(tile_loss)(t, row, rows);
    for (size_t q = p->plan->count; q-- > p->lowest;) {
        const bp_layer *l = p->plan->layers + q;
        const bp_stage *s = p->stages + q;
        REAL *d = t->own + s->d, *sum_b = t->sums + s->sum_b;
        if (l->activation != BP_ACTIVATION_NONE)
            NAME(bp_activation_backward)(bp_epilogue_of(l), d, t->own + s->a, d, l->h * p->step);
        if (l->dw) NAME(tile_backward_w)(t, q, x, rows, first);
        if (l->db && first) memset(sum_b, 0, s->hp * sizeof(REAL));
        if (l->db) NAME(bp_units_sum)(sum_b, d, p->step, l->h, rows);
        if (q > p->lowest) NAME(tile_backward_in)(t, q, rows);
        if (q == 0 && p->dx) NAME(tile_backward_x)(t, row, rows);
    }
}

#endif

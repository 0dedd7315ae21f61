/* unit_product.h: bp_units_multiply; included by ops/matmul.c once per element type and
 * kernel. */

/* panel (depth,width) = the inputs from `from` on of the rows i .. i + width; the last row stands for
   those after it */
static void LOCAL(pack_panel)(const NAME(bp_unit_product) * t, size_t i, size_t width, size_t from,
                              size_t depth) {
    for (size_t d = 0; d < width; d += LANES) {
        const REAL *row[LANES];
        for (size_t l = 0; l < LANES; l++)
            row[l] = t->row[i + d + l < t->rows ? i + d + l : t->rows - 1] + from;
        LOCAL(pack_rows)(t->panel + d, width, row, depth, LANES);
    }
}

/* The chains of all units in some rows, over the inputs from .. from + depth: the panel and these
   inputs' weights stay in the first cache. */
static void LOCAL(unit_tiles)(const NAME(bp_unit_product) * t, size_t i, size_t from, size_t depth) {
    size_t vectors = t->rows - i > LANES ? 2 : 1;
    bp_prefetch nothing = {0};
    LOCAL(tile_job)
    job = {.left_row = t->w_unit,
           .left_inner = t->w_input,
           .inner = depth,
           .ldc = t->step,
           .from_out = from > 0,
           .addend = from + depth < t->inner ? -(REAL)0 : 0,
           .prefetch = &nothing};
    if (t->row) {
        LOCAL(pack_panel)(t, i, vectors * LANES, from, depth);
        job.right = t->panel, job.right_inner = vectors * LANES;
    } else {
        job.right = t->in + from * t->in_step + i, job.right_inner = t->in_step;
    }
    for (size_t j = 0, units; j < t->units; j += units) {
        units = LOCAL(next_rows)(t->units - j);
        job.left = t->w + j * t->w_unit + from * t->w_input, job.out = t->out + j * t->step + i;
        LOCAL(run_tile)(&job, units, vectors);
    }
}

static void LOCAL(units_multiply)(const NAME(bp_unit_product) * t) {
    size_t depth = LOCAL(part)(t->inner, UNIT_DEPTH, LANES);
    for (size_t from = 0; from < t->inner; from += depth)
        for (size_t i = 0; i < t->rows; i += NR)
            LOCAL(unit_tiles)(t, i, from, LOCAL(at_most)(t->inner - from, depth));
}

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

/* The inputs of a panel. */
static size_t LOCAL(unit_depth)(size_t inner) { return LOCAL(part)(inner, UNIT_DEPTH, LANES); }

/* The chains of all units in some rows, over the inputs from .. from + depth: the panel and these
   inputs' weights stay in the first cache. */
static void LOCAL(unit_tiles)(const NAME(bp_unit_product) * t, size_t i, size_t from, size_t depth) {
    size_t vectors = t->rows - i > LANES ? 2 : 1;
    bp_prefetch nothing = {0};
    LOCAL(tile_job)
    job = {.left_row = t->packed ? 1 : t->w_unit,
           .left_inner = t->w_input,
           .inner = depth,
           .ldc = t->step,
           .from_out = from > 0,
           .addend = from + depth < t->inner ? -(REAL)0 : 0,
           .prefetch = t->prefetch ? t->prefetch : &nothing};
    if (t->row) {
        LOCAL(pack_panel)(t, i, vectors * LANES, from, depth);
        job.right = t->panel, job.right_inner = vectors * LANES;
    } else {
        job.right = t->in + from * t->in_step + i, job.right_inner = t->in_step;
    }
    for (size_t j = 0, units; j < t->units; j += units) {
        units = LOCAL(next_rows)(t->units - j);
        if (t->packed)
            job.left = t->w + from * t->units + j * depth, job.left_inner = units;
        else
            job.left = t->w + j * t->w_unit + from * t->w_input;
        job.out = t->out + j * t->step + i;
        LOCAL(run_tile)(&job, units, vectors);
    }
}

static void LOCAL(units_multiply)(const NAME(bp_unit_product) * t) {
    size_t depth = LOCAL(unit_depth)(t->inner), from = 0, some;
    do { /* at least once: chains of nothing are written too */
        some = LOCAL(at_most)(t->inner - from, depth);
        for (size_t i = 0; i < t->rows; i += NR) LOCAL(unit_tiles)(t, i, from, some);
        from += some;
    } while (from < t->inner);
}

static void LOCAL(pack_units)(REAL *packed, const REAL *w, size_t inner, size_t units) {
    size_t depth = LOCAL(unit_depth)(inner);
    for (size_t from = 0, some; from < inner; from += some) {
        some = LOCAL(at_most)(inner - from, depth);
        for (size_t j = 0, group; j < units; j += group) {
            group = LOCAL(next_rows)(units - j);
            for (size_t k = from; k < from + some; k++)
                for (size_t u = 0; u < group; u++) *packed++ = w[k * units + j + u];
        }
    }
}

static void LOCAL(units_times)(size_t *times, size_t rows, size_t inner, size_t units) {
    size_t depth = LOCAL(unit_depth)(inner), parts = depth ? (inner + depth - 1) / depth : 1;
    parts *= (depth + BP_PREFETCH_STEPS - 1) / BP_PREFETCH_STEPS;
    *times = parts * ((rows + NR - 1) / NR) * ((units + MR - 1) / MR);
}

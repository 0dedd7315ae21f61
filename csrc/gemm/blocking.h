/* blocking.h: how a product is cut: in which direction vectors run, how deep and wide blocks are, and
 * what room they need; included by matmul.c once per element type and kernel.
 */

/* About how long a direction takes, in multiplications of vectors: those that there are, then what must
   be moved to get there. The factors were fitted to times of both directions over many shapes. */
static double LOCAL(cost)(const LOCAL(operand) * single, const LOCAL(operand) * wide, size_t inner,
                          int turned, int segmented) {
    const double bytes = sizeof(REAL);
    double k = (double)inner, s = (double)single->size, v = (double)wide->size;
    double vectors = (double)((wide->size + LANES - 1) / LANES);
    double chunks = (double)((single->size + TILE_ROWS - 1) / TILE_ROWS), rows = s / chunks;
    double at_once = rows * (vectors > 1 ? 2 : 1); /* chains side by side must hide the latency of one */
    double stores = segmented ? k / BP_SEGMENT + 1 : 1;
    double cycles = k * s * vectors * (at_once < 8 ? 8 / at_once : 1);
    cycles += wide->step == 1 ? 0 : 0.15 * bytes * k * vectors * (double)LANES;
    cycles += single->step == 1 || LOCAL(are_few)(wide->size) ? 0 : 0.1 * bytes * k * s;
    cycles += stores * (turned ? 0.23 * bytes * s * v : 4.4 * s * vectors);
    return cycles;
}

/* Those rows and columns, with vectors along c's rows. */
static LOCAL(work) LOCAL(work_of)(const NAME(bp_product) * t, bp_range rows, bp_range cols) {
    return (LOCAL(work)){
        .single = {t->a + rows.begin * t->a_row, t->a_row, t->a_inner, rows.end - rows.begin},
        .wide = {t->b + cols.begin * t->b_col, t->b_col, t->b_inner, cols.end - cols.begin},
        .c = t->c + rows.begin * t->ldc + cols.begin,
        .ldc = t->ldc,
        .inner = t->inner,
        .accumulate = t->accumulate,
        .segmented = t->segmented,
        .epilogue = t->epilogue,
        .bias = t->bias ? t->bias + cols.begin : NULL,
        .sums = t->sums && rows.begin == 0 ? t->sums + cols.begin : NULL};
}

static void LOCAL(choose_direction)(LOCAL(work) * w) {
    const LOCAL(operand) a = w->single, b = w->wide;
    w->turned =
        LOCAL(cost)(&b, &a, w->inner, 1, w->segmented) < LOCAL(cost)(&a, &b, w->inner, 0, w->segmented);
    w->single = w->turned ? b : a, w->wide = w->turned ? a : b;
}

/* `size` in equal parts of at most `most`, each a multiple of `step` */
static size_t LOCAL(part)(size_t size, size_t most, size_t step) {
    size_t parts = (size + most - 1) / most;
    size_t each = parts ? (size + parts - 1) / parts : 0;
    return (each + step - 1) / step * step;
}

/* Numbers of a chain in a block: all of them where one operand then fits its room as a whole, so that c
   is touched once. */
static size_t LOCAL(depth)(const LOCAL(work) * w) {
    if (w->segmented) return LOCAL(at_most)(w->inner, BP_SEGMENT);
    size_t narrow = LOCAL(at_most)(w->single.size, w->wide.size) + PANEL;
    if (w->inner <= w->most / narrow && w->inner <= w->single_most / CHUNK_WIDTH / 2) return w->inner;
    size_t most = LOCAL(at_most)(w->most / PANEL, w->single_most / CHUNK_WIDTH);
    return LOCAL(part)(w->inner, LOCAL(at_most)(bp_tiles_depth(), most), 1);
}

/* Whether c had better be written row by row than panel by panel: it comes from memory, and soon. */
static int LOCAL(is_shallow)(const LOCAL(work) * w) {
    size_t bytes = w->single.size * w->wide.size * sizeof(REAL);
    return !w->turned && w->inner <= SHALLOW && bytes > bp_tiles_block();
}

/* Numbers before the first that begins a vector in memory: where what is read or written most lies so
   that vectors would cross lines of the cache, a first narrow panel spares all others that. */
static size_t LOCAL(lead)(const LOCAL(work) * w) {
    const REAL *at = w->turned ? w->wide.at : w->c;
    size_t stride = w->turned ? w->wide.along : w->ldc, off = (uintptr_t)at % VECTOR_BYTES;
    if (w->wide.size < 8 * PANEL || (w->turned ? w->wide.step != 1 : w->inner > BP_SEGMENT)) return 0;
    if (off % sizeof(REAL) != 0 || stride % LANES != 0) return 0;
    return off ? (VECTOR_BYTES - off) / sizeof(REAL) : 0;
}

/* Numbers of a room for `count` pieces, `width` wide and `inner` long: as many as all of them need, but
   at most `bytes`, and at least one piece of a segment. Sets *most to what blocks may use. */
static size_t LOCAL(room_for)(size_t *most, size_t count, size_t width, size_t inner, size_t bytes) {
    size_t least = width * BP_SEGMENT, limit = bytes / sizeof(REAL);
    *most = limit > least ? limit : least;
    return count * width <= *most / (inner + 1) ? count * width * inner : *most;
}

/* Numbers of both rooms; sets what blocks may use of them. */
static size_t LOCAL(rooms_for)(LOCAL(work) * w, size_t *single_room) {
    size_t panels = w->wide.size / PANEL + 1, chunks = w->single.size / TILE_ROWS + 1;
    size_t block = bp_tiles_block();
    size_t room = LOCAL(room_for)(&w->most, panels, PANEL, w->inner, block);
    *single_room = LOCAL(room_for)(&w->single_most, chunks, CHUNK_WIDTH, w->inner,
                                   block < SINGLE_BYTES ? block : SINGLE_BYTES);
    *single_room = (*single_room + LANES + 64) / 64 * 64;
    return (room + 64) / 64 * 64 + *single_room;
}

static void LOCAL(room_bytes)(size_t *bytes, size_t rows, size_t inner, size_t cols) {
    LOCAL(work) w = {.inner = inner, .single.size = rows, .wide.size = cols}, turned = {.inner = inner};
    turned.single.size = cols, turned.wide.size = rows;
    size_t single, one = LOCAL(rooms_for)(&w, &single), other = LOCAL(rooms_for)(&turned, &single);
    *bytes = (one > other ? one : other) * sizeof(REAL);
}

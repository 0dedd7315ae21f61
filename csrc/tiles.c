/* tiles.c: how large the blocks of a product are: what the caches hold, or what was asked for. */
#include "internal.h"

#include <stdatomic.h>
#if defined __unix__ || defined __APPLE__
#include <unistd.h>
#endif

enum { LEAST_BLOCK = 4096, LEAST_DEPTH = 64 };

static atomic_size_t block = 0, depth = 0; /* 0: not known yet */

static size_t between(size_t low, size_t value, size_t high) {
    return value < low ? low : value > high ? high : value;
}

/* Half of a core's second cache: the rest is for what passes by. */
static size_t block_of_caches(void) {
    long size = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    size = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return size > 0 ? between(64 * 1024, (size_t)size / 2, BP_MOST_BLOCK) : 256 * 1024;
}

/* The rows of a tile, at most 14 and a line beside them, stay in the first cache. */
static size_t depth_of_caches(void) {
    long size = 0;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    size = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#endif
    return size > 0 ? between(512, (size_t)size / 16 / 64 * 64, BP_MOST_DEPTH) : 1024;
}

size_t bp_tiles_block(void) {
    size_t size = atomic_load_explicit(&block, memory_order_relaxed);
    if (size == 0) atomic_store_explicit(&block, size = block_of_caches(), memory_order_relaxed);
    return size;
}

size_t bp_tiles_depth(void) {
    size_t size = atomic_load_explicit(&depth, memory_order_relaxed);
    if (size == 0) atomic_store_explicit(&depth, size = depth_of_caches(), memory_order_relaxed);
    return size;
}

bp_status bp_set_tiles(size_t new_block, size_t new_depth) {
    if (new_block != 0 && new_block != between(LEAST_BLOCK, new_block, BP_MOST_BLOCK)) return BP_UNKNOWN;
    if (new_depth != 0 && new_depth != between(LEAST_DEPTH, new_depth, BP_MOST_DEPTH)) return BP_UNKNOWN;
    atomic_store(&block, new_block);
    atomic_store(&depth, new_depth);
    return BP_OK;
}

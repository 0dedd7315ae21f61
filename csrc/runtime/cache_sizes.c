/* cache_sizes.c: the sizes of a product's blocks, from the sizes of the caches or as set by the
   caller. */
#include "internal.h"

#include <stdatomic.h>
#ifdef __linux__
#include <unistd.h>
#endif

#ifndef _SC_LEVEL1_DCACHE_SIZE
enum { _SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE };
#define sysconf(name) ((long)0 * (name))
#endif

enum { MIN_BLOCK = 4096, MIN_KC = 8 };

static atomic_size_t block = 0, depth = 0;             /* 0: chosen from the cache sizes */
static atomic_size_t first = 0, second = 0, third = 0; /* bytes of caches, 0: not known yet */

static size_t between(size_t low, size_t value, size_t high) {
    return value < low ? low : value > high ? high : value;
}

/* Read only once: on x86 this is an instruction that traps in a virtual machine. */
static size_t cache(atomic_size_t *known, int name, size_t otherwise) {
    size_t size = atomic_load_explicit(known, memory_order_relaxed);
    if (size) return size;
    long found = sysconf(name);
    size = found > 0 ? (size_t)found : otherwise;
    atomic_store_explicit(known, size, memory_order_relaxed);
    return size;
}

size_t bp_second_cache(void) {
    return between(64 * 1024, cache(&second, _SC_LEVEL2_CACHE_SIZE, 256 * 1024), 2048 * 1024);
}

/* A block of the right operand stays in the third cache, which others share, and its panels go through
   the second one: the wider it is, the less often the left operand is packed. */
size_t bp_tiles_block(void) {
    size_t size = atomic_load_explicit(&block, memory_order_relaxed);
    if (size) return size;
    size_t share = cache(&third, _SC_LEVEL3_CACHE_SIZE, 1) / 8;
    return between(bp_second_cache(), share, BP_MAX_BLOCK);
}

/* A panel, two vectors wide, takes a third more than the first cache: it is read from the second one
   anyway, and the deeper it is, the less often the result is read and written. */
size_t bp_tiles_depth(void) {
    size_t steps = atomic_load_explicit(&depth, memory_order_relaxed);
    if (steps) return steps;
    size_t panel = 2 * bp_vector_bytes(bp_active_kernel());
    return between(128, cache(&first, _SC_LEVEL1_DCACHE_SIZE, 32 * 1024) * 4 / 3 / panel, 512);
}

bp_status bp_set_tiles(size_t new_block, size_t new_depth) {
    if (new_block != 0 && new_block != between(MIN_BLOCK, new_block, BP_MAX_BLOCK)) return BP_UNKNOWN;
    if (new_depth != 0 && new_depth != between(MIN_KC, new_depth, BP_MAX_KC)) return BP_UNKNOWN;
    atomic_store(&block, new_block);
    atomic_store(&depth, new_depth);
    return BP_OK;
}

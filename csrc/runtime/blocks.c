/* blocks.c: static memory for small products, where an allocation would take a good part of the time.
   A thread's stack is no place for it: it may have 16 KiB. */
#include "internal.h"

#include <stdatomic.h>

enum { BLOCKS = 16 };

static _Alignas(64) char blocks[BLOCKS][BP_BLOCK_BYTES];
static atomic_uint taken = 0; /* bit k: blocks[k] */

void *bp_take_block(void) {
    unsigned now = atomic_load_explicit(&taken, memory_order_relaxed);
    while (now != (1u << BLOCKS) - 1) {
        unsigned lowest = ~now & (now + 1);
        if (atomic_compare_exchange_weak_explicit(&taken, &now, now | lowest, memory_order_acquire,
                                                  memory_order_relaxed))
            return blocks[__builtin_ctz(lowest)];
    }
    return bp_allocate_lines(BP_BLOCK_BYTES);
}

void bp_give_block(void *block) {
    uintptr_t offset = (uintptr_t)block - (uintptr_t)blocks;
    if (offset < sizeof blocks)
        atomic_fetch_and_explicit(&taken, ~(1u << offset / BP_BLOCK_BYTES), memory_order_release);
    else
        bp_free_lines(block);
}

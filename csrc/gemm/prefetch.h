/* prefetch.h: prefetches memory that will be needed soon, a few cache lines at a time during other
   work. */
#ifndef BP_PREFETCH_H
#define BP_PREFETCH_H

#include <stddef.h>

typedef struct {
    const char *at;
    size_t stride, rows, bytes; /* rows of `bytes` bytes, stride apart */
    size_t row, offset;         /* the next position */
    size_t lines;               /* per call */
} bp_prefetch;

static inline void bp_prefetch_some(bp_prefetch *next) {
    size_t lines = next->lines;
    while (lines > 0 && next->row < next->rows) {
        const char *at = next->at + next->row * next->stride + next->offset;
        size_t left = (next->bytes - next->offset + 63) / 64, some = lines < left ? lines : left;
        for (size_t k = 0; k < some; k++) __builtin_prefetch(at + 64 * k, 0, 2);
        lines -= some, next->offset += 64 * some;
        if (some == left) next->offset = 0, next->row++;
    }
}

#endif

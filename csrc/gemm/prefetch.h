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
    for (size_t k = next->lines; k > 0 && next->row < next->rows; k--) {
        __builtin_prefetch(next->at + next->row * next->stride + next->offset, 0, 2);
        next->offset += 64;
        if (next->offset >= next->bytes) next->offset = 0, next->row++;
    }
}

#endif

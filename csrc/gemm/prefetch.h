/* prefetch.h: memory that will be needed soon, asked for while something else is computed: a few lines
 * at a time.
 */
#ifndef BP_AHEAD_H
#define BP_AHEAD_H

#include <stddef.h>

typedef struct {
    const char *at;
    size_t stride, rows, bytes; /* rows of so many bytes, stride apart */
    size_t row, offset;         /* where we are */
    size_t share;               /* lines at a time */
} bp_ahead;

static inline void bp_ask(bp_ahead *a) {
    for (size_t k = a->share; k > 0 && a->row < a->rows; k--) {
        __builtin_prefetch(a->at + a->row * a->stride + a->offset, 0, 2);
        a->offset += 64;
        if (a->offset >= a->bytes) a->offset = 0, a->row++;
    }
}

#endif

/* clock.h: a monotonic clock. */
#ifndef BP_CLOCK_H
#define BP_CLOCK_H

#include <stdint.h>

#ifdef _WIN32
int64_t bp_nanoseconds(void); /* windows.c */
#else
#include <time.h>

static inline int64_t bp_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
#endif

#endif

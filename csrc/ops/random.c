/* random.c: the frozen random stream. Only integers and doubles that are exact or rounded once, so that
   initial parameters and shuffles have the same bits everywhere. splitmix64 is from Steele, Lea & Flood,
   "Fast splittable pseudorandom number generators" (2014). */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

static uint64_t next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t bp_random_stream(uint64_t seed, uint64_t stream) {
    uint64_t state = seed;
    state = next(&state) ^ stream;
    return next(&state);
}

void bp_random_permutation(int64_t *index, uint64_t *state, size_t size) {
    for (size_t i = 0; i < size; i++) index[i] = (int64_t)i;
    for (size_t i = size; i > 1; i--) {
        /* The high half of a 32 x 32 bit product is uniform on 0 .. i-1 up to i / 2^32. */
        size_t j = (size_t)(((next(state) >> 32) * (uint64_t)i) >> 32);
        int64_t kept = index[i - 1];
        index[i - 1] = index[j];
        index[j] = kept;
    }
}

#define BP_TEMPLATE "ops/random.c"
#include "template/for_each_type.h"
#else
/* ---- per type ---- */

void NAME(bp_random_uniform)(REAL *out, double bound, uint64_t *state, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    for (size_t i = 0; i < size; i++) {
        double u = (double)(int64_t)(next(state) >> 11) * 0x1p-52 - 1.0;
        out[i] = (REAL)(bound * u);
    }
}

#endif

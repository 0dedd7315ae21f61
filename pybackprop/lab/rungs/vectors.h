/* vectors.h: vectors of floats as wide as the CPU has them, and what the rungs do with them.

   vec holds LANES numbers, one of each of LANES chains. Its fused multiply-add rounds once, as fmaf
   does. */
#ifndef LAB_VECTORS_H
#define LAB_VECTORS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined __AVX512F__
#include <immintrin.h>
#define LANES 16
#define ROWS 12 /* of a tile: 12 x 2 sums, in 32 registers */
#elif defined __AVX__ && defined __FMA__
#include <immintrin.h>
#define LANES 8
#define ROWS 6 /* 6 x 2 sums, in 16 registers */
#else
#define LANES 4
#define ROWS 6
#endif
#define WIDTH (2 * LANES) /* columns of a tile */

typedef float vec __attribute__((vector_size(4 * LANES)));

static inline vec load(const float *from) {
    vec v;
    memcpy(&v, from, sizeof v); /* one instruction: the address need not be aligned */
    return v;
}

static inline void store(float *to, vec v) { memcpy(to, &v, sizeof v); }

/* x in every lane. x - 0 keeps the sign of a zero, x + 0 would not. */
static inline vec all(float x) { return x - (vec){0}; }

static inline vec fma_vec(vec a, vec b, vec c) {
#if defined __AVX512F__
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined __AVX__ && defined __FMA__
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    for (int l = 0; l < LANES; l++) c[l] = fmaf(a[l], b[l], c[l]);
    return c;
#endif
}

/* One bit for each lane that is not 0. */
static inline uint64_t terms_of(vec v) {
#if defined __AVX512F__
    return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
#elif defined __AVX__ && defined __FMA__
    return (uint64_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NEQ_UQ));
#else
    uint64_t bits = 0;
    for (int l = 0; l < LANES; l++) bits |= (uint64_t)(v[l] != 0) << l;
    return bits;
#endif
}

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Memory that begins on a cache line. */
static inline float *floats(size_t count) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, (count + 1) * sizeof(float))) abort();
    return memory;
}

#endif

/* generic.h: any CPU, with the compiler's 16-byte vectors. Where the hardware lacks a fused
   multiply-add the C library's exact one is called for each number. */
#ifndef BP_GENERIC_H
#define BP_GENERIC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MR_generic 4

typedef float bp_vector_f32 __attribute__((vector_size(16)));
typedef double bp_vector_f64 __attribute__((vector_size(16)));

#define vector_fma_f32_generic(a, b, c)                                                                 \
    ((bp_vector_f32){fmaf((a)[0], (b)[0], (c)[0]), fmaf((a)[1], (b)[1], (c)[1]),                        \
                     fmaf((a)[2], (b)[2], (c)[2]), fmaf((a)[3], (b)[3], (c)[3])})
#define vector_fma_f64_generic(a, b, c)                                                                 \
    ((bp_vector_f64){fma((a)[0], (b)[0], (c)[0]), fma((a)[1], (b)[1], (c)[1])})
#define vector_sqrt_f32_generic(a)                                                                      \
    ((bp_vector_f32){sqrtf((a)[0]), sqrtf((a)[1]), sqrtf((a)[2]), sqrtf((a)[3])})
#define vector_sqrt_f64_generic(a) ((bp_vector_f64){sqrt((a)[0]), sqrt((a)[1])})

/* The first n elements of a vector, the others 0; no byte beyond them is accessed. */
static inline bp_vector_f32 load_part_f32_generic(const float *from, size_t n) {
    bp_vector_f32 v = {0};
    memcpy(&v, from, n * sizeof *from);
    return v;
}
static inline bp_vector_f64 load_part_f64_generic(const double *from, size_t n) {
    bp_vector_f64 v = {0};
    memcpy(&v, from, n * sizeof *from);
    return v;
}
static inline void store_part_f32_generic(float *to, bp_vector_f32 v, size_t n) {
    memcpy(to, &v, n * sizeof *to);
}
static inline void store_part_f64_generic(double *to, bp_vector_f64 v, size_t n) {
    memcpy(to, &v, n * sizeof *to);
}

/* a0 b0 a1 b1 of the lower, and of the upper halves of each 16 bytes of two vectors */
#define interleave_low_f32_generic(a, b) ((bp_vector_f32){(a)[0], (b)[0], (a)[1], (b)[1]})
#define interleave_high_f32_generic(a, b) ((bp_vector_f32){(a)[2], (b)[2], (a)[3], (b)[3]})
#define interleave_low_f64_generic(a, b) ((bp_vector_f64){(a)[0], (b)[0]})
#define interleave_high_f64_generic(a, b) ((bp_vector_f64){(a)[1], (b)[1]})

/* 16 bytes of every fourth (float), every second (double) row, beside each other */
#define gather_pieces_f32_generic(row, p) load_f32_generic(*(row) + (p))
#define gather_pieces_f64_generic(row, p) load_f64_generic(*(row) + (p))

/* Bit l: whether lane l is not 0. */
static inline uint32_t nonzero_lanes_f32_generic(bp_vector_f32 v) {
    return (uint32_t)((v[0] != 0) | (v[1] != 0) << 1 | (v[2] != 0) << 2 | (v[3] != 0) << 3);
}
static inline uint32_t nonzero_lanes_f64_generic(bp_vector_f64 v) {
    return (uint32_t)((v[0] != 0) | (v[1] != 0) << 1);
}

/* See avx512.h. */
static inline size_t list_lanes_f32_generic(float *first, float *second, uint32_t *at, bp_vector_f32 v,
                                            bp_vector_f32 w, uint32_t base, uint32_t step) {
    size_t count = 0;
    for (uint32_t l = 0; l < 4; l++) {
        first[count] = v[l], second[count] = w[l], at[count] = base + l * step;
        count += v[l] != 0 || w[l] != 0;
    }
    return count;
}
static inline size_t list_lanes_f64_generic(double *first, double *second, uint32_t *at, bp_vector_f64 v,
                                            bp_vector_f64 w, uint32_t base, uint32_t step) {
    size_t count = 0;
    for (uint32_t l = 0; l < 2; l++) {
        first[count] = v[l], second[count] = w[l], at[count] = base + l * step;
        count += v[l] != 0 || w[l] != 0;
    }
    return count;
}

#endif

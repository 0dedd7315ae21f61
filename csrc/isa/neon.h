/* neon.h: ARM64, whose baseline has a fused multiply-add: 32 registers of 16 bytes. */
#ifndef BP_NEON_H
#define BP_NEON_H

#include "generic.h"

#include <arm_neon.h>

#define MR_neon 12

#define vector_fma_f32_neon(a, b, c) vfmaq_f32(c, a, b)
#define vector_fma_f64_neon(a, b, c) vfmaq_f64(c, a, b)
#define vector_sqrt_f32_neon vsqrtq_f32
#define vector_sqrt_f64_neon vsqrtq_f64
#define load_part_f32_neon load_part_f32_generic
#define load_part_f64_neon load_part_f64_generic
#define store_part_f32_neon store_part_f32_generic
#define store_part_f64_neon store_part_f64_generic

#define interleave_low_f32_neon vzip1q_f32
#define interleave_high_f32_neon vzip2q_f32
#define interleave_low_f64_neon vzip1q_f64
#define interleave_high_f64_neon vzip2q_f64

#define gather_pieces_f32_neon(row, p) vld1q_f32(*(row) + (p))
#define gather_pieces_f64_neon(row, p) vld1q_f64(*(row) + (p))

/* Bit l: whether lane l is not 0. */
static inline uint32_t nonzero_lanes_f32_neon(float32x4_t v) {
    const uint32x4_t bit = {1, 2, 4, 8};
    return vaddvq_u32(vbicq_u32(bit, vceqzq_f32(v)));
}
#define nonzero_lanes_f64_neon nonzero_lanes_f64_generic

#define list_lanes_f32_neon list_lanes_f32_generic
#define list_lanes_f64_neon list_lanes_f64_generic

#endif

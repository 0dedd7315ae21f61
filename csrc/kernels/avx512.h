/* avx512.h: x86-64 with AVX-512 F, BW, DQ and VL: 32 registers of 64 bytes. */
#ifndef BP_AVX512_H
#define BP_AVX512_H

#include <immintrin.h>

#define TILE_ROWS_avx512 14

#define vector_fma_f32_avx512 _mm512_fmadd_ps
#define vector_fma_f64_avx512 _mm512_fmadd_pd

#define load_part_f32_avx512(from, n) _mm512_maskz_loadu_ps((__mmask16)((1u << (n)) - 1), from)
#define load_part_f64_avx512(from, n) _mm512_maskz_loadu_pd((__mmask8)((1u << (n)) - 1), from)
#define store_part_f32_avx512(to, v, n) _mm512_mask_storeu_ps(to, (__mmask16)((1u << (n)) - 1), v)
#define store_part_f64_avx512(to, v, n) _mm512_mask_storeu_pd(to, (__mmask8)((1u << (n)) - 1), v)

#define bp_low_f32_avx512 _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define bp_high_f32_avx512                                                                              \
    _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define bp_low_f64_avx512 _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11)
#define bp_high_f64_avx512 _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15)
#define interleave_low_f32_avx512(a, b) _mm512_permutex2var_ps(a, bp_low_f32_avx512, b)
#define interleave_high_f32_avx512(a, b) _mm512_permutex2var_ps(a, bp_high_f32_avx512, b)
#define interleave_low_f64_avx512(a, b) _mm512_permutex2var_pd(a, bp_low_f64_avx512, b)
#define interleave_high_f64_avx512(a, b) _mm512_permutex2var_pd(a, bp_high_f64_avx512, b)

#endif

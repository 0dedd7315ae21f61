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

#define interleave_low_f32_avx512 _mm512_unpacklo_ps
#define interleave_high_f32_avx512 _mm512_unpackhi_ps
#define interleave_low_f64_avx512 _mm512_unpacklo_pd
#define interleave_high_f64_avx512 _mm512_unpackhi_pd

#define bp_inline_avx512 static inline __attribute__((always_inline, target("avx512f,avx512dq")))

bp_inline_avx512 __m512 gather_pieces_f32_avx512(const float *const *row, size_t p) {
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(row[0] + p));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(row[4] + p), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(row[8] + p), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(row[12] + p), 3);
}
bp_inline_avx512 __m512d gather_pieces_f64_avx512(const double *const *row, size_t p) {
    __m512d v = _mm512_castpd128_pd512(_mm_loadu_pd(row[0] + p));
    v = _mm512_insertf64x2(v, _mm_loadu_pd(row[2] + p), 1);
    v = _mm512_insertf64x2(v, _mm_loadu_pd(row[4] + p), 2);
    return _mm512_insertf64x2(v, _mm_loadu_pd(row[6] + p), 3);
}

#endif

/* avx512.h: x86-64 with AVX-512 F, BW, DQ and VL: 32 registers of 64 bytes. */
#ifndef BP_AVX512_H
#define BP_AVX512_H

#include <immintrin.h>
#ifdef _MSC_VER /* see avx2.h */
#include <avx512fintrin.h>

#include <avx512bwintrin.h>
#include <avx512dqintrin.h>
#include <avx512vlintrin.h>

#include <avx512vlbwintrin.h>
#include <avx512vldqintrin.h>
#endif
#include <stdint.h>

#define MR_avx512 14

#define vector_fma_f32_avx512 _mm512_fmadd_ps
#define vector_fma_f64_avx512 _mm512_fmadd_pd
#define vector_sqrt_f32_avx512 _mm512_sqrt_ps
#define vector_sqrt_f64_avx512 _mm512_sqrt_pd

#define load_part_f32_avx512(from, n) _mm512_maskz_loadu_ps((__mmask16)((1u << (n)) - 1), from)
#define load_part_f64_avx512(from, n) _mm512_maskz_loadu_pd((__mmask8)((1u << (n)) - 1), from)
#define store_part_f32_avx512(to, v, n) _mm512_mask_storeu_ps(to, (__mmask16)((1u << (n)) - 1), v)
#define store_part_f64_avx512(to, v, n) _mm512_mask_storeu_pd(to, (__mmask8)((1u << (n)) - 1), v)

#define interleave_low_f32_avx512 _mm512_unpacklo_ps
#define interleave_high_f32_avx512 _mm512_unpackhi_ps
#define interleave_low_f64_avx512 _mm512_unpacklo_pd
#define interleave_high_f64_avx512 _mm512_unpackhi_pd

/* Bit l: whether lane l is not 0. */
#define nonzero_lanes_f32_avx512(v) ((uint32_t)_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ))
#define nonzero_lanes_f64_avx512(v) ((uint32_t)_mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_NEQ_UQ))

#define bp_inline_avx512                                                                                \
    static inline __attribute__((always_inline, target("avx512f,avx512dq,avx512vl")))

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

/* first, second: where v or w is not 0, the lanes of both, and at: base + lane * step, side by
   side; how many there are. What is beyond them, up to a whole vector, is overwritten. */
bp_inline_avx512 size_t list_lanes_f32_avx512(float *first, float *second, uint32_t *at, __m512 v,
                                              __m512 w, uint32_t base, uint32_t step) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i place = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)step));
    __mmask16 terms = (__mmask16)(nonzero_lanes_f32_avx512(v) | nonzero_lanes_f32_avx512(w));
    if (!terms) return 0;
    _mm512_storeu_ps(first, _mm512_maskz_compress_ps(terms, v));
    _mm512_storeu_ps(second, _mm512_maskz_compress_ps(terms, w));
    place = _mm512_add_epi32(place, _mm512_set1_epi32((int)base));
    _mm512_storeu_si512(at, _mm512_maskz_compress_epi32(terms, place));
    return (size_t)__builtin_popcount(terms);
}
bp_inline_avx512 size_t list_lanes_f64_avx512(double *first, double *second, uint32_t *at, __m512d v,
                                              __m512d w, uint32_t base, uint32_t step) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i place = _mm256_mullo_epi32(lane, _mm256_set1_epi32((int)step));
    __mmask8 terms = (__mmask8)(nonzero_lanes_f64_avx512(v) | nonzero_lanes_f64_avx512(w));
    if (!terms) return 0;
    _mm512_storeu_pd(first, _mm512_maskz_compress_pd(terms, v));
    _mm512_storeu_pd(second, _mm512_maskz_compress_pd(terms, w));
    place = _mm256_add_epi32(place, _mm256_set1_epi32((int)base));
    _mm256_storeu_si256((__m256i *)at, _mm256_maskz_compress_epi32(terms, place));
    return (size_t)__builtin_popcount(terms);
}

#endif

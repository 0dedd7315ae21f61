/* avx2.h: x86-64 with AVX2 and FMA: 16 registers of 32 bytes. */
#ifndef BP_AVX2_H
#define BP_AVX2_H

#include <immintrin.h>
#ifdef _MSC_VER /* clang-cl's leaves out all that is not allowed in the whole file */
#include <smmintrin.h>

#include <avxintrin.h>

#include <avx2intrin.h>
#include <fmaintrin.h>
#endif
#include <stdint.h>

#define MR_avx2 6

#define vector_fma_f32_avx2 _mm256_fmadd_ps
#define vector_fma_f64_avx2 _mm256_fmadd_pd
#define vector_sqrt_f32_avx2 _mm256_sqrt_ps
#define vector_sqrt_f64_avx2 _mm256_sqrt_pd

/* From entry 8 - n on: n lanes selected, the others not. */
static const int32_t bp_lanes_avx2[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
#define bp_mask_avx2(lanes, n) _mm256_loadu_si256((const __m256i *)(bp_lanes_avx2 + (8 - (lanes) * (n))))

#define load_part_f32_avx2(from, n) _mm256_maskload_ps(from, bp_mask_avx2(1, n))
#define load_part_f64_avx2(from, n) _mm256_maskload_pd(from, bp_mask_avx2(2, n))
#define store_part_f32_avx2(to, v, n) _mm256_maskstore_ps(to, bp_mask_avx2(1, n), v)
#define store_part_f64_avx2(to, v, n) _mm256_maskstore_pd(to, bp_mask_avx2(2, n), v)

#define interleave_low_f32_avx2 _mm256_unpacklo_ps
#define interleave_high_f32_avx2 _mm256_unpackhi_ps
#define interleave_low_f64_avx2 _mm256_unpacklo_pd
#define interleave_high_f64_avx2 _mm256_unpackhi_pd

/* Bit l: whether lane l is not 0. */
#define nonzero_lanes_f32_avx2(v)                                                                       \
    ((uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ)))
#define nonzero_lanes_f64_avx2(v)                                                                       \
    ((uint32_t)_mm256_movemask_pd(_mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_NEQ_UQ)))

#define bp_inline_avx2 static inline __attribute__((always_inline, target("avx2,fma")))

bp_inline_avx2 __m256 gather_pieces_f32_avx2(const float *const *row, size_t p) {
    __m256 v = _mm256_castps128_ps256(_mm_loadu_ps(row[0] + p));
    return _mm256_insertf128_ps(v, _mm_loadu_ps(row[4] + p), 1);
}
bp_inline_avx2 __m256d gather_pieces_f64_avx2(const double *const *row, size_t p) {
    __m256d v = _mm256_castpd128_pd256(_mm_loadu_pd(row[0] + p));
    return _mm256_insertf128_pd(v, _mm_loadu_pd(row[2] + p), 1);
}

/* Entry m: the bytes of those of four lanes that m has a bit for, side by side; and how many lanes. */
#define BP_LANE(l) 4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3
static const uint8_t bp_together_avx2[16][16] = {{0},
                                                 {BP_LANE(0)},
                                                 {BP_LANE(1)},
                                                 {BP_LANE(0), BP_LANE(1)},
                                                 {BP_LANE(2)},
                                                 {BP_LANE(0), BP_LANE(2)},
                                                 {BP_LANE(1), BP_LANE(2)},
                                                 {BP_LANE(0), BP_LANE(1), BP_LANE(2)},
                                                 {BP_LANE(3)},
                                                 {BP_LANE(0), BP_LANE(3)},
                                                 {BP_LANE(1), BP_LANE(3)},
                                                 {BP_LANE(0), BP_LANE(1), BP_LANE(3)},
                                                 {BP_LANE(2), BP_LANE(3)},
                                                 {BP_LANE(0), BP_LANE(2), BP_LANE(3)},
                                                 {BP_LANE(1), BP_LANE(2), BP_LANE(3)},
                                                 {BP_LANE(0), BP_LANE(1), BP_LANE(2), BP_LANE(3)}};
#undef BP_LANE
static const uint8_t bp_lane_count_avx2[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

/* Four lanes of list_lanes, those that terms has a bit for. */
bp_inline_avx2 size_t list_four_avx2(float *first, float *second, uint32_t *at, __m128 v, __m128 w,
                                     __m128i place, unsigned terms) {
    __m128i order = _mm_loadu_si128((const __m128i *)bp_together_avx2[terms]);
    _mm_storeu_si128((__m128i *)first, _mm_shuffle_epi8(_mm_castps_si128(v), order));
    _mm_storeu_si128((__m128i *)second, _mm_shuffle_epi8(_mm_castps_si128(w), order));
    _mm_storeu_si128((__m128i *)at, _mm_shuffle_epi8(place, order));
    return bp_lane_count_avx2[terms];
}

/* See avx512.h. */
bp_inline_avx2 size_t list_lanes_f32_avx2(float *first, float *second, uint32_t *at, __m256 v, __m256 w,
                                          uint32_t base, uint32_t step) {
    unsigned terms = nonzero_lanes_f32_avx2(v) | nonzero_lanes_f32_avx2(w);
    if (!terms) return 0;
    __m128i four = _mm_mullo_epi32(_mm_setr_epi32(0, 1, 2, 3), _mm_set1_epi32((int)step));
    __m128i low = _mm_add_epi32(four, _mm_set1_epi32((int)base));
    __m128i high = _mm_add_epi32(four, _mm_set1_epi32((int)(base + 4 * step)));
    size_t count = list_four_avx2(first, second, at, _mm256_castps256_ps128(v),
                                  _mm256_castps256_ps128(w), low, terms & 15);
    return count + list_four_avx2(first + count, second + count, at + count, _mm256_extractf128_ps(v, 1),
                                  _mm256_extractf128_ps(w, 1), high, terms >> 4);
}

/* Here only the terms are written. */
bp_inline_avx2 size_t list_lanes_f64_avx2(double *first, double *second, uint32_t *at, __m256d v,
                                          __m256d w, uint32_t base, uint32_t step) {
    unsigned terms = nonzero_lanes_f64_avx2(v) | nonzero_lanes_f64_avx2(w);
    double lanes[2][4];
    size_t count = 0;
    if (terms) _mm256_storeu_pd(lanes[0], v), _mm256_storeu_pd(lanes[1], w);
    for (; terms; terms &= terms - 1, count++) {
        unsigned l = (unsigned)__builtin_ctz(terms);
        first[count] = lanes[0][l], second[count] = lanes[1][l], at[count] = base + l * step;
    }
    return count;
}

#endif

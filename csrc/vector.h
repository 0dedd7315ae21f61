/* vector.h: a vector's fused multiply-add for every kernel and type; all else is the compiler's
   vector extension. vector_fma_<type>_<kernel>(a, b, c) = a * b + c, each lane rounded once. */
#ifndef BP_VECTOR_H
#define BP_VECTOR_H

/* Baseline x86-64 has no such instruction: there the C library's function is called per lane. */
typedef float bp_vector_f32 __attribute__((vector_size(16)));
typedef double bp_vector_f64 __attribute__((vector_size(16)));
#define vector_fma_f32_generic(a, b, c)                                                                 \
    ((bp_vector_f32){fmaf((a)[0], (b)[0], (c)[0]), fmaf((a)[1], (b)[1], (c)[1]),                        \
                     fmaf((a)[2], (b)[2], (c)[2]), fmaf((a)[3], (b)[3], (c)[3])})
#define vector_fma_f64_generic(a, b, c)                                                                 \
    ((bp_vector_f64){fma((a)[0], (b)[0], (c)[0]), fma((a)[1], (b)[1], (c)[1])})

#if defined BP_X86
#include <immintrin.h>
#define vector_fma_f32_avx2 _mm256_fmadd_ps
#define vector_fma_f64_avx2 _mm256_fmadd_pd
#define vector_fma_f32_avx512 _mm512_fmadd_ps
#define vector_fma_f64_avx512 _mm512_fmadd_pd
#elif defined BP_ARM64
#include <arm_neon.h>
#define vector_fma_f32_neon(a, b, c) vfmaq_f32(c, a, b)
#define vector_fma_f64_neon(a, b, c) vfmaq_f64(c, a, b)
#endif

#endif

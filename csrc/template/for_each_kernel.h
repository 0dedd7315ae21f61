/* for_each_kernel.h: includes BP_TEMPLATE once per element type and kernel, with the names of
   for_each_type.h and
     KERNEL        generic, avx2, avx512 or neon
     LOCAL(op)     op_f32_avx2, ...
     VECTOR_BYTES  the width of its registers
   Then includes it again per type, without KERNEL, for the functions that dispatch. The instruction
   set is chosen per function by pragma, so one build runs on every CPU. */
#define LOCAL(op) BP_PASTE(NAME(op), KERNEL)

#define KERNEL generic
#define VECTOR_BYTES 16
#include "for_each_type.h"
#undef KERNEL
#undef VECTOR_BYTES

#if defined BP_X86
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,prfchw"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,prfchw")
#endif
#define KERNEL avx2
#define VECTOR_BYTES 32
#include "for_each_type.h"
#undef KERNEL
#undef VECTOR_BYTES
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(                                                                           \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prfchw"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prfchw,prefer-vector-width=512")
#endif
#define KERNEL avx512
#define VECTOR_BYTES 64
#include "for_each_type.h"
#undef KERNEL
#undef VECTOR_BYTES
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#elif defined BP_ARM64
#define KERNEL neon
#define VECTOR_BYTES 16
#include "for_each_type.h"
#undef KERNEL
#undef VECTOR_BYTES
#endif

#include "for_each_type.h"

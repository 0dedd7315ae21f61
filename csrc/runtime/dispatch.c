/* dispatch.c: which kernels this build has, which of them this CPU can run, and which is in use. */
#include "internal.h"
#include "isa/cpuid.h"

#include <stdatomic.h>

static const char *const names[] = {
    "generic",
#if defined BP_X86
    "avx2",
    "avx512",
#elif defined BP_ARM64
    "neon",
#endif
};

int bp_kernel_count(void) { return (int)(sizeof names / sizeof names[0]); }

const char *bp_kernel_name(int kernel) {
    return kernel >= 0 && kernel < bp_kernel_count() ? names[kernel] : "";
}

size_t bp_vector_bytes(int kernel) {
#if defined BP_X86
    return (size_t)16 << kernel;
#else
    return (void)kernel, 16;
#endif
}

/* The compiler's test covers the operating system too (does it save the wide registers?), but is part of
   a library that clang does not link on Windows. */
#if defined BP_X86 && !defined _WIN32
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#elif defined BP_X86
static int has_avx2(void) { return bp_has_avx2(); }
static int has_avx512(void) { return bp_has_avx512(); }
#endif

int bp_kernel_available(int kernel) {
#if defined BP_X86
    switch (kernel) {
    case BP_KERNEL_GENERIC: return 1;
    case BP_KERNEL_SIMD: return has_avx2();
    case BP_KERNEL_SIMD_WIDE: return has_avx512();
    default: return 0;
    }
#else
    return kernel >= 0 && kernel < bp_kernel_count();
#endif
}

static atomic_int active = -1; /* -1: not chosen yet */

static int best_kernel(void) {
    int kernel = bp_kernel_count() - 1;
    while (!bp_kernel_available(kernel)) kernel--;
    return kernel;
}

int bp_active_kernel(void) {
    int kernel = atomic_load_explicit(&active, memory_order_relaxed);
    if (kernel < 0) {
        kernel = best_kernel();
        atomic_store_explicit(&active, kernel, memory_order_relaxed);
    }
    return kernel;
}

bp_status bp_use_kernel(int kernel) {
    if (!bp_kernel_available(kernel)) return BP_UNKNOWN;
    atomic_store_explicit(&active, kernel, memory_order_relaxed);
    return BP_OK;
}

const char *bp_compiler(void) {
#if defined __clang__
    return "clang " __clang_version__;
#elif defined __GNUC__
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

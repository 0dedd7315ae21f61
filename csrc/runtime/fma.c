/* fma.c: fma and fmaf where those of the C library may round twice, or lose the sign of a result that is
   too small, as musl's and MinGW's do. Compilers call them for processors that may lack the instruction,
   and these are found before the library's. */
#include <limits.h> /* __GLIBC__ */

#if !defined __GLIBC__ && !defined __APPLE__ && !defined __FMA__ && !defined __aarch64__ &&             \
    defined __SIZEOF_INT128__

#include "internal.h"
#include "isa/cpuid.h"
#include "runtime/exact_fma.h"

#include <stdatomic.h>

#ifdef _WIN32
#define BP_HIDDEN
#else
#define BP_HIDDEN __attribute__((visibility("hidden")))
#endif

/* By the names that compilers call. */
BP_HIDDEN double bp_fma(double x, double y, double z) __asm__("fma");
BP_HIDDEN float bp_fmaf(float x, float y, float z) __asm__("fmaf");

#if defined BP_X86
/* Whether there is an instruction. */
static int has_instruction(void) {
    enum { UNKNOWN, MISSING, THERE };
    static atomic_int known = UNKNOWN;
    int found = atomic_load_explicit(&known, memory_order_relaxed);
    if (found == UNKNOWN) {
        found = bp_has_avx2() ? THERE : MISSING;
        atomic_store_explicit(&known, found, memory_order_relaxed);
    }
    return found == THERE;
}
#endif

BP_HIDDEN double bp_fma(double x, double y, double z) {
#if defined BP_X86
    if (has_instruction()) {
        __asm__("vfmadd213sd %2, %1, %0" : "+x"(x) : "x"(y), "x"(z));
        return x;
    }
#endif
    return bp_exact_fma(x, y, z);
}

BP_HIDDEN float bp_fmaf(float x, float y, float z) {
#if defined BP_X86
    if (has_instruction()) {
        __asm__("vfmadd213ss %2, %1, %0" : "+x"(x) : "x"(y), "x"(z));
        return x;
    }
#endif
    return bp_exact_fmaf(x, y, z);
}

#endif

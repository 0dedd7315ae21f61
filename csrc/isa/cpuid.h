/* cpuid.h: what x86 processors say about themselves. */
#ifndef BP_CPUID_H
#define BP_CPUID_H

#include <stdint.h>

#if defined BP_X86
#include <cpuid.h>

static inline int bp_read_cpuid(unsigned leaf, unsigned subleaf, uint32_t *registers) {
    return __get_cpuid_count(leaf, subleaf, registers, registers + 1, registers + 2, registers + 3);
}

/* Which registers the operating system saves. */
static inline uint32_t bp_read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* The names of its registers' places. */
enum { BP_EAX, BP_EBX, BP_ECX, BP_EDX };

/* Whether the processor has AVX2 and FMA, and the system saves their registers. */
static inline int bp_has_avx2(void) {
    const uint32_t fma_osxsave_avx = 1u << 12 | 1u << 27 | 1u << 28, avx2 = 1u << 5, saved = 0x6;
    uint32_t found[4];
    if (!bp_read_cpuid(1, 0, found) || (found[BP_ECX] & fma_osxsave_avx) != fma_osxsave_avx) return 0;
    if ((bp_read_xcr0() & saved) != saved) return 0;
    return bp_read_cpuid(7, 0, found) && (found[BP_EBX] & avx2);
}

/* The same of AVX-512 F, DQ, BW and VL. */
static inline int bp_has_avx512(void) {
    const uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, saved = 0xe6;
    uint32_t found[4];
    if (!bp_has_avx2() || (bp_read_xcr0() & saved) != saved) return 0;
    return bp_read_cpuid(7, 0, found) && (found[BP_EBX] & f_dq_bw_vl) == f_dq_bw_vl;
}
#else
static inline int bp_read_cpuid(unsigned leaf, unsigned subleaf, uint32_t *registers) {
    return (void)leaf, (void)subleaf, (void)registers, 0;
}
#endif

#endif

/* cpuid.h: what x86 processors say about themselves. */
#ifndef BP_CPUID_H
#define BP_CPUID_H

#include <stdint.h>

#if defined BP_X86
#include <cpuid.h>

static inline int bp_read_cpuid(unsigned leaf, unsigned subleaf, uint32_t *registers) {
    return __get_cpuid_count(leaf, subleaf, registers, registers + 1, registers + 2, registers + 3);
}
#else
static inline int bp_read_cpuid(unsigned leaf, unsigned subleaf, uint32_t *registers) {
    return (void)leaf, (void)subleaf, (void)registers, 0;
}
#endif

#endif

/* environment.c: a thread's floating-point environment, for tests to read and to change. */
#include <fenv.h>
#include <stdint.h>

/* All of it but what says which exceptions there were. */
uint64_t environment(void) {
#if defined __x86_64__
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return mxcsr & ~(uint32_t)0x3f;
#elif defined __aarch64__
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
#else
    return (uint64_t)fegetround();
#endif
}

void set_environment(uint64_t value) {
#if defined __x86_64__
    uint32_t mxcsr = (uint32_t)value;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
#elif defined __aarch64__
    __asm__ volatile("msr fpcr, %0" : : "r"(value) : "memory");
#else
    fesetround((int)value);
#endif
}

/* The current one, with subnormal numbers flushed to zero, or rounding upwards, downwards, to zero. */
uint64_t changed_environment(int how) {
    static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    uint64_t found = environment(), changed = found;
    if (how > 0) {
        fesetround(modes[how - 1]);
        changed = environment();
        fesetround(FE_TONEAREST);
        set_environment(found);
    }
#if defined __x86_64__
    return how ? changed : changed | 0x8040; /* FTZ and DAZ */
#elif defined __aarch64__
    return how ? changed : changed | 1u << 24; /* FZ */
#else
    return changed;
#endif
}

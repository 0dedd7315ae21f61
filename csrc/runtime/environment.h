/* environment.h: the floating-point environment that the definition means: round to nearest, gradual
   underflow, no traps. The caller's may differ: a library built with -ffast-math, or
   torch.set_flush_denormal, makes a thread flush subnormal numbers to zero; others round upwards. */
#ifndef BP_ENVIRONMENT_H
#define BP_ENVIRONMENT_H

/* The rest of the enclosing block computes in it, and the caller's comes back at the block's end. For
   every exported function that computes, and every thread's share. */
#define BP_DEFINED_ENVIRONMENT                                                                          \
    __attribute__((cleanup(bp_leave), unused)) const bp_environment bp_callers = bp_enter()

/* An argument that stays one from here on only: what is computed with it alone, and with nothing in
   memory, the compiler may else compute before the environment is set. */
#define BP_HERE(argument) __asm__ volatile("" : "+m"(argument) : : "memory")

static inline double bp_here(double argument) {
    BP_HERE(argument);
    return argument;
}

#if defined __x86_64__

/* MXCSR: the lowest six bits say what has happened, the others are the environment. */
typedef unsigned bp_environment;
enum { BP_USUAL_MXCSR = 0x1f80, BP_MXCSR_FLAGS = 0x3f };

static inline void bp_set_mxcsr(unsigned value) {
    __asm__ volatile("ldmxcsr %0" : : "m"(value) : "memory");
}

static inline bp_environment bp_enter(void) {
    unsigned found;
    __asm__ volatile("stmxcsr %0" : "=m"(found) : : "memory");
    if ((found & ~(unsigned)BP_MXCSR_FLAGS) != BP_USUAL_MXCSR) bp_set_mxcsr(BP_USUAL_MXCSR);
    return found;
}

static inline void bp_leave(const bp_environment *found) {
    if ((*found & ~(unsigned)BP_MXCSR_FLAGS) != BP_USUAL_MXCSR) bp_set_mxcsr(*found);
}

#elif defined __aarch64__

/* FPCR, which is all environment; its usual value is 0. */
typedef uint64_t bp_environment;

static inline void bp_set_fpcr(uint64_t value) {
    __asm__ volatile("msr fpcr, %0" : : "r"(value) : "memory");
}

static inline bp_environment bp_enter(void) {
    uint64_t found;
    __asm__ volatile("mrs %0, fpcr" : "=r"(found) : : "memory");
    if (found != 0) bp_set_fpcr(0);
    return found;
}

static inline void bp_leave(const bp_environment *found) {
    if (*found != 0) bp_set_fpcr(*found);
}

#else

#include <fenv.h>

typedef fenv_t bp_environment;

static inline bp_environment bp_enter(void) {
    fenv_t found;
    fegetenv(&found);
    fesetenv(FE_DFL_ENV);
    return found;
}

static inline void bp_leave(const bp_environment *found) { fesetenv(found); }

#endif

#endif

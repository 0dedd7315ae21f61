/* processor.h: on which processor a thread runs. A system may wake a helper on its caller's processor,
   again and again, while another one is idle: both then take turns there. */
#ifndef BP_PROCESSOR_H
#define BP_PROCESSOR_H

#ifdef __linux__
#include <sched.h>

static inline int bp_processor(void) { return sched_getcpu(); }

/* Moves the calling thread to another of the processors that it may use, if it is on this one. It may
   use the same ones as before. */
static inline void bp_leave_processor(int number) {
    cpu_set_t allowed, others;
    if (number < 0 || number >= CPU_SETSIZE || sched_getcpu() != number) return;
    if (sched_getaffinity(0, sizeof allowed, &allowed)) return;
    others = allowed;
    CPU_CLR(number, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        (void)sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static inline int bp_processor(void) { return -1; }

static inline void bp_leave_processor(int number) { (void)number; }
#endif

#endif

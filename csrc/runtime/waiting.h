/* waiting.h: waiting for a word of memory that another thread will change. */
#ifndef BP_WAITING_H
#define BP_WAITING_H

#include <stdatomic.h>
#include <stdint.h>

#include "runtime/clock.h"

#if defined __linux__ && !defined BP_NO_FUTEX
#define BP_FUTEX 1
#include <sys/syscall.h>
#include <unistd.h>
#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif
/* FUTEX_WAIT_PRIVATE and FUTEX_WAKE_PRIVATE of <linux/futex.h>, which Alpine has in another package than
   the compiler. */
enum { BP_FUTEX_WAIT = 128, BP_FUTEX_WAKE = 129 };
#elif !defined _WIN32
#include <pthread.h>
#endif

enum { BP_SPIN = 20000 }; /* nanoseconds */

static inline void bp_pause(void) {
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb");
#endif
}

/* Waits for the condition for at most so many nanoseconds. */
#define BP_SPIN_UNTIL(condition, most)                                                                  \
    do {                                                                                                \
        const int64_t longest = (most), began = bp_nanoseconds();                                       \
        for (unsigned round = 1; !(condition); round++) {                                               \
            if (round % 32 == 0 && bp_nanoseconds() - began >= longest) break;                          \
            bp_pause();                                                                                 \
        }                                                                                               \
    } while (0)

/* bp_sleep returns after a bp_wake of the word, at once if it does not hold that value, and maybe for no
   reason. bp_wake wakes all who sleep on the word, which must have changed before. */
#if defined _WIN32 /* windows.c */
void bp_sleep(atomic_uint *word, unsigned value);
void bp_wake(atomic_uint *word);
#elif defined BP_FUTEX
static inline void bp_sleep(atomic_uint *word, unsigned value) {
    syscall(SYS_futex, (void *)word, BP_FUTEX_WAIT, value, NULL, NULL, 0);
}

static inline void bp_wake(atomic_uint *word) {
    syscall(SYS_futex, (void *)word, BP_FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static inline void bp_sleepers_are_gone(void) {}
#else
static pthread_mutex_t bp_bed = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bp_bell = PTHREAD_COND_INITIALIZER;

static inline void bp_sleep(atomic_uint *word, unsigned value) {
    pthread_mutex_lock(&bp_bed);
    if (atomic_load(word) == value) pthread_cond_wait(&bp_bell, &bp_bed);
    pthread_mutex_unlock(&bp_bed);
}

static inline void bp_wake(atomic_uint *word) {
    (void)word;
    pthread_mutex_lock(&bp_bed);
    pthread_cond_broadcast(&bp_bell);
    pthread_mutex_unlock(&bp_bed);
}

/* In a forked child: a thread that is not there may have held the lock. */
static inline void bp_sleepers_are_gone(void) {
    pthread_mutex_init(&bp_bed, NULL);
    pthread_cond_init(&bp_bell, NULL);
}
#endif

/* Lets others run for a moment. */
#ifdef _WIN32
void bp_nap(void); /* windows.c */
#else
static inline void bp_nap(void) {
    const struct timespec moment = {.tv_nsec = 20000};
    nanosleep(&moment, NULL);
}
#endif

#endif

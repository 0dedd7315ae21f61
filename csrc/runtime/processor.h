/* processor.h: on which processors helpers run. Some systems wake a helper on its caller's processor,
   where it waits behind the caller while another one is idle. So who wakes a helper that last ran there
   keeps it from that processor until it runs. */
#ifndef BP_PROCESSOR_H
#define BP_PROCESSOR_H

#include <stdatomic.h>

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BP_STAYS, BP_MOVES, BP_MOVED };

typedef struct {
    atomic_int thread, state; /* its number, where the system told its processors */
    cpu_set_t allowed;        /* which it may use */
} bp_place;

/* The calling thread, after it was woken, may use again what it might before. */
static inline void bp_settle_down(bp_place *place) {
    while (atomic_load(&place->state) == BP_MOVES) sched_yield();
    if (atomic_exchange(&place->state, BP_STAYS) == BP_MOVED)
        (void)sched_setaffinity(0, sizeof place->allowed, &place->allowed);
}

/* Of the calling thread, before it sleeps. */
static inline void bp_note_place(bp_place *place) {
    bp_settle_down(place); /* it may have been awake when it was moved */
    int told = sched_getaffinity(0, sizeof place->allowed, &place->allowed) == 0;
    atomic_store(&place->thread, told ? (int)syscall(SYS_gettid) : 0);
}

/* Before a thread that sleeps is woken: it will not be where the calling thread is. */
static inline void bp_move_away(bp_place *place) {
    int here = sched_getcpu(), thread = atomic_load(&place->thread);
    if (thread == 0 || here < 0 || here >= CPU_SETSIZE) return;
    cpu_set_t others = place->allowed;
    CPU_CLR(here, &others);
    if (CPU_COUNT(&others) == 0) return;
    atomic_store(&place->state, BP_MOVES);
    int moved = sched_setaffinity(thread, sizeof others, &others) == 0;
    atomic_store(&place->state, moved ? BP_MOVED : BP_STAYS);
}
/* Of a thread that is no longer there. */
static inline void bp_forget_place(bp_place *place) {
    atomic_store(&place->thread, 0);
    atomic_store(&place->state, BP_STAYS);
}
#else
typedef struct {
    int unused;
} bp_place;

static inline void bp_note_place(bp_place *place) { (void)place; }

static inline void bp_move_away(bp_place *place) { (void)place; }

static inline void bp_settle_down(bp_place *place) { (void)place; }

static inline void bp_forget_place(bp_place *place) { (void)place; }
#endif

#endif

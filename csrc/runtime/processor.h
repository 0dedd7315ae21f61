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

enum { BP_STAYS, BP_IS_NOTED, BP_MOVES, BP_MOVED };

/* Who changes the state from BP_STAYS owns the rest until it changes it again. */
typedef struct {
    atomic_int state;
    int thread;        /* its number, 0 where the system did not tell its processors */
    cpu_set_t allowed; /* which it may use */
} bp_place;

static inline int bp_take_place(bp_place *place, int state) {
    int stays = BP_STAYS;
    return atomic_compare_exchange_strong(&place->state, &stays, state);
}

/* The calling thread, after it was woken, may use again what it might before. */
static inline void bp_settle_down(bp_place *place) {
    while (atomic_load(&place->state) == BP_MOVES) sched_yield();
    if (atomic_load(&place->state) != BP_MOVED) return;
    (void)sched_setaffinity(0, sizeof place->allowed, &place->allowed);
    atomic_store(&place->state, BP_STAYS);
}

/* Of the calling thread, before it sleeps. */
static inline void bp_note_place(bp_place *place) {
    do bp_settle_down(place); /* it may have been awake when it was moved */
    while (!bp_take_place(place, BP_IS_NOTED));
    int told = sched_getaffinity(0, sizeof place->allowed, &place->allowed) == 0;
    place->thread = told ? (int)syscall(SYS_gettid) : 0;
    atomic_store(&place->state, BP_STAYS);
}

/* Before a thread that sleeps is woken: it will not be where the calling thread is. */
static inline void bp_move_away(bp_place *place) {
    int here = sched_getcpu(), moved = 0;
    if (here < 0 || here >= CPU_SETSIZE || !bp_take_place(place, BP_MOVES)) return;
    cpu_set_t others = place->allowed;
    CPU_CLR(here, &others);
    if (place->thread && CPU_COUNT(&others) > 0)
        moved = sched_setaffinity(place->thread, sizeof others, &others) == 0;
    atomic_store(&place->state, moved ? BP_MOVED : BP_STAYS);
}

/* Of a thread that is no longer there. */
static inline void bp_forget_place(bp_place *place) {
    place->thread = 0;
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

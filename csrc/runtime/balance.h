/* balance.h: whether helpers are worth their waiting times. A caller's own shares tell what its helpers'
   would have cost it: what it waited beyond that was lost. Losses are paid by a rest, in which
   operations run on one thread, BP_REST times as long as what was lost: so at most 1 / BP_REST of the
   time is lost. */
#ifndef BP_BALANCE_H
#define BP_BALANCE_H

#include <stdatomic.h>
#include <stdint.h>

#include "runtime/waiting.h"

enum {
    BP_REST = 20,
    BP_MOST_CREDIT = 100000,     /* nanoseconds gained that are held against later losses */
    BP_PATIENCE = 150000,        /* nanoseconds lost before a rest: helpers that slept come late once */
    BP_LONGEST_REST = 500000000, /* nanoseconds */
    BP_PREEMPTED = 1000000,      /* a wait so long, in nanoseconds, tells of other busy processes, */
    BP_CROWDED = 1000000000,     /* and that they are there for so long */
    BP_TICK = 1024               /* nanoseconds: clocks that other threads read have 32 bits */
};

/* Nanoseconds gained, at most BP_MOST_CREDIT; when a helper was last preempted; and the rest, in ticks,
   that callers read who do not own the team. */
typedef struct {
    int64_t credit, preempted;
    atomic_uint rest, rest_began;
} bp_balance;

/* Times of a region, in nanoseconds: its begin, when its shares were there to be claimed, when the
   caller found none; and how long the caller worked and waited. */
typedef struct {
    int64_t began, published, finished, working, waited;
} bp_account;

static inline unsigned bp_ticks(void) { return (unsigned)((uint64_t)bp_nanoseconds() / BP_TICK); }

static inline void bp_forget_rest(bp_balance *balance) {
    balance->credit = BP_MOST_CREDIT;
    atomic_store(&balance->rest, 0);
}

/* Whether so many elementary operations are for one thread, as they end before the rest does. */
static inline int bp_rests(bp_balance *balance, double work) {
    const double operations_per_tick = 50.0 * BP_TICK; /* of a core, at most */
    unsigned rest = atomic_load_explicit(&balance->rest, memory_order_relaxed);
    if (rest == 0) return 0;
    unsigned passed = bp_ticks() - atomic_load_explicit(&balance->rest_began, memory_order_relaxed);
    if (passed < rest) return work < operations_per_tick * (rest - passed);
    atomic_store_explicit(&balance->rest, 0, memory_order_relaxed);
    return 0;
}

/* Whether processors are short: helpers then run where the system puts them. */
static inline int bp_is_crowded(const bp_balance *balance, int64_t now) {
    return balance->preempted && now - balance->preempted < BP_CROWDED;
}

/* Enters a region's account: shares that the caller has done, and those of others. */
static inline void bp_settle(bp_balance *balance, const bp_account *a, size_t mine, size_t theirs) {
    int64_t saved = mine ? a->working / (int64_t)mine * (int64_t)theirs : a->waited;
    if (a->waited > BP_PREEMPTED) balance->preempted = a->finished;
    balance->credit += saved - a->waited - (a->published - a->began);
    if (balance->credit > BP_MOST_CREDIT) balance->credit = BP_MOST_CREDIT;
    if (balance->credit >= -BP_PATIENCE) return;
    int64_t rest =
        -balance->credit < BP_LONGEST_REST / BP_REST ? -balance->credit * BP_REST : BP_LONGEST_REST;
    balance->credit = 0;
    atomic_store_explicit(&balance->rest_began, bp_ticks(), memory_order_relaxed);
    atomic_store_explicit(&balance->rest, (unsigned)(rest / BP_TICK), memory_order_relaxed);
}

#endif

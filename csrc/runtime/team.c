/* team.c: see team.h. */
#define _GNU_SOURCE /* pthread_atfork, clock_gettime */
#include "internal.h"

#ifndef BP_ALONE

#include "runtime/balance.h"
#include "runtime/create_thread.h"
#include "runtime/processor.h"
#include "runtime/waiting.h"

enum {
    PIECES = 4,           /* of a thread's part, where it takes long: */
    LONG_PART = 16000000, /* elementary operations of each thread */
    COUNT_BITS = 21,      /* of a ticket: shares that nobody has claimed; the bits above: threads */
    MOST_SHARES = (1 << COUNT_BITS) - 1
};

enum {
    MOST_THREADS = 1024,
    STACK_BYTES = 1024 * 1024,
    RETRY = 1000000000,
    PATIENCE = 1000000000 /* nanoseconds */
};
enum { AWAKE, ASLEEP };

/* Each group on its own cache line. Whoever holds `serving` owns all but the atomics. */
static struct {
    _Alignas(128) atomic_uint ticket; /* (threads << COUNT_BITS) + shares that nobody has claimed */
    atomic_uint spin;                 /* nanoseconds */
    bp_share *share; /* this and the next two: for who has claimed a share, until it is done */
    const void *job;
    size_t first, count;               /* the region's shares are first .. first + count - 1 */
    _Alignas(128) atomic_uint done;    /* shares */
    atomic_uint caller_sleeps;         /* until all are done */
    _Alignas(128) atomic_uint serving; /* a caller */
    size_t helpers;                    /* created so far */
    int64_t refused;                   /* when no thread could be created; 0: never */
    int64_t waited;                    /* nanoseconds of the caller for its turn */
    bp_balance balance;
    atomic_uint insist;
    atomic_size_t helped;
} team = {.balance = {.credit = BP_MOST_CREDIT}};

typedef struct {
    _Alignas(128) atomic_uint state;
    bp_place place;
} helper;

static helper helpers[MOST_THREADS];
static _Thread_local size_t me;       /* number in the region */
static _Thread_local int is_in_share; /* whether this thread is doing one */

const char *bp_pool(void) {
#if defined _WIN32
    return "Windows threads";
#elif defined BP_FUTEX
    return "pthreads, futex";
#else
    return "pthreads";
#endif
}

void bp_insist_on_helpers(int insist) { atomic_store(&team.insist, insist != 0); }

size_t bp_helped(void) { return atomic_load(&team.helped); }

size_t bp_thread(void) { return me; }

int bp_threads_for(double work) {
    int threads = bp_useful_threads(work);
    if (threads == 1 || is_in_share) return 1;
    if (atomic_load_explicit(&team.serving, memory_order_relaxed)) return 1;
    if (!atomic_load(&team.insist) && bp_rests(&team.balance, work)) return 1;
    return threads;
}

/* ---- claiming ---- */

static int is_for_me(unsigned ticket) { return (ticket & MOST_SHARES) > 0 && me < ticket >> COUNT_BITS; }

/* A claim that succeeds belongs to the region that is on at that moment, whatever was read before. */
static int claim(size_t *share) {
    unsigned ticket = atomic_load_explicit(&team.ticket, memory_order_relaxed);
    while (is_for_me(ticket))
        if (atomic_compare_exchange_weak_explicit(&team.ticket, &ticket, ticket - 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            *share = team.count - (ticket & MOST_SHARES);
            return 1;
        }
    return 0;
}

/* Adds to the shares that are done. The caller sleeps only after it has announced it and then found some
   missing, so whoever does the last one sees the announcement, or the caller sees that all are done. */
static void add_done(unsigned count, size_t all) {
    if (atomic_fetch_add(&team.done, count) + count == all && atomic_load(&team.caller_sleeps)) {
        atomic_store(&team.caller_sleeps, 0);
        bp_wake(&team.caller_sleeps);
    }
}

/* ---- helpers ---- */

static BP_BODY help(void *number) {
    helper *mine = (helper *)number;
    me = (size_t)(mine - helpers);
    is_in_share = 1;
    (void)bp_enter();
    for (size_t share;;) {
        while (claim(&share)) {
            size_t count = team.count;
            team.share(team.job, team.first + share);
            atomic_fetch_add_explicit(&team.helped, 1, memory_order_relaxed);
            add_done(1, count);
        }
        BP_SPIN_UNTIL(is_for_me(atomic_load_explicit(&team.ticket, memory_order_relaxed)),
                      atomic_load_explicit(&team.spin, memory_order_relaxed));
        bp_note_place(&mine->place);
        atomic_store(&mine->state, ASLEEP);
        if (!is_for_me(atomic_load(&team.ticket))) bp_sleep(&mine->state, ASLEEP);
        bp_settle_down(&mine->place);
        atomic_store(&mine->state, AWAKE);
    }
    return 0;
}

/* Threads that are there, the caller's included. */
static size_t recruit(size_t wanted) {
    if (wanted > MOST_THREADS) wanted = MOST_THREADS;
    if (team.helpers + 1 < wanted && team.refused && bp_nanoseconds() - team.refused < RETRY)
        return team.helpers + 1;
    while (team.helpers + 1 < wanted) {
        if (bp_create_thread(help, &helpers[team.helpers + 1], STACK_BYTES)) {
            team.refused = bp_nanoseconds();
            return team.helpers + 1;
        }
        team.helpers++;
    }
    return wanted;
}

/* Sleepers announce it and then look at the ticket, so each sees the region or is seen. */
static void wake_helpers(size_t count, int move) {
    for (helper *one = helpers + 1; one <= helpers + count; one++)
        if (atomic_load(&one->state) == ASLEEP) {
            if (move) bp_move_away(&one->place);
            if (atomic_exchange(&one->state, AWAKE) == ASLEEP) bp_wake(&one->state);
        }
}

/* ---- a region ---- */

/* How many threads serve the caller: 1, or more, and then leave_team must follow. */
static size_t join_team(int threads) {
    if (threads < 2 || is_in_share) return 1;
    if (atomic_exchange_explicit(&team.serving, 1, memory_order_acquire)) return 1;
    size_t members = recruit((size_t)threads);
    if (members == 1) atomic_store_explicit(&team.serving, 0, memory_order_release);
    return members;
}

static void leave_team(void) { atomic_store_explicit(&team.serving, 0, memory_order_release); }

/* For tests: until each helper has claimed a share, or a second has passed. */
static void let_helpers_begin(size_t members, size_t count) {
    const int64_t began = bp_nanoseconds();
    size_t theirs = count < members - 1 ? count : members - 1;
    while ((atomic_load(&team.ticket) & MOST_SHARES) > count - theirs &&
           bp_nanoseconds() - began < PATIENCE)
        bp_nap();
}

static size_t do_shares(void) {
    size_t share, mine = 0;
    is_in_share = 1;
    for (; claim(&share); mine++) team.share(team.job, team.first + share);
    is_in_share = 0;
    return mine;
}

static void wait_for_helpers(size_t count) {
    if (atomic_load(&team.done) == count) return;
    BP_SPIN_UNTIL(atomic_load_explicit(&team.done, memory_order_acquire) == count,
                  atomic_load_explicit(&team.spin, memory_order_relaxed));
    while (atomic_load(&team.done) != count) {
        atomic_store(&team.caller_sleeps, 1);
        if (atomic_load(&team.done) != count) bp_sleep(&team.caller_sleeps, 1);
    }
    atomic_store(&team.caller_sleeps, 0);
}

static void run_region(size_t members, size_t first, size_t count, bp_share *share, const void *job) {
    bp_account account = {.began = bp_nanoseconds()};
    team.share = share, team.job = job, team.first = first, team.count = count, team.waited = 0;
    atomic_store_explicit(&team.done, 0, memory_order_relaxed);
    atomic_store_explicit(&team.spin, members <= (size_t)bp_processors() ? BP_SPIN : 0,
                          memory_order_relaxed);
    atomic_store(&team.ticket, (unsigned)(members << COUNT_BITS | count));
    wake_helpers((members < count ? members : count) - 1, !bp_is_crowded(&team.balance, account.began));
    if (atomic_load_explicit(&team.insist, memory_order_relaxed)) let_helpers_begin(members, count);
    account.published = bp_nanoseconds();
    size_t mine = do_shares();
    account.finished = bp_nanoseconds();
    add_done((unsigned)mine, count);
    wait_for_helpers(count);
    account.waited = bp_nanoseconds() - account.finished + team.waited;
    account.working = account.finished - account.published - team.waited;
    bp_settle(&team.balance, &account, mine, count - mine);
}

void bp_run(int threads, size_t count, bp_share *share, const void *job) {
    size_t members = count > 1 ? join_team(threads) : 1;
    for (size_t k = 0; members == 1 && k < count; k++) share(job, k);
    if (members == 1) return;
    for (size_t first = 0, some; first < count; first += some) {
        some = count - first < MOST_SHARES ? count - first : MOST_SHARES;
        run_region(members, first, some, share, job);
    }
    leave_team();
}

typedef struct {
    bp_part *part;
    const void *job;
    size_t size, step, count;
} cut_job;

static void do_part(const void *job, size_t share) {
    const cut_job *cut = job;
    bp_range mine = bp_cut(cut->size, cut->step, share, cut->count);
    if (mine.begin < mine.end) cut->part(cut->job, mine);
}

void bp_run_parts(double work, size_t size, size_t step, size_t least, bp_part *part, const void *job) {
    size_t members = join_team(bp_threads_for(work)), count = members;
    if (members == 1) {
        part(job, (bp_range){0, size});
        return;
    }
    if (work >= (double)members * LONG_PART)
        count = PIECES * members < size / least ? PIECES * members : size / least;
    if (count < members) count = members;
    const cut_job cut = {part, job, size, step, count};
    run_region(members, 0, count, do_part, &cut);
    leave_team();
}

/* ---- turns ---- */

static int is_next(bp_turns *turns, unsigned at) {
    return atomic_load(&turns->slots[at % turns->size].finished) == at + 1;
}

static void add_next(bp_turns *turns, unsigned at, bp_add *add, const void *job) {
    add(job, at, turns->slots[at % turns->size].result);
    atomic_store(&turns->at, at + 1);
    if (atomic_load(&turns->sleepers)) bp_wake(&turns->at);
}

/* Whether so many results have been added. */
static int are_added(bp_turns *turns, unsigned count) {
    return (int)(atomic_load_explicit(&turns->at, memory_order_acquire) - count) >= 0;
}

static void wait_until_added(bp_turns *turns, unsigned count) {
    int64_t began = bp_nanoseconds();
    BP_SPIN_UNTIL(are_added(turns, count), atomic_load_explicit(&team.spin, memory_order_relaxed));
    while (!are_added(turns, count)) {
        atomic_fetch_add(&turns->sleepers, 1);
        unsigned at = atomic_load(&turns->at);
        if (!are_added(turns, count)) bp_sleep(&turns->at, at);
        atomic_fetch_sub(&turns->sleepers, 1);
    }
    if (me == 0) team.waited += bp_nanoseconds() - began;
}

/* A thread that finds another one adding leaves its result to it: that one looks once more after it has
   let go. */
void bp_add_in_turn(bp_turns *turns, size_t share, const void *result, bp_add *add, const void *job) {
    bp_slot *slot = &turns->slots[share % turns->size];
    unsigned before =
        share < turns->size ? 0 : (unsigned)share - turns->size + 1; /* the slot's last use */
    if (!are_added(turns, before)) wait_until_added(turns, before);
    slot->result = result;
    atomic_store(&slot->finished, (unsigned)share + 1);
    while (is_next(turns, atomic_load(&turns->at))) {
        if (atomic_exchange(&turns->adding, 1)) return;
        for (unsigned at; is_next(turns, at = atomic_load(&turns->at));) add_next(turns, at, add, job);
        atomic_store(&turns->adding, 0);
    }
}

size_t bp_hold(bp_turns *turns, bp_held *held, size_t share) {
    size_t place = 0;
    for (size_t k = 0; k < BP_HELD; k++) {
        int is_free = held->number[k] == 0 || are_added(turns, held->number[k]);
        if (is_free || held->number[k] < held->number[place]) place = k;
        if (is_free) break;
    }
    if (held->number[place] && !are_added(turns, held->number[place]))
        wait_until_added(turns, held->number[place]);
    held->number[place] = (unsigned)share + 1;
    return place;
}

/* ---- forks ---- */

#ifndef _WIN32
/* A child has the thread that forked and no other: whatever its parent's team was doing, it has none. */
static void forget_team(void) {
    bp_sleepers_are_gone();
    atomic_store(&team.ticket, 0);
    atomic_store(&team.done, 0);
    atomic_store(&team.caller_sleeps, 0);
    team.helpers = 0, team.refused = 0, is_in_share = 0;
    bp_forget_rest(&team.balance);
    for (size_t k = 0; k < MOST_THREADS; k++) {
        atomic_store(&helpers[k].state, AWAKE);
        bp_forget_place(&helpers[k].place);
    }
    leave_team();
}

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_team); }
#endif

#endif

/* test_team.c: regions of shares, see runtime/team.h: from several threads, in forked children, with
   more threads than processors.

       test_team          exits with 1 after saying what is wrong
       test_team --emulated
                          without forks: QEMU cannot give a forked child threads
       test_team --race   writes one number from all shares, which a sanitizer for threads must find
       test_team --idle   prints the microseconds of processor time that helpers use while nobody calls
 */
#include "internal.h"

#include "runtime/balance.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 3000, CALLERS = 4, ROUNDS = 300 };
static atomic_uint failures;

static void expect(int right, const char *what) {
    if (!right && atomic_fetch_add(&failures, 1) < 20) fprintf(stderr, "wrong: %s\n", what);
}

/* What the shares of a region write: without atomics, as each element belongs to one share. */
typedef struct {
    int threads;
    size_t count;
    unsigned *times, *before, *after;
    bp_turns *turns;
    unsigned *order, *length;
    struct results *results;
} job;

/* What a thread has left. */
typedef struct results {
    unsigned number[BP_HELD];
    bp_held held;
} results;

static void mark(const void *what, size_t share) {
    const job *j = what;
    j->times[share]++;
    expect(!j->threads || bp_thread() < (size_t)j->threads, "a thread has a number of its region");
}

static void nest(const void *what, size_t share) {
    const job *j = what;
    unsigned times[3] = {0};
    const job inner = {.count = 3, .times = times};
    bp_run(3, 3, mark, &inner);
    for (int k = 0; k < 3; k++) expect(times[k] == 1, "a region in a share");
    j->times[share]++;
}

static void shift(const void *what, size_t share) {
    const job *j = what;
    j->after[share] = j->before[(share + 1) % j->count] + 1;
}

static void append(const void *what, size_t share, const void *result) {
    const job *j = what;
    expect(*(const unsigned *)result == share, "a result stays until it is added");
    j->order[(*j->length)++] = *(const unsigned *)result;
}

static void leave_result(const void *what, size_t share) {
    const job *j = what;
    results *mine = &j->results[bp_thread()];
    unsigned *result = &mine->number[bp_hold(j->turns, &mine->held, share)];
    *result = (unsigned)share;
    bp_add_in_turn(j->turns, share, result, append, j);
}

static void cover(const void *what, bp_range mine) {
    const job *j = what;
    for (size_t k = mine.begin; k < mine.end; k++) j->times[k]++;
}

static void every_share_once(int threads, size_t count, bp_share *share) {
    unsigned times[MOST] = {0};
    const job j = {.threads = threads, .count = count, .times = times};
    bp_run(threads, count, share, &j);
    for (size_t k = 0; k < MOST; k++) expect(times[k] == (k < count), "every share is done once");
}

/* Each phase reads what the one before wrote. */
static void phases(int threads, size_t count) {
    unsigned a[64] = {0}, b[64] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        const job there = {.count = count, .before = a, .after = b};
        const job back = {.count = count, .before = b, .after = a};
        bp_run(threads, count, shift, &there);
        bp_run(threads, count, shift, &back);
    }
    for (size_t k = 0; k < count; k++) expect(a[k] == 2 * ROUNDS, "a phase sees the one before");
}

static void turns(int threads, size_t count) {
    unsigned order[MOST], length = 0;
    bp_slot slots[8 * BP_SLOTS_EACH] = {0};
    results each[8] = {0};
    bp_turns in_turn = {.size = BP_SLOTS_EACH * (unsigned)threads, .slots = slots};
    const job j = {.turns = &in_turn, .order = order, .length = &length, .results = each};
    bp_run(threads, count, leave_result, &j);
    expect(length == count, "every share has its turn");
    for (unsigned k = 0; k < length; k++) expect(order[k] == k, "turns are in order");
}

static void parts(double work, size_t size, size_t step, size_t least) {
    unsigned times[MOST] = {0};
    const job j = {.times = times};
    bp_run_parts(work, size, step, least, cover, &j);
    for (size_t k = 0; k < MOST; k++) expect(times[k] == (k < size), "parts cover all elements once");
}

static void all_of_it(void) {
    static const int teams[] = {1, 2, 3, 8};
    for (int k = 0; k < 4; k++) {
        every_share_once(teams[k], 0, mark), every_share_once(teams[k], 1, mark);
        every_share_once(teams[k], 2, mark), every_share_once(teams[k], MOST, mark);
        every_share_once(teams[k], 7, nest);
        phases(teams[k], 2), phases(teams[k], 13);
        turns(teams[k], 2), turns(teams[k], 500);
    }
    for (size_t size = 0; size < 70; size++) parts(1e9, size, 16, 8), parts(1e6, size, 4, 1000);
    parts(1e9, MOST, 1, 1), parts(1e9, MOST, 64, 1), parts(0, MOST, 64, 1);
}

static void *call(void *done) {
    all_of_it();
    atomic_store((atomic_int *)done, 1);
    return NULL;
}

static void from_several_threads(void) {
    pthread_t callers[CALLERS];
    atomic_int done[CALLERS] = {0};
    for (int k = 0; k < CALLERS; k++)
        if (pthread_create(&callers[k], NULL, call, &done[k])) exit(3);
    for (int k = 0; k < CALLERS; k++) pthread_join(callers[k], NULL);
}

/* Children of a thread whose process has another thread in a region, and their children. */
static void fork_children(int deep) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(600);
        size_t before = bp_helped();
        bp_insist_on_helpers(1);
        all_of_it();
        if (deep) fork_children(deep - 1);
        expect(!*bp_pool() || bp_helped() > before, "a child has helpers of its own");
        _exit(atomic_load(&failures) != 0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    expect(status == 0, "a forked child");
}

static void forks(void) {
    pthread_t caller;
    atomic_int done = 0;
    fork_children(1);
    if (pthread_create(&caller, NULL, call, &done)) exit(3);
    do fork_children(0);
    while (!atomic_load(&done));
    pthread_join(caller, NULL);
    fork_children(0);
}

/* What was lost to late helpers is paid by a rest, from which only work is exempt that outlasts it. */
static void losses_are_paid(void) {
    bp_balance balance = {.credit = BP_MOST_CREDIT};
    const bp_account in_time = {.published = 100, .working = 50000, .waited = 1000};
    const bp_account late = {.working = 50000, .waited = 4000000};
    const bp_account for_ever = {.working = 50000, .waited = 4000000000};
    const struct timespec rest = {.tv_nsec = 90000000};
    for (int k = 0; k < 10; k++) bp_settle(&balance, &in_time, 1, 1);
    expect(balance.credit == BP_MOST_CREDIT && !bp_rests(&balance, 0), "helpers in time are kept");
    bp_settle(&balance, &late, 1, 1);
    expect(bp_rests(&balance, 1e6), "helpers that came late rest");
    expect(!bp_rests(&balance, 1e13), "but not from long work");
    unsigned ticks = (4000000 - 50000 - BP_MOST_CREDIT) * BP_REST / BP_TICK;
    expect(atomic_load(&balance.rest) == ticks, "twenty times as long as what was lost");
    nanosleep(&rest, NULL);
    expect(!bp_rests(&balance, 1e6), "they are tried again");
    bp_settle(&balance, &for_ever, 1, 1);
    expect(atomic_load(&balance.rest) == BP_LONGEST_REST / BP_TICK, "a rest is not for ever");
    bp_settle(&balance, &in_time, 0, 2);
    bp_forget_rest(&balance);
    expect(!bp_rests(&balance, 0), "a forked child begins anew");
}

static double processor_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* From a millisecond after the last call on. */
static void print_idle(void) {
    const struct timespec moment = {.tv_nsec = 1000000}, long_moment = {.tv_nsec = 300000000};
    bp_insist_on_helpers(1);
    phases(2, 2);
    nanosleep(&moment, NULL);
    double began = processor_time();
    nanosleep(&long_moment, NULL);
    printf("%.0f\n", processor_time() - began);
}

static void race(const void *what, size_t share) {
    const job *j = what;
    const struct timespec moment = {.tv_nsec = 10000};
    j->times[0] += (unsigned)share;
    nanosleep(&moment, NULL);
}

int main(int count, char **arguments) {
    int emulated = count > 1 && !strcmp(arguments[1], "--emulated");
    bp_set_threads(3);
    if (count > 1 && !strcmp(arguments[1], "--idle")) return print_idle(), 0;
    if (count > 1 && !strcmp(arguments[1], "--race")) {
        unsigned sum[1] = {0};
        const job j = {.times = sum};
        bp_insist_on_helpers(1);
        for (int k = 0; k < ROUNDS; k++) bp_run(3, 8, race, &j);
        return 0;
    }
    losses_are_paid();
    for (int insist = 0; insist < 2; insist++) {
        bp_insist_on_helpers(insist);
        all_of_it();
        from_several_threads();
        if (!emulated) forks();
    }
    expect(!*bp_pool() || bp_helped() > 100, "helpers take part");
    printf("%u failures, %zu shares done by helpers\n", atomic_load(&failures), bp_helped());
    return atomic_load(&failures) != 0;
}

/* openmp_threads.c: the part of GNU OpenMP that the core uses, on POSIX threads, in place of libgomp.
   ThreadSanitizer does not see how libgomp waits, and would call everything after a barrier a race; it
   knows pthread_create, mutexes, conditions and barriers. Each parallel region starts its threads anew.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

enum { DEFAULT_TEAM = 3, MOST_TEAM = 64, NONE = -1 };
typedef unsigned long long ull;

typedef struct {
    void (*body)(void *);
    void *data;
    unsigned count;
    pthread_barrier_t barrier;
    pthread_mutex_t lock; /* of what follows: a loop whose iterations are claimed one by one */
    pthread_cond_t turned;
    bool begun;
    ull next, end, step;
    long claimed, turn; /* chunks that were claimed; the one whose ordered part may run */
} team;

typedef struct {
    team *of;
    unsigned number;
} member;

static _Thread_local member me = {NULL, 0};
static _Thread_local long chunk = NONE;

int omp_get_max_threads(void) { return DEFAULT_TEAM; }
int omp_get_num_threads(void) { return me.of ? (int)me.of->count : 1; }
int omp_get_thread_num(void) { return (int)me.number; }
int omp_in_parallel(void) { return me.of && me.of->count > 1; }

static void *run(void *argument) {
    me = *(member *)argument;
    me.of->body(me.of->data);
    return NULL;
}

void GOMP_parallel(void (*body)(void *), void *data, unsigned count, unsigned flags) {
    (void)flags;
    team t = {.body = body, .data = data, .count = count ? count : DEFAULT_TEAM};
    if (t.count > MOST_TEAM) abort();
    pthread_barrier_init(&t.barrier, NULL, t.count);
    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.turned, NULL);
    member members[MOST_TEAM], outer = me;
    pthread_t threads[MOST_TEAM];
    for (unsigned k = 0; k < t.count; k++) members[k] = (member){&t, k};
    for (unsigned k = 1; k < t.count; k++)
        if (pthread_create(&threads[k], NULL, run, &members[k])) abort();
    run(&members[0]);
    for (unsigned k = 1; k < t.count; k++) pthread_join(threads[k], NULL);
    me = outer;
    pthread_cond_destroy(&t.turned);
    pthread_mutex_destroy(&t.lock);
    pthread_barrier_destroy(&t.barrier);
}

void GOMP_barrier(void) {
    if (me.of) pthread_barrier_wait(&me.of->barrier);
}

static bool claim(team *t, ull *first, ull *last) {
    if (t->next >= t->end) return false;
    *first = t->next, *last = t->next += t->step;
    chunk = t->claimed++;
    return true;
}

bool GOMP_loop_ull_ordered_dynamic_start(bool up, ull start, ull end, ull step, ull size, ull *first,
                                         ull *last) {
    team *t = me.of;
    if (!t || !up || size != 1) abort(); /* the core has no other loop */
    pthread_mutex_lock(&t->lock);
    if (!t->begun) t->begun = true, t->next = start, t->end = end, t->step = step;
    bool found = claim(t, first, last);
    pthread_mutex_unlock(&t->lock);
    return found;
}

void GOMP_ordered_start(void) {
    pthread_mutex_lock(&me.of->lock);
    while (me.of->turn != chunk) pthread_cond_wait(&me.of->turned, &me.of->lock);
    pthread_mutex_unlock(&me.of->lock);
}

void GOMP_ordered_end(void) {}

bool GOMP_loop_ull_ordered_dynamic_next(ull *first, ull *last) {
    team *t = me.of;
    pthread_mutex_lock(&t->lock);
    while (t->turn != chunk) pthread_cond_wait(&t->turned, &t->lock);
    t->turn++;
    pthread_cond_broadcast(&t->turned);
    bool found = claim(t, first, last);
    pthread_mutex_unlock(&t->lock);
    return found;
}

void GOMP_loop_end_nowait(void) { chunk = NONE; }

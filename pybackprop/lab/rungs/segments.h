/* segments.h: segments of rows computed by whoever is free, and what they give added in ascending order.

   The order is the definition's, so it must not depend on who is done first. Three ways, each with the
   same bits:
   - Without a macro: threads compute all segments; when the last one is done, one thread adds them.
   - TURNS: a thread that has computed a segment waits until those before it are added, adds its own, and
     lets the next one go on. One thread that is held up makes all others wait.
   - PUBLISHED: nobody waits. A thread says that its segment is finished; if no other thread is adding,
     it adds that one and all finished ones that follow, whoever computed them. If one is, that thread
     finds it before it leaves: it looks again after it has let go. */
#ifndef LAB_SEGMENTS_H
#define LAB_SEGMENTS_H
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>

/* compute(job, s) for any s at any time; add(job, s) for s = 0, 1, ... by one thread at a time */
typedef void for_segment(void *job, size_t s);

/* Adds what is finished, from *next on; is_finished[count] is 0. */
static inline void add_finished(size_t *next, const char *is_finished, char *is_adding, for_segment *add,
                                void *job) {
    size_t k = __atomic_load_n(next, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&is_finished[k], __ATOMIC_SEQ_CST)) {
        if (__atomic_test_and_set(is_adding, __ATOMIC_SEQ_CST)) return;
        for (k = *next; __atomic_load_n(&is_finished[k], __ATOMIC_SEQ_CST); k++) add(job, k);
        __atomic_store_n(next, k, __ATOMIC_SEQ_CST);
        __atomic_clear(is_adding, __ATOMIC_SEQ_CST);
    }
}

static inline void each_segment(size_t count, for_segment *compute, for_segment *add, void *job) {
    size_t begun = 0, next = 0; /* the first segment that nobody computes, that is not added */
    char *is_finished = calloc(count + 1, 1), is_adding = 0;
    if (!is_finished) abort();
#pragma omp parallel
    for (size_t s; (s = __atomic_fetch_add(&begun, 1, __ATOMIC_RELAXED)) < count;) {
        compute(job, s);
#if defined TURNS
        while (__atomic_load_n(&next, __ATOMIC_ACQUIRE) != s) sched_yield();
        add(job, s);
        __atomic_store_n(&next, s + 1, __ATOMIC_RELEASE);
#elif defined PUBLISHED
        __atomic_store_n(&is_finished[s], 1, __ATOMIC_SEQ_CST);
        add_finished(&next, is_finished, &is_adding, add, job);
#endif
    }
    for (; next < count; next++) add(job, next);
    (void)is_adding;
    free(is_finished);
}

#endif

/* alone.c: team.h without threads. */
#include "internal.h"

#ifdef BP_ALONE

const char *bp_pool(void) { return ""; }
void bp_insist_on_helpers(int insist) { (void)insist; }
size_t bp_helped(void) { return 0; }
size_t bp_thread(void) { return 0; }
int bp_threads_for(double work) { return (void)work, 1; }
int bp_is_added(bp_turns *turns, unsigned share) { return (void)turns, (void)share, 1; }
void bp_wait_until_added(bp_turns *turns, unsigned share) { (void)turns, (void)share; }

void bp_add_in_turn(bp_turns *turns, unsigned share, const void *result, bp_add *add, const void *job) {
    (void)turns, (void)share;
    add(job, result);
}

void bp_run(int threads, size_t count, bp_share *share, const void *job) {
    (void)threads;
    for (size_t k = 0; k < count; k++) share(job, k);
}

void bp_run_parts(double work, size_t size, size_t step, size_t least, bp_part *part, const void *job) {
    (void)work, (void)step, (void)least;
    part(job, (bp_range){0, size});
}

#endif

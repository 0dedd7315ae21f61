/* alone.c: team.h without threads. */
#include "internal.h"

#ifdef BP_ALONE

const char *bp_pool(void) { return ""; }
void bp_insist_on_helpers(int insist) { (void)insist; }
size_t bp_helped(void) { return 0; }
size_t bp_thread(void) { return 0; }
int bp_threads_for(double work) { return (void)work, 1; }
size_t bp_hold(bp_turns *turns, bp_held *held, size_t share) {
    return (void)turns, (void)held, (void)share, 0;
}

void bp_add_in_turn(bp_turns *turns, size_t share, const void *result, bp_add *add, const void *job) {
    (void)turns;
    add(job, share, result);
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

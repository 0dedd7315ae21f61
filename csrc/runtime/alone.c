/* alone.c: team.h without threads. */
#include "internal.h"

#ifdef BP_ALONE

const char *bp_pool(void) { return ""; }
void bp_insist_on_helpers(int insist) { (void)insist; }
size_t bp_helped(void) { return 0; }
size_t bp_thread(void) { return 0; }
int bp_threads_for(double work) { return (void)work, 1; }
void bp_wait_for_turn(bp_turns *turns, unsigned turn) { (void)turns, (void)turn; }
void bp_end_turn(bp_turns *turns, unsigned turn) { (void)turns, (void)turn; }

void bp_run(int threads, size_t count, bp_share *share, const void *job) {
    (void)threads;
    for (size_t k = 0; k < count; k++) share(job, k);
}

void bp_run_parts(double work, size_t size, size_t step, size_t least, bp_part *part, const void *job) {
    (void)work, (void)step, (void)least;
    part(job, (bp_range){0, size});
}

#endif

/* team.h: the threads that help a caller with an operation, and the regions in which they do.

   A region is a number of shares, 0, 1, 2 ... Each is claimed by one thread, in ascending order, and
   done by it from end to end. The caller claims shares as its helpers do. When none is left it waits for
   those that others have claimed and not finished, and for nothing else: a helper that comes late finds
   that its share has been done. When bp_run or bp_run_parts returns, all shares are done, and what they
   wrote is seen by the caller; what the caller wrote before is seen in every share. So an operation of
   several phases is several regions, one after another.

   What a share computes may depend on its number, on how many there are, and on nothing else: not on the
   thread, nor on what other shares of the region do, except through bp_add_in_turn. How many shares
   there are may differ from one call to the next. So no bit depends on who does what; bp_thread is for
   memory that is private to a thread.

   A region runs on the calling thread alone if it wants one thread, if it is entered in a share of a
   region that has helpers, if helpers serve another caller at that moment, or if no thread can be
   created. With some of the threads it runs on those. Callers never wait for each other.

   Waiting, of a caller for the last shares and of helpers for the next region, spins for BP_SPIN and
   then sleeps; with more threads than processors it sleeps at once. Where waiting costs more than
   helpers gain, as beside other busy processes, bp_threads_for says 1 for a time twenty times as long as
   what was lost.

   Helpers are created when first wanted, block all signals, compute in the defined floating-point
   environment, and last as long as the process; they do not keep it from ending. A forked child has
   none, and creates its own. Built with BP_SERIAL, or where there are neither POSIX nor Windows threads,
   there are no helpers. */
#ifndef BP_TEAM_H
#define BP_TEAM_H

#include <stdatomic.h>
#include <stddef.h>

#if defined BP_SERIAL || !(defined __unix__ || defined __APPLE__ || defined _WIN32)
#define BP_ALONE 1
#endif

typedef struct {
    size_t begin, end;
} bp_range;

/* One share of a job. */
typedef void bp_share(const void *job, size_t share);

/* The part of a job that belongs to mine. */
typedef void bp_part(const void *job, bp_range mine);

/* Does shares 0 .. count-1 by at most so many threads. */
void bp_run(int threads, size_t count, bp_share *share, const void *job);

/* Does the parts of 0 .. size-1, cut at multiples of step, by as many threads as so many elementary
   operations are worth. Parts that keep a thread for long are cut into smaller ones of at least `least`
   elements. */
void bp_run_parts(double work, size_t size, size_t step, size_t least, bp_part *part, const void *job);

/* Part number `share` of 0 .. size-1, cut into `count` parts of equal length at multiples of step. */
bp_range bp_cut(size_t size, size_t step, size_t share, size_t count);

/* The calling thread's number in its region, less than the threads that the region asked for; 0 outside,
   and in a region within a share that of the outer one. */
size_t bp_thread(void);

/* Threads that so many elementary operations are worth; and those of them to ask for now. */
int bp_useful_threads(double work);
int bp_threads_for(double work);

/* Results of a region's shares that are added in ascending order of the shares, each by whichever thread
   comes when its turn has come: no thread waits for it. Zero at first, but for size and slots. */
typedef struct {
    _Alignas(64) atomic_uint finished; /* the number of the share whose result lies here, + 1 */
    const void *result;
} bp_slot;

typedef struct {
    atomic_uint at, adding, sleepers; /* at: the share whose result is added next */
    unsigned size;
    bp_slot *slots; /* (size), zeros */
} bp_turns;

enum {
    BP_HELD = 3,                /* results that a thread can hold until they are added */
    BP_SLOTS_EACH = BP_HELD + 1 /* slots for each thread: it may have claimed one more share */
};

/* The shares whose results a thread holds, + 1. Zeros at first. */
typedef struct {
    unsigned number[BP_HELD];
} bp_held;

typedef void bp_add(const void *job, size_t share, const void *result);

/* Which of its places for results a thread takes for the next share's: of those that are free the first,
   the nearest in the caches, or when none is, the first that will be. */
size_t bp_hold(bp_turns *turns, bp_held *held, size_t share);

/* Leaves a share's result, which must stay there until it is added, and adds all whose turn has come. */
void bp_add_in_turn(bp_turns *turns, size_t share, const void *result, bp_add *add, const void *job);

#endif

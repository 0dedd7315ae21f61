/* windows.c: the clock, threads, waiting and memory of Windows, behind the headers that have those of
   POSIX. Nothing else includes its headers, whose macros have short names. */
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <malloc.h>
#include <windows.h>

#include "internal.h"
#include "runtime/clock.h"

int64_t bp_nanoseconds(void) {
    LARGE_INTEGER ticks, each_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&each_second);
    int64_t seconds = ticks.QuadPart / each_second.QuadPart,
            rest = ticks.QuadPart % each_second.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / each_second.QuadPart;
}

/* Those of this process's group, of which there are at most 64. */
int bp_count_processors(void) {
    DWORD_PTR process, system;
    if (!GetProcessAffinityMask(GetCurrentProcess(), &process, &system)) return 1;
    return __builtin_popcountll((unsigned long long)process);
}

void *bp_allocate_lines(size_t bytes) { return _aligned_malloc(bytes, 64); }

void bp_free_lines(void *memory) { _aligned_free(memory); }

#ifndef BP_ALONE

#include "runtime/create_thread.h"
#include "runtime/waiting.h"

int bp_create_thread(bp_body *body, void *argument, size_t stack_bytes) {
    HANDLE thread =
        CreateThread(NULL, stack_bytes, body, argument, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (!thread) return 1;
    CloseHandle(thread);
    return 0;
}

static SRWLOCK bed = SRWLOCK_INIT;
static CONDITION_VARIABLE bell = CONDITION_VARIABLE_INIT;

void bp_sleep(atomic_uint *word, unsigned value) {
    AcquireSRWLockExclusive(&bed);
    if (atomic_load(word) == value) SleepConditionVariableSRW(&bell, &bed, INFINITE, 0);
    ReleaseSRWLockExclusive(&bed);
}

void bp_wake(atomic_uint *word) {
    (void)word;
    AcquireSRWLockExclusive(&bed);
    ReleaseSRWLockExclusive(&bed);
    WakeAllConditionVariable(&bell);
}

void bp_nap(void) { Sleep(0); }

#endif
#endif

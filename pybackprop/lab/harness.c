/* harness.c: says in one line which address a fault happened at, before the process ends by it; and lets
   what a kernel forks end with it. */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#ifdef __linux__
#include <pthread.h>
#include <sys/prctl.h>
#endif

static int answers = -1;
static char stack[64 * 1024]; /* of the handler: the program's own may be what has overflowed */

static char *put_number(char *at, uintptr_t number) {
    char digits[24];
    int count = 0;
    do digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count) *at++ = digits[--count];
    *at++ = ' ';
    return at;
}

/* 'w' for a write, 'r' for a read, '?' where the system does not say */
static char direction(const void *context) {
#if defined __linux__ && defined __x86_64__
    const ucontext_t *at = context;
    return at->uc_mcontext.gregs[REG_ERR] & 2 ? 'w' : 'r';
#else
    (void)context;
    return '?';
#endif
}

/* where the stack ended; 0 where the system does not say */
static uintptr_t stack_pointer(const void *context) {
#if defined __linux__ && defined __x86_64__
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RSP];
#elif defined __linux__ && defined __aarch64__
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.sp;
#else
    (void)context;
    return 0;
#endif
}

/* FAULT signal address known stack-pointer direction */
static void say(int number, siginfo_t *info, void *context) {
    char line[128] = "FAULT ", *at = line + 6;
    at = put_number(at, (uintptr_t)number);
    at = put_number(at, (uintptr_t)info->si_addr);
    at = put_number(at, info->si_code > 0 && info->si_code < 0x80);
    at = put_number(at, stack_pointer(context));
    *at++ = direction(context), *at++ = '\n';
    if (write(answers, line, (size_t)(at - line)) < 0) _exit(1);
    signal(number, SIG_DFL);
    raise(number);
}

#ifdef __linux__
static void end_with_parent(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); }
#endif

void lab_catch(int descriptor) {
    answers = descriptor;
#ifdef __linux__
    pthread_atfork(NULL, NULL, end_with_parent);
#endif
    stack_t handlers = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&handlers, NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = say;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t s = 0; s < sizeof signals / sizeof *signals; s++) sigaction(signals[s], &action, NULL);
}

/* create_thread.h: creates threads that nobody waits for. */
#ifndef BP_CREATE_THREAD_H
#define BP_CREATE_THREAD_H

#include <stddef.h>

#ifdef _WIN32

/* A thread's function is BP_BODY name(void *argument), and never returns. */
#define BP_BODY unsigned long __stdcall
typedef BP_BODY bp_body(void *argument);

/* With a stack of so many bytes. 0: the thread was created. */
int bp_create_thread(bp_body *body, void *argument, size_t stack_bytes); /* windows.c */

#else

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define BP_BODY void *
typedef BP_BODY bp_body(void *argument);

/* With a stack of so many bytes, or, where the system's own data does not leave room for it, of the
   usual size. */
static inline int bp_create_detached(bp_body *body, void *argument, size_t stack_bytes) {
    pthread_t thread;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) return ENOMEM;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    int error = pthread_create(&thread, &attributes, body, argument);
    pthread_attr_destroy(&attributes);
    if (error != EINVAL) return error;
    error = pthread_create(&thread, NULL, body, argument);
    if (error == 0) pthread_detach(thread);
    return error;
}

/* The same. A new thread inherits its creator's signal mask: no signal is ever handled on it. */
static inline int bp_create_thread(bp_body *body, void *argument, size_t stack_bytes) {
    sigset_t all, usual;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &usual);
    int error = bp_create_detached(body, argument, stack_bytes);
    pthread_sigmask(SIG_SETMASK, &usual, NULL);
    return error;
}

#endif

#endif

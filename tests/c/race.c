/* race.c: two threads call the core at once. With "apart" each has an output of its own, as it must;
   with "same" both write to one, which ThreadSanitizer has to report. */
#include "pybackprop.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { SIZE = 1000, TURNS = 200 };
static float x[SIZE], out[2][SIZE];
static int same;
static pthread_barrier_t start;

static void *apply(void *argument) {
    for (int turn = 0; turn < TURNS; turn++) {
        pthread_barrier_wait(&start); /* else one thread might end its turns before the other begins */
        bp_relu_forward_f32(same ? out[0] : argument, x, SIZE);
    }
    return NULL;
}

int main(int count, char **arguments) {
    pthread_t threads[2];
    same = count > 1 && !strcmp(arguments[1], "same");
    bp_use_kernel(0); /* whose loads and stores the compiler instruments */
    bp_set_threads(2), bp_set_thread_work(1);
    pthread_barrier_init(&start, NULL, 2);
    for (int k = 0; k < 2; k++)
        if (pthread_create(&threads[k], NULL, apply, out[k])) return 3;
    for (int k = 0; k < 2; k++) pthread_join(threads[k], NULL);
    puts("done");
    return 0;
}

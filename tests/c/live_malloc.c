/* live_malloc.c: preloaded, it knows the bytes that are taken and not given back, and the most there
   were of them: `live`, `most`. It refuses requests of more than `largest` bytes, and all for memory on
   a line where `refuse_aligned` is not 0; `refused` counts them. glibc only. */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

atomic_long live, most, largest = LONG_MAX, refuse_aligned, refused;

static void *taken(void *memory) {
    if (!memory) return memory;
    long now = (long)malloc_usable_size(memory);
    now += atomic_fetch_add(&live, now);
    for (long before = atomic_load(&most); now > before;)
        if (atomic_compare_exchange_weak(&most, &before, now)) break;
    return memory;
}

static int refuse(size_t size) {
    if (size <= (size_t)atomic_load(&largest)) return 0;
    atomic_fetch_add(&refused, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return refuse(size) ? NULL : taken(__libc_malloc(size)); }

void *calloc(size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return NULL;
    return refuse(count * size) ? NULL : taken(__libc_calloc(count, size));
}

void free(void *memory) {
    if (memory) atomic_fetch_sub(&live, (long)malloc_usable_size(memory));
    __libc_free(memory);
}

void *realloc(void *old, size_t size) {
    if (refuse(size)) return NULL;
    long before = old ? (long)malloc_usable_size(old) : 0;
    void *found = __libc_realloc(old, size);
    if (found || size == 0) atomic_fetch_sub(&live, before);
    return taken(found);
}

void *aligned_alloc(size_t alignment, size_t size) {
    if (atomic_load(&refuse_aligned)) {
        atomic_fetch_add(&refused, 1);
        errno = ENOMEM;
        return NULL;
    }
    return refuse(size) ? NULL : taken(__libc_memalign(alignment, size));
}

void *memalign(size_t alignment, size_t size) {
    return refuse(size) ? NULL : taken(__libc_memalign(alignment, size));
}

int posix_memalign(void **found, size_t alignment, size_t size) {
    if (refuse(size)) return ENOMEM;
    *found = taken(__libc_memalign(alignment, size));
    return *found ? 0 : ENOMEM;
}

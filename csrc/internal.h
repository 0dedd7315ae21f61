/* internal.h: declarations that the C files share and that are not in the API. */
#ifndef BP_INTERNAL_H
#define BP_INTERNAL_H

#if defined _MSC_VER && !defined __clang__
#error                                                                                                  \
    "pybackprop needs the vector types of GNU C, which this compiler lacks. On Windows please use clang-cl."
#endif

#include "pybackprop.h"
#include "runtime/environment.h"
#include "runtime/team.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _MSC_VER /* else they are imported from the C library, and those of fma.c are not found */
#define fma __builtin_fma
#define fmaf __builtin_fmaf
#endif

#define BP_PASTE2(a, b) a##_##b
#define BP_PASTE(a, b) BP_PASTE2(a, b)

enum { BP_KERNEL_GENERIC, BP_KERNEL_SIMD, BP_KERNEL_SIMD_WIDE };

/* gcc for Windows does not align the stack for vectors of 32 bytes. */
#if (defined __x86_64__ || defined __i386__) && (defined __clang__ || !defined _WIN32)
#define BP_X86 1
#elif defined __aarch64__
#define BP_ARM64 1
#endif

/* Unrolls a loop with constant bounds, so that its sums stay in registers; unrolls a short, tight
   loop by 4, but not where each load is checked: compilers need very long for that. */
#ifdef __clang__
#define BP_UNROLL _Pragma("clang loop unroll(full)")
#define BP_UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define BP_UNROLL _Pragma("GCC unroll 16")
#define BP_UNROLL_4 _Pragma("GCC unroll 4")
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BP_LOADS_CHECKED 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || defined BP_LOADS_CHECKED
#undef BP_UNROLL_4
#define BP_UNROLL_4
#endif

/* Calls op_<kernel>. Every kernel gives the same bits. */
#if defined BP_X86
#define BP_DISPATCH_TO(kernel, op, args)                                                                \
    switch (kernel) {                                                                                   \
    case BP_KERNEL_SIMD_WIDE: BP_PASTE(op, avx512) args; break;                                         \
    case BP_KERNEL_SIMD: BP_PASTE(op, avx2) args; break;                                                \
    default: BP_PASTE(op, generic) args; break;                                                         \
    }
#elif defined BP_ARM64
#define BP_DISPATCH_TO(kernel, op, args)                                                                \
    switch (kernel) {                                                                                   \
    case BP_KERNEL_SIMD: BP_PASTE(op, neon) args; break;                                                \
    default: BP_PASTE(op, generic) args; break;                                                         \
    }
#else
#define BP_DISPATCH_TO(kernel, op, args) (void)(kernel), BP_PASTE(op, generic) args
#endif

/* The same for the active kernel, which another thread may change at any time. */
#define BP_DISPATCH(op, args) BP_DISPATCH_TO(bp_active_kernel(), op, args)

enum { BP_MAX_MC = 252 }; /* rows of a product's block, at most: a multiple of every kernel's MR */

enum { BP_MAX_BLOCK = 4 * 1024 * 1024, BP_MAX_KC = 2048 }; /* see bp_set_tiles */

/* The workspace in which products pack their operands: `count` pieces of `bytes`, one for each thread
   of a team. */
typedef struct {
    char *at;
    size_t bytes, count;
} bp_workspace;

/* Memory on a cache line, so many bytes of whole lines; NULL: there is none. */
#ifdef _WIN32
void *bp_allocate_lines(size_t bytes); /* windows.c */
void bp_free_lines(void *memory);
#else
static inline void *bp_allocate_lines(size_t bytes) { return aligned_alloc(64, bytes); }
static inline void bp_free_lines(void *memory) { free(memory); }
#endif

/* A block of memory on a cache line, for a short time: static while there are enough of them, else
   allocated. NULL: there is no memory. */
enum { BP_BLOCK_BYTES = 64 * 1024 };
void *bp_take_block(void);
void bp_give_block(void *block);

enum {
    BP_TILES_BYTES = BP_MAX_MC * 2 * 64, /* rows of two of the widest vectors */
    BP_PANEL_BYTES = 16 * 1024, /* of a panel that stays in the first cache: half of the smallest */
    BP_HERE_WORKSPACE = BP_TILES_BYTES + BP_PANEL_BYTES + 64
}; /* see bp_multiply_here */

/* What a loss is a mean over, if it is more than the rows at hand: so many rows, or 0. sum: where their
   part of the sum is written, or NULL. */
typedef struct {
    size_t rows;
    double *sum;
} bp_mean;

static inline size_t bp_mean_rows(bp_mean mean, size_t n) { return mean.rows ? mean.rows : n; }

static inline bp_mean bp_mean_of(const bp_plan *plan) {
    return (bp_mean){plan->mean_rows, plan->loss_sum};
}

/* The lowest layer with a gradient to compute; dx: whether the data's gradient is computed too. */
size_t bp_lowest_wanted(const bp_layer *layers, size_t count, int dx);

/* Multiplications of the layers' forward for n rows. */
double bp_forward_work(const bp_layer *layers, size_t count, size_t n);

/* The width of a kernel's registers. */
size_t bp_vector_bytes(int kernel);

/* The processors that this process may use. */
int bp_processors(void);

/* Whether an optimizer's update is bp_sgd_step. */
static inline int bp_is_plain_sgd(const bp_optimizer *o) {
    return !o || (o->rule == BP_SGD && !o->nesterov && o->weight_decay == 0);
}

/* What elementwise operations work on: arrays out, x and y, and a number. See bp_run_elements. */
typedef struct {
    float *out;
    const float *x, *y;
    float factor;
} bp_elements_f32;

typedef struct {
    double *out;
    const double *x, *y;
    double factor;
} bp_elements_f64;

/* The parts of an elementwise operation. */
static inline void bp_run_elements(double work, size_t size, bp_part *part, const void *job) {
    bp_run_parts(work, size, 64, 64 * 1024, part, job);
}

static inline size_t bp_rounded(size_t value, size_t step) { return (value + step - 1) / step * step; }

/* Takes room for elements of so many bytes, in whole cache lines; returns where it begins. */
static inline size_t bp_take(size_t *at, size_t numbers, size_t bytes) {
    size_t here = *at;
    *at += bp_rounded(numbers, 64 / bytes);
    return here;
}

/* A sum in lanes, see BP_LANES: all of them. */
static inline double bp_fold_lanes(double *lane) {
    for (size_t width = BP_LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++) lane[l] += lane[l + width];
    return lane[0];
}

/* The same, as the definitions say it. */
double bp_ref_fold_lanes(double *lane);

/* 1 if a*b elements of this many bytes are too large to be addressed. */
int bp_overflows(size_t a, size_t b, size_t element_bytes);

#endif

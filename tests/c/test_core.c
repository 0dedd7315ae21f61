/* test_core.c: every operation equals its bp_ref_ twin in bits: each kernel, 1 to 3 threads, both types.

       test_core             all of it; exits with 1 after saying what differs
       test_core --quick     without the large sizes
       test_core --threads   only what shares memory among threads, and small sizes on threads too
       test_core --digest    also prints a hash of every defined result, the same on every machine
       test_core --emulated  without a fork: QEMU cannot give a forked child threads
       test_core --broken X  spoils the fast results first (zero, nan, sign, bit, swap): each must be
                             found; exits with 1, with 2 if one was missed */
#include "internal.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined __unix__ || defined __APPLE__
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#define CAN_FORK 1
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

enum { GUARD = 64, MOST = 20 /* failures told */ };
enum { PLAIN, ODD, SMALL }; /* kinds of numbers, see fill */
enum { ROOMS = 5, ROOM = 1 << 20, WALL = 1 << 16 /* at least a page */ };
static unsigned char *rooms[ROOMS]; /* memory between walls that nobody may touch */
static const float tiny_f32 = FLT_MIN, huge_f32 = FLT_MAX, least_f32 = 0x1p-149f;
static const double tiny_f64 = DBL_MIN, huge_f64 = DBL_MAX, least_f64 = 0x1p-1074;
static uint64_t state, hash = 14695981039346656037u;
static size_t compared, failures, spoiled, missed; /* missed: a spoiled result that passed */
static char now[200];
static const char *broken = ""; /* how, if at all; then one kernel will do */

static void fail(const char *why) {
    if (failures++ < MOST) fprintf(stderr, "%s: %s\n", now, why);
    if (failures == MOST && !*broken) exit(1); /* enough is known */
}

static void fail_at(size_t place, double fast, double defined) {
    if (failures < MOST) fprintf(stderr, "[%zu] is %.17g, not %.17g: ", place, fast, defined);
    fail("differs from the reference");
}

static void expect(int right) {
    compared++;
    if (!right) fail("not what the header promises");
}

static int plus_zero(double c) { return c == 0 && !signbit(c); }

static void case_is(const char *operation, size_t a, size_t b, size_t c) {
    snprintf(now, sizeof now, "%s %zu %zu %zu, kernel %s, %d threads", operation, a, b, c,
             bp_kernel_name(bp_active_kernel()), bp_threads());
}

/* Once: which kernels there are must not show. */
static void hash_bytes(const void *data, size_t size) {
    const unsigned char *byte = data;
    if (bp_active_kernel() != 0 || bp_threads() != 1) return;
    for (size_t k = 0; k < size; k++) hash = (hash ^ byte[k]) * 1099511628211u;
}

#define BP_TEMPLATE "core_cases.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE
#define BP_TEMPLATE "arithmetic_cases.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE
#define BP_TEMPLATE "optimizer_cases.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE
#define BP_TEMPLATE "memory_cases.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE
enum { DEEP = 3 }; /* layers of a chain */
enum { SPARSE = SMALL + 1 };
/* Of the chains and plans that follow: the layers' activations, what the data is like (PLAIN, ODD or
   SPARSE), and whether an activation works in place. */
static int activations[DEEP] = {BP_ACTIVATION_RELU, BP_ACTIVATION_RELU, BP_ACTIVATION_NONE};
static int data_kind = PLAIN, in_place = 0;
static double slope_of(size_t k) { return 0.01 * (double)(k + 1); }
#define BP_TEMPLATE "chain_cases.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE
#define BP_TEMPLATE "plan_cases.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE
#define BP_TEMPLATE "leaky_cases.h"
#include "template/for_each_type.h"
#undef BP_TEMPLATE
#define BP_TEMPLATE "sparse_cases.h"
#include "template/for_each_type.h"

static void test_kernels(int quick) {
    for (int kernel = -1; kernel <= bp_kernel_count(); kernel++) {
        expect(bp_use_kernel(kernel) == (bp_kernel_available(kernel) ? BP_OK : BP_UNKNOWN));
        if (!bp_kernel_available(kernel)) continue;
        expect(bp_active_kernel() == kernel && *bp_kernel_name(kernel));
        if (*broken && kernel > 0) continue;
        for (int threads = 1; threads <= (*bp_pool() && !*broken ? 3 : 1); threads++) {
            if (quick && threads == 2) continue;
            bp_set_threads(threads);
            state = 42; /* the same numbers for each */
            all_f32(quick);
            all_f64(quick);
        }
    }
    expect(bp_use_kernel(INT_MIN) == BP_UNKNOWN && bp_use_kernel(INT_MAX) == BP_UNKNOWN);
    expect(!*bp_kernel_name(-1) && !*bp_kernel_name(bp_kernel_count()));
}

/* However products are cut, the bits stay. */
static void test_tiles(void) {
    static const size_t cuts[][2] = {{4096, 8}, {5000, 25}, {65536, 65}, {524288, 512}, {4096, 2048}};
    snprintf(now, sizeof now, "tiles");
    expect(bp_set_tiles(4095, 0) == BP_UNKNOWN && bp_set_tiles(4194305, 0) == BP_UNKNOWN);
    expect(bp_set_tiles(0, 7) == BP_UNKNOWN && bp_set_tiles(0, 2049) == BP_UNKNOWN);
    for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++) {
        expect(bp_set_tiles(cuts[k][0], cuts[k][1]) == BP_OK);
        expect(bp_tiles_block() == cuts[k][0] && bp_tiles_depth() == cuts[k][1]);
        for (int kernel = 0; kernel < bp_kernel_count(); kernel++) {
            if (bp_use_kernel(kernel) != BP_OK) continue;
            linear_f32(70, 611, 53, 1), linear_f64(35, 311, 50, 1), gradients_f32(1030, 70, 50, 1);
            for (int t = 0; t < 4; t++) product_f32(61, 613, 131, t & 1, t >> 1, 1);
            for (int t = 0; t < 4; t++) product_f64(61, 300, 67, t & 1, t >> 1, 0);
        }
    }
    expect(bp_set_tiles(0, 0) == BP_OK && bp_tiles_block() >= 4096 && bp_tiles_depth() >= 8);
}

/* The stream is frozen: these numbers were computed apart from the library. */
static void test_frozen(void) {
    static const double first[] = {0x1.c01479161bc58p-2, -0x1.740032b4c8d18p-2, 0x1.fca8abe5f271ap+0};
    static const int64_t shuffled[] = {4, 1, 9, 2, 5, 8, 0, 7, 3, 6};
    const uint64_t stream = bp_random_stream(7, 0);
    uint64_t wide = stream, narrow = stream, shuffle = stream;
    double u[3];
    float v[3];
    int64_t order[10];
    snprintf(now, sizeof now, "frozen random numbers");
    expect(stream == 0xb8b4c2977eabce45u && bp_random_stream(0, 1) == 0x08b4fda8c892b50eu);
    bp_random_uniform_f64(u, 2, &wide, 3);
    bp_random_uniform_f32(v, 2, &narrow, 3);
    for (int k = 0; k < 3; k++) expect(u[k] == first[k] && v[k] == (float)first[k]);
    expect(wide == 0x935b2fc3fc8b4284u && narrow == wide);
    bp_random_permutation(order, &shuffle, 10);
    expect(!memcmp(order, shuffled, sizeof order) && shuffle == 0x48a80a1cf84a2b02u);
    bp_random_permutation(order, &shuffle, 1), expect(order[0] == 0);
    bp_random_permutation(NULL, &shuffle, 0), bp_random_uniform_f64(NULL, 1, &shuffle, 0);
    expect(shuffle == 0x48a80a1cf84a2b02u);
}

static void test_random(void) {
    uint64_t stream = bp_random_stream(7, 0);
    double u[1000];
    float v[1000];
    int64_t order[1000];
    char seen[1000] = {0};
    snprintf(now, sizeof now, "random");
    bp_random_uniform_f64(u, 2, &stream, 1000);
    bp_random_uniform_f32(v, 2, &stream, 1000);
    for (int k = 0; k < 1000; k++) expect(u[k] >= -2 && u[k] < 2 && v[k] >= -2 && v[k] <= 2);
    expect(bp_random_stream(7, 0) != bp_random_stream(7, 1));
    expect(bp_random_stream(7, 0) != bp_random_stream(8, 0));
    bp_random_permutation(order, &stream, 1000);
    for (int k = 0; k < 1000; k++) expect(order[k] >= 0 && order[k] < 1000 && !seen[order[k]]++);
    hash_bytes(u, sizeof u);
    hash_bytes(v, sizeof v);
    hash_bytes(order, sizeof order);
}

/* No thread but the one that forks is there in the child, which creates its own helpers. */
static void test_fork(void) {
#ifdef CAN_FORK
    bp_set_threads(3);
    elementwise_f32(1000003, PLAIN);
    fflush(NULL);
    size_t helped = bp_helped();
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        failures = 0;
        elementwise_f32(1000003, PLAIN);
        product_f64(97, 131, 113, 0, 0, PLAIN);
        _exit(failures || bp_threads() != (*bp_pool() ? 3 : 1) || (*bp_pool() && bp_helped() == helped));
    }
    int status = 1;
    waitpid(child, &status, 0);
    snprintf(now, sizeof now, "fork: the child");
    expect(status == 0);
#endif
}

#ifdef CAN_FORK
static void trapped(int number) {
    (void)number;
    fprintf(stderr, "%s: touched memory beyond an array\n", now);
    _exit(1);
}

static void build_rooms(void) {
    for (int k = 0; k < ROOMS; k++) {
        unsigned char *at =
            mmap(NULL, ROOM + 2 * WALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
        if (at == MAP_FAILED || mprotect(at, WALL, PROT_NONE) ||
            mprotect(at + WALL + ROOM, WALL, PROT_NONE))
            exit(3);
        rooms[k] = at + WALL;
    }
    signal(SIGSEGV, trapped), signal(SIGBUS, trapped);
}
#endif

/* No byte beyond an array is touched, not even one that would not matter. */
static void test_memory(int quick) {
#ifdef CAN_FORK
    build_rooms();
    for (int kernel = 0; kernel < bp_kernel_count(); kernel++) {
        if (bp_use_kernel(kernel) != BP_OK) continue;
        bp_set_tiles(0, 0), memory_f32(quick), memory_f64(quick);
        if (!quick) bp_set_tiles(4096, 16), memory_f32(quick), memory_f64(quick);
    }
    bp_set_tiles(0, 0);
#endif
}

static void test_described(void) {
    for (int kernel = 0; kernel < bp_kernel_count(); kernel++) {
        if (bp_use_kernel(kernel) != BP_OK) continue;
        for (int t = 0; t < 32; t++) described_f32(17, 9, 33, t), described_f64(31, 67, 13, t);
    }
    misfits_f32(), misfits_f64();
}

static void test_chain(void) {
    for (int kernel = 0; kernel < bp_kernel_count(); kernel++) {
        if (bp_use_kernel(kernel) != BP_OK) continue;
        chain_f32(1, 1, 1, 1), chain_f64(7, 3, 5, 2), chain_f32(513, 33, 17, 4),
            chain_f64(1025, 20, 9, 1);
    }
    /* wider than the tiles of gradients over activations */
    chain_f32(70, 2, 300, 2), chain_f64(70, 2, 300, 2);
}

static void test_plan(void) {
    for (int kernel = 0; kernel < bp_kernel_count(); kernel++) {
        if (bp_use_kernel(kernel) != BP_OK) continue;
        for (int k = 0; k < 6; k++) {
            int strategy = k / 2; /* BP_LAYERS, BP_FUSED, BP_SPLIT */
            if (k % 2 && !*bp_pool()) continue;
            bp_set_threads(1 + 2 * (k % 2));
            planned_steps_f32(strategy, 1, 1, 1, 1), planned_steps_f64(strategy, 7, 3, 5, 2);
            planned_steps_f32(strategy, 513, 33, 17, 4), planned_steps_f64(strategy, 1025, 20, 9, 1);
            if (strategy != BP_SPLIT || data_kind == ODD) continue;
            run_on_copies_f32(44, 8, 401, 9, 3), run_on_copies_f64(75, 17, 203, 10, 2);
        }
    }
    bp_set_threads(1);
}

typedef void of_a_kind(int quick);

/* Operations by themselves, on each kernel, by one and by three threads; their results are hashed apart.
 */
static uint64_t test_apart(of_a_kind *f32, of_a_kind *f64, int quick) {
    hash = 14695981039346656037u;
    for (int kernel = 0; kernel < bp_kernel_count(); kernel++) {
        if (bp_use_kernel(kernel) != BP_OK || (*broken && kernel > 0)) continue;
        for (int threads = 1; threads <= (*bp_pool() && !*broken ? 3 : 1); threads += 2) {
            bp_set_threads(threads);
            state = 43;
            f32(quick), f64(quick);
        }
    }
    bp_set_threads(1), bp_use_kernel(0);
    return hash;
}

static void mixed(void) {
    chain_f32(37, 5, 19, 3), chain_f64(35, 2, 140, 2);
    for (int k = 0; k < 6; k++) {
        int strategy = k / 2; /* BP_LAYERS, BP_FUSED, BP_SPLIT */
        if (k % 2 && !*bp_pool()) continue;
        bp_set_threads(1 + 2 * (k % 2));
        planned_steps_f32(strategy, 530, 5, 9, 3), planned_steps_f64(strategy, 35, 7, 34, 1);
        if (data_kind == SPARSE) planned_steps_f32(strategy, 66, 70, 33, 2);
    }
    bp_set_threads(1);
}

/* Chains and plans in which leaky_relu stands beside others, also last. */
static void test_mixed(void) {
    enum { N = BP_ACTIVATION_NONE, R = BP_ACTIVATION_RELU, L = BP_ACTIVATION_LEAKY_RELU, MIXES = 5 };
    static const int mixes[MIXES][DEEP] = {{L, L, N}, {R, L, N}, {L, N, R}, {N, L, L}, {L, R, L}};
    static const int kinds[] = {PLAIN, ODD, SPARSE};
    const int usual[DEEP] = {R, R, N};
    for (int k = 0; k < 3 * MIXES; k++) {
        memcpy(activations, mixes[k % MIXES], sizeof activations);
        data_kind = kinds[k % 3], in_place = k % 2;
        for (int kernel = 0; kernel < bp_kernel_count(); kernel++)
            if (bp_use_kernel(kernel) == BP_OK) mixed();
    }
    memcpy(activations, usual, sizeof activations);
    data_kind = PLAIN, in_place = 0;
    all_invalid_f32(), all_invalid_f64();
}

static void test_sparse(void) {
    for (int kernel = 0; kernel < bp_kernel_count(); kernel++)
        if (bp_use_kernel(kernel) == BP_OK) sparse_shapes_f32(), sparse_shapes_f64();
}

/* In another library's parallel region all threads call at once. */
static void test_nested(void) {
#ifdef _OPENMP
    enum { ROWS = 131, INNER = 101, COLS = 137, TEAM = 4 };
    static float a[ROWS * INNER], b[INNER * COLS], c[TEAM][ROWS * COLS], ref[ROWS * COLS];
    fill_f32(a, ROWS * INNER, PLAIN), fill_f32(b, INNER * COLS, PLAIN);
    bp_ref_matmul_f32(ref, COLS, a, INNER, b, COLS, ROWS, INNER, COLS, 0, 0, 0);
    bp_set_threads(3);
#pragma omp parallel for num_threads(TEAM)
    for (int k = 0; k < TEAM; k++)
        bp_matmul_f32(c[k], COLS, a, INNER, b, COLS, ROWS, INNER, COLS, 0, 0, 0);
    case_is("matmul in a parallel region", ROWS, INNER, COLS);
    for (int k = 0; k < TEAM; k++) same_f32(c[k], ref, ROWS * COLS);
    bp_set_threads(1);
    for (int strategy = BP_LAYERS; strategy <= BP_SPLIT; strategy++) {
#pragma omp parallel num_threads(2)
        if (omp_get_thread_num() == 1) planned_steps_f32(strategy, 1025, 33, 17, 4);
    }
#endif
}

/* Chains and plans, with every operation in them, where threads share memory. Few: ThreadSanitizer, for
   which this is, makes all slow. */
static int test_shared(void) {
    bp_set_thread_work(500);
    test_nested();
    for (int kernel = 0; kernel < bp_kernel_count(); kernel++) {
        if (bp_use_kernel(kernel) != BP_OK) continue;
        data_kind = kernel % 2 ? PLAIN : SPARSE;
        bp_set_threads(3);
        chain_f32(37, 5, 19, 3), chain_f64(35, 2, 140, 2);
        for (int strategy = BP_LAYERS; strategy <= BP_SPLIT; strategy++) {
            bp_set_threads(3);
            planned_steps_f32(strategy, 1540, 5, 9, 3), planned_steps_f64(strategy, 66, 70, 33, 2);
        }
        run_on_copies_f32(75, 17, 401, 9, 3);
    }
    printf("%zu comparisons, %zu failures on threads\n", compared, failures);
    return failures > 0 || compared < 100;
}

int main(int count, char **arguments) {
    int quick = 0, digest = 0, emulated = 0, threads = 0;
    for (int k = 1; k < count; k++) {
        if (!strcmp(arguments[k], "--quick")) quick = 1;
        if (!strcmp(arguments[k], "--digest")) digest = 1;
        if (!strcmp(arguments[k], "--emulated")) emulated = 1;
        if (!strcmp(arguments[k], "--threads")) threads = 1;
        if (!strcmp(arguments[k], "--broken") && k + 1 < count) broken = arguments[k + 1];
    }
    bp_insist_on_helpers(1);
    if (threads) return test_shared();
    test_frozen();
    test_kernels(quick);
    bp_use_kernel(0);
    bp_set_threads(1);
    test_random();
    uint64_t all = hash;
    uint64_t leaky = test_apart(leaky_all_f32, leaky_all_f64, quick);
    uint64_t arithmetic = test_apart(arithmetic_all_f32, arithmetic_all_f64, quick);
    uint64_t optimizers = test_apart(optimizer_all_f32, optimizer_all_f64, quick);
    if (!*broken)
        emulated ? (void)0 : test_fork(), test_memory(quick), test_described(), test_nested(),
            test_chain(), test_plan(), test_mixed(), test_sparse();
    if (!quick) test_tiles();
    if (digest) printf("digest %016llx\n", (unsigned long long)all);
    if (digest) printf("digest of leaky_relu %016llx\n", (unsigned long long)leaky);
    if (digest) printf("digest of arithmetic %016llx\n", (unsigned long long)arithmetic);
    if (digest) printf("digest of optimizers %016llx\n", (unsigned long long)optimizers);
    printf("kernels");
    for (int kernel = 0; kernel < bp_kernel_count(); kernel++)
        if (bp_kernel_available(kernel)) printf(" %s", bp_kernel_name(kernel));
    printf("\n%zu comparisons, %zu failures, %zu shares done by helpers (%s), %s\n", compared, failures,
           bp_helped(), *bp_pool() ? bp_pool() : "a serial build", bp_compiler());
    if (*broken) printf("%zu spoiled, %zu missed\n", spoiled, missed);
    if (*broken && (missed > 0 || spoiled < 1000)) return 2;
    return failures > 0 || compared < 1000 || (*bp_pool() && !*broken && bp_helped() == 0);
}

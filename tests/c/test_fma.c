/* test_fma.c: exact_fma.h beside the C library's fma and fmaf, whose results must be right: glibc's. */
#include "runtime/exact_fma.h"

#include <math.h>
#include <stdio.h>

enum { CASES = 2000000, MOST = 10 /* told */ };
static uint64_t state = 88172645463325252u;

static uint64_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state * 2685821657736338717u;
}

/* One of the so many. */
static unsigned one_of(unsigned count) { return (unsigned)(draw() >> 32) % count; }

/* Of all sizes, near the ends of the range, near 1, with few bits, zero, infinite or NaN. */
static double drawn(void) {
    const uint64_t sign = (uint64_t)1 << 63, exponent = (uint64_t)0x7ff << 52;
    uint64_t bits = draw();
    switch (one_of(8)) {
    case 0: bits &= ~exponent; break;
    case 1: bits = (bits & ~exponent) | (exponent - ((uint64_t)1 << 52)); break;
    case 2: bits = (bits & ~exponent) | (uint64_t)(1000 + one_of(46)) << 52; break;
    case 3: bits = (bits & ~exponent & ~(uint64_t)0x3ffff) | (uint64_t)(500 + one_of(23)) << 52; break;
    case 4: bits = (bits & (sign | exponent)) | (uint64_t)1 << one_of(52); break;
    case 5: bits = one_of(4) ? bits : bits & sign; break;
    case 6: bits = one_of(4) ? bits : bits | exponent; break;
    default: break;
    }
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float drawn_float(void) {
    const uint32_t sign = 1u << 31, exponent = 0xffu << 23;
    uint32_t bits = (uint32_t)draw();
    switch (one_of(6)) {
    case 0: bits &= ~exponent; break;
    case 1: bits = (bits & ~exponent) | (uint32_t)(120 + one_of(14)) << 23; break;
    case 2: bits = (bits & ~exponent & ~0xfffu) | (uint32_t)(60 + one_of(12)) << 23; break;
    case 3: bits = (bits & (sign | exponent)) | 1u << one_of(23); break;
    case 4: bits = one_of(4) ? bits : bits & sign; break;
    default: break;
    }
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int differ(double a, double b) { return !(a != a && b != b) && bp_bits_of(a) != bp_bits_of(b); }

int main(void) {
    int wrong = 0;
    for (int k = 0; k < CASES && wrong < MOST; k++) {
        double x = drawn(), y = drawn(), z = one_of(4) ? drawn() : -x * y;
        double right = fma(x, y, z), found = bp_exact_fma(x, y, z);
        if (differ(right, found))
            wrong++, printf("fma(%a, %a, %a) is %a, not %a\n", x, y, z, right, found);
        float p = drawn_float(), q = drawn_float(), r = one_of(4) ? drawn_float() : -p * q;
        float right_float = fmaf(p, q, r), found_float = bp_exact_fmaf(p, q, r);
        if (differ((double)right_float, (double)found_float))
            wrong++, printf("fmaf(%a, %a, %a) is %a, not %a\n", (double)p, (double)q, (double)r,
                            (double)right_float, (double)found_float);
    }
    return wrong > 0;
}

/* exact_fma.h: x y + z rounded once, to nearest even, by whole numbers. */
#ifndef BP_EXACT_FMA_H
#define BP_EXACT_FMA_H

#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 bp_wide;

enum { BP_TOP = 125 /* the highest bit of both addends, of 128 */, BP_EXPONENT_MASK = 0x7ff };

/* whole * 2^exponent, negated if sign. */
typedef struct {
    bp_wide whole;
    int exponent, sign;
} bp_number;

static inline uint64_t bp_bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline int bp_is_finite(double x) {
    return (bp_bits_of(x) >> 52 & BP_EXPONENT_MASK) != BP_EXPONENT_MASK;
}

static inline bp_number bp_number_of(double x) {
    uint64_t bits = bp_bits_of(x), fraction = bits & (((uint64_t)1 << 52) - 1);
    int biased = (int)(bits >> 52 & BP_EXPONENT_MASK);
    uint64_t whole = biased ? fraction | (uint64_t)1 << 52 : fraction;
    return (bp_number){whole, (biased ? biased : 1) - 1075, (int)(bits >> 63)};
}

/* The place of the highest bit of a number that is not 0. */
static inline int bp_highest_bit(bp_wide whole) {
    uint64_t upper = (uint64_t)(whole >> 64);
    return upper ? 127 - __builtin_clzll(upper) : 63 - __builtin_clzll((uint64_t)whole);
}

/* The same number with its highest bit at BP_TOP. */
static inline bp_number bp_normalized(bp_number a) {
    int shift = BP_TOP - bp_highest_bit(a.whole);
    return (bp_number){a.whole << shift, a.exponent - shift, a.sign};
}

/* a + b of normalized numbers. What is far below the last bit that counts is one bit, which tells that
   it is there. */
static inline bp_number bp_sum_of(bp_number a, bp_number b) {
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.whole < b.whole)) {
        bp_number swapped = a;
        a = b, b = swapped;
    }
    int shift = a.exponent - b.exponent;
    bp_wide shifted = shift > 127 ? 0 : b.whole >> shift;
    if (shift > 127 || shifted << shift != b.whole) shifted |= 1;
    a.whole = a.sign == b.sign ? a.whole + shifted : a.whole - shifted;
    return a;
}

/* Of a number that is not 0, rounded to so many bits, the last of which is worth at least 2^least. */
static inline double bp_round_to(bp_number a, int bits, int least) {
    int highest = bp_highest_bit(a.whole), drop = highest - bits + 1;
    if (a.exponent + drop < least) drop = least - a.exponent;
    uint64_t kept = 0;
    if (drop <= 0) {
        kept = (uint64_t)a.whole << -drop;
    } else if (drop <= highest + 1) {
        bp_wide half = (bp_wide)1 << (drop - 1), rest = a.whole & (2 * half - 1);
        kept = (uint64_t)(a.whole >> (drop - 1) >> 1);
        kept += rest > half || (rest == half && (kept & 1));
    }
    uint64_t sign = (uint64_t)a.sign << 63, hidden = (uint64_t)1 << 52;
    int last = a.exponent + drop;
    for (; kept && kept < hidden && last > -1074; last--) kept <<= 1;
    for (; kept >= 2 * hidden; last++) kept >>= 1;
    int biased = kept < hidden ? 0 : last + 1075;
    uint64_t found = biased >= BP_EXPONENT_MASK ? (uint64_t)BP_EXPONENT_MASK << 52
                                                : (uint64_t)biased << 52 | (kept & (hidden - 1));
    found |= sign;
    double result;
    memcpy(&result, &found, sizeof result);
    return result;
}

static inline double bp_exact_fma_to(double x, double y, double z, int bits, int least) {
    if (!bp_is_finite(x) || !bp_is_finite(y) || x == 0 || y == 0) return x * y + z;
    if (!bp_is_finite(z)) return z + z;
    bp_number a = bp_number_of(x), b = bp_number_of(y), c = bp_number_of(z);
    bp_number product = {a.whole * b.whole, a.exponent + b.exponent, a.sign ^ b.sign};
    if (z == 0) return bp_round_to(product, bits, least);
    bp_number sum = bp_sum_of(bp_normalized(product), bp_normalized(c));
    return sum.whole ? bp_round_to(sum, bits, least) : 0;
}

static inline double bp_exact_fma(double x, double y, double z) {
    return bp_exact_fma_to(x, y, z, 53, -1074);
}

static inline float bp_exact_fmaf(float x, float y, float z) {
    return (float)bp_exact_fma_to(x, y, z, 24, -149);
}

#endif

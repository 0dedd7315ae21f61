/* exponential.h: the definitions of exp and log, in fused multiply-adds and operations on bits, so that
   they have the same bits everywhere; the C library's differ from machine to machine. One number at a
   time and without branches: loops over them become vectors. Included by for_each_type.h.

   exp: x = n ln 2 + r with |r| <= ln(2) / 2, and e^x = 2^n (1 + r + r^2 q(r)), q by its Taylor series.
   log: x = 2^k m with m in [1/sqrt(2), sqrt(2)), and log(m) by its series in s = f / (2 + f), f = m - 1,
   as in FreeBSD's e_log.c (Sun Microsystems, 1993). The division is rounded correctly, so it is fixed.
   Both are within 1 ulp; tests/ops/test_exponential.py measures it. */
#ifndef BP_EXPONENTIAL
#define BP_EXPONENTIAL

#define BP_ALWAYS static inline __attribute__((always_inline))

/* Added to a number, `round` leaves its nearest integer in the lowest bits, and `bias` that plus the
   bias of an exponent; `high`, and by how many powers of 2 too much: `back` takes them back. ln2 and
   ln2_low: their sum is ln(2) to twice the precision. From `most` on, exp is infinite; up to `least` it
   is 0. */
static const struct {
    float log2e, ln2, ln2_low, round, bias, high, back, most, least;
} bp_exp_of_f32 = {0x1.715476p+0f,
                   0x1.62e43p-1f,
                   -0x1.05c61p-29f,
                   0x1.8p23f,
                   0x1.8p23f + 127,
                   0x1.8p23f + 191,
                   0x1p-64f,
                   89,
                   -104};
static const struct {
    double log2e, ln2, ln2_low, round, bias, high, back, most, least;
} bp_exp_of_f64 = {0x1.71547652b82fep+0,
                   0x1.62e42fefa39efp-1,
                   0x1.abc9e3b39803fp-56,
                   0x1.8p52,
                   0x1.8p52 + 1023,
                   0x1.8p52 + 1535,
                   0x1p-512,
                   710,
                   -746};

/* q(r) = 1/2! + r/3! + r^2/4! + ... */
BP_ALWAYS float bp_exp_tail_f32(float r) {
    float q = 1.0f / 5040;
    q = fmaf(q, r, 1.0f / 720);
    q = fmaf(q, r, 1.0f / 120);
    q = fmaf(q, r, 1.0f / 24);
    q = fmaf(q, r, 1.0f / 6);
    return fmaf(q, r, 1.0f / 2);
}
BP_ALWAYS double bp_exp_tail_f64(double r) {
    double q = 1.0 / 6227020800;
    q = fma(q, r, 1.0 / 479001600);
    q = fma(q, r, 1.0 / 39916800);
    q = fma(q, r, 1.0 / 3628800);
    q = fma(q, r, 1.0 / 362880);
    q = fma(q, r, 1.0 / 40320);
    q = fma(q, r, 1.0 / 5040);
    q = fma(q, r, 1.0 / 720);
    q = fma(q, r, 1.0 / 120);
    q = fma(q, r, 1.0 / 24);
    q = fma(q, r, 1.0 / 6);
    return fma(q, r, 1.0 / 2);
}

/* The number whose exponent's bits are the lowest bits of biased. */
BP_ALWAYS float bp_exp_power_f32(float biased) {
    uint32_t bits;
    memcpy(&bits, &biased, sizeof bits);
    bits <<= 23;
    memcpy(&biased, &bits, sizeof bits);
    return biased;
}
BP_ALWAYS double bp_exp_power_f64(double biased) {
    uint64_t bits;
    memcpy(&bits, &biased, sizeof bits);
    bits <<= 52;
    memcpy(&biased, &bits, sizeof bits);
    return biased;
}

BP_ALWAYS double bp_log_one_f64(double x) {
    const uint64_t shift = UINT64_C(0x3ff0000000000000) - UINT64_C(0x3fe6a09e00000000);
    const int tiny = x < 0x1p-1022; /* subnormal, and then counted as 2^54 times as large */
    double scaled = x * 0x1p54, m = tiny ? scaled : x;
    uint64_t bits, k_bits;
    memcpy(&bits, &m, sizeof bits);
    bits += shift; /* so that the exponent changes at 1/sqrt(2) and not at 1 */
    k_bits = bits >> 52 | UINT64_C(0x4330000000000000);
    bits = (bits & UINT64_C(0x000fffffffffffff)) + UINT64_C(0x3fe6a09e00000000);
    double k;
    memcpy(&k, &k_bits, sizeof k);
    memcpy(&m, &bits, sizeof m);
    k = k - (0x1p52 + (tiny ? 1077.0 : 1023.0));

    double f = m - 1, s = f / (2 + f), z = s * s, half = 0.5 * f * f;
    double series = 1.479819860511658591e-01;
    series = fma(series, z, 1.531383769920937332e-01);
    series = fma(series, z, 1.818357216161805012e-01);
    series = fma(series, z, 2.222219843214978396e-01);
    series = fma(series, z, 2.857142874366239149e-01);
    series = fma(series, z, 3.999999999940941908e-01);
    series = fma(series, z, 6.666666666666735130e-01);
    double low = fma(k, 1.90821492927058770002e-10, s * fma(series, z, half));
    double log = fma(k, 6.93147180369123816490e-01, f - (half - low));
    log = x < INFINITY ? log : x; /* NaN and infinity are their own logarithms */
    log = x == 0 ? -INFINITY : log;
    return x < 0 ? NAN : log;
}

/* log(1 + e) for e from 0 to 1: the logarithm of 1 + e rounded, and what the rounding took */
BP_ALWAYS double bp_log_one_more(double e) {
    const double more = 1 + e;
    return bp_log_one_f64(more) + (e - (more - 1)) / more;
}

/* Rounded once more from double, which leaves it within 0.501 ulp. */
BP_ALWAYS float bp_log_one_f32(float x) { return (float)bp_log_one_f64(x); }

#endif

/* e^x = 2^n (s + low): s = 1 + r rounded, and low the rest. */
typedef struct {
    REAL n, r, s, low;
} NAME(bp_exp_parts);

BP_ALWAYS NAME(bp_exp_parts) NAME(bp_exp_reduced)(REAL x) {
    REAL n = FMA(x, NAME(bp_exp_of).log2e, NAME(bp_exp_of).round) - NAME(bp_exp_of).round;
    REAL most = FMA(-n, NAME(bp_exp_of).ln2, x); /* exact, as the two are near each other */
    REAL r = FMA(-n, NAME(bp_exp_of).ln2_low, most), rest = FMA(-n, NAME(bp_exp_of).ln2_low, most - r);
    REAL s = 1 + r, low = FMA(r * r, NAME(bp_exp_tail)(r), (r - (s - 1)) + rest);
    return (NAME(bp_exp_parts)){n, r, s, low};
}

/* y * 2^n in two steps, neither of which is out of range where the result is not */
BP_ALWAYS REAL NAME(bp_exp_scaled)(REAL y, REAL n) {
    REAL half = FMA(n, (REAL)0.5, NAME(bp_exp_of).round) - NAME(bp_exp_of).round;
    REAL first = y * NAME(bp_exp_power)(half + NAME(bp_exp_of).bias);
    return first * NAME(bp_exp_power)((n - half) + NAME(bp_exp_of).bias);
}

/* x within the numbers whose exp is neither 0 nor infinite, and a little more; NaN stays NaN */
BP_ALWAYS REAL NAME(bp_exp_clamped)(REAL x) {
    REAL low = x < NAME(bp_exp_of).least ? NAME(bp_exp_of).least : x;
    return low > NAME(bp_exp_of).most ? NAME(bp_exp_of).most : low;
}

BP_ALWAYS REAL NAME(bp_exp_one)(REAL x) {
    NAME(bp_exp_parts) e = NAME(bp_exp_reduced)(NAME(bp_exp_clamped)(x));
    return NAME(bp_exp_scaled)(e.s + e.low, e.n);
}

/* The same for an x that is not above 0: y * 2^n with n <= 0, in two steps of which the second alone may
   round. */
BP_ALWAYS REAL NAME(bp_exp_not_above_0)(REAL x) {
    NAME(bp_exp_parts)
    e = NAME(bp_exp_reduced)(x < NAME(bp_exp_of).least ? NAME(bp_exp_of).least : x);
    return (e.s + e.low) * NAME(bp_exp_power)(e.n + NAME(bp_exp_of).high) * NAME(bp_exp_of).back;
}

/* e^x - 1 for x from 0 to 64 */
BP_ALWAYS REAL NAME(bp_exp_less_one)(REAL x) {
    NAME(bp_exp_parts) e = NAME(bp_exp_reduced)(x);
    REAL power = NAME(bp_exp_power)(e.n + NAME(bp_exp_of).bias);
    return FMA(power, (e.s - 1) + e.low, power - 1);
}

/* 1 / (1 + e^-x), computed from e^-|x|, which does not overflow */
BP_ALWAYS REAL NAME(bp_sigmoid_one)(REAL x) {
    REAL e = NAME(bp_exp_one)(x > 0 ? -x : x), top = x > 0 ? 1 : e;
    return top / (1 + e);
}

/* t / (t + 2), t = e^2|x| - 1, with the sign of x; 1 from 2|x| = 44 on */
BP_ALWAYS REAL NAME(bp_tanh_one)(REAL x) {
    REAL size = x < 0 ? -x : x, twice = size > 22 ? 44 : 2 * size;
    REAL t = NAME(bp_exp_less_one)(twice), out = t / (t + 2);
    out = x < 0 ? -out : out;
    return x == 0 ? x : out; /* -0 stays -0 */
}

/* -(t log(s) + (1 - t) log(1 - s)), s = sigmoid(x), which is |x| times the share of the other side, and
   log(1 + e^-|x|). Without the first where that share is 0 and x may be infinite. */
BP_ALWAYS double NAME(bp_binary_cross_entropy_one)(REAL x, REAL t) {
    const double size = (double)(x > 0 ? x : -x), other = x > 0 ? 1 - (double)t : (double)t;
    const double rest = bp_log_one_more((double)NAME(bp_exp_one)(x > 0 ? -x : x));
    const double sum = fma(size, other, rest);
    return other != 0 ? sum : rest;
}

/* The derivatives of sigmoid and tanh, from their results: s (1 - s) and 1 - t^2. */
BP_ALWAYS REAL NAME(bp_sigmoid_slope)(REAL s) { return FMA(-s, s, s); }
BP_ALWAYS REAL NAME(bp_tanh_slope)(REAL t) { return FMA(-t, t, (REAL)1); }

/* reference_optimizers.c: the definition of the optimizers' updates and of the gradients' norm. Never
   optimised, as reference.c. */
#ifndef REAL
/* ---- once ---- */
#include "internal.h"

/* base to the power of a whole number: squared for each binary digit, from the highest on, and
   multiplied by base where that is 1 */
static double whole_power(double base, uint64_t exponent) {
    double power = 1;
    for (int digit = 63; digit >= 0; digit--) {
        power = power * power;
        if (exponent >> digit & 1) power = power * base;
    }
    return power;
}

#define BP_TEMPLATE "ops/reference_optimizers.c"
#include "template/for_each_type.h"
#else
/* ---- per type ---- */

/* dp += weight_decay p; v = mu v + dp; p = p - lr v, or with nesterov p - lr (mu v + dp) */
void NAME(bp_ref_sgd_decay_update)(REAL *p, REAL *v, const REAL *dp, const bp_optimizer *optimizer,
                                   double lr, double mu, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL rate = (REAL)bp_here(lr), momentum = (REAL)bp_here(mu);
    const REAL decay = (REAL)bp_here(optimizer->weight_decay);
    for (size_t i = 0; i < size; i++) {
        REAL step = decay != 0 ? FMA(decay, p[i], dp[i]) : dp[i];
        if (v) {
            v[i] = FMA(momentum, v[i], step);
            step = optimizer->nesterov ? FMA(momentum, v[i], step) : v[i];
        }
        p[i] = FMA(-rate, step, p[i]);
    }
}

/* m = the mean of dp, v that of its squares, older ones counting less; p = p - lr m / (sqrt(v) + eps),
   where m and v are divided by what they lack at the beginning, as they start from 0 */
void NAME(bp_ref_adam_update)(REAL *p, REAL *m, REAL *v, const REAL *dp, const bp_optimizer *optimizer,
                              double lr, double mu, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const double beta2 = bp_here(optimizer->beta2), decays = bp_here(optimizer->weight_decay);
    const double beta1 = bp_here(mu), rate = bp_here(lr);
    const double lacks1 = 1 - whole_power(beta1, optimizer->steps + 1);
    const double lacks2 = 1 - whole_power(beta2, optimizer->steps + 1);
    const REAL c1 = (REAL)(1 - beta1), c2 = (REAL)(1 - beta2), old = (REAL)beta2;
    const REAL step = (REAL)(rate / lacks1), root = (REAL)sqrt(lacks2);
    const REAL eps = (REAL)bp_here(optimizer->eps), decay = (REAL)decays;
    const REAL keep = (REAL)(1 - rate * decays);
    for (size_t i = 0; i < size; i++) {
        REAL now = p[i], g = dp[i];
        if (decays != 0 && optimizer->decoupled) now = now * keep;
        if (decays != 0 && !optimizer->decoupled) g = FMA(decay, now, g);
        m[i] = FMA(c1, g - m[i], m[i]);
        v[i] = FMA(c2 * g, g, old * v[i]);
        p[i] = FMA(-step, m[i] / (SQRT(v[i]) / root + eps), now);
    }
}

/* the sum of the squares of dp, as mse adds them */
double NAME(bp_ref_sum_squares)(const REAL *dp, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    double total = 0;
    for (size_t start = 0; start < size; start += BP_SEGMENT * BP_LANES) {
        size_t end =
            start + (size - start < BP_SEGMENT * BP_LANES ? size - start : BP_SEGMENT * BP_LANES);
        double lane[BP_LANES] = {0};
        for (size_t e = start; e < end; e++) {
            double *one = lane + (e - start) % BP_LANES;
            *one = fma((double)dp[e], (double)dp[e], *one);
        }
        total = total + bp_ref_fold_lanes(lane);
    }
    return total;
}

/* dp = dp factor */
void NAME(bp_ref_scale)(REAL *dp, double factor, size_t size) {
    BP_DEFINED_ENVIRONMENT;
    const REAL by = (REAL)bp_here(factor);
    for (size_t i = 0; i < size; i++) dp[i] = dp[i] * by;
}

#endif

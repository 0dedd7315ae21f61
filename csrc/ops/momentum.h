/* momentum.h: a vector of momentum and its update; included once per element type and kernel, after
   isa/simd.h.

   Momentum whose gradients have become zero shrinks until it is a few of the smallest number there is,
   and rounding then keeps it there for ever: an input that is empty in all later rows has such momentum,
   and on many CPUs each operation on a number so small takes a hundred times as long. Where it can be
   told that neither the momentum nor the weight changes, they are left alone. The bits are those of the
   two fmas. */

/* Numbers as their bits. */
#define BITS BP_PASTE(BITS, REAL)
#define BITS_float int32_t
#define BITS_double int64_t
typedef BITS LOCAL(bits) __attribute__((vector_size(VECTOR_BYTES)));

typedef struct {
    LOCAL(vector) keep, rate; /* mu, -lr */
    BITS resting;             /* momentum of up to so many of the smallest number stays as it is */
} LOCAL(pace);

/* k of the smallest number times mu round to k again while k (1 - mu) < 1/2; lr times k of them do not
   move a weight that is not as small while k lr < 1/2. */
static inline LOCAL(pace) LOCAL(pace_of)(REAL lr, REAL mu) {
    const LOCAL(vector) zero = {0};
    double most = mu > (REAL)0.5 && mu < 1 ? 0.49 / (1 - (double)mu) : 0;
    if (most * fabs((double)lr) > 0.49) most = 0.49 / fabs((double)lr);
    return (LOCAL(pace)){mu - zero, -lr - zero, most < 1024 ? (BITS)most : 1024};
}

/* *v = fma(mu, *v, dw), and the result is the new w: fma(-lr, *v, w). */
static inline LOCAL(vector)
    LOCAL(move)(LOCAL(pace) p, LOCAL(vector) w, LOCAL(vector) * v, LOCAL(vector) dw) {
    const BITS magnitude = sizeof(REAL) == 4 ? (BITS)INT32_MAX : (BITS)INT64_MAX;
    const BITS normal = sizeof(REAL) == 4 ? (BITS)0x00800000 : (BITS)0x0010000000000000;
    LOCAL(bits) size = (LOCAL(bits)) * v & magnitude;
    LOCAL(bits)
    rests = (size <= p.resting) & (size != 0) & ((LOCAL(bits))dw == 0) &
            (((LOCAL(bits))w & magnitude) >= normal);
    LOCAL(vector) moving = (LOCAL(vector))((LOCAL(bits)) * v & ~rests);
    moving = LOCAL(vector_fma)(p.keep, moving, dw);
    *v = (LOCAL(vector))((LOCAL(bits))moving | ((LOCAL(bits)) * v & rests));
    return LOCAL(vector_fma)(p.rate, moving, w);
}

/* The update of some lanes of parameters at w, with momentum at v or v NULL; the new ones go to `to`. */
static inline __attribute__((always_inline)) void
LOCAL(update_lanes)(LOCAL(pace) p, REAL *to, const REAL *w, REAL *v, LOCAL(vector) dw, size_t lanes) {
    LOCAL(vector) now = LOCAL(load_lanes)(w, lanes);
    if (v) {
        LOCAL(vector) moved = LOCAL(load_lanes)(v, lanes);
        now = LOCAL(move)(p, now, &moved, dw);
        LOCAL(store_lanes)(v, moved, lanes);
    } else
        now = LOCAL(vector_fma)(p.rate, dw, now);
    LOCAL(store_lanes)(to, now, lanes);
}
#undef BITS
#undef BITS_float
#undef BITS_double

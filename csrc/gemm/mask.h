/* mask.h: which numbers are not zero; included once per element type and kernel, after isa/simd.h. */

/* A bit for each of at most 64 numbers that is not zero. */
static inline uint64_t LOCAL(mask_of)(const REAL *x, size_t size) {
    uint64_t mask = 0;
    for (size_t k = 0; k < size; k += LANES)
        mask |= (uint64_t)LOCAL(nonzero_lanes)(LOCAL(load_lanes)(x + k, size - k)) << k;
    return mask;
}

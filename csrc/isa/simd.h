/* simd.h: loads and stores a register's elements; included once per element type and kernel. */
#define LANES (VECTOR_BYTES / sizeof(REAL))

typedef REAL LOCAL(vector) __attribute__((vector_size(VECTOR_BYTES)));

static inline LOCAL(vector) LOCAL(load)(const REAL *from) {
    LOCAL(vector) v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline LOCAL(vector) LOCAL(load_lanes)(const REAL *from, size_t n) {
    if (n >= LANES) return LOCAL(load)(from);
    return LOCAL(load_part)(from, n);
}

static inline void LOCAL(store)(REAL *to, LOCAL(vector) v) { memcpy(to, &v, sizeof v); }

static inline void LOCAL(store_lanes)(REAL *to, LOCAL(vector) v, size_t n) {
    if (n >= LANES)
        LOCAL(store)(to, v);
    else
        LOCAL(store_part)(to, v, n);
}

/* for_each_type.h: includes BP_TEMPLATE once per element type, with
     REAL      the type                     NAME(op)  op_f32, op_f64
     FMA, SQRT  its correctly rounded fused multiply-add and square root
   Not guarded: it is meant to be included more than once. */
#define REAL float
#define FMA fmaf
#define SQRT sqrtf
#define NAME(op) BP_PASTE(op, f32)
#include BP_TEMPLATE
#undef REAL
#undef FMA
#undef SQRT
#undef NAME

#define REAL double
#define FMA fma
#define SQRT sqrt
#define NAME(op) BP_PASTE(op, f64)
#include BP_TEMPLATE
#undef REAL
#undef FMA
#undef SQRT
#undef NAME

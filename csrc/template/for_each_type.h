/* for_each_type.h: includes BP_TEMPLATE once per element type, with
     REAL      the type                     NAME(op)  op_f32, op_f64
     FMA       the correctly rounded fused multiply-add of that type
   Not guarded: it is meant to be included more than once. */
#define REAL float
#define FMA fmaf
#define NAME(op) BP_PASTE(op, f32)
#include BP_TEMPLATE
#undef REAL
#undef FMA
#undef NAME

#define REAL double
#define FMA fma
#define NAME(op) BP_PASTE(op, f64)
#include BP_TEMPLATE
#undef REAL
#undef FMA
#undef NAME

/* all.h: every instruction set that this architecture may have. */
#include "generic.h"
#if defined BP_X86
#include "avx2.h"
#include "avx512.h"
#elif defined BP_ARM64
#include "neon.h"
#endif

"""Kernels for `lab try`, each wrong in one way: what they compute, their C text, and what the trial must call it."""

from pybackprop.lab import findings
from pybackprop.lab.operation import started
from pybackprop.lab.operations import operation

MATMUL = started(operation("matmul"), "float32")
RELU = started(operation("relu"), "float32")
BACKWARD_W = started(operation("linear_backward_w"), "float32")
BACKWARD_X = started(operation("linear_backward_x"), "float32")
SIGNATURE = "void matmul(float *c, const float *a, const float *b, size_t rows, size_t inner, size_t cols)"
DEFINE = "#include <stdlib.h>\n#include <stdio.h>\n#include <math.h>\n#include <unistd.h>\n#include <stdint.h>\n"
CHAIN = "for (size_t k = 0; k < inner; k++) acc = fmaf(a[i * inner + k], b[k * cols + j], acc);"
RELU_LOOP = "for (size_t i = 0; i < size; i++) out[i] = x[i] > 0 ? x[i] : (x[i] != x[i] ? x[i] : 0);"


def replaced(text, old, new):
    assert old in text
    return DEFINE + text.replace(old, new)


def begun(statement):
    """The right matmul that first does something else."""
    return replaced(MATMUL, f"{SIGNATURE} {{", f"{SIGNATURE} {{\n{statement}")


def relu(loop):
    return replaced(RELU, RELU_LOOP, loop)


RACE = """
#pragma omp parallel for collapse(2)
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < inner; k++)
            for (size_t j = 0; j < cols; j++)
                c[i * cols + j] = fmaf(a[i * inner + k], b[k * cols + j], k ? c[i * cols + j] : 0) + 0;
}
"""
SPLIT = """float part[4] = {0};
            for (size_t k = 0; k < inner; k++)
                part[k % 4] = fmaf(a[i * inner + k], b[k * cols + j], part[k % 4]);
            acc = part[0] + part[1] + part[2] + part[3];"""

# name: (operation, text, the kind of the finding, words of its text)
WRONG = {
    "off by one at an edge": (
        *("matmul", replaced(MATMUL, "j < cols; j++", "j < cols - (cols % 16 == 1 && cols > 1); j++")),
        *(findings.NOT_WRITTEN, "all in the last column"),
    ),
    "one term too few": (
        *("matmul", replaced(MATMUL, "k < inner; k++", "k + 1 < inner; k++"), findings.WRONG, "expected"),
    ),
    "reads past the end": (
        *(
            "relu",
            relu(
                "for (size_t i = 0; i < size; i += 8) for (int l = 0; l < 8; l++) {"
                "float v = *(volatile const float *)&x[i + l];"
                "if (i + l < size) out[i + l] = v > 0 ? v : (v != v ? v : 0); }"
            ),
        ),
        *(findings.OUT_OF_BOUNDS_READ, "right after the end of x"),
    ),
    "reads before the beginning": (
        *(
            "relu",
            relu(
                "for (size_t i = 0; i < size; i++) { volatile float v = x[i - 1]; (void)v;"
                "out[i] = x[i] > 0 ? x[i] : (x[i] != x[i] ? x[i] : 0); }"
            ),
        ),
        *(findings.OUT_OF_BOUNDS_READ, "bytes before the beginning of x"),
    ),
    "writes past the end": (
        *("relu", replaced(RELU, RELU_LOOP, f"{RELU_LOOP}\n    *(volatile float *)&out[size] = 0;")),
        *(findings.OUT_OF_BOUNDS_WRITE, "right after the end of out"),
    ),
    "writes before the beginning": (
        *("relu", replaced(RELU, RELU_LOOP, f"{RELU_LOOP}\n    ((volatile float *)out)[-1] = 0;")),
        *(findings.OUT_OF_BOUNDS_WRITE, "memory beside out was overwritten"),
    ),
    "writes to an input": (
        *("relu", replaced(RELU, RELU_LOOP, f"{RELU_LOOP}\n    if (size) *(volatile float *)x = 0;")),
        *(findings.WRITES_INPUT, "x is an input"),
    ),
    "threads race": ("matmul", DEFINE + f"{SIGNATURE} {{{RACE}", findings.RACE, "different results"),
    "reassociated": ("matmul", replaced(MATMUL, CHAIN, SPLIT), findings.ROUNDING, "split into 4"),
    "no fused multiply-add": (
        *(
            "matmul",
            replaced(
                MATMUL, "fmaf(a[i * inner + k], b[k * cols + j], acc)", "acc + a[i * inner + k] * b[k * cols + j]"
            ),
        ),
        *(findings.ROUNDING, "each product is rounded before it is added"),
    ),
    "sums in double": (
        *("matmul", replaced(replaced(MATMUL, "float acc", "double acc"), "fmaf(", "fma(")),
        *(findings.ROUNDING, "double"),
    ),
    "backwards": (
        *("matmul", replaced(MATMUL, "size_t k = 0; k < inner; k++", "size_t k = inner; k-- > 0;")),
        *(findings.ROUNDING, "from the last to the first"),
    ),
    "no segments": (
        *(
            "linear_backward_w",
            replaced(BACKWARD_W, "start += 512", "start += n").replace("n - start < 512 ? n : start + 512", "n"),
        ),
        *(findings.ROUNDING, "every 512 rows"),
    ),
    "no addition of 0": ("matmul", replaced(MATMUL, "acc + 0;", "acc;"), findings.SIGN_OF_ZERO, "write acc + 0"),
    "no addition of 0, of the other product": (
        *("linear_backward_x", replaced(BACKWARD_X, "acc + 0;", "acc;")),
        *(findings.SIGN_OF_ZERO, "is -0, expected the other sign"),
    ),
    "a relu that keeps -0": (
        "relu",
        relu("for (size_t i = 0; i < size; i++) out[i] = x[i] < 0 ? 0 : x[i];"),
        *(findings.WRONG, "out[0] is -0, expected the other sign"),
    ),
    "ignores NaN": (
        "relu",
        relu("for (size_t i = 0; i < size; i++) out[i] = x[i] > 0 ? x[i] : 0;"),
        findings.IGNORES_NAN,
        "nan",
    ),
    "leaves out zeros": (
        *("matmul", replaced(MATMUL, "k++) acc", "k++) if (a[i * inner + k] != 0) acc")),
        *(findings.IGNORES_NAN, "expected nan"),
    ),
    "keeps -0": (
        *("relu", relu("for (size_t i = 0; i < size; i++) out[i] = x[i] < 0 ? 0 : x[i];"), findings.WRONG, "sign"),
    ),
    "adds to its output": (
        *(
            "matmul",
            replaced(MATMUL, "float acc = 0", "float acc = c[i * cols + j]"),
            findings.READS_OUTPUT,
            "held before",
        ),
    ),
    "sleeps for ever": ("matmul", begun("for (;;) sleep(1);"), findings.ENDLESS, "no result after"),
    "runs for ever": ("matmul", begun("for (volatile int i = 0;; i++) ;"), findings.ENDLESS, "no result after"),
    "writes to NULL": ("matmul", begun("*(volatile int *)0 = 1;"), findings.CRASH, "SIGSEGV"),
    "no stack left": (
        *(
            "matmul",
            DEFINE
            + "static int deep(volatile char *p) { volatile char q[4096]; q[0] = p[0]; return deep(q) + q[1]; }\n"
            + begun("volatile char p[2] = {0}; if (deep(p) == 7) return;"),
        ),
        *(findings.CRASH, "no stack is left"),
    ),
    "too large an array on the stack": (
        *("matmul", begun("volatile char wide[32 << 20]; for (size_t i = 0; i < sizeof wide; i += 4096) wide[i] = 0;")),
        *(findings.CRASH, "no stack is left"),
    ),
    "no stack left in a thread": (
        *(
            "matmul",
            DEFINE
            + "static int deep(volatile char *p) { volatile char q[4096]; q[0] = p[0]; return deep(q) + q[1]; }\n"
            + begun(
                "volatile int none = 0;\n"
                "#pragma omp parallel num_threads(2)\n"
                "if (omp_get_thread_num()) { volatile char p[2] = {0}; none += deep(p); } else sleep(1);\n"
            ).replace("#include <math.h>", "#include <omp.h>\n#include <math.h>", 1),
        ),
        *(findings.CRASH, "a thread has no stack left"),
    ),
    "aborts": ("matmul", begun('fputs("out of luck\\n", stderr); abort();'), findings.CRASH, "out of luck"),
    "divides by zero": (
        *("matmul", begun("volatile int none = 0; none = 7 / none;"), findings.CRASH, "divided by zero"),
    ),
    "illegal instruction": (
        *("matmul", begun('__asm__ volatile(".byte 0x0f, 0x0b");'), findings.CRASH, "illegal instruction"),
    ),
    "does not compile": ("matmul", f"{DEFINE}{SIGNATURE} {{ retrun; }}\n", findings.COMPILE_ERROR, "retrun"),
    "wrong type of sizes": (
        *("matmul", replaced(MATMUL, "size_t rows, size_t inner, size_t cols", "int rows, int inner, int cols")),
        *(findings.WRONG_SIGNATURE, "expected void matmul(float *c, const float *a"),
    ),
    "returns a number": (
        *(
            "matmul",
            replaced(MATMUL, "void matmul", "int matmul").replace(
                "for (size_t i", "if (!rows) return 0;\n    for (size_t i"
            ),
        ),
        *(findings.WRONG_SIGNATURE, "conflicting types"),
    ),
    "another name": (
        "matmul",
        replaced(MATMUL, "void matmul", "void my_matmul"),
        findings.MISSING_FUNCTION,
        "no function matmul",
    ),
    "static": ("matmul", replaced(MATMUL, "void matmul", "static void matmul"), findings.MISSING_FUNCTION, "static"),
    "calls what is not there": (
        "matmul",
        "void elsewhere(void);\n" + begun("elsewhere();"),
        findings.NOT_LOADED,
        "elsewhere",
    ),
    "exits": ("matmul", begun("exit(3);"), findings.EXITS, "exit code 3"),
    "exits with success": ("matmul", begun("_exit(0);"), findings.EXITS, "exit code 0"),
    "exits while it is loaded": (
        *("matmul", DEFINE + "__attribute__((constructor)) static void first(void) { _exit(4); }\n" + MATMUL),
        *(findings.EXITS, "exit code 4"),
    ),
    "prints": ("matmul", begun('printf("%zu rows\\n", rows);'), findings.PRINTS, "3 rows"),
    "prints for ever": (
        "matmul",
        begun('for (;;) puts("again and again and again and again");'),
        findings.CRASH,
        "16 MiB",
    ),
    "forks": ("matmul", begun("if (!fork()) _exit(0);"), findings.FORKS, "another process"),
    "forks and returns": ("matmul", begun("fork();"), findings.FORKS, "another process"),
    "takes all memory": (
        *("matmul", begun("for (;;) { char *p = malloc(1 << 28); if (!p) abort(); *(volatile char *)p = 1; }")),
        *(findings.CRASH, "SIGABRT"),
    ),
    "flushes subnormal numbers": (
        *(
            "matmul",
            begun(
                'unsigned *mode = &(unsigned){0}; __asm__ volatile("stmxcsr %0" : "=m"(*mode)); *mode |= 0x8040;'
                '__asm__ volatile("ldmxcsr %0" : : "m"(*mode));'
            ),
        ),
        *(findings.ARITHMETIC, "subnormal"),
    ),
}
ON_X86 = {"illegal instruction", "flushes subnormal numbers", "divides by zero"}
WITH_OPENMP = {"threads race", "no stack left in a thread"}

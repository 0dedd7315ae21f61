"""The C core by itself: its own tests, from C, over compilers, flags, sanitizers and mutations."""

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import pybackprop as bp
from helpers.compile_c import ROOT, SANITIZE, compile_one, compilers, has_openmp, link
from helpers.digests import TWO_EPOCHS
from helpers.processes import ended
from pybackprop.train import checkpoint

DIGEST = "703a15f3730cae1c"  # of every result of test_core --quick but those of leaky_relu
ARITHMETIC_DIGEST = "6a3fd948e03bc712"
OPTIMIZER_DIGEST = "07f5d431489a3a21"
LEAKY_DIGEST = "908ed6175d05b54c"
FRAME = 4096  # bytes of the stack that one function may take
COMPILERS = compilers()
DEFAULT = COMPILERS[0] if COMPILERS else None
openmp_of = cache(has_openmp)
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler here")
SERIAL = "-DBP_SERIAL"
# With OpenMP it is the tests that use it, to call the core from its parallel regions.
CONFIGURATIONS = [(cc, *flags) for cc in COMPILERS for flags in (("-O3", "-fopenmp"), ("-O3", ""), ("-O1", SERIAL))]


def usual():
    """How most programs here are built, so that they share their objects."""
    return ["-O3", "-fopenmp" if openmp_of(DEFAULT) else "", "-fstack-usage"]


def every(*flags):
    """(compiler, flags): the usual ones, then these flags by every compiler."""
    others = [pytest.param(compiler, flags, marks=pytest.mark.compilers) for compiler in COMPILERS]
    return [pytest.param(DEFAULT, None, id="usual"), *others]


@pytest.fixture
def core(builds):
    """Builds test_core."""

    def get(compiler, *flags):
        if "-fopenmp" in flags and not openmp_of(compiler):
            pytest.skip(f"{compiler} has no OpenMP here")
        return builds.program("test_core.c", compiler, flags)

    return get


def check_core(program, *options, runner=()):
    done = ended([*runner, program, *options])
    assert done.returncode == 0, done.stderr
    assert " 0 failures" in done.stdout
    assert "kernels generic" in done.stdout
    return done.stdout


def check_digest(program, *runner):
    emulated = ["--emulated"] if runner else []
    printed = check_core(program, "--quick", "--digest", *emulated, runner=runner).splitlines()
    assert printed[:4] == [
        f"digest {DIGEST}",
        f"digest of leaky_relu {LEAKY_DIGEST}",
        f"digest of arithmetic {ARITHMETIC_DIGEST}",
        f"digest of optimizers {OPTIMIZER_DIGEST}",
    ]


def test_every_operation_equals_its_reference(core):
    check_digest(core(DEFAULT, *usual()))


@pytest.mark.slow
def test_every_operation_equals_its_reference_in_every_case(core):
    check_core(core(DEFAULT, *usual()))


@pytest.mark.compilers
@pytest.mark.parametrize(("compiler", "level", "threads"), CONFIGURATIONS)
def test_compilers_and_flags_agree_on_every_bit(core, compiler, level, threads):
    check_digest(core(compiler, level, threads))


@pytest.mark.parametrize(("compiler", "flags"), every("-O3", "-fstack-usage"))
def test_no_function_takes_more_than_a_few_kib_of_the_stack(builds, compiler, flags):
    """A thread may have 32 KiB of it, and those who call us have used some."""
    objects = builds.objects("test_core.c", compiler, [*filter(None, flags or usual())])
    del objects["test_core.c"]
    listed = [Path(f"{path}.su") for path in objects.values()]  # none for a file without functions
    frames = [line.split("\t") for path in listed if path.exists() for line in path.read_text().splitlines()]
    assert len(frames) > 200
    assert [frame for frame in frames if int(frame[1]) > FRAME or frame[2] == "dynamic"] == []


@pytest.mark.parametrize("how", ["zero", "nan", "sign", "bit", "swap"])
def test_the_checker_finds_wrong_results(core, how):
    done = ended([core(DEFAULT, *usual()), "--quick", "--broken", how])
    assert done.returncode == 1
    assert " 0 missed" in done.stdout
    assert "differs from the reference" in done.stderr


MUTATIONS = {
    "relu' at 0": ("ops/relu.c", "x[i] > 0 ? upstream : 0", "x[i] >= 0 ? upstream : 0"),
    "a NaN that relu stops": ("ops/relu.c", "x[i] <= 0 ? 0 : x[i]", "x[i] > 0 ? x[i] : 0"),
    "a -0 that relu lets through": ("ops/relu.c", "x[i] <= 0 ? 0", "x[i] < 0 ? 0"),
    "the bias is forgotten": ("gemm/pack.h", "if (bias) sum = sum", "if (0) sum = sum"),
    "-0 after underflow": (
        "gemm/macro_kernel.h",
        ".addend = straight && b->finish == FINISH_CHAIN ? 0 : -(REAL)0",
        ".addend = -(REAL)0",
    ),
    "segments that run together": ("ops/linear.c", "start += BP_SEGMENT) {", "start += 2 * BP_SEGMENT) {"),
    "segments of another length": (
        "gemm/blocking.h",
        "at_most)(w->inner, BP_SEGMENT)",
        "at_most)(w->inner, BP_SEGMENT / 2)",
    ),
    "another order of the lanes": (
        "internal.h",
        "lane[l] += lane[l + width]",
        "lane[l] = lane[2 * l] + lane[2 * l + 1]",
    ),
    "a rounded product": ("ops/sgd.c", "FMA(", "ROUNDED("),
    "numbers beyond a row's end": (
        "isa/simd.h",
        "if (n >= LANES)\n        LOCAL(store)",
        "if (1)\n        LOCAL(store)",
    ),
    "stale memory": ("ops/matmul.c", "(b.p > 0 || w->accumulate) ? FINISH_ADD", "1 ? FINISH_ADD"),
    "a block that forgets the one before": (
        "ops/matmul.c",
        "b.from_c = !w->segmented && (b.p > 0",
        "b.from_c = 0 && (b.p > 0",
    ),
    "a transpose the wrong way": ("gemm/pack.h", "block[i], n, finish", "block[i ^ 1], n, finish"),
    "columns in the wrong places": ("gemm/transpose.h", "columns + i, row, p + i", "columns + i, row, p"),
    "a relu that a chain forgets": (
        "plan/layers.c",
        "if (l->activation != BP_ACTIVATION_NONE && !NAME(overwrites_output)(l))",
        "if (0)",
    ),
    "signs read where a gradient lies": ("plan/layers.c", "if (l->dz == l->a)", "if (0)"),
    "signs that a gradient was written over": (
        "plan/layers.c",
        "return l->activation != BP_ACTIVATION_NONE && l->a == l->z",
        "return 0 && l->a == l->z",
    ),
    "a tile one column off": ("plan/layers.c", "a + i * m + k + e", "a + i * m + e"),
    "a segment that is not there": ("ops/linear.c", "if (n == 0 && accumulate)", "if (0)"),
    "parts that leave some out": ("runtime/threads.c", "each + (share < more)", "each + 0"),
    "sizes that overflow": (
        "runtime/threads.c",
        "return __builtin_mul_overflow(a",
        "return 0 && __builtin_mul_overflow(a",
    ),
    "a small product that starts anew": ("gemm/small.h", "if (w->accumulate && !w->segmented)", "if (0)"),
    "a term of the other row": ("gemm/masked.h", "from[b * t->step + t->next]", "from[b * t->step]"),
    "a number of the row beside it": ("gemm/masked.h", "t->rows + b * t->row_step", "t->rows + (b ^ 1) * t->row_step"),
    "a vector that begins elsewhere": ("gemm/masked.h", "(row, p->first)", "(row + 1, p->first)"),
    "a term too few": (
        "gemm/mask.h",
        "for (size_t k = 0; k < size; k += LANES)\n        mask",
        "for (size_t k = 0; k + 1 < size; k += LANES)\n        mask",
    ),
    "bits that are not turned": ("plan/sparse.c", "LOCAL(swap_blocks)(a, 1, 0x5555555555555555);", ""),
    "weights packed in another order": ("gemm/unit_product.h", "w[k * units + j + u]", "w[k * units + j + (u ^ 1)]"),
    "a relu that a shared step forgets": (
        "plan/split.c",
        "if (l->activation != BP_ACTIVATION_NONE) {",
        "if (0) {",
    ),
    "an update of numbers that are none": ("plan/split.c", "update->guarded && !isfinite", "0 && !isfinite"),
    "a broadcast column for a row": (
        "ops/arithmetic.c",
        "j->b + i * j->b_row, j->b_column",
        "j->b + i * j->b_column, j->b_row",
    ),
    "a difference the other way round": (
        "ops/arithmetic.c",
        "BP_ROW(subtract_row, -)",
        "BP_ROW(subtract_row, - 2 * a[0] +)",
    ),
    "a power with a factor too many": ("ops/power.c", "for (int e = 1; e <", "for (int e = 0; e <"),
    "a sum in one chain": (
        "ops/sum.c",
        "LOCAL(chains)(partial, x + at, BP_SEGMENT, BP_SEGMENT)",
        "LOCAL(chains)(partial, x + at, BP_SEGMENT - 1, BP_SEGMENT)",
    ),
    "a NaN that clamp_min stops": ("ops/clamp_min.c", "x[i] <= low ? low : x[i]", "x[i] > low ? x[i] : low"),
    "clamp_min' at low": ("ops/clamp_min.c", "x[i] > low ? upstream", "x[i] >= low ? upstream"),
    "leaky_relu' at 0": ("ops/leaky_relu.c", "x[i] > 0 ? upstream", "x[i] >= 0 ? upstream"),
    "an activation that a product forgets": ("gemm/macro_kernel.h", "if (!b->last) return;", "return;"),
    "a slope that backward cannot tell": ("ops/activation.c", "!(slope > 0 && isfinite(slope))", "!isfinite(slope)"),
    "another shuffle": ("ops/random.c", "i > 1; i--", "i > 2; i--"),
    "a gradient without its mean": ("ops/mse.c", "2.0 / (double)size", "2.0"),
}
# the file that includes it, where that is not matmul.c
BEHIND = {"gemm/mask.h": "plan/sparse.c", "gemm/masked.h": "plan/sparse.c", "internal.h": "ops/mse.c"}
MUTANT_FLAGS = ["-O2", "-DROUNDED(a,b,c)=((a)*(b)+(c))", "-Wno-error"]


@pytest.mark.mutations
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_of_the_core_is_found(builds, tmp_path, mutation):
    """In a test_core that shares all but the changed file with the others."""
    file, old, new = MUTATIONS[mutation]
    sources = tmp_path / "csrc"
    shutil.copytree(ROOT / "csrc", sources)
    text = (sources / file).read_text()
    assert old in text, f"{file} no longer holds {old!r}"
    (sources / file).write_text(text.replace(old, new))
    changed = BEHIND.get(file, "ops/matmul.c") if file.endswith(".h") else file
    objects = builds.objects("test_core.c", DEFAULT, MUTANT_FLAGS)
    objects[changed], mutant = tmp_path / "mutant.o", tmp_path / "mutant"
    compile_one(objects[changed], sources / changed, DEFAULT, MUTANT_FLAGS, sources)
    link(mutant, objects, DEFAULT, MUTANT_FLAGS)
    done = ended([mutant, "--quick"])
    assert done.returncode != 0
    assert done.stderr or done.returncode < 0, "failed without a word, or did not run"


@pytest.mark.parametrize(("compiler", "flags"), every("-O0"))
def test_the_lesson_runs_from_plain_c(builds, compiler, flags):
    done = ended([builds.program("lesson.c", compiler, flags or usual())])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "measured" in done.stdout


def train_in_c(folder, program, *runner):
    """The digest of the parameters that train.c leaves."""
    digits = bp.data.digits()
    targets = np.eye(10, dtype=np.float32)[digits.y_train]
    (folder / "digits").write_bytes(digits.x_train.tobytes() + targets.tobytes())
    done = ended([*runner, program, folder / "digits", folder / "trained"])
    assert done.returncode == 0, done.stderr
    numbers = np.frombuffer((folder / "trained").read_bytes(), "<f4")
    shapes = {"w1": (64, 50), "b1": (50,), "w2": (50, 10), "b2": (10,)}
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    parts = np.split(numbers, ends[:-1])
    arrays = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    return checkpoint.digest(arrays)


@pytest.mark.parametrize(("compiler", "flags"), every("-O1"))
def test_a_training_from_plain_c_ends_in_the_digest_of_the_command_line(builds, tmp_path, compiler, flags):
    assert train_in_c(tmp_path, builds.program("train.c", compiler, flags or usual())) == TWO_EPOCHS


@pytest.mark.compilers
@pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="needs musl-gcc")
def test_another_c_library_computes_the_same_bits(builds, tmp_path):
    """Alpine's, without the kernel's headers. Its fma loses the sign of what is too small, ours does not."""
    check_digest(builds.program("test_core.c", "musl-gcc", ["-O1", "-static"]))
    assert train_in_c(tmp_path, builds.program("train.c", "musl-gcc", ["-O1", "-static"])) == TWO_EPOCHS


WINDOWS = ["x86_64-w64-mingw32-gcc", "wine"]


@pytest.mark.compilers
@pytest.mark.skipif(not all(map(shutil.which, WINDOWS)), reason="needs MinGW and Wine")
def test_windows_computes_the_same_bits(builds, tmp_path):
    """With its threads. Wine has no fork, as Windows has none."""
    compiler, wine = WINDOWS
    runner = ["env", "WINEDEBUG=-all", f"WINEPREFIX={tmp_path / 'wine'}", wine]
    flags = ["-O1", "-static", "-Wno-unused"]
    check_digest(builds.program("test_core.c", compiler, flags), *runner)
    assert train_in_c(tmp_path, builds.program("train.c", compiler, flags), *runner) == TWO_EPOCHS


ARM64 = ["aarch64-linux-gnu-gcc", "qemu-aarch64"]


@pytest.mark.compilers
@pytest.mark.skipif(not all(map(shutil.which, ARM64)), reason="needs a cross compiler and an emulator")
def test_arm64_computes_the_same_bits(builds, tmp_path):
    compiler, emulator = ARM64
    flags = ["-O2", "-static"]
    check_digest(builds.program("test_core.c", compiler, flags), emulator)
    done = ended([emulator, builds.program("test_team.c", compiler, flags), "--emulated"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert train_in_c(tmp_path, builds.program("train.c", compiler, flags), emulator) == TWO_EPOCHS


@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_header_stands_alone(tmp_path, language):
    compiler = DEFAULT if language == "c" else shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    command = [compiler, "-x", language, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    done = ended([*command, str(ROOT / "csrc" / "pybackprop.h"), "-Wno-pragma-once-outside-header"])
    assert done.returncode == 0, done.stderr


RACES = ["-O1", "-g", "-fsanitize=thread"]


@pytest.mark.sanitizers
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_threads_of_the_core_do_not_race(builds, compiler):
    done = ended([builds.program("test_core.c", compiler, RACES), "--threads"])
    assert "ThreadSanitizer" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    assert " 0 failures on threads" in done.stdout


@pytest.mark.sanitizers
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("outputs", "races"), [("apart", False), ("same", True)])
def test_a_race_that_is_there_is_found(builds, compiler, outputs, races):
    """Two callers that write to one array; the same with an array each is right."""
    done = ended([builds.program("race.c", compiler, RACES), outputs])
    assert ("WARNING: ThreadSanitizer: data race" in done.stderr) == races, done.stderr
    assert (done.returncode != 0) == races
    assert done.stdout == "done\n"


@pytest.mark.sanitizers
@pytest.mark.parametrize("threads", [SERIAL, ""], ids=["serial", "threads"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_sanitizers_find_nothing(core, builds, compiler, threads):
    done = ended([core(compiler, threads, *SANITIZE), "--quick"])
    assert done.returncode == 0, done.stderr
    done = ended([builds.program("lesson.c", compiler, [threads, *SANITIZE])])
    assert done.returncode == 0, done.stderr

"""The C core by itself: its own tests, from C, over compilers, flags, sanitizers and mutations."""

import os
import shutil

import numpy as np
import pytest
from compile_c import ROOT, SANITIZE, build, compile_one, compilers, has, link, objects, run
from test_cli import TWO_EPOCHS

import pybackprop as bp
from pybackprop import checkpoint

DIGEST = "c48cce94edad5af6"  # of every result of test_core --quick
COMPILERS = compilers()
DEFAULT = COMPILERS[0] if COMPILERS else None
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler here")
CONFIGURATIONS = [(cc, *flags) for cc in COMPILERS for flags in (("-O0", ""), ("-O3", ""), ("-O3", "-fopenmp"))]


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Builds test_core once for each configuration."""
    folder, made = tmp_path_factory.mktemp("core"), {}

    def get(compiler, *flags):
        flags = tuple(flag for flag in flags if flag)
        if "-fopenmp" in flags and not has(compiler, "-fopenmp"):
            pytest.skip(f"{compiler} has no OpenMP here")
        if (compiler, flags) not in made:
            made[compiler, flags] = build(folder / f"core{len(made)}", "test_core.c", compiler, flags)
        return made[compiler, flags]

    return get


def test_every_operation_equals_its_reference(program):
    flags = ["-O3", "-fopenmp"] if has(DEFAULT, "-fopenmp") else ["-O3"]
    done = run([program(DEFAULT, *flags)])
    assert done.returncode == 0, done.stderr
    assert " 0 failures" in done.stdout


@pytest.mark.parametrize(("compiler", "level", "omp"), CONFIGURATIONS)
def test_compilers_and_flags_agree_on_every_bit(program, compiler, level, omp):
    done = run([program(compiler, level, omp), "--quick", "--digest"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"digest {DIGEST}"


@pytest.mark.parametrize("how", ["zero", "nan", "sign", "bit", "swap"])
def test_the_checker_finds_wrong_results(program, how):
    done = run([program(DEFAULT, "-O3"), "--quick", "--broken", how])
    assert done.returncode == 1
    assert "differs from the reference" in done.stderr


MUTATIONS = {
    "relu' at 0": ("relu.c", "x[i] > 0 ? upstream : 0", "x[i] >= 0 ? upstream : 0"),
    "the bias is forgotten": ("kernels/pack.h", "if (bias) sum = sum", "if (0) sum = sum"),
    "-0 after underflow": ("matmul.c", "job->addend = 0;", "job->addend = -(REAL)0;"),
    "segments that run together": ("linear.c", "start += BP_SEGMENT) {", "start += 2 * BP_SEGMENT) {"),
    "segments of another length": ("matmul.c", "w->segmented ? BP_SEGMENT", "w->segmented ? BP_SEGMENT / 2"),
    "another order of the lanes": ("mse.c", "lane[l] += lane[l + width]", "lane[l] = lane[2 * l] + lane[2 * l + 1]"),
    "a rounded product": ("sgd.c", "FMA(", "ROUNDED("),
    "numbers beyond a row's end": (
        "kernels/tile.h",
        "if (n >= LANES)\n        LOCAL(store)",
        "if (1)\n        LOCAL(store)",
    ),
    "stale memory": ("matmul.c", "(b.p > 0 || w->accumulate) ? FINISH_ADD", "1 ? FINISH_ADD"),
    "a block that forgets the one before": (
        "matmul.c",
        "b.from_c = !w->segmented && (b.p > 0",
        "b.from_c = 0 && (b.p > 0",
    ),
    "a transpose the wrong way": ("kernels/pack.h", "block[i], n, finish", "block[i ^ 1], n, finish"),
}
MUTANT_FLAGS = ["-O1", "-DROUNDED(a,b,c)=((a)*(b)+(c))", "-Wno-error"]


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """The objects that a mutation leaves as they are."""
    return objects(tmp_path_factory.mktemp("originals") / "core", "test_core.c", DEFAULT, MUTANT_FLAGS)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_of_the_core_is_found(tmp_path, originals, mutation):
    file, old, new = MUTATIONS[mutation]
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    source = tmp_path / "csrc" / file
    text = source.read_text()
    assert old in text, f"{file} no longer holds {old!r}"
    source.write_text(text.replace(old, new))
    changed = "matmul.c" if file.startswith("kernels/") else file
    made = compile_one(tmp_path / "mutant.o", tmp_path / "csrc" / changed, DEFAULT, MUTANT_FLAGS, tmp_path / "csrc")
    done = run([link(tmp_path / "mutant", {**originals, changed: made}, DEFAULT, MUTANT_FLAGS), "--quick"])
    assert done.returncode != 0


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_lesson_runs_from_plain_c(tmp_path, compiler):
    done = run([build(tmp_path / "lesson", "lesson.c", compiler, ["-O3"])])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "measured" in done.stdout


def train_in_c(folder, program, *runner):
    """The digest of the parameters that train.c leaves."""
    digits = bp.data.digits()
    targets = np.eye(10, dtype=np.float32)[digits.y_train]
    (folder / "digits").write_bytes(digits.x_train.tobytes() + targets.tobytes())
    done = run([*runner, program, folder / "digits", folder / "trained"])
    assert done.returncode == 0, done.stderr
    numbers = np.frombuffer((folder / "trained").read_bytes(), "<f4")
    shapes = {"w1": (64, 50), "b1": (50,), "w2": (50, 10), "b2": (10,)}
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    parts = np.split(numbers, ends[:-1])
    arrays = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    return checkpoint.digest(arrays)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_training_from_plain_c_ends_in_the_digest_of_the_command_line(tmp_path, compiler):
    assert train_in_c(tmp_path, build(tmp_path / "train", "train.c", compiler, ["-O2"])) == TWO_EPOCHS


ARM64 = ["aarch64-linux-gnu-gcc", "qemu-aarch64"]


@pytest.mark.skipif(not all(map(shutil.which, ARM64)), reason="needs a cross compiler and an emulator")
def test_arm64_computes_the_same_bits(tmp_path):
    compiler, emulator = ARM64
    core = build(tmp_path / "core", "test_core.c", compiler, ["-O2", "-static"])
    done = run([emulator, core, "--quick", "--digest"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"digest {DIGEST}"
    assert (
        train_in_c(tmp_path, build(tmp_path / "train", "train.c", compiler, ["-O2", "-static"]), emulator) == TWO_EPOCHS
    )


@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_header_stands_alone(tmp_path, language):
    compiler = DEFAULT if language == "c" else shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    command = [compiler, "-x", language, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    done = run([*command, str(ROOT / "csrc" / "pybackprop.h"), "-Wno-pragma-once-outside-header"])
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.environ.get("PYBACKPROP_SANITIZE") != "1", reason="set PYBACKPROP_SANITIZE=1 to run it")
@pytest.mark.parametrize("omp", ["", "-fopenmp"], ids=["serial", "openmp"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_sanitizers_find_nothing(program, compiler, omp):
    done = run([program(compiler, omp, *SANITIZE), "--quick"])
    assert done.returncode == 0, done.stderr

"""Builds C programs from csrc/ for tests, with the compilers at hand; each object once in a run of the tests."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from helpers.processes import ended

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "csrc"
PROGRAMS = ROOT / "tests" / "c"
STRICT = ["-std=c11", "-D_DEFAULT_SOURCE", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compilers():
    """The C compilers on this machine, the default one first, each once whatever its names."""
    found = {}
    for name in (os.environ.get("CC", "cc"), "gcc", "clang"):
        if path := shutil.which(name):
            found.setdefault(os.path.realpath(path), name)
    return list(found.values())


def has_openmp(compiler):
    """Whether a program can be built with OpenMP: its header and its library may be missing."""
    program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }"
    return ended([compiler, "-fopenmp", "-x", "c", "-", "-o", os.devnull], input=program).returncode == 0


def compile_one(target, source, compiler, flags, sources=SOURCES):
    """The object of one file; headers are those beside the sources."""
    include = [f"-I{sources}", f"-I{PROGRAMS}"]
    done = ended([compiler, *STRICT, *flags, *include, "-c", str(source), "-o", str(target)])
    assert done.returncode == 0, done.stderr


def link(target, objects, compiler, flags):
    done = ended([compiler, *flags, *map(str, objects.values()), "-o", str(target), "-lm", "-pthread"])
    assert done.returncode == 0, done.stderr


def once(target, make):
    """The file target, made by make(path) in the first process of the run that needs it; the others wait."""
    with FileLock(f"{target}.lock"):
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.unfinished")
            make(unfinished)
            unfinished.replace(target)
    return target


class Builds:
    """The programs and libraries of one run, in a folder that its processes share."""

    def __init__(self, folder):
        self.folder = folder

    def place(self, name, compiler, flags):
        """A folder for each compiler and its flags."""
        folder = self.folder / "".join(c if c.isalnum() else "-" for c in " ".join([compiler, *flags]))
        folder.mkdir(exist_ok=True)
        return folder / name

    def object(self, source, compiler, flags):
        name = "-".join(source.relative_to(ROOT).with_suffix(".o").parts)
        return once(self.place(name, compiler, flags), lambda path: compile_one(path, source, compiler, flags))

    def objects(self, program, compiler, flags):
        """Those of the core and a program of tests/c, by their files' names below csrc and tests/c."""
        core = sorted(SOURCES.glob("*/*.c"), key=lambda file: -file.stat().st_size)
        files = {file.relative_to(SOURCES).as_posix(): file for file in core} | {program: PROGRAMS / program}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = pool.map(lambda file: self.object(file, compiler, flags), files.values())
            return dict(zip(files, made, strict=True))

    def program(self, program, compiler, flags):
        """A program of tests/c with the core's sources."""
        flags = [*filter(None, flags)]
        objects = self.objects(program, compiler, flags)
        target = self.place(Path(program).stem, compiler, flags)
        return once(target, lambda path: link(path, objects, compiler, flags))

    def library(self, name):
        """tests/c/<name>.c as a library to preload."""
        compiler, source = compilers()[0], PROGRAMS / f"{name}.c"

        def make(path):
            done = ended([compiler, "-O1", "-shared", "-fPIC", str(source), "-o", str(path)])
            assert done.returncode == 0, done.stderr

        return once(self.folder / f"{name}.so", make)

"""Builds C programs from csrc/ for tests, with the compiler at hand."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRICT = ["-std=c11", "-D_DEFAULT_SOURCE", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compilers():
    """The C compilers on this machine, the default one first, each once whatever its names."""
    found = {}
    for name in (os.environ.get("CC", "cc"), "gcc", "clang"):
        if path := shutil.which(name):
            found.setdefault(os.path.realpath(path), name)
    return list(found.values())


def run(command, **options):
    """A finished process. Threads that wait sleep, as there may be more of them than processors."""
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, **options)


def compile_one(target, source, compiler, flags, sources=ROOT / "csrc"):
    """The object of one file; headers are those beside the sources."""
    include = [f"-I{sources}", f"-I{ROOT / 'tests' / 'c'}"]
    done = run([compiler, *STRICT, *flags, *include, "-c", str(source), "-o", str(target)])
    assert done.returncode == 0, done.stderr
    return target


def objects(target, program, compiler, flags):
    """The objects of the core, by the path of their source in csrc/, and of a program of tests/c, side by side."""
    core = ROOT / "csrc"
    files = {program: ROOT / "tests" / "c" / program}
    files |= {file.relative_to(core).as_posix(): file for file in sorted(core.glob("*/*.c"))}

    def one(name):
        return compile_one(f"{target}.{name.replace('/', '.')}.o", files[name], compiler, flags)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(files, pool.map(one, files), strict=True))


def link(target, made, compiler, flags):
    done = run([compiler, *flags, *map(str, made.values()), "-o", str(target), "-lm", "-lpthread"])
    assert done.returncode == 0, done.stderr
    return target


def ahead(make, cases):
    """What make(case) gives for each case, made in the background: futures by case."""
    pool = ThreadPoolExecutor(os.cpu_count())
    made = {case: pool.submit(make, case) for case in cases}
    pool.shutdown(wait=False)
    return made


def build(target, program, compiler, flags):
    """Builds a program of tests/c with the core's sources."""
    return link(target, objects(target, program, compiler, flags), compiler, flags)


def has_openmp(compiler):
    """Whether a program can be built with OpenMP: its header and its library may be missing."""
    program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }"
    return run([compiler, "-fopenmp", "-x", "c", "-", "-o", os.devnull], input=program).returncode == 0

"""Builds C programs from csrc/ for tests, with the compiler at hand."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRICT = ["-std=c11", "-D_DEFAULT_SOURCE", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
SANITIZE = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compilers():
    """The C compilers on this machine, the default one first, each once whatever its names."""
    found = {}
    for name in (os.environ.get("CC", "cc"), "gcc", "clang"):
        if path := shutil.which(name):
            found.setdefault(os.path.realpath(path), name)
    return list(found.values())


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


def build(target, program, compiler, flags, sources=ROOT / "csrc"):
    """Compiles a program of tests/c with the core's sources to target; the objects side by side."""
    include = [f"-I{sources}", f"-I{ROOT / 'tests' / 'c'}"]
    files = [ROOT / "tests" / "c" / program, *sorted(sources.glob("*.c"))]

    def one(source):
        made = f"{target}.{source.stem}.o"
        done = run([compiler, *STRICT, *flags, *include, "-c", str(source), "-o", made])
        assert done.returncode == 0, done.stderr
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(one, files))
    done = run([compiler, *flags, *objects, "-o", str(target), "-lm", "-lpthread"])
    assert done.returncode == 0, done.stderr
    return target


def has(compiler, flag):
    """Whether a program can be built with a flag, such as -fopenmp."""
    program = "int main(void) { return 0; }"
    return run([compiler, flag, "-x", "c", "-", "-o", os.devnull], input=program).returncode == 0

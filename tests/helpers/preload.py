"""Programs that run with a malloc of ours in front of glibc's."""

import json
import os
import platform
import subprocess
import sys

import pytest

from helpers.compile_c import ROOT, compilers

COMPILERS = compilers()
HERE = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or not COMPILERS,
    reason="stands in front of glibc's malloc",
)


def library(folder, name):
    """tests/c/<name>.c as a library to preload."""
    made = folder / f"{name}.so"
    source = ROOT / "tests" / "c" / f"{name}.c"
    subprocess.run([COMPILERS[0], "-O1", "-shared", "-fPIC", str(source), "-o", str(made)], check=True)
    return made


def run(made, program, *arguments, threads=None):
    """What a Python program prints as JSON at its end."""
    environment = {**os.environ, "LD_PRELOAD": str(made), "OMP_WAIT_POLICY": "passive"}
    if threads is not None:
        environment["PYBACKPROP_THREADS"] = str(threads)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])

"""Programs that run with a malloc of tests/c in front of glibc's."""

import json
import os
import platform
import sys

import pytest

from helpers.compile_c import compilers
from helpers.processes import ended

HERE = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or not compilers(),
    reason="stands in front of glibc's malloc",
)


def run(library, program, *arguments, threads=None):
    """What a Python program prints as JSON at its end."""
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    if threads is not None:
        environment["PYBACKPROP_THREADS"] = str(threads)
    done = ended([sys.executable, "-c", program, *map(str, arguments)], env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])

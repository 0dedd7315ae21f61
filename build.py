"""Builds pybackprop._core, the C core's binding (cffi, API mode), and pybackprop._call, which shortens small calls.

The declarations are the text of csrc/pybackprop.h itself, so they cannot drift from the C files.
The compiler is asked, not guessed, whether it has POSIX threads. Environment:

    PYBACKPROP_SERIAL=1   build without threads (=0: fail if there are none)
    PYBACKPROP_CFLAGS     further compiler flags, e.g. "-Werror"
    CC, CFLAGS, LDFLAGS   the compiler and its flags, as everywhere

Flags that let the compiler change results are refused, wherever they come from: see UNSAFE.

For editors: `python build.py --compile-commands` writes compile_commands.json, which clangd reads. `.ctags.d/`
tells Universal Ctags that NAME(bp_relu_forward) defines bp_relu_forward.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cffi import FFI
from setuptools import Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

ROOT = Path(__file__).resolve().parent
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra"]
NO_COMPILER = """
pybackprop is a C extension, and no working C compiler was found ({reason}).
Install one and try again:
    Debian, Ubuntu   apt-get install build-essential python3-dev
    Fedora, RHEL     dnf install gcc python3-devel
    Alpine           apk add build-base python3-dev
    macOS            xcode-select --install
or name yours in the environment variable CC."""
# Each changes bits: sums in another order, reciprocals instead of divisions, no NaN, no -0, or fused and wider
# arithmetic. At link time, the first four make every process that imports the library flush subnormal numbers to zero.
UNSAFE = {
    "-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-mdaz-ftz", "-fassociative-math", "-freciprocal-math",
    "-ffinite-math-only", "-fno-signed-zeros", "-fapprox-func", "-fsingle-precision-constant", "-fcx-limited-range",
    "-ffp-contract=fast", "-ffp-contract=on", "-ffp-model=fast", "-ffp-model=aggressive", "-mrecip", "-mfpmath=387",
}  # fmt: skip
UNSAFE_STARTS = ("-mrecip=", "-fdenormal-fp-math", "-mfpmath=387", "-mfpmath=both")
NO_FAST_MATH = (
    "pybackprop promises the same bits on every machine, and the compiler flag {flag} (from {source}) changes them; "
    "please build without it."
)
NO_THREADS = "{wish} asks for threads, and the compiler could not build a program with POSIX threads."
THREADS, SERIAL = "-pthread", "-DBP_SERIAL"
THREADS_PROGRAM = """#include <pthread.h>
static void *nothing(void *argument) { return argument; }
int main(void) { pthread_t thread; return pthread_create(&thread, 0, nothing, 0) || pthread_join(thread, 0); }
"""


def declarations() -> str:
    """The part of csrc/pybackprop.h between its two cdef marks."""
    text = (ROOT / "csrc" / "pybackprop.h").read_text()
    return text[text.index("*/", text.index("[cdef:")) + 2 : text.index("/* [... to here]")]


def relative(pattern: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def unsafe(flags: Iterable[str]) -> str | None:
    """The first of these compiler flags that changes bits."""
    return next((flag for flag in flags if flag in UNSAFE or flag.startswith(UNSAFE_STARTS)), None)


def refuse_unsafe(commands: dict[str, Iterable[str]]) -> None:
    """Ends the build if the flags of any of these sources change bits."""
    for source, flags in commands.items():
        if flag := unsafe(flags):
            raise SystemExit(NO_FAST_MATH.format(flag=flag, source=source))


def given_flags(compiler: object) -> dict[str, Iterable[str]]:
    """All flags that are not ours, by where they come from; Python's own are in the commands of the compiler."""
    variables = ("PYBACKPROP_CFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS", "CC")
    commands = {name: shlex.split(os.environ.get(name, "")) for name in variables}
    for name in ("compiler_so", "linker_so"):
        commands[f"Python's {name}"] = getattr(compiler, name, None) or []
    return commands


def serial_wish() -> tuple[str, bool]:
    """(the variable that was set and its value, whether it asks for a serial build); PYBACKPROP_OPENMP is the older
    name, with the opposite meaning."""
    for name, serial in (("PYBACKPROP_SERIAL", "1"), ("PYBACKPROP_OPENMP", "0")):
        if value := os.environ.get(name):
            return f"{name}={value}", value == serial
    return "", False


class BuildExt(build_ext):
    """Adds what the compiler at hand can do to the extension's flags, and says what that is."""

    def build_extension(self, ext: Extension) -> None:
        refuse_unsafe(given_flags(self.compiler))
        reason = self._failure("int main(void) { return 0; }\n", [], [])
        if reason:
            raise SystemExit(NO_COMPILER.format(reason=reason))
        threads = self._threads()
        print(f"pybackprop: {'POSIX threads' if threads == THREADS else 'no threads, a serial build'}")
        extra = shlex.split(os.environ.get("PYBACKPROP_CFLAGS", ""))
        ext.extra_compile_args = [*FLAGS, threads, *extra]
        ext.extra_link_args = [threads, *extra]
        super().build_extension(ext)

    def _threads(self) -> str:
        """The flag for threads, or for none."""
        wish, serial = serial_wish()
        if serial:
            return SERIAL
        if not self._failure(THREADS_PROGRAM, [THREADS], [THREADS]):
            return THREADS
        if wish:
            raise SystemExit(NO_THREADS.format(wish=wish))
        return SERIAL

    def _failure(self, program: str, compile_flags: list[str], link_flags: list[str]) -> str:
        """Why this program cannot be built; empty if it can."""
        with tempfile.TemporaryDirectory() as folder, _quiet():
            source = Path(folder, "probe.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=link_flags)
            except (CCompilerError, ExecError, PlatformError, OSError) as error:
                return str(error) or type(error).__name__
        return ""


class _quiet:
    """A failing probe is an answer, not an error: keep the compiler's words off the screen."""

    def __enter__(self) -> None:
        sys.stderr.flush()
        self.saved = os.dup(2)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        os.dup2(self.saved, 2)
        os.close(self.saved)


ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source(
    "pybackprop._core",
    '#include "pybackprop.h"',
    sources=relative("csrc/*/*.c"),
    include_dirs=["csrc"],
    depends=relative("csrc/**/*.[ch]"),
    py_limited_api=True,
)


def short_calls() -> list[Extension]:
    """pybackprop._call, without which the same is computed: for a CPython with a GIL, if it compiles."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return []
    options = {"include_dirs": ["csrc"], "depends": relative("csrc/*.h"), "py_limited_api": True, "optional": True}
    return [Extension("pybackprop._call", relative("csrc/*.c"), **options)]


def compile_commands() -> list[dict[str, object]]:
    """How each C file is compiled, as clangd wants to know it."""
    command = [*shlex.split(os.environ.get("CC", "cc")), *FLAGS, THREADS, "-Icsrc", "-c"]
    return [
        {"directory": str(ROOT), "file": source, "arguments": [*command, source]} for source in relative("csrc/*/*.c")
    ]


if __name__ == "__main__":
    if sys.argv[1:] != ["--compile-commands"]:
        sys.exit("usage: python build.py --compile-commands (setup.py builds the extension)")
    (ROOT / "compile_commands.json").write_text(json.dumps(compile_commands(), indent=1) + "\n")

"""Builds pybackprop._core, the C core's binding (cffi, API mode), and pybackprop._call, which shortens small calls.

The declarations are the text of csrc/pybackprop.h itself, so they cannot drift from the C files.
The compiler is asked, not guessed, whether it has POSIX threads. On Windows it is clang-cl, with Windows' own threads.
Only a build in place keeps the debugging information that Python's flags ask for. Environment:

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
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cffi import FFI
from setuptools import Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

ROOT = Path(__file__).resolve().parent
ON_WINDOWS = os.name == "nt"
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra"]
NO_COMPILER = """
pybackprop is a C extension, and no working C compiler was found ({reason}).
Install one and try again:
    Debian, Ubuntu   apt-get install build-essential python3-dev
    Fedora, RHEL     dnf install gcc python3-devel
    Alpine           apk add build-base python3-dev
    macOS            xcode-select --install
    Windows          LLVM (clang-cl), and Visual Studio's build tools, which have the system's libraries
or name yours in the environment variable CC."""
NO_CLANG_CL = (
    "pybackprop's C core needs the vector types of GNU C, which Microsoft's compiler does not have: on Windows "
    "clang-cl builds it. Please install LLVM, or Visual Studio's component 'C++ Clang tools for Windows', so that "
    "clang-cl is found on PATH, or name it in the environment variable CC."
)
LLVM = r"C:\Program Files\LLVM\bin"  # where its installer puts it
# Each changes bits: sums in another order, reciprocals instead of divisions, no NaN, no -0, or fused and wider
# arithmetic. At link time, the first four make every process that imports the library flush subnormal numbers to zero.
UNSAFE = {
    "-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-mdaz-ftz", "-fassociative-math", "-freciprocal-math",
    "-ffinite-math-only", "-fno-signed-zeros", "-fapprox-func", "-fsingle-precision-constant", "-fcx-limited-range",
    "-ffp-contract=fast", "-ffp-contract=on", "-ffp-model=fast", "-ffp-model=aggressive", "-mrecip", "-mfpmath=387",
    "/fp:fast", "-fp:fast", "/fp:contract", "-fp:contract",
}  # fmt: skip
UNSAFE_STARTS = ("-mrecip=", "-fdenormal-fp-math", "-mfpmath=387", "-mfpmath=both")
NO_FAST_MATH = (
    "pybackprop promises the same bits on every machine, and the compiler flag {flag} (from {source}) changes them; "
    "please build without it."
)
NO_THREADS = "{wish} asks for threads, and the compiler could not build a program with POSIX threads."
THREADS, SERIAL = "-pthread", "-DBP_SERIAL"
WINDOWS_THREADS = ""  # need no flag
INLINE_ROOTS = "-fno-math-errno"  # with it clang-cl has an instruction for square roots, not a function
NO_DEBUGGING = "-g0"  # a wheel with it would be three times as large
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
    """The first of these compiler flags that changes bits; clang-cl takes GNU flags behind /clang:."""
    plain = (flag.removeprefix("/clang:") for flag in flags)
    return next((flag for flag in plain if flag in UNSAFE or flag.startswith(UNSAFE_STARTS)), None)


def refuse_unsafe(commands: dict[str, Iterable[str]]) -> None:
    """Ends the build if the flags of any of these sources change bits."""
    for source, flags in commands.items():
        if flag := unsafe(flags):
            raise SystemExit(NO_FAST_MATH.format(flag=flag, source=source))


def given_flags(compiler: object) -> dict[str, Iterable[str]]:
    """All flags that are not ours, by where they come from; Python's own are in the commands of the compiler."""
    variables = ("PYBACKPROP_CFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS", "CC", "CL", "_CL_")
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


def use_clang_cl(compiler: Any) -> None:
    """Lets clang-cl compile, with the headers, the libraries and the linker of Visual Studio that setuptools found."""
    if not compiler.initialized:
        compiler.initialize()
    path = shutil.which(os.environ.get("CC") or "clang-cl") or shutil.which("clang-cl", path=LLVM)
    if not path:
        raise SystemExit(NO_CLANG_CL)
    compiler.cc = path
    compiler.compile_options = ["/nologo", "/W3", "/DNDEBUG", "/MD"]  # without /GL, which clang-cl does not know


class BuildExt(build_ext):
    """Adds what the compiler at hand can do to the extension's flags, and says what that is."""

    def build_extension(self, ext: Extension) -> None:
        refuse_unsafe(given_flags(self.compiler))
        self._find_compiler()
        self._forget_folders()
        threads = self._threads()
        print(f"pybackprop: {'no threads, a serial build' if threads == SERIAL else self._kind_of_threads()}")
        extra = shlex.split(os.environ.get("PYBACKPROP_CFLAGS", ""))
        ext.extra_compile_args = [*self._flags(), *filter(None, [threads]), *extra]
        ext.extra_link_args = [] if self._is_msvc() else [*filter(None, [threads]), *extra]
        super().build_extension(ext)

    def _is_msvc(self) -> bool:
        return bool(self.compiler.compiler_type == "msvc")

    def _find_compiler(self) -> None:
        """Ends the build with what to install if there is none."""
        reason = ""
        try:
            if self._is_msvc():
                use_clang_cl(self.compiler)
        except PlatformError as error:
            reason = str(error)
        reason = reason or self._failure("int main(void) { return 0; }\n", [], [])
        if reason:
            raise SystemExit(NO_COMPILER.format(reason=reason))

    def _forget_folders(self) -> None:
        """A wheel is for other machines: the folders of this one, in which Python's own flags look, are not in it."""
        if not self.inplace and not self._is_msvc():
            self.compiler.linker_so = [flag for flag in self.compiler.linker_so if not flag.startswith("-Wl,-rpath")]

    def _flags(self) -> list[str]:
        """Ours, but for threads."""
        if self._is_msvc():
            return [f"/clang:{flag}" for flag in (*FLAGS, INLINE_ROOTS)]
        return FLAGS if self.inplace else [*FLAGS, NO_DEBUGGING]

    def _kind_of_threads(self) -> str:
        return "Windows threads" if ON_WINDOWS else "POSIX threads"

    def _threads(self) -> str:
        """The flag for threads, or for none."""
        wish, serial = serial_wish()
        if serial:
            return SERIAL
        if ON_WINDOWS:
            return WINDOWS_THREADS
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


def is_free_threaded() -> bool:
    """Whether this Python has no GIL: then there is no stable ABI that older and newer ones share."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def wheel_options() -> dict[str, str]:
    """Of bdist_wheel: one wheel serves CPython 3.10 and later, but those without a GIL need one each."""
    return {} if is_free_threaded() else {"py_limited_api": "cp310"}


def short_calls() -> list[Extension]:
    """pybackprop._call, without which the same is computed: for a CPython with a GIL, if it compiles."""
    if sys.implementation.name != "cpython" or is_free_threaded():
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

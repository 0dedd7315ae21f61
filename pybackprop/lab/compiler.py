"""The system's compiler: which one, its flags, and a shared library from a C file."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pybackprop.lab.folder import NO_PLACE_TEXTS, REMEDY

LIMIT = 120.0  # seconds that the compiler may take
ALWAYS = ("-std=gnu11", "-O3", "-ffp-contract=off", "-fPIC", "-shared")
IF_KNOWN = ("-march=native", "-mcpu=native"), ("-fopenmp",)  # of each, the first that the compiler accepts
SANITIZE = ("-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
CLANGS = ("libclang_rt.asan-x86_64.so", "libclang_rt.asan-aarch64.so", "libclang_rt.asan.so")
RUNTIMES = (*CLANGS, "libasan.so")  # clang knows where both are, gcc only the latter


class CompilerError(RuntimeError):
    """Raised where there is no compiler, or where it cannot do what was asked. A RuntimeError."""


class RejectedError(CompilerError):
    """Raised for a file that the compiler rejects; the message is the compiler's. A RuntimeError."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler. command: how to call it. native: the flags that it knows of those that are used where known."""

    command: tuple[str, ...]
    native: tuple[str, ...]

    def line(self, flags: Sequence[str] = (), sanitize: bool = False) -> list[str]:
        """The command and its flags, without files."""
        return [*self.command, *ALWAYS, *self.native, *(SANITIZE if sanitize else ()), *flags]

    def library(self, source: Path, target: Path, flags: Sequence[str] = (), sanitize: bool = False) -> list[str]:
        """Compiles one file to a shared library; the command that did it. Raises RejectedError."""
        shared = ["-shared-libasan"] if sanitize and self.runtime().name in CLANGS else []
        command = [*self.line(flags, sanitize), *shared, str(source), "-o", str(target), "-lm"]
        _run(command)
        return command

    def accepts(self, text: str, include: Path, flags: Sequence[str] = ()) -> None:
        """Only checks a C text. Raises RejectedError."""
        line = [flag for flag in self.line(flags) if flag not in ("-shared", "-fPIC")]
        _run([*line, f"-I{include}", "-fsyntax-only", "-x", "c", "-"], text)

    def macros(self) -> str:
        """What it defines for these flags, line by line."""
        return _run([*self.command, *self.native, "-dM", "-E", "-x", "c", "-"])

    def runtime(self) -> Path:
        """The library of AddressSanitizer, which must be loaded first. Raises CompilerError."""
        for name in RUNTIMES:
            found = _run([*self.command, f"-print-file-name={name}"]).strip()
            if os.path.isabs(found) and os.path.exists(found):
                return Path(found).resolve()
        raise CompilerError(
            f"--sanitize: {self.command[0]} has no AddressSanitizer as a shared library; "
            "install it (for gcc: libasan), set CC to another compiler, or leave --sanitize out"
        )


def find() -> Compiler:
    """$CC, or cc. Raises CompilerError if there is none, or if it cannot compile an empty file."""
    named = os.environ.get("CC", "").strip()
    command = tuple(shlex.split(named)) or ("cc",)
    if shutil.which(command[0]) is None:
        where = f"$CC names {command[0]!r}, which is not there" if named else "there is no cc on the PATH"
        raise CompilerError(f"lab: no C compiler: {where}; install gcc or clang, or set CC to a compiler")
    return _known(command, os.environ.get("PATH", ""))


@lru_cache
def _known(command: tuple[str, ...], path: str) -> Compiler:
    """A compiler with the flags that it accepts; asked once."""
    _probe(command, (), must=True)
    native = [next((flag for flag in flags if _probe(command, (flag,))), "") for flags in IF_KNOWN]
    return Compiler(command, tuple(filter(None, native)))


def _probe(command: Sequence[str], flags: Sequence[str], must: bool = False) -> bool:
    """Whether the compiler makes a shared library with these flags."""
    includes = "#include <omp.h>\n" if "-fopenmp" in flags else ""
    text = f"{includes}int one(void) {{ return 1; }}\n"
    try:
        _run([*command, *ALWAYS, *flags, "-Werror", "-x", "c", "-", "-o", os.devnull], text)
    except RejectedError as error:
        if must:
            raise CompilerError(f"lab: {' '.join(command)} does not compile an empty file: {error}") from error
        return False
    return True


def _run(command: Sequence[str], text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=LIMIT, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise RejectedError(f"{command[0]} took longer than {LIMIT:.0f} s") from error
    except OSError as error:
        raise CompilerError(f"lab: {command[0]} cannot be run: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"{command[0]} ended with code {done.returncode}"
        if any(text in said for text in NO_PLACE_TEXTS):
            raise CompilerError(f"lab: temporary files cannot be written: {REMEDY}\n{said}")
        raise RejectedError(said)
    return done.stdout

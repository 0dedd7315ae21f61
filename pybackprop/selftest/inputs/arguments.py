"""Command lines, and the environment's PYBACKPROP_ variables."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pybackprop.core import settings
from pybackprop.selftest.case import INPUTS, Case, kind
from pybackprop.selftest.draw import Draw
from pybackprop.selftest.inputs.expect import ended
from pybackprop.selftest.inputs.mutate import misspelt, shuffled

Ended = tuple[int, str, str]  # exit code, stdout, stderr


def in_a_process(arguments: list[str], folder: Path) -> Ended:
    """What `pybackprop ARGUMENTS` ends in."""
    command = [sys.executable, "-m", "pybackprop", *arguments]
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


class CommandLine:
    """How command lines are run: each in a process, unless a faster way is given, such as `called`."""

    run: Callable[[list[str], Path], Ended] = staticmethod(in_a_process)


def called(main: Callable[[list[str]], int]) -> Callable[[list[str], Path], Ended]:
    """Runs command lines by calling a function with the arguments, in this process."""

    def run(arguments: list[str], folder: Path) -> Ended:
        out, error, here = _Stream(), _Stream(), Path.cwd()
        stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO())
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
                code = main(arguments)
        except SystemExit as ended_with:
            code = ended_with.code if isinstance(ended_with.code, int) else 1
        finally:
            sys.stdin = stdin
            os.chdir(here)
        return code, out.text(), error.text()

    return run


class _Stream(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", "backslashreplace")

    def text(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode()


# ---- command lines: none that writes a file, waits for a visitor or measures for minutes ----

PROGRESS = "progress.json"
COMMANDS: Mapping[str, tuple[tuple[str, ...], list[str]]] = {  # usual arguments, and those that come last
    "info": (("--json",), []),
    "judge": (("x.T @ dz", "--of", "w", "--shape", "4,3,2", "--seed", "1", "--json", "--list", "--reveal"), []),
    "explain": (("--element", "w1[0,1]", "--shape", "4,3,2", "--json", "--data", "t.csv"), []),
    "memory": (("--layers", "784,50,1", "--batch", "64", "--json", "--list"), []),
    "train": (
        ("--data", "t.csv", "--lr", "0.1", "--target", "y", "--seed", "3", "--json"),
        ["--epochs=1", "--hidden=3"],
    ),
    "predict": (("--model", "m.npz", "--data", "t.csv", "--json", "--missing", "mean"), []),
    "learn": (("--list", "--step", "2"), ["--progress", PROGRESS]),
    "bench": (("--only", "step", "--threads", "2", "--rounds", "1", "--quick"), ["--list"]),
    "": (("--version", "--help"), []),
}
ODD = (
    "", "-", "--", "-1", "0", "1.5", "1e999", "nan", "99999999999999999999", "-h", "--help", "--jsn", "--x",
    "--element",
    "w1[9,9]", "w1[", "l1", "é", "½", "\uff11", "a b", "t.csv", "none.npz", "m.npz", "../", "float64",
    "--dtype", "--momentum",
    "--batch", "=", "--json=1", "4,3", "4,0,2", "1,2,3,4,5", ",", "zero", "\x1b[31m", "\n", "--of", "--threads", "0x10",
)  # fmt: skip
WRITES = ("--save", "--html", "--plot", "--restart", "--serve", "--measure", "--tour")
CODES = (0, 1, 2)


def _is_left_out(argument: str) -> bool:
    """Whether it is, or abbreviates, an option that would write, wait or take long."""
    option = argument.partition("=")[0]
    return option.startswith("--") and len(option) > 2 and any(name.startswith(option) for name in WRITES)


def _command_line(draw: Draw) -> list[str]:
    command = draw.one_of(tuple(COMMANDS))
    usual, last = COMMANDS[command]
    arguments = [word for word in usual if draw.maybe(0.5)]
    arguments = shuffled(draw, arguments, lambda: draw.one_of(ODD))
    arguments = [misspelt(draw, word, ODD) if draw.maybe(0.1) else word for word in arguments]
    return [*([command] if command else []), *(word for word in arguments if not _is_left_out(word)), *last]


@kind("arguments", 2, INPUTS)
def arguments_case(case: Case) -> None:
    """A command line, changed: it ends in 0, 1 or 2, and an error is said on one line."""
    (case.folder / "t.csv").write_text("a,b,y\n1,2,0\n2,1,1\n3,1,0\n4,7,1\n5,3,0\n6,1,1\n")
    (case.folder / PROGRESS).unlink(missing_ok=True)
    arguments = case.draw.note("arguments", _command_line(case.draw))
    code, out, error = CommandLine.run(arguments, case.folder)
    case.check.true(f"exit code {code}: {error[-300:]}", code in CODES)
    case.check.true(f"a traceback: {error[-600:]}", "Traceback" not in error and "Traceback" not in out)
    case.check.true("an error without words", code == 0 or error.strip() or out.strip())


# ---- the environment ----

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "PYBACKPROP_THREADS": ("1", "2", "", "1024", "1025"),
    "PYBACKPROP_TILES": ("4096,8", "524288,288", "", "1,1"),
    "PYBACKPROP_KERNEL": ("generic", "avx2", "", "none"),
}
PIECES = (
    "0",
    "-1",
    "1e3",
    ",",
    " ",
    "\t",
    "\uff11",
    "99999999999999999999",
    "é",
    "0x1",
    "+1",
    "1_0",
    "generic",
    "AVX2",
)


@kind("environment", 2, INPUTS)
def environment_case(case: Case) -> None:
    """Variables as a shell may set them: taken, or refused with a ValueError that names the variable."""
    draw = case.draw
    given = {name: misspelt(draw, draw.one_of(usual), PIECES) for name, usual in VARIABLES.items()}
    given = {name: text.replace("\0", "").replace("\ud800", "") for name, text in given.items()}
    draw.note("environment", given)
    with _environment(given):
        ended(case, settings.take_environment, ValueError)
    told = str(draw.notes.get("ended in", "PYBACKPROP_"))
    case.check.true(f"the error does not name the variable: {told}", "PYBACKPROP_" in told)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""`try_kernel`: compiles a C file, checks it on a grid of cases in a process of its own, and times it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.arrays import float_type
from pybackprop.lab import cases, compare, compiler, findings, peers, timing
from pybackprop.lab.checker import Checker
from pybackprop.lab.findings import Finding
from pybackprop.lab.folder import temporary
from pybackprop.lab.operation import Operation
from pybackprop.lab.operations import operation
from pybackprop.lab.process import LIMIT, KernelError, Process, RequestError
from pybackprop.lab.result import Trial
from pybackprop.lab.roofline.trial import KERNEL, with_roof
from pybackprop.lab.timing import Entrant, Race

ROUNDS = 7


def try_kernel(
    source: str | Path,
    op: str = "matmul",
    *,
    dtype: str = "float32",
    cflags: str = "",
    sanitize: bool = False,
    size: tuple[int, ...] | None = None,
    threads: int = 1,
    limit: float = LIMIT,
    timed: bool = True,
    turn: Callable[[str], Any] = lambda text: None,
) -> Trial:
    """Compiles a kernel with the system's compiler, checks it against the definition, and times it beside ours.

    source    a C file, or its text; op: what it computes: matmul, linear_forward, linear_backward_x,
              linear_backward_w, relu or mse. It has a C function of that name, as `pybackprop lab new` writes it
    cflags    more flags for the compiler; sanitize: check under AddressSanitizer, and do not time
    size      to time, one number or one for each size; threads: to time with; timed: False only checks
    limit     seconds that a call may take
    turn      is called with the name of what begins

    The kernel runs in a process of its own: whatever it does is found and reported, and harms nothing here.
    Raises CompilerError (a RuntimeError) if there is no compiler, ValueError for an unknown operation, dtype or a size
    that it does not have, OutOfMemoryError for sizes that do not fit, OSError for a file that cannot be read or if
    there is no place for temporary files.
    """
    known, dtype = operation(op), float_type(dtype).name
    sizes = known.named(size if size is not None else known.usual)
    timing.check_memory(known, sizes, dtype, 1 + len(peers.installed()))
    text = _text(source)
    name = str(source) if isinstance(source, Path) or not _is_text(source) else f"{known.name}.c"
    with temporary() as folder:
        attempt = _Attempt(known, dtype, Trial(known.name, dtype, name), folder, limit, turn)
        attempt.file(name, text, shlex.split(cflags), sanitize)
        if timed and not sanitize and attempt.trial.is_within_rounding:
            attempt.time(sizes, threads)
    return attempt.trial


def _is_text(source: str | Path) -> bool:
    return isinstance(source, str) and ("\n" in source or "{" in source)


def _text(source: str | Path) -> str:
    return str(source) if _is_text(source) else Path(source).read_text("utf-8", errors="surrogateescape")


@dataclass
class _Attempt:
    """A trial in progress. folder: for temporary files."""

    op: Operation
    dtype: str
    trial: Trial
    folder: Path
    limit: float
    turn: Callable[[str], Any]

    def file(self, name: str, text: str, flags: list[str], sanitize: bool) -> None:
        """Compiles the text and checks what it makes."""
        self.turn("compiling")
        cc = compiler.find()
        here = Path(name).resolve().parent
        shown = Path(name).name.replace("\\", "\\\\").replace('"', '\\"')
        source = self.folder / f"{self.op.name}.c"
        source.write_text(f'#line 1 "{shown}"\n{text}', "utf-8", errors="surrogateescape")
        flags = [f"-I{here}", *flags] if '#include "' in text else flags
        self.trial.command = shlex.join([*cc.line(flags, sanitize), Path(name).name])
        try:
            cc.library(source, self.library, flags, sanitize)
            self._signature(cc, source, flags)
            cc.library(Path(__file__).with_name("harness.c"), self.harness)
        except compiler.RejectedError as error:
            self.trial.findings.append(Finding(findings.COMPILE_ERROR, str(error).replace(str(source), name)))
        if self.trial.ok:
            preload = cc.runtime() if sanitize else None
            self.turn("checking")
            Checker(self.op, self.dtype, self.trial, self.folder, self.limit).run(self.library, self.harness, preload)

    def _is_right(self, race: Race, save: Path, at: str) -> bool:
        """Compares the results on the sizes to time with those of the library, whose bits are the definition's."""
        inputs = cases.timed_inputs(self.op, race.sizes, self.dtype)
        expected = timing.expected(race)
        with np.load(save) as file:
            difference = compare.difference(self.op, inputs, race.sizes, dict(file), expected)
        known = {finding.kind for finding in self.trial.findings}
        if difference is not None and difference.kind not in known:
            self.trial.findings.append(Finding(difference.kind, difference.text, at))
        return difference is None or difference.kind in findings.WITHIN_ROUNDING

    @property
    def library(self) -> Path:
        return self.folder / "kernel.so"

    @property
    def harness(self) -> Path:
        return self.folder / "harness.so"

    def _signature(self, cc: compiler.Compiler, source: Path, flags: list[str]) -> None:
        """Notes a function that is declared otherwise: a library does not know the types of its functions."""
        said = ""
        for const in ("const ", ""):
            text = f'#include <stddef.h>\n#include "{source.name}"\n{self.op.prototype(self.dtype, const)}\n'
            try:
                cc.accepts(text, self.folder, ["-w", *flags])
                return
            except compiler.RejectedError as error:
                said = said or str(error)
        lines = [line for line in said.splitlines() if "error:" in line or "note:" in line]
        expected = f"expected {self.op.prototype(self.dtype)}\n"
        self.trial.findings.append(Finding(findings.WRONG_SIGNATURE, expected + "\n".join(lines)))

    def time(self, sizes: dict[str, int], threads: int) -> None:
        """Checks the kernel on the sizes to time, then times it and the peers in turns."""
        race = Race(self.op, sizes, self.dtype, threads)
        with ExitStack() as started:
            kernel = started.enter_context(Process(threads, threads, self.folder))
            self.turn("timing")
            at = f"{', '.join(f'{name}={size}' for name, size in sizes.items())}, the sizes to time"
            try:
                kernel.ask(
                    "open",
                    operation=self.op.name,
                    dtype=self.dtype,
                    library=str(self.library),
                    harness=str(self.harness),
                )
                save = self.folder / "results.npz"
                answer = kernel.ask("prepare", timing.PATIENCE, at, name=KERNEL, save=str(save), **race.request())
            except (KernelError, RequestError) as error:
                kind = error.finding if isinstance(error, KernelError) else Finding(findings.CRASH, str(error))
                self.trial.findings.append(kind)
                return
            if not self._is_right(race, save, at):
                return
            others = timing.entered(race, peers.installed(), self.folder, started)
            race.run([Entrant(KERNEL, kernel, answer["calls"]), *others], ROUNDS, self.folder, self.turn)
        self.trial.timing = with_roof(race.to_dict(), self.turn)

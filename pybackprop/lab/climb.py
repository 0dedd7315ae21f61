"""`lab ladder`: compiles the rungs, checks each against the definition, and times them beside ours and numpy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.bench.processes import cores
from pybackprop.lab import compare, compiler, peers, timing
from pybackprop.lab.checker import Checker
from pybackprop.lab.findings import Finding
from pybackprop.lab.folder import temporary
from pybackprop.lab.ladders import FOLDER, ZEROS, Ladder, Rung, Tile
from pybackprop.lab.process import KernelError, Process, RequestError
from pybackprop.lab.result import Trial
from pybackprop.lab.timing import Entrant, Race

ROUNDS = 5
TILES = (("__AVX512F__", Tile(12, 16)), ("__FMA__", Tile(6, 8)), ("", Tile(6, 4)))  # as in rungs/vectors.h


@dataclass
class Climb:
    """A ladder in progress. folder: for what is compiled; turn: called with what begins; flags: of all rungs."""

    ladder: Ladder
    sizes: dict[str, int]
    threads: int
    folder: Path
    turn: Callable[[str], Any]
    flags: tuple[str, ...] = ()

    def compiled(self, cc: compiler.Compiler) -> dict[str, str]:
        """The rungs' libraries, and for those that the compiler rejects the reason, by their names."""
        with ThreadPoolExecutor(cores()) as pool:
            reasons = pool.map(lambda rung: self._compile(cc, rung), self.ladder.rungs)
            return {rung.name: why for rung, why in zip(self.ladder.rungs, reasons, strict=True)}

    def _compile(self, cc: compiler.Compiler, rung: Rung) -> str:
        flags = [f'-DRUNG="{rung.file}"', *rung.flags, *self.flags]
        try:
            cc.library(FOLDER / self.ladder.wrapper, self.library(rung.name), flags)
        except compiler.RejectedError as error:
            return str(error)
        return ""

    def library(self, name: str) -> Path:
        """Where a rung's library is."""
        return self.folder / f"{name}.so"

    def check(self, rung: Rung, process: Process) -> list[Finding]:
        """What is wrong with a rung on the grid of cases, in a process in which it is the kernel."""
        trial = Trial(self.ladder.op.name, "float32", rung.file)
        Checker(self.ladder.op, "float32", trial, self.folder, timing.PATIENCE).on(process, self.library(rung.name))
        return trial.findings

    def prepared(self, rung: Rung, process: Process, race: Race, expected: dict[str, Any]) -> Entrant:
        """Loads a rung, calls it once on the data to time, and compares its bits."""
        opened = {"operation": race.op.name, "dtype": race.dtype, "library": str(self.library(rung.name))}
        save = self.folder / "results.npz"
        try:
            process.ask("open", timing.PATIENCE, name=rung.name, **opened)
        except (KernelError, RequestError) as error:
            return Entrant(rung.name, process, why=str(error))
        entrant = timing.prepared(rung.name, process, save=str(save), **race.request())
        if entrant.why:
            return entrant
        with np.load(save) as file:
            unequal = [name for name in expected if compare.different(file[name], expected[name]).any()]
        return replace(entrant, why=f"{', '.join(unequal)} differs from the definition" if unequal else "")


def climb(
    ladder: Ladder,
    size: tuple[int, ...] | None = None,
    threads: int | None = None,
    rounds: int = ROUNDS,
    turn: Callable[[str], Any] = lambda text: None,
) -> dict[str, Any]:
    """The report of a ladder: every rung with its times, and the library's own kernel and numpy's at the top.

    Raises CompilerError (a RuntimeError) without a compiler, ValueError for sizes that the operation does not have,
    OutOfMemoryError for those that do not fit.
    """
    sizes = ladder.op.named(size if size is not None else ladder.op.ladder)
    names = [name for name in peers.installed() if name != "torch"]
    timing.check_memory(ladder.op, sizes, "float32", len(ladder.rungs) + len(names))
    race = Race(ladder.op, sizes, "float32", threads or min(2, cores()), ZEROS)
    with temporary() as folder, ExitStack() as started:
        this = Climb(ladder, sizes, race.threads, folder, turn)
        turn("compiling")
        cc = compiler.find()
        rejected = this.compiled(cc)
        rungs = [rung for rung in ladder.rungs if not rejected[rung.name]]
        checks = started.enter_context(Process(race.threads, None, this.folder))
        wrong = {rung.name: _turned(this, rung, checks) for rung in rungs}
        process = started.enter_context(Process(race.threads, race.threads, this.folder))
        expected = timing.expected(race)
        entrants = [
            Entrant(rung.name, process, why=rejected[rung.name])
            if rejected[rung.name]
            else this.prepared(rung, process, race, expected)
            for rung in ladder.rungs
        ]
        race.run([*entrants, *timing.entered(race, names, folder, started)], rounds, folder, turn)
    tile = next(tile for macro, tile in TILES if macro in cc.macros())
    return _report(ladder, race, cc, tile, wrong)


def _turned(this: Climb, rung: Rung, process: Process) -> list[Finding]:
    this.turn(f"checking {rung.name}")
    return this.check(rung, process)


def _report(
    ladder: Ladder, race: Race, cc: compiler.Compiler, tile: Tile, wrong: dict[str, list[Finding]]
) -> dict[str, Any]:
    report = race.to_dict()
    engines = report.pop("engines")
    rows = [*_rungs(ladder, report, engines, tile, wrong)]
    rows += [{"name": name, "rung": False, **times} for name, times in engines.items()]
    return {
        "ladder": ladder.name,
        "equation": ladder.op.equation,
        "compiler": " ".join(cc.line()),
        **report,
        "rungs": rows,
    }


def _rungs(
    ladder: Ladder, report: dict[str, Any], engines: dict[str, Any], tile: Tile, wrong: dict[str, list[Finding]]
) -> Iterator[dict[str, Any]]:
    before = None
    for rung in ladder.rungs:
        row = {"name": rung.name, "rung": True, "about": rung.why, "flags": [*rung.flags], **engines.pop(rung.name)}
        row["moved"] = round(rung.moves(tile) * report["flops"] / 2)
        row["wrong"] = [str(finding) for finding in wrong.get(rung.name, [])]
        row["bit_equal"] = "median" in row and not row["wrong"]
        row["speedup"] = before / row["median"] if before and "median" in row else None
        before = row.get("median", before)
        yield row


def is_right(report: dict[str, Any]) -> bool:
    """Whether every rung has the definition's bits."""
    return all(row["bit_equal"] for row in report["rungs"] if row["rung"])

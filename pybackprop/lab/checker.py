"""Checks a compiled kernel on every case, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pybackprop.bench.processes import cores
from pybackprop.core.arrays import Array
from pybackprop.lab import cases, compare, diagnosis, findings
from pybackprop.lab.cases import Case
from pybackprop.lab.findings import Finding
from pybackprop.lab.memory import END, HEAP, SECOND, START
from pybackprop.lab.operation import Operation
from pybackprop.lab.process import KernelError, Process
from pybackprop.lab.result import Trial

REPEATS, PATIENCE = 30, 2.0  # calls on the same inputs, whose results must be the same, while so many seconds pass
THREADS = 4  # at least, so that threads meet
# what the results of a race may look like
OF_A_RACE = (findings.WRONG, findings.NOT_WRITTEN, findings.READS_OUTPUT, *findings.WITHIN_ROUNDING)
LOST_ZERO = (
    "right but for the sign of zeros: a sum of negative products that underflow ends at -0, and the definition adds 0 "
    "at the end of each, which makes it +0: write acc + 0"
)
Results = Mapping[str, Array]


class Checker:
    """Notes in a trial what a kernel does wrong: the first of each kind."""

    def __init__(self, op: Operation, dtype: str, trial: Trial, folder: Path, limit: float) -> None:
        self.op, self.dtype, self.trial, self.folder, self.limit = op, dtype, trial, folder, limit
        self.counts: dict[str, set[str]] = {}  # of each kind: with which cases
        self.rounded: tuple[int, Case, Array] | None = None  # the largest case that differs in its last bits

    def run(self, library: Path, harness: Path, preload: Path | None) -> None:
        """All cases in a process of its own; preload: a sanitizer's library."""
        with Process(max(THREADS, cores()), None, self.folder, preload) as process:
            self.on(process, library, None if preload else harness, (HEAP, HEAP) if preload else (END, START))

    def on(
        self, process: Process, library: Path, harness: Path | None = None, places: tuple[str, str] = (END, START)
    ) -> None:
        """All cases, with arrays at the end and at the start of guarded memory; under a sanitizer on the heap."""
        self.places = places
        try:
            self._open(process, library, harness)
            if self.trial.ok:
                self._all(process)
        except KernelError as error:
            self._note(error.finding)
        self._sum_up()

    def _open(self, process: Process, library: Path, harness: Path | None) -> None:
        more = {} if harness is None else {"harness": str(harness)}
        answer = process.ask(
            "open",
            self.limit,
            "while it was loaded",
            library=str(library),
            operation=self.op.name,
            dtype=self.dtype,
            **more,
        )
        if "failed" in answer:
            self._note(Finding(findings.NOT_LOADED, answer["failed"]))
        elif answer["missing"]:
            text = (
                f"the file has no function {self.op.name} that is not static; expected {self.op.prototype(self.dtype)}"
            )
            self._note(Finding(findings.MISSING_FUNCTION, text))
        self._printed(process, "while it was loaded")

    def _all(self, process: Process) -> None:
        largest, most = None, -1
        for case in cases.cases(self.op, self.dtype):
            self._case(process, case)
            self.trial.cases += 1
            if self.op.flops(case.sizes) > most:
                largest, most = case, self.op.flops(case.sizes)
        if largest is not None and findings.RACE not in self.counts and self._varies(process, largest):
            self._race(largest)

    def _case(self, process: Process, case: Case) -> None:
        inputs = cases.inputs(self.op, case)
        expected = self.op.expected(inputs, case.sizes, self.dtype)
        found = [self._called(process, case, place, fill) for fill, place in enumerate(self.places)]
        differences = [compare.difference(self.op, inputs, case.sizes, results, expected) for results in found]
        for difference, results in zip(differences, found, strict=True):
            if difference is not None:
                self._differs(process, case, difference, results, _reads_output(*found))
                return

    def _called(self, process: Process, case: Case, place: str, fill: int, times: int = 1) -> Results:
        save = self.folder / "results.npz"
        answer = process.ask(
            "check",
            self.limit + (PATIENCE if times > 1 else 0),
            str(case),
            case=case.to_dict(),
            place=place,
            fill=fill,
            times=times,
            seconds=PATIENCE,
            save=str(save),
        )
        self.different = answer["results"]
        for name in answer["damaged"]:
            text = f"memory beside {name} was overwritten"
            self._note(Finding(findings.OUT_OF_BOUNDS_WRITE, text, str(case)))
        if answer["forked"]:
            raise KernelError(Finding(findings.FORKS, "it made another process, and was stopped", str(case)))
        if answer["flushes"]:
            text = "subnormal numbers are zero since it was loaded or called: leave -ffast-math and -Ofast out"
            self._note(Finding(findings.ARITHMETIC, text, str(case)))
        self._printed(process, str(case))
        with np.load(save) as file:
            return dict(file)

    def _differs(
        self, process: Process, case: Case, difference: compare.Difference, found: Results, reads_output: bool
    ) -> None:
        if findings.RACE in self.counts:
            return
        if difference.kind in OF_A_RACE and difference.kind not in self.counts and self._varies(process, case):
            self._race(case)
            return
        if difference.kind in (findings.WRONG, findings.NOT_WRITTEN) and reads_output:
            text = f"the result depends on what the output held before, or on where it lies; {difference.text}"
            self._note(Finding(findings.READS_OUTPUT, text, str(case)))
            return
        text = difference.text
        if difference.kind == findings.NOT_WRITTEN:
            text = f"some of the output still holds what it held before the call: {text}"
        if difference.kind == findings.ROUNDING:
            self.trial.ulps = max(self.trial.ulps, difference.ulps)
            self.trial.relative = max(self.trial.relative, difference.relative)
            self._remember(case, found)
        self._note(Finding(difference.kind, text, str(case)))

    def _varies(self, process: Process, case: Case) -> bool:
        """Whether the same call gives several results."""
        self._called(process, case, self.places[0], 0, REPEATS)
        return bool(self.different > 1)

    def _race(self, case: Case) -> None:
        text = (
            f"calls on the same inputs gave {self.different} different results: threads write to the same "
            "elements, or memory is read before it is written"
        )
        self._note(Finding(findings.RACE, text, str(case)))

    def _printed(self, process: Process, case: str) -> None:
        text = process.printed().strip()
        if text:
            self._note(Finding(findings.PRINTS, f"it printed {text[:200]!r}", case))

    def _note(self, finding: Finding) -> None:
        """Keeps the first finding of a kind, and counts the others."""
        if finding.kind not in self.counts:
            self.trial.findings.append(finding)
        self.counts.setdefault(finding.kind, set()).add(finding.case)

    def _remember(self, case: Case, found: Results) -> None:
        work = self.op.flops(case.sizes)
        if case.values == cases.RANDOM and (self.rounded is None or work > self.rounded[0]):
            self.rounded = work, case, found[self.op.outputs[0].name]

    def _sum_up(self) -> None:
        """Says of each kind in how many cases it was found, and how sums that differ in rounding were added."""
        if findings.RACE in self.counts:
            self.trial.findings[:] = [each for each in self.trial.findings if each.kind not in OF_A_RACE]
        for number, finding in enumerate(self.trial.findings):
            text, count = finding.text, len(self.counts[finding.kind])
            if finding.kind == findings.ROUNDING:
                text = self._rounding(text)
            elif finding.kind == findings.SIGN_OF_ZERO:
                text = f"{LOST_ZERO}; {text}"
            if count > 1:
                text += f"; so in {count} cases"
            self.trial.findings[number] = replace(finding, text=text)

    def _rounding(self, text: str) -> str:
        reason = ""
        if self.rounded is not None:
            _, case, found = self.rounded
            reason = diagnosis.order(self.op, cases.inputs(self.op, case), found)
        bounds = f"within {self.trial.ulps} ulps and {self.trial.relative:.1e} of the sum of magnitudes"
        return f"right but for the last bits, {bounds}{'; ' if reason else ''}{reason}; {text}"


def _reads_output(first: Results, second: Results) -> bool:
    """Whether two calls differ in an element that was written; outputs held different numbers before them."""
    for name, one in first.items():
        unwritten = compare.untouched(one) & (second[name] == SECOND)
        if (compare.different(one, second[name]) & ~unwritten).any():
            return True
    return False

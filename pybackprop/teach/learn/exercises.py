"""The series of exercises: each answer is judged, and progress is kept in a file."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pybackprop.core.printable import printable
from pybackprop.teach.formula.errors import FormulaError, no_formula
from pybackprop.teach.formula.evaluate import evaluate, listed
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.hints import ROLES, general_hint, solution_of, words_of
from pybackprop.teach.judge.judge import judge_question
from pybackprop.teach.judge.proposal import Proposal
from pybackprop.teach.judge.question import Question
from pybackprop.teach.judge.verdict import Verdict
from pybackprop.teach.learn.progress import Progress, default_place
from pybackprop.teach.learn.steps import STEPS, Step, question_for
from pybackprop.teach.render.width import text_width

__all__ = ["Exercises", "exercises"]

HELP = """\
Answer with a formula, e.g. x.T @ dz. Or:
  hint       one more hint                 ? FORMULA  the numbers of any formula, e.g. ? x.T
  solution   the solution                  names      the names you can use, with shapes
  next back  another exercise              steps      all exercises      restart  from the first
  help       this text                     quit       stop and keep your progress (or Ctrl-D)"""


class Exercises:
    """The exercises, from one element to the whole network. In a notebook it shows the current exercise.

    step      the current exercise
    question  its question
    done      the names of the exercises that were answered correctly, in the order of the series
    finished  whether all exercises are done
    last      the verdict on the last wrong answer to this exercise, or None
    tries     the number of answers to this exercise so far
    """

    tries: int
    index: int
    shown: int

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tries = 0
        self.shown = 0  # hints of the last wrong answer that were shown
        self.last: Verdict | None = None
        names = [step.name for step in STEPS]
        self.index = names.index(progress.at) if progress.at in names else 0

    # ---- where we are ----

    @property
    def step(self) -> Step:
        """The current exercise."""
        return STEPS[self.index]

    @property
    def question(self) -> Question:
        """Its question: the gradient asked for, the available names and their numbers."""
        return question_for(self.step.name)

    @property
    def done(self) -> list[str]:
        """The names of the exercises that were answered correctly, in the order of the series."""
        return [step.name for step in STEPS if step.name in self.progress.done]

    @property
    def finished(self) -> bool:
        """Whether all exercises are done."""
        return len(self.done) == len(STEPS)

    def goto(self, number: int) -> None:
        """Goes to an exercise by its number, counted from 1. Raises ValueError if there is no such exercise."""
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(STEPS):
            raise ValueError(f"exercises: found {number!r}, expected a number from 1 to {len(STEPS)}")
        self.index, self.tries, self.shown, self.last = number - 1, 0, 0, None
        self._keep()

    def restart(self) -> None:
        """Deletes all progress, in the file too, and goes to the first exercise."""
        self.progress.done = []
        self.goto(1)

    # ---- answers ----

    def answer(self, proposal: Any) -> Verdict:
        """Judges an answer; after a right one, moves to the next exercise that is not done.

        proposal  a formula, a function or an array, as for judge

        Raises FormulaError (a ValueError) for text that is not a formula over the available names, TypeError for
        anything else that is not a proposal.
        """
        verdict = judge_question(self.question, proposal)
        self.last, self.tries = verdict, self.tries + 1
        if verdict.ok:
            self._passed()
        return verdict

    def _passed(self) -> None:
        if self.step.name not in self.progress.done:
            self.progress.done.append(self.step.name)
        self.tries, self.shown, self.last = 0, 0, None
        self.index = self._next_open()
        self._keep()

    def _next_open(self) -> int:
        order = [*range(self.index + 1, len(STEPS)), *range(self.index)]
        return next((k for k in order if STEPS[k].name not in self.progress.done), self.index)

    def hint(self) -> str:
        """The next hint, from general to particular; after a wrong answer, about that answer. The last is repeated."""
        general = general_hint(self.question, words_of(self.question))
        hints = self.last.hints if self.last is not None else tuple(general)
        self.shown = min(self.shown + 1, len(hints))
        return hints[self.shown - 1]

    def solution(self) -> str:
        """The right formula of this exercise, and why it is right."""
        return solution_of(self.question, Proposal(""))

    def _keep(self) -> None:
        self.progress.at = self.step.name
        self.progress.write()

    # ---- what is shown ----

    def __str__(self) -> str:
        head = f"{self.index + 1}/{len(STEPS)}  {self.step.title}" + ("  (done)" if self._is_done(self.step) else "")
        return "\n".join([head, textwrap.fill(self.step.text, text_width()), _filled(f"You can use: {self._names()}")])

    def _names(self) -> str:
        """The available names; for a question about one operation, those of its operands and result."""
        question, arrays = self.question, self.question.samples[0].arrays
        if self.step.right is not None:
            return listed(arrays)
        own = {*ROLES, "n", "m", "h", "size"} & question.roles.keys()
        return listed({name: arrays[name] for name in question.names if name in own & arrays.keys()})

    def _is_done(self, step: Step) -> bool:
        return step.name in self.progress.done

    def _repr_html_(self) -> str:
        title, *rest = str(self).splitlines()
        return f"<h4>{html.escape(title)}</h4><p>{html.escape(' '.join(rest[:-1]))}</p><p>{html.escape(rest[-1])}</p>"

    def overview(self) -> str:
        """All exercises, with an x at those that are done and an arrow at the current one."""
        lines = []
        for k, step in enumerate(STEPS):
            mark = "x" if self._is_done(step) else " "
            lines.append(f"{'>' if k == self.index else ' '} [{mark}] {k + 1:2}  {step.title}")
        return "\n".join(lines)

    # ---- in a terminal ----

    def run(self, read: Callable[[str], str] = input, write: Callable[[str], None] = print) -> bool:
        """Asks in a terminal until all exercises are done or the learner quits. Returns whether all are done.

        read, write: functions like input and print. Ctrl-D quits, Ctrl-C raises KeyboardInterrupt.
        """
        write(_filled(f"pybackprop: from one element to the whole network. Type help for the commands.\n\n{self}"))
        self._say_trouble(write)
        while True:
            try:
                line = read("> ").strip()
            except EOFError:
                write("")
                break
            if line.lower() in ("quit", "exit", "q"):
                break
            if line and self._line(line, write) and self.finished:
                write(f"\nAll done: {len(STEPS)} of {len(STEPS)}. You can derive a backward pass by hand.")
                return True
        write(self.so_far())
        return self.finished

    def so_far(self) -> str:
        """How many exercises are done, and how to go on if some are not."""
        done = f"{len(self.done)} of {len(STEPS)} done"
        return f"All done: {len(STEPS)} of {len(STEPS)}." if self.finished else f"{done}; to go on: pybackprop learn"

    def _line(self, line: str, write: Callable[[str], None]) -> bool:
        """Handles one typed line. Returns whether it was a right answer."""
        command = line.lower()
        if line.startswith("?"):
            self._compute(line[1:], write)
        elif command in ("next", "skip", "back"):
            self.goto((self.index + (-1 if command == "back" else 1)) % len(STEPS) + 1)
            write(f"\n{self}")
        elif command == "restart":
            self.restart()
            write(f"\n{self}")
        elif command in ("hint", "solution", "steps", "help", "names"):
            words = {"hint": self.hint, "solution": self.solution, "steps": self.overview, "names": self._shapes}
            write(textwrap.indent(_filled(words[command]() if command in words else HELP), "  "))
        else:
            return self._answered(line, write)
        self._say_trouble(write)
        return False

    def _answered(self, line: str, write: Callable[[str], None]) -> bool:
        try:
            verdict = self.answer(line)
        except FormulaError as error:
            write(textwrap.indent(filled_message(no_formula(line) + str(error)), "  "))
            return False
        if verdict.ok:
            write(textwrap.indent(_filled(verdict.summary), "  ") + ("" if self.finished else f"\n\n{self}"))
        else:
            self.shown = min(max(self.shown, self.tries), len(verdict.hints))
            name = f"  [{verdict.mistake}]" if verdict.mistake else ""
            hints = [_filled(hint) for hint in verdict.hints[: self.shown]]
            fault = [_filled(verdict.error)] if verdict.error else []
            write(textwrap.indent("\n".join([_filled(verdict.summary + name), *fault, *hints]), "  "))
        self._say_trouble(write)
        return verdict.ok

    def _compute(self, text: str, write: Callable[[str], None]) -> None:
        try:
            sample = self.question.samples[0]
            numbers = evaluate(parse(text), sample.arrays, self.question.letters).array
            write(textwrap.indent(np.array2string(numbers, precision=4, suppress_small=True), "  "))
        except FormulaError as error:
            write(textwrap.indent(filled_message(str(error)), "  "))

    def _shapes(self) -> str:
        arrays = self.question.samples[0].arrays
        return "\n".join(f"{name:<8} {arrays[name].shape}" for name in arrays if name.isidentifier())

    def _say_trouble(self, write: Callable[[str], None]) -> None:
        if self.progress.trouble:
            write(f"({printable(self.progress.trouble)})")
            self.progress.trouble = None


def _filled(text: str) -> str:
    width = text_width() - 2
    return "\n".join(
        textwrap.fill(line, width, break_on_hyphens=False) if len(line) > width else line for line in text.splitlines()
    )


def filled_message(text: str) -> str:
    """An error's message, wrapped; the lines below it, which point at a place in a formula, are left as they are."""
    message, *excerpt = text.splitlines() or [""]
    return "\n".join([_filled(message), *excerpt])


def exercises(progress: Any = None) -> Exercises:
    """The series of exercises, from one element to the whole network, where the learner left off.

    progress  the path of the file that keeps the progress; by default exercises.json in $XDG_STATE_HOME/pybackprop
              or ~/.local/state/pybackprop. A damaged file is renamed, and the series starts from the beginning

        lesson = bp.exercises()
        lesson                                # in a notebook: shows the exercise
        lesson.answer("x.T @ dz")             # judged; after a right answer, the next exercise
        lesson.hint()
    """
    return Exercises(Progress(default_place() if progress is None else Path(progress).expanduser()))

"""Recognise: which of the mistakes a wrong answer is, by its numbers on several samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.canonical import canonical
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import Value, evaluate
from pybackprop.teach.formula.grammar import Formula
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.mistakes import mistakes_of
from pybackprop.teach.judge.mistakes_patterns import close
from pybackprop.teach.judge.question import Question, Sample


@dataclass(frozen=True)
class Attempt:
    """What a proposal gave on one sample: its numbers, or why there are none."""

    sample: Sample
    value: Array | None
    error: str = ""
    slack: float = 50.0  # how much of the largest scale may be in it as roundings of other operations
    products: dict[str, Value] = field(default_factory=dict)  # of the sample's roles, by their text

    def wrong(self) -> Array | None:
        """Where it is wrong; None if it has no numbers, or not the right shape."""
        right, scale = self.sample.right, self.sample.scale
        if self.value is None or self.value.shape != right.shape:
            return None
        with np.errstate(all="ignore"):
            finite = scale[np.isfinite(scale)]
            slack = self.slack * finite.max(initial=0)
            limit = np.finfo(right.dtype).eps * (8 * scale + slack)
            same = (np.abs(self.value - right) <= limit) | (self.value == right)
        return np.asarray(~(same | (np.isnan(self.value) & np.isnan(right))))

    @cached_property
    def is_right(self) -> bool:
        wrong = self.wrong()
        return wrong is not None and not wrong.any()


@dataclass(frozen=True)
class Found:
    """A mistake that was recognised, the formula that agreed, and the factor in it if it has one."""

    mistake: Mistake
    formula: Formula | None
    factor: float = 1.0


def recognise(question: Question, attempts: Sequence[Attempt], proposal: Formula | None) -> Found | None:
    """The mistake whose numbers are those of the attempts wherever they have numbers; None if there is none."""
    seen = _telling([attempt for attempt in attempts[1:] if attempt.value is not None])
    seen = seen or _telling([attempt for attempt in attempts if attempt.value is not None])
    if not seen:
        return None
    found = [
        match
        for mistake in (*question.mistakes, *mistakes_of(question.kind.name))
        if (match := _match(question, seen, mistake)) is not None
    ]
    if not found or found[0].formula is None:
        return found[0] if found else None
    spelled = [match for match in found if proposal and match.formula and _same(question, proposal, match.formula)]
    return [*spelled, *found][0]


def _telling(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """Attempts that can tell mistakes apart; none if all of them are right.

    The other networks tell best: they are small, in float64, and nobody chose their numbers.
    """
    return [] if all(attempt.is_right for attempt in attempts) else attempts


def _match(question: Question, seen: Sequence[Attempt], mistake: Mistake) -> Found | None:
    if mistake.fits is not None:
        return _fits(question, seen, mistake)
    for formula in mistake.parsed(question.kind.name):
        if _agrees_everywhere(seen, formula):
            return Found(mistake, formula)
    return None


def _agrees_everywhere(seen: Sequence[Attempt], formula: Formula) -> bool:
    told = False
    for attempt in seen:
        agrees = _agrees(attempt, formula)
        if agrees is False:
            return False
        told = told or (agrees is True and not attempt.is_right)
    return told


def _agrees(attempt: Attempt, formula: Formula) -> bool | None:
    """Whether a mistake's formula gives these numbers; None where a name in it has none on this sample."""
    sample = attempt.sample
    if not set(formula.names) <= sample.roles.keys():
        return None
    try:
        value = evaluate(formula, sample.roles, products=attempt.products).array
    except FormulaError:
        return False
    return close(np.asarray(attempt.value), np.asarray(value, sample.right.dtype))


def _fits(question: Question, seen: Sequence[Attempt], mistake: Mistake) -> Found | None:
    factors = []
    for attempt in seen:
        sample = attempt.sample
        value = np.asarray(attempt.value, sample.right.dtype)
        with np.errstate(all="ignore"):
            factor = mistake.fits(question.kind, sample.roles, sample.right, value)  # type: ignore[misc]
        if factor is None and not _dead(attempt):
            return None
        factors += [] if factor is None else [factor]
    differ = len(factors) > 1 and not np.allclose(factors, factors[0], rtol=1e-3)
    return Found(mistake, None, factors[-1]) if factors and differ == mistake.varies else None


def _dead(attempt: Attempt) -> bool:
    """Whether a sample tells nothing: the right answer is 0 everywhere, and so is the proposal."""
    return attempt.is_right and not attempt.sample.right.any()


def _same(question: Question, proposal: Formula, formula: Formula) -> bool:
    return canonical(proposal, _in(question.names)) == canonical(formula, _in(question.roles))


def _in(names: dict[str, tuple[object, ...]]) -> Callable[[str], object]:
    return lambda name: names.get(name, name)

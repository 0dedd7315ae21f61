"""A typical wrong answer to a kind of question, and what it computes instead.

A mistake is recognised by its numbers: its formula is computed on the same numbers as the proposal, on several
shapes, and must agree everywhere. If two mistakes always give the same numbers, the spelling of the formula decides;
for functions and arrays, the first in the table does (see mistakes.py). So a text says what is true of the numbers,
however they were written down; what a text says beyond that is a condition, or is found by a repair (repairs.py).
tests/teach/test_judge_truth.py checks each sentence against the numbers that it is printed for.

Collected from the lesson's forums, from questions on Stack Exchange and from corrections to published notebooks:
the second 1/n, the mask taken from the gradient, and `.sum(1)` for b are frequent in all three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.grammar import Formula, parse
from pybackprop.teach.judge import kinds
from pybackprop.teach.judge.kind import Kind
from pybackprop.teach.judge.kinds import RIGHT, B, W, X

LINEAR = (W.name, X.name, B.name)
RELU, LEAKY_RELU, MSE, TARG = kinds.RELU.name, kinds.LEAKY_RELU.name, kinds.OUT.name, kinds.TARG.name


@dataclass(frozen=True)
class Mistake:
    """One typical wrong answer.

    name      short and stable
    formulas  its formulas, by the kind of question
    says      what it computes instead, and why that is not the gradient; {x}, {dz}, {n} and so on are replaced
              by the names and sizes of the question
    fits      for a mistake that has no single formula: a function of (kind, roles, right, proposal) that gives its
              factor, or None if the proposal is not this mistake; the formulas are then examples
    holds     a condition on the network, without which the text would be false (conditions.py)
    missing   whether the text says that something is missing; it is not told of a formula that has it, and only has
              something else too many
    by_repair whether it is found by repairing the formula (repairs.py); the formulas are then examples
    """

    name: str
    formulas: Mapping[str, tuple[str, ...]]
    says: str
    fits: Callable[[Kind, Mapping[str, Array], Array, Array], float | None] | None = None
    holds: Callable[..., bool] | None = None
    missing: bool = False
    by_repair: bool = False

    def parsed(self, kind: str) -> list[Formula]:
        """The formulas for a kind of question."""
        return [_parsed(text) for text in self.formulas.get(kind, ())]


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Formula:
    return parse(text)


def changed(pattern: str, *kinds: str) -> dict[str, tuple[str, ...]]:
    """The right answer changed in the same way for each kind: '-({})'."""
    return {kind: (pattern.format(RIGHT[kind]),) for kind in kinds or RIGHT}

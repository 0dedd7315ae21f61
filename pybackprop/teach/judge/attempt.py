"""What a proposal gives on one sample, and whether that is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import Value, evaluate
from pybackprop.teach.formula.grammar import Formula
from pybackprop.teach.judge.question import Sample

SLACK = 1e4  # Attempt.slack on the other samples, which are in float64


@dataclass(frozen=True)
class Attempt:
    """The result of a proposal on one sample: its numbers, or why there are none.

    failed: whether it stopped for another reason than shapes that do not fit, so that it is neither right nor wrong
    """

    sample: Sample
    value: Array | None
    error: str = ""
    slack: float = 50.0  # tolerance for rounding in other operations, in eps of the largest scale
    products: dict[str, Value] = field(default_factory=dict)  # cache of the roles' matrix products, by their text
    failed: bool = False

    def wrong(self) -> Array | None:
        """True for each element that is wrong; None if there are no numbers, or their shape is wrong."""
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
        """Whether it has the right shape, and every element is right up to rounding."""
        wrong = self.wrong()
        return wrong is not None and not wrong.any()

    @property
    def informative(self) -> int:
        """How many of its numbers tell anything: those of a right answer that is not 0."""
        return int(np.count_nonzero(self.sample.right))


def with_formula(formula: Formula, sample: Sample, slack: float = SLACK) -> Attempt | None:
    """What a formula over the learner's names gives on a sample; None if it cannot be computed there."""
    try:
        value = evaluate(formula, sample.arrays).array
    except FormulaError:
        return None
    return Attempt(sample, np.asarray(value, sample.right.dtype), slack=slack)

"""The table of all mistakes that are recognised."""

from __future__ import annotations

from collections.abc import Iterator

from pybackprop.teach.judge.kinds import RIGHT
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.mistakes_classes import OF_BINARY, OF_CROSS_ENTROPY
from pybackprop.teach.judge.mistakes_elementwise import ELEMENTWISE
from pybackprop.teach.judge.mistakes_factors import FACTORS
from pybackprop.teach.judge.mistakes_linear import OF_LINEAR
from pybackprop.teach.judge.mistakes_patterns import BROADCAST, PATTERNS, SIZE_FACTOR
from pybackprop.teach.judge.repairs import REPAIRED
from pybackprop.teach.judge.substitutions import SUBSTITUTIONS

_TABLE = (BROADCAST, *OF_LINEAR, *ELEMENTWISE, *OF_CROSS_ENTROPY, *OF_BINARY, *FACTORS, *PATTERNS)
_OTHERS = (*SUBSTITUTIONS, *REPAIRED, SIZE_FACTOR)


def table() -> tuple[Mistake, ...]:
    """All of them, special cases before general ones."""
    return (*_TABLE, *_OTHERS)


def mistakes_of(kind: str) -> Iterator[Mistake]:
    """The mistakes for this kind of question that the numbers tell, in the order in which they are tried.

    For a kind without formulas in the table, those that are recognised without one.
    """
    return (mistake for mistake in _TABLE if kind in mistake.formulas or (mistake.fits and kind not in RIGHT))

"""The table of all mistakes that are recognised."""

from __future__ import annotations

from collections.abc import Iterator

from pybackprop.teach.judge.kinds import RIGHT
from pybackprop.teach.judge.mistake import Mistake
from pybackprop.teach.judge.mistakes_elementwise import ELEMENTWISE
from pybackprop.teach.judge.mistakes_factors import FACTORS
from pybackprop.teach.judge.mistakes_linear import OF_LINEAR
from pybackprop.teach.judge.mistakes_patterns import BROADCAST, PATTERNS

_TABLE = (BROADCAST, *OF_LINEAR, *ELEMENTWISE, *FACTORS, *PATTERNS)


def table() -> tuple[Mistake, ...]:
    """All of them, special cases before general ones."""
    return _TABLE


def mistakes_of(kind: str) -> Iterator[Mistake]:
    """The mistakes for this kind of question, in the order in which they are tried.

    For a kind without formulas in the table, those that are recognised without one.
    """
    return (mistake for mistake in _TABLE if kind in mistake.formulas or (mistake.fits and kind not in RIGHT))

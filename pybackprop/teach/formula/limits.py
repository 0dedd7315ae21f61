"""How much a formula may compute."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from pybackprop.teach.formula.errors import FormulaError, MisfitError, place, refuse
from pybackprop.teach.formula.functions import PLAIN_STEP
from pybackprop.teach.formula.grammar import Formula

LARGEST = 2**23  # numbers in one intermediate result
WORK = 2**34  # multiplications in all products together
AXES_ALLOWED = 32
STEPS = 50_000  # parts that are computed, those inside a loop once for each turn


class Limits:
    """What functions ask before they compute: see functions.Limits. Knows which node is being computed."""

    formula: Formula
    dtype: np.dtype[Any]
    work: float
    steps: int

    def __init__(self, formula: Formula, dtype: np.dtype[Any]) -> None:
        self.formula, self.dtype = formula, dtype
        self.node: ast.expr = formula.tree
        self.work, self.steps = 0.0, 0

    def no(self, node: ast.expr, words: str, kind: type[FormulaError] = MisfitError) -> NoReturn:
        refuse(self.formula.text, place(self.formula.text, node), words, kind)

    def step(self, node: ast.expr) -> None:
        self.node, self.steps = node, self.steps + 1
        if self.steps > STEPS:
            self.no(node, f"the loops take more than {STEPS:,} steps; judge it on fewer rows", FormulaError)

    def room(self, shape: Sequence[int]) -> None:
        self.spend(PLAIN_STEP * self.fits(shape))

    def fits(self, shape: Sequence[int]) -> float:
        """Refuses an array of this shape if it is too large; returns its size."""
        if len(shape) > AXES_ALLOWED:
            self.no(self.node, f"this has {len(shape)} axes; at most {AXES_ALLOWED} are allowed", FormulaError)
        size = float(np.prod([float(max(0, length)) for length in shape]))
        if size > LARGEST:
            lengths = " x ".join(map(str, shape))
            words = f"this has {lengths} = {size:,.0f} numbers; at most {LARGEST:,} are allowed"
            self.no(self.node, words, FormulaError)
        return size

    def spend(self, count: float) -> None:
        self.work += count
        if self.work > WORK:
            self.no(self.node, f"more than {WORK:,} multiplications; judge it on fewer rows", FormulaError)

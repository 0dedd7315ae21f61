"""One element of a proposal written out as a sum: the terms that its formula adds there."""

from __future__ import annotations

import ast
from typing import Any

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.allowed import COMPARISONS, whole_number
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import Value, evaluate
from pybackprop.teach.formula.grammar import Formula
from pybackprop.teach.judge.kind import At
from pybackprop.teach.judge.sums import Sum, plain, products


def added(formula: Formula, arrays: dict[str, Array], at: At) -> Sum | None:
    """The terms that a formula adds at element `at`; None if the formula cannot be computed there."""
    try:
        whole = evaluate(formula, arrays)
        if len(at) != whole.array.ndim or any(k >= length for k, length in zip(at, whole.array.shape, strict=True)):
            return None
        return _Labels(formula, arrays).sum(formula.tree, at, float(whole.array[at]))
    except (FormulaError, IndexError):
        return None


class _Labels:
    """Writes element [i,j] of a part of a formula as text."""

    def __init__(self, formula: Formula, arrays: dict[str, Array]) -> None:
        self.formula, self.arrays = formula, arrays

    def value(self, node: ast.expr) -> Value:
        return evaluate(self.formula, self.arrays, part=node)

    def sum(self, node: ast.expr, at: At, total: float) -> Sum | None:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            left, right = self.value(node.left).array, self.value(node.right).array
            if left.ndim != 2 or right.ndim != 2:
                return None
            rows = left[at[0]], right[:, at[1]]
            words = (lambda c: self.label(node.left, (at[0], c))), (lambda c: self.label(node.right, (c, at[1])))
            return products(rows[0], words[0], rows[1], words[1], total)
        called = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        if called is not None and called.attr == "sum" and isinstance(node, ast.Call):
            return self._over_axis(node, called.value, at, total)
        label = self.label(node, at)
        return Sum([label], [f"{total + 0.0:.4g}"], 1, total)

    def _over_axis(self, node: ast.Call, of: ast.expr, at: At, total: float) -> Sum | None:
        axis = whole_number(node.args[0] if node.args else None)
        inner = self.value(of).array
        if axis is None or len(node.args) != 1 or node.keywords:
            return None
        axis %= inner.ndim
        before, after = at[:axis], at[axis:]
        every: Any = (*before, slice(None), *after)
        return plain(inner[every], lambda c: self.label(of, (*before, c, *after)), total)

    def label(self, node: ast.expr, at: At) -> str:
        """Element `at` of this part, as text."""
        if isinstance(node, ast.Attribute) and node.attr == "T":
            return self.label(node.value, at[::-1])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "t":
            return self.label(node.func.value, at[::-1])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return f"{self._operand(node.left, at)}*{self._operand(node.right, at)}"
        if isinstance(node, ast.Compare):
            sign = COMPARISONS[type(node.ops[0])]
            return f"({self._operand(node.left, at)} {sign} {self._operand(node.comparators[0], at)})"
        if isinstance(node, ast.Constant):
            return self.formula.part(node)
        name = self.formula.part(node)
        index = ",".join(map(str, at))
        plain = isinstance(node, (ast.Name, ast.Attribute))
        return (name if plain else f"({name})") + (f"[{index}]" if at else "")

    def _operand(self, node: ast.expr, at: At) -> str:
        """The label of an operand, which may be broadcast: along an axis of length 1 the index is 0."""
        shape = self.value(node).array.shape
        inner = tuple(0 if length == 1 else k for k, length in zip(at[len(at) - len(shape) :], shape, strict=True))
        return self.label(node, inner)

"""A formula in a canonical spelling, so that `dz.t()` and `out.g.T`, or `a * b` and `b * a`, give the same text."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from pybackprop.teach.formula.allowed import COMPARISONS, OPERATORS
from pybackprop.teach.formula.grammar import Formula
from pybackprop.teach.formula.spellings import unparsed

UNCHANGED = "float"  # the method that does not change the numbers
MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


def canonical(formula: Formula, meaning: Callable[[str], object]) -> str:
    """The same text for any two formulas that differ only in spelling. meaning: what a name stands for."""
    return _Speller(meaning).text(formula.tree)


class _Speller:
    """Has one spelling for each kind of node that grammar.py allows."""

    def __init__(self, meaning: Callable[[str], object]) -> None:
        self.meaning = meaning

    def text(self, node: Any) -> str:
        spell = getattr(self, f"_{type(node).__name__.lower()}", None)
        return self._other(node) if spell is None else str(spell(node))

    def _other(self, node: ast.AST) -> str:
        """Lists, loops and their parts: the kind of node and what it consists of."""
        parts = [self.text(child) for child in ast.iter_child_nodes(node)]
        return f"{type(node).__name__}({', '.join(parts)})"

    def _name(self, node: ast.Name) -> str:
        return str(self.meaning(node.id))

    def _constant(self, node: ast.Constant) -> str:
        return f"{float(node.value):g}" if type(node.value) in (int, float) else repr(node.value)  # type: ignore[arg-type]

    def _attribute(self, node: ast.Attribute) -> str:
        if node.attr == "g":
            return str(self.meaning(f"{node.value.id}.g"))  # type: ignore[attr-defined]
        return self._method(node.attr, node.value)

    def _binop(self, node: ast.BinOp) -> str:
        return self._operation(OPERATORS[type(node.op)], node.left, node.right)

    def _unaryop(self, node: ast.UnaryOp) -> str:
        sign = {ast.USub: "-", ast.Invert: "~"}.get(type(node.op))
        return f"({sign}{self.text(node.operand)})" if sign else self.text(node.operand)

    def _subscript(self, node: ast.Subscript) -> str:
        return f"{self.text(node.value)}[{self.text(node.slice)}]"

    def _compare(self, node: ast.Compare) -> str:
        sign, left, right = COMPARISONS[type(node.ops[0])], self.text(node.left), self.text(node.comparators[0])
        if sign in MIRRORED and right > left:
            sign, left, right = MIRRORED[sign], right, left
        return f"({left} {sign} {right})"

    def _call(self, node: ast.Call) -> str:
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node.func, ast.Attribute):
            return self._method(node.func.attr, node.func.value, *arguments)
        return f"{unparsed(node.func)}({', '.join(map(self.text, arguments))})"

    def _method(self, name: str, of: ast.expr, *arguments: ast.expr) -> str:
        if name == UNCHANGED:
            return self.text(of)
        return f"{self.text(of)}.{name}({','.join(map(self.text, arguments))})"

    def _operation(self, sign: str, first: ast.expr, second: ast.expr) -> str:
        left, right = self.text(first), self.text(second)
        if sign in "+*":
            left, right = sorted((left, right))
        return f"({left} {sign} {right})"

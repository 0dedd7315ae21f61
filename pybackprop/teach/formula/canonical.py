"""A formula in a canonical spelling, so that `dz.t()` and `out.g.T`, or `a * b` and `b * a`, are the same text."""

from __future__ import annotations

import ast
from collections.abc import Callable

from pybackprop.teach.formula.allowed import COMPARISONS, OPERATORS
from pybackprop.teach.formula.grammar import Formula

SAME = {"float", "double", "clone"}
FLIPPED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


def canonical(formula: Formula, meaning: Callable[[str], object]) -> str:
    """A text that is the same for two formulas that differ in spelling only. meaning: what a name stands for."""

    def text(node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return str(meaning(node.id))
        if isinstance(node, ast.Constant):
            return f"{float(node.value):g}"  # type: ignore[arg-type]
        if isinstance(node, ast.Attribute):
            return str(meaning(f"{node.value.id}.g")) if node.attr == "g" else called(node.attr, node.value)  # type: ignore[attr-defined]
        if isinstance(node, ast.BinOp):
            return operation(OPERATORS[type(node.op)], text(node.left), text(node.right))
        if isinstance(node, ast.Compare):
            return comparison(COMPARISONS[type(node.ops[0])], text(node.left), text(node.comparators[0]))
        if isinstance(node, ast.UnaryOp):
            return f"(-{text(node.operand)})" if isinstance(node.op, ast.USub) else text(node.operand)
        if isinstance(node, ast.Subscript):
            return f"{text(node.value)}[{ast.unparse(node.slice)}]"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            return called(node.func.attr, node.func.value, *arguments)
        return f"{ast.unparse(node.func)}({text(node.args[0])})"  # type: ignore[attr-defined]

    def called(name: str, of: ast.expr, *arguments: ast.expr) -> str:
        if name in SAME:
            return text(of)
        if name in ("dot", "matmul"):
            return operation("@", text(of), text(arguments[0]))
        if name in ("clamp_min", "clamp") and ast.unparse(arguments[0]) in ("0", "0.0"):
            return f"relu({text(of)})"
        return f"{text(of)}.{'T' if name == 't' else name}({','.join(map(ast.unparse, arguments))})"

    def operation(sign: str, left: str, right: str) -> str:
        if sign in "+*":
            left, right = sorted((left, right))
        return f"({left} {sign} {right})"

    def comparison(sign: str, left: str, right: str) -> str:
        if sign in FLIPPED and right > left:
            sign, left, right = FLIPPED[sign], right, left
        return f"({left} {sign} {right})"

    return text(formula.tree)

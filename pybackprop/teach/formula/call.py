"""A call as it was written, and the nodes that replace it."""

from __future__ import annotations

import ast
from typing import TypeVar

Node = TypeVar("Node", bound=ast.expr)
KEYWORDS = {
    "dim": "axis",
    "dims": "axes",
    "keepdim": "keepdims",
    "a_min": "min",
    "a_max": "max",
    "input": "first",
    "other": "second",
    "exponent": "second",
}


class Given:
    """The arguments of a call as they were written: for a method, the object is the first."""

    node: ast.Call
    name: str
    arguments: list[ast.expr]
    is_method: bool
    keywords: dict[str, ast.expr]

    def __init__(self, node: ast.Call, name: str, arguments: list[ast.expr], first: bool) -> None:
        self.node, self.name, self.arguments, self.is_method = node, name, arguments, first
        self.keywords = {KEYWORDS.get(k.arg or "**", k.arg or "**"): k.value for k in node.keywords}

    def exactly(self, count: int) -> list[ast.expr] | None:
        """The arguments, if there are exactly so many and no keywords but the usual names of the first two."""
        named = [self.keywords[key] for key in ("first", "second") if key in self.keywords]
        is_plain = len(named) == len(self.keywords)
        return [*self.arguments, *named] if is_plain and len(self.arguments) + len(named) == count else None


def is_number(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool) and node.value == value


def method(operand: ast.expr, name: str) -> ast.Attribute:
    return at(operand, ast.Attribute(operand, name, ast.Load()))


def at(node: ast.expr, new: Node) -> Node:
    return ast.copy_location(new, node)

"""What a formula may consist of; every node of Python's syntax tree that is not listed here is rejected."""

from __future__ import annotations

import ast
from typing import NoReturn

from pybackprop.teach.formula.errors import place, refuse

EXPONENT = 8
INDEX = 10**9  # the largest number allowed in an index

OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**"}
COMPARISONS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}
AXIS = {"axis", "dim"}
METHODS = {  # the fewest and most arguments, and which of them may be keywords
    "t": (0, 0, set()),
    "sum": (0, 2, AXIS | {"keepdims", "keepdim"}),
    "mean": (0, 2, AXIS | {"keepdims", "keepdim"}),
    "unsqueeze": (1, 1, AXIS),
    "squeeze": (0, 1, AXIS),
    "float": (0, 0, set()),
    "double": (0, 0, set()),
    "clone": (0, 0, set()),
    "abs": (0, 0, set()),
    "pow": (1, 1, set()),
    "clamp_min": (1, 1, set()),
    "clamp": (1, 1, {"min"}),
    "dot": (1, 1, set()),
    "matmul": (1, 1, set()),
    "numel": (0, 0, set()),
}
OPERAND_METHODS = {"dot", "matmul"}
FUNCTIONS = RELU, ABS, LEN = "relu", "abs", "len"
LIBRARIES = {"np", "numpy", "torch", "bp", "tf", "jnp"}


def whole_number(node: ast.expr | None) -> int | None:
    """The value of a node such as `-1`; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = whole_number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) <= INDEX:
        return node.value
    return None


def check(text: str, tree: ast.expr) -> None:
    """Raises FormulaError for a node that a formula must not have."""
    _Check(text).visit(tree)


class _Check:
    """A walk over the tree, with a method for each kind of node that is allowed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def no(self, node: ast.expr, words: str) -> NoReturn:
        refuse(self.text, place(self.text, node), words)

    def visit(self, node: ast.expr) -> None:
        known = getattr(self, f"_{type(node).__name__.lower()}", None)
        if known is None:
            self.no(node, f"a {_kind(node)} is not allowed in a formula")
        known(node)

    def _name(self, node: ast.Name) -> None:
        if node.id in LIBRARIES:
            self.no(node, f"'{node.id}' is not needed here; write a @ b, a.T, a.sum(0), relu(a) without it")
        if node.id.startswith("_"):
            self.no(node, f"'{node.id}' is not a name you can use here")

    def _constant(self, node: ast.Constant) -> None:
        if type(node.value) not in (int, float):
            self.no(node, f"found {type(node.value).__name__}, expected a number")
        if type(node.value) is int and abs(node.value) > 10**300:
            self.no(node, "this number is too large")

    def _binop(self, node: ast.BinOp) -> None:
        if type(node.op) not in OPERATORS:
            self.no(node, f"this operator is not known here; known are {' '.join(OPERATORS.values())}")
        self.visit(node.left)
        self.visit(node.right)
        if isinstance(node.op, ast.Pow):
            self._exponent(node.right)

    def _exponent(self, node: ast.expr) -> None:
        inner = node.operand if isinstance(node, ast.UnaryOp) else node
        value = inner.value if isinstance(inner, ast.Constant) else None
        if not (type(value) in (int, float) and abs(value) <= EXPONENT):  # type: ignore[arg-type]
            self.no(node, f"an exponent must be a number from -{EXPONENT} to {EXPONENT}")

    def _unaryop(self, node: ast.UnaryOp) -> None:
        if not isinstance(node.op, (ast.USub, ast.UAdd)):
            self.no(node, "only - and + may stand before an operand; for a mask write e.g. (z <= 0)")
        self.visit(node.operand)

    def _compare(self, node: ast.Compare) -> None:
        if len(node.ops) != 1 or type(node.ops[0]) not in COMPARISONS:
            self.no(node, f"expected one comparison: {' '.join(COMPARISONS.values())}")
        self.visit(node.left)
        self.visit(node.comparators[0])

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr == "g" and not isinstance(node.value, ast.Name):
            self.no(node, "only a name has a .g, the gradient that backward stored there")
        if isinstance(node.value, ast.Name) and node.value.id in LIBRARIES:
            self.visit(node.value)
        if node.attr == "shape":
            self.no(node, "a shape is not a number; write .shape[0] or len(...)")
        if node.attr in METHODS:
            self.no(node, f"'.{node.attr}' needs brackets: .{node.attr}({'0' if METHODS[node.attr][1] else ''})")
        if node.attr not in ("T", "g", "size"):
            self.no(node, f"'.{node.attr}' is not known here; known are .g .T .size .shape[0] and {_methods()}")
        self.visit(node.value)

    def _call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            self._function(node)
        elif isinstance(node.func, ast.Attribute):
            self._method(node, node.func)
        else:
            self.no(node, "only relu(a), abs(a), len(a) and methods such as .sum(0) can be called")

    def _function(self, node: ast.Call) -> None:
        name = node.func.id  # type: ignore[attr-defined]
        if name not in FUNCTIONS:
            self.no(node, f"'{name}(...)' cannot be called here; functions are {', '.join(FUNCTIONS)}")
        if len(node.args) != 1 or node.keywords:
            self.no(node, f"{name}() takes one operand")
        self.visit(node.args[0])

    def _method(self, node: ast.Call, called: ast.Attribute) -> None:
        if isinstance(called.value, ast.Name) and called.value.id in LIBRARIES:
            self.visit(called.value)
        if called.attr not in METHODS:
            self.no(node, f"'.{called.attr}()' is not known here; known are {_methods()}")
        self.visit(called.value)
        fewest, most, named = METHODS[called.attr]
        if not fewest <= len(node.args) + len(node.keywords) <= most:
            self.no(node, f".{called.attr}() takes {most if fewest == most else f'{fewest} to {most}'} arguments")
        for keyword in node.keywords:
            if keyword.arg not in named:
                self.no(node, f".{called.attr}() has no argument '{keyword.arg}'")
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self._argument(called.attr, argument)

    def _argument(self, method: str, node: ast.expr) -> None:
        if method in OPERAND_METHODS:
            self.visit(node)
        elif method == "pow":
            self._exponent(node)
        elif not self._is_option(method, node):
            self.no(node, f".{method}() takes a number here")

    def _is_option(self, method: str, node: ast.expr) -> bool:
        value = node.value if isinstance(node, ast.Constant) else 0
        if value is None or isinstance(value, bool):
            return method in ("sum", "mean")
        return whole_number(node) is not None or (method.startswith("clamp") and type(value) is float)

    def _subscript(self, node: ast.Subscript) -> None:
        of = node.value
        if isinstance(of, ast.Attribute) and of.attr == "shape":
            if whole_number(node.slice) is None:
                self.no(node, "expected .shape[0] or .shape[1]")
            self.visit(of.value)
            return
        self.visit(of)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            bounds = [part.lower, part.upper, part.step] if isinstance(part, ast.Slice) else [part]
            for bound in bounds:
                is_none = bound is None or (isinstance(bound, ast.Constant) and bound.value is None)
                if not is_none and whole_number(bound) is None:
                    self.no(node, "an index is made of whole numbers, ':' and None, e.g. [:,0] or [:,None]")


def _kind(node: ast.expr) -> str:
    words = {"Lambda": "lambda", "IfExp": "condition", "BoolOp": "'and' or 'or'", "NamedExpr": "':='"}
    return words.get(type(node).__name__, type(node).__name__.lower())


def _methods() -> str:
    return " ".join(f".{name}()" for name in METHODS)

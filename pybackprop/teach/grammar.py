"""The grammar of a learner's formula: `x.T @ dz`, `(z > 0) * da`, `2 * (out - targ) / size`.

Python's own parser reads it, and a walk over a list of allowed nodes refuses everything else before a single
number is computed: nothing is ever handed to eval. What may be written:

    names             those that are in play, `name.g` for a gradient, numbers
    + - * / @ **      and brackets; the exponent is a number
    > >= < <= == !=   a mask of 0 and 1, to multiply with
    .T .t() .sum(axis) .mean(axis) .unsqueeze(axis) .squeeze(axis) .float() .pow(2) .abs() .clamp_min(0) .dot(b)
    [0]  [:,0]  [:,None]  [1:3]
    relu(a) abs(a) len(a) a.shape[0] a.size
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import NoReturn

from pybackprop.errors import ShapeError

LONGEST = 1000  # characters
DEEPEST = 80  # brackets in brackets, or operations in operations
EXPONENT = 8
INDEX = 10**9  # the largest number that may stand in an index

OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**"}
COMPARISONS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}
AXIS = {"axis", "dim"}
METHODS = {  # how many arguments, and which may be named
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
FUNCTIONS = ("relu", "abs", "len")
HINTS = {
    "^": "a power is **, a transpose is .T",
    "×": "* multiplies element by element, @ is the matrix product",  # noqa: RUF001
    "·": "* multiplies element by element, @ is the matrix product",
    "ᵀ": "a transpose is .T",
    "Σ": "a sum is .sum(axis)",
}
ASSIGNMENT = re.compile(r"(?<![=<>!])=(?!=)")
LIBRARIES = {"np", "numpy", "torch", "bp", "tf", "jnp"}


class FormulaError(ValueError):
    """Something that is no formula over the names in play. The message shows where, and what may stand there."""


class MisfitError(FormulaError, ShapeError):
    """A formula whose operands do not fit each other: it is read, but does not run on these shapes."""


class Formula:
    """A formula that was read and found harmless. names: those it uses, `dz` or `z.g`, in order of appearance."""

    def __init__(self, text: str, tree: ast.expr) -> None:
        self.text, self.tree = text, tree
        self.names = list(dict.fromkeys(name for name, _ in names_in(tree)))

    def part(self, node: ast.expr) -> str:
        """The text of one part."""
        return ast.get_source_segment(self.text, node) or ast.unparse(node)


def parse(text: str) -> Formula:
    """Reads a formula; computes nothing. Raises FormulaError, which points at the place."""
    if not isinstance(text, str):
        raise FormulaError(f"formula: found {type(text).__name__}, expected text such as 'x.T @ dz'")
    text = text.strip()
    _check_text(text)
    tree = _tree(text)
    _check_depth(text, tree)
    _Check(text).visit(tree)
    return Formula(text, tree)


def refuse(text: str, at: tuple[int, int] | None, words: str, kind: type[FormulaError] = FormulaError) -> NoReturn:
    """Raises an error that shows the formula and marks characters at[0] to at[1] of it."""
    if at is None:
        raise kind(f"formula: {words}")
    start, end = at
    shift = max(0, start - 40)
    shown = "".join(c if c.isprintable() else " " for c in text[shift : shift + 90])
    marks = "^" * max(1, min(end - shift, len(shown)) - (start - shift))
    raise kind(f"formula: {words}\n    {shown}\n    {' ' * (start - shift)}{marks}")


def place(text: str, node: ast.expr) -> tuple[int, int]:
    """Where in the text a node stands. Python counts bytes in a line, people count characters."""
    lines = text.splitlines(keepends=True) or [""]

    def at(line: int, column: int) -> int:
        before = sum(map(len, lines[: line - 1]))
        here = lines[line - 1].encode()[:column].decode(errors="ignore") if line <= len(lines) else ""
        return before + len(here)

    return at(node.lineno, node.col_offset), at(node.end_lineno or 1, node.end_col_offset or 0)


def whole_number(node: ast.expr | None) -> int | None:
    """The number that a node such as `-1` is; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = whole_number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) <= INDEX:
        return node.value
    return None


# ---- the text, before Python reads it ----


def _check_text(text: str) -> None:
    if not text:
        refuse(text, None, "nothing is there, expected e.g. 'x.T @ dz'")
    if len(text) > LONGEST:
        refuse(text, None, f"found {len(text)} characters, expected at most {LONGEST}")
    depth = 0
    for k, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth > DEEPEST:
            refuse(text, (k, k + 1), f"more than {DEEPEST} brackets are open here")
        if letter in HINTS:
            refuse(text, (k, k + 1), f"'{letter}' is not known here: {HINTS[letter]}")
        if depth == 0 and ASSIGNMENT.match(text, k):
            refuse(text, (k, k + 1), "a formula is only what stands to the right of '='")


def _tree(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        at = max(0, min((error.offset or 1) - 1, len(text) - 1)) if error.lineno == 1 else None
        refuse(text, None if at is None else (at, at + 1), f"cannot be read: {error.msg}")
    except (ValueError, RecursionError, MemoryError, OverflowError):
        refuse(text, None, "cannot be read: it is nested too deep, or holds a character that no formula has")


def _check_depth(text: str, tree: ast.expr) -> None:
    level = [tree]
    for _ in range(DEEPEST + 1):
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if not level:
            return
    refuse(text, place(text, level[0]), f"more than {DEEPEST} operations are inside each other here")


def names_in(tree: ast.AST) -> list[tuple[str, ast.expr]]:
    """The names that a formula uses, `dz` or `z.g`, and where."""
    if isinstance(tree, ast.Name):
        return [(tree.id, tree)]
    if isinstance(tree, ast.Attribute) and tree.attr == "g" and isinstance(tree.value, ast.Name):
        return [(f"{tree.value.id}.g", tree)]
    is_function = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)
    return [found for child in list(ast.iter_child_nodes(tree))[is_function:] for found in names_in(child)]


# ---- which nodes there may be ----


class _Check:
    """Refuses every node that is not listed here."""

    def __init__(self, text: str) -> None:
        self.text = text

    def no(self, node: ast.expr, words: str) -> NoReturn:
        refuse(self.text, place(self.text, node), words)

    def visit(self, node: ast.expr) -> None:
        known = getattr(self, f"_{type(node).__name__.lower()}", None)
        if known is None:
            self.no(node, f"a {_kind(node)} has no place in a formula")
        known(node)

    def _name(self, node: ast.Name) -> None:
        if node.id in LIBRARIES:
            self.no(node, f"'{node.id}' is not in play; write a @ b, a.T, a.sum(0), relu(a) without it")
        if node.id.startswith("_"):
            self.no(node, f"'{node.id}' is no name that is in play")

    def _constant(self, node: ast.Constant) -> None:
        if type(node.value) not in (int, float):
            self.no(node, f"found {type(node.value).__name__}, expected a number")
        if type(node.value) is int and abs(node.value) > 10**300:
            self.no(node, "this number is too large")

    def _binop(self, node: ast.BinOp) -> None:
        if type(node.op) not in OPERATORS:
            self.no(node, f"an operator that is not known here; known are {' '.join(OPERATORS.values())}")
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
            self.no(node, f"expected one comparison out of {' '.join(COMPARISONS.values())}")
        self.visit(node.left)
        self.visit(node.comparators[0])

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr == "g" and not isinstance(node.value, ast.Name):
            self.no(node, "only a name has a .g, the gradient that a backward left there")
        if isinstance(node.value, ast.Name) and node.value.id in LIBRARIES:
            self.visit(node.value)
        if node.attr == "shape":
            self.no(node, "the shape is no number; write .shape[0] or len(...)")
        if node.attr in METHODS:
            self.no(node, f"'.{node.attr}' is called with brackets: .{node.attr}({'0' if METHODS[node.attr][1] else ''})")
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
            return self.visit(node)
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool)):
            if method in ("sum", "mean"):
                return None
        elif method == "pow":
            return self._exponent(node)
        elif whole_number(node) is not None:
            return None
        elif method.startswith("clamp") and isinstance(node, ast.Constant) and type(node.value) is float:
            return None
        return self.no(node, f".{method}() takes a number here")

    def _subscript(self, node: ast.Subscript) -> None:
        of = node.value
        if isinstance(of, ast.Attribute) and of.attr == "shape":
            if whole_number(node.slice) is None:
                self.no(node, "expected .shape[0] or .shape[1]")
            return self.visit(of.value)
        self.visit(of)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            bounds = [part.lower, part.upper, part.step] if isinstance(part, ast.Slice) else [part]
            for bound in bounds:
                is_none = bound is None or (isinstance(bound, ast.Constant) and bound.value is None)
                if not is_none and whole_number(bound) is None:
                    self.no(node, "an index is made of whole numbers, ':' and None, e.g. [:,0] or [:,None]")
        return None


def _kind(node: ast.expr) -> str:
    words = {"Lambda": "lambda", "IfExp": "condition", "BoolOp": "'and' or 'or'", "NamedExpr": "':='"}
    return words.get(type(node).__name__, type(node).__name__.lower())


def _methods() -> str:
    return " ".join(f".{name}()" for name in METHODS)

"""What a formula may consist of; every node of Python's syntax tree that is not listed here is rejected.

This is checked after other spellings were replaced (see spellings.py).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NoReturn

from pybackprop.teach.formula.call import KEYWORDS
from pybackprop.teach.formula.errors import place, refuse
from pybackprop.teach.formula.functions import AXES, AXIS, FLAG, FUNCTIONS, SIZES, TEXT, VALUE, Function
from pybackprop.teach.formula.spellings import LIBRARIES, LISTS, SPELLINGS, Dot, is_library, unparsed

EXPONENT = 8
INDEX = 10**9  # the largest number allowed in an index

OPERATORS = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    Dot: "@",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
}
COMPARISONS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}
RELU, ABS, LEN = "relu", "abs", "len"
NAMED = {RELU, ABS, LEN}  # functions that are not written as a method of their operand
LOOPS = {"range": (1, 3), "zip": (1, 8), "enumerate": (1, 1)}  # the fewest and most arguments
COMMON = ".T .t() .sum(0) .mean(0) .reshape(n,1) .unsqueeze(1) .squeeze() .float() .pow(2) .abs() .clamp_min(0) .sign()"
FUNCTIONS_SHOWN = "relu abs len sum np.dot np.sum np.where np.outer np.einsum np.maximum np.sign torch.mm"
INSTEAD = {
    "max": "for the larger of two write np.maximum(a, b)",
    "min": "for the smaller of two write np.minimum(a, b)",
    "repeat": "broadcasting repeats for you: write a[:,None] * b",
    "tile": "broadcasting repeats for you: write a[:,None] * b",
    "backward": "a formula gives the gradient, it does not run backward",
}


def whole_number(node: ast.AST | None) -> int | None:
    """The value of a node such as `-1`; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = whole_number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) <= INDEX:
        return node.value
    return None


def whole_numbers(node: ast.AST | None) -> tuple[int, ...] | None:
    """The values of a node such as `(0, -1)`; None for anything else."""
    if not isinstance(node, (ast.Tuple, ast.List)):
        return None
    values = [whole_number(part) for part in node.elts]
    return None if None in values else tuple(value for value in values if value is not None)


def arguments_of(node: ast.Call, function: Function) -> Iterator[tuple[str, str, ast.expr | None]]:
    """(name, kind, node) for each argument of a call, in the function's order; no node where one was left out."""
    named = {KEYWORDS.get(k.arg or "", k.arg or ""): k.value for k in node.keywords}
    given = list(node.args)
    for name, kind in function.parameters:
        yield name, kind, given.pop(0) if given else named.get(name.rstrip("?"))
    for further in given:
        yield "", function.rest, further


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
            self.no(node, f"'{node.id}' is a library, not a value")
        if node.id.startswith("_"):
            self.no(node, f"'{node.id}' is not a name you can use here")

    def _constant(self, node: ast.Constant) -> None:
        if type(node.value) not in (int, float):
            self.no(node, f"found {type(node.value).__name__}, expected a number")
        if type(node.value) is int and abs(node.value) > 10**300:
            self.no(node, "this number is too large")

    # ---- operators ----

    def _binop(self, node: ast.BinOp) -> None:
        if type(node.op) not in OPERATORS:
            self.no(node, f"this operator is not known here; known are {' '.join(dict.fromkeys(OPERATORS.values()))}")
        for operand in (node.left, node.right):
            if isinstance(operand, LISTS):
                self.no(operand, "a list is no operand of an operator; write np.array([...])")
            if isinstance(node.op, ast.Pow) and operand is node.right:
                self._exponent(operand)
            self.visit(operand)

    def _exponent(self, node: ast.expr) -> None:
        inner = node.operand if isinstance(node, ast.UnaryOp) else node
        value = inner.value if isinstance(inner, ast.Constant) else None
        if not (type(value) in (int, float) and abs(value) <= EXPONENT):  # type: ignore[arg-type]
            self.no(node, f"an exponent must be a number from -{EXPONENT} to {EXPONENT}")

    def _unaryop(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.no(node, "only - + and ~ may stand before an operand; for a mask write e.g. ~(z > 0)")
        self.visit(node.operand)

    def _compare(self, node: ast.Compare) -> None:
        if len(node.ops) != 1 or type(node.ops[0]) not in COMPARISONS:
            self.no(node, f"expected one comparison: {' '.join(COMPARISONS.values())}")
        self.visit(node.left)
        self.visit(node.comparators[0])

    # ---- attributes and calls ----

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr == "g" and not isinstance(node.value, ast.Name):
            self.no(node, "only a name has a .g, the gradient that backward stored there")
        if isinstance(node.value, ast.Name) and node.value.id in LIBRARIES:
            self.no(node, f"'{node.value.id}.{node.attr}' is not known here, or needs brackets")
        if node.attr == "shape":
            self.no(node, "a shape is not a number; write .shape[0] or len(...)")
        if node.attr not in ("T", "mT", "g", "size"):
            if node.attr in SPELLINGS or node.attr in FUNCTIONS:
                self.no(node, f"'.{node.attr}' needs brackets: .{node.attr}()")
            self.no(node, f"'.{node.attr}' is not known here; known are .g .size .shape[0] {COMMON}")
        self.visit(node.value)

    def _call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            self._function(node, node.func.id)
        elif isinstance(node.func, ast.Attribute):
            self._method(node, node.func)
        else:
            self.no(node, "only functions such as relu(a) and methods such as .sum(0) can be called")

    def _function(self, node: ast.Call, name: str) -> None:
        if name in NAMED:
            if len(node.args) != 1 or node.keywords:
                self.no(node, f"{name}() takes one operand")
            self.visit(node.args[0])
        elif name in FUNCTIONS and not FUNCTIONS[name].first:
            self._arguments(node, name)
        else:
            hint = INSTEAD.get(name, f"functions are {FUNCTIONS_SHOWN}, and many more of numpy's and torch's")
            self.no(node, f"'{name}(...)' cannot be called here; {hint}")

    def _method(self, node: ast.Call, called: ast.Attribute) -> None:
        name = called.attr
        if name not in FUNCTIONS or not FUNCTIONS[name].first:
            fault = "takes other arguments" if name in SPELLINGS else "is not known here"
            of_library = is_library(called.value)
            written = f"{unparsed(called)}()" if of_library else f".{name}()"
            known = FUNCTIONS_SHOWN if of_library else COMMON
            self.no(node, f"'{written}' {fault}; {INSTEAD.get(name, f'known are {known}')}")
        if isinstance(called.value, LISTS):
            self._items(called.value)
        else:
            self.visit(called.value)
        self._arguments(node, name)

    def _arguments(self, node: ast.Call, name: str) -> None:
        function = FUNCTIONS[name]
        parameters = [parameter.rstrip("?") for parameter, _ in function.parameters]
        for keyword in node.keywords:
            key = KEYWORDS.get(keyword.arg or "", keyword.arg)
            if key not in parameters[len(node.args) :]:
                self.no(node, f".{name}() has no argument '{keyword.arg}'")
        fewest = sum(not parameter.endswith("?") for parameter, _ in function.parameters)
        count = len(node.args) + len(node.keywords)
        if count < fewest or (count > len(parameters) and not function.rest):
            most = len(parameters)
            self.no(node, f".{name}() takes {most if fewest == most else f'{fewest} to {most}'} arguments")
        for parameter, kind, argument in arguments_of(node, function):
            if argument is None and not parameter.endswith("?"):
                self.no(node, f".{name}() needs {kind}: its argument {parameter}")
            if argument is not None:
                self._argument(name, kind, argument)

    def _argument(self, name: str, kind: str, node: ast.expr) -> None:
        if isinstance(node, ast.Starred):
            self.no(node, "a starred is not allowed in a formula")
        if kind == VALUE:
            self.visit(node)
        elif kind == SIZES:
            self._sizes(node)
        elif not _is_option(kind, node):
            self.no(node, f".{name}() takes {'a number' if kind == AXIS else kind} here")

    def _sizes(self, node: ast.expr) -> None:
        if isinstance(node, ast.Attribute) and node.attr == "shape":
            self.visit(node.value)
        else:
            for part in node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]:
                self.visit(part)

    # ---- indices, lists, loops ----

    def _subscript(self, node: ast.Subscript) -> None:
        of = node.value
        if isinstance(of, ast.Attribute) and of.attr == "shape":
            if whole_number(node.slice) is None:
                self.no(node, "expected .shape[0] or .shape[1]")
            self.visit(of.value)
            return
        self.visit(of)
        for part in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
            for bound in [part.lower, part.upper, part.step] if isinstance(part, ast.Slice) else [part]:
                if isinstance(bound, ast.Constant):
                    self._index(node, bound)
                elif bound is not None:
                    self.visit(bound)

    def _index(self, node: ast.Subscript, part: ast.Constant) -> None:
        if not (part.value is None or part.value is Ellipsis or whole_number(part) is not None):
            self.no(node, "an index is made of whole numbers, ':', ... and None, e.g. [:,0] or [:,None]")

    def _list(self, node: ast.List) -> None:
        self._items(node)

    def _items(self, node: ast.expr) -> None:
        if isinstance(node, (ast.List, ast.Tuple)):
            if not node.elts:
                self.no(node, "this list is empty")
            for part in node.elts:
                self.visit(part)
        else:
            self.visit(node)

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp) -> None:
        loop = node.generators[0]
        if len(node.generators) > 1 or loop.ifs or loop.is_async:
            self.no(node, "a list is made over one index and without 'if': [dz[:,j].sum() for j in range(h)]")
        targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
        if not all(isinstance(target, ast.Name) and not target.id.startswith("_") for target in targets):
            self.no(loop.target, "expected a name, or names with commas between them")
        self._iterable(loop.iter)
        self.visit(node.elt)

    def _generatorexp(self, node: ast.GeneratorExp) -> None:
        self._listcomp(node)

    def _iterable(self, node: ast.expr) -> None:
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
        if name not in LOOPS or not isinstance(node, ast.Call):
            self.visit(node)
            return
        fewest, most = LOOPS[name]
        if node.keywords or not fewest <= len(node.args) <= most:
            self.no(node, f"{name}() takes {fewest} to {most} arguments here")
        for argument in node.args:
            self.visit(argument)


def _is_option(kind: str, node: ast.expr) -> bool:
    value = node.value if isinstance(node, ast.Constant) else ...
    if kind == FLAG:
        return isinstance(value, bool)
    if kind == TEXT:
        return isinstance(value, str)
    if kind == AXES and isinstance(node, (ast.Tuple, ast.List)):
        return len(node.elts) == 2 and all(_is_option(AXIS, part) for part in node.elts)
    return value is None or whole_number(node) is not None or whole_numbers(node) is not None


def _kind(node: ast.expr) -> str:
    words = {"Lambda": "lambda", "IfExp": "condition", "BoolOp": "'and' or 'or'", "NamedExpr": "':='"}
    return words.get(type(node).__name__, type(node).__name__.lower())

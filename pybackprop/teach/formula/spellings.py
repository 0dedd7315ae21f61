"""Other spellings of the same thing, replaced by one, before anything is checked or computed.

np.dot(x.T, dz), torch.mm(x.t(), dz) and x.transpose().matmul(dz) all become x.T @ dz; np.sum(dz, axis=0) becomes
dz.sum(0); self.out.grad becomes out.g. The nodes keep their places in the text, so errors still point there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TypeVar

from pybackprop.teach.formula.functions import FUNCTIONS

Node = TypeVar("Node", bound=ast.expr)
LIBRARIES = {"np", "numpy", "torch", "tf", "jnp", "bp", "F"}
SYNONYMS = {
    "mul": "multiply", "sub": "subtract", "div": "divide", "true_divide": "divide", "neg": "negative",
    "gt": "greater", "ge": "greater_equal", "lt": "less", "le": "less_equal", "eq": "equal", "ne": "not_equal",
    "mm": "matmul", "mv": "matmul", "bmm": "matmul",
    "power": "pow", "float_power": "pow", "absolute": "abs", "fabs": "abs", "amax": "max", "amin": "min",
    "expand_dims": "unsqueeze", "ger": "outer", "permute": "transpose", "fmax": "maximum", "fmin": "minimum",
    "clamp": "clip", "sgn": "sign", "view": "reshape", "flatten": "ravel", "identity": "eye",
    "vstack": "stack", "broadcast_to": "expand", "double": "float", "half": "float",
    "float32": "float", "float64": "float", "long": "int", "concat": "concatenate", "cat": "concatenate",
    "asarray": "array", "nelement": "numel", "as_tensor": "array", "tensor": "array", "type": "astype", "to": "astype",
}  # fmt: skip
UNCHANGED = {"copy", "clone", "detach", "contiguous", "numpy", "cpu", "ascontiguousarray", "requires_grad_"}
OPERATORS: dict[str, type[ast.operator]] = {
    "add": ast.Add,
    "subtract": ast.Sub,
    "multiply": ast.Mult,
    "divide": ast.Div,
    "matmul": ast.MatMult,
    "logical_and": ast.BitAnd,
    "logical_or": ast.BitOr,
}
COMPARISONS: dict[str, type[ast.cmpop]] = {
    "greater": ast.Gt,
    "greater_equal": ast.GtE,
    "less": ast.Lt,
    "less_equal": ast.LtE,
    "equal": ast.Eq,
    "not_equal": ast.NotEq,
}
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
NEW = {"ones", "zeros", "eye", "ones_like", "zeros_like", "full_like"}  # a dtype does not change their numbers
LISTS = (ast.List, ast.Tuple, ast.ListComp)
BUILTINS = {"abs", "len", "sum", "float", "int", "pow", "max", "min"}


class Dot(ast.MatMult):
    """@ that was written as dot(...): with more than two axes on the right, dot would be something else."""


class Given:
    """The arguments of a call as they were written: for a method, the object is the first."""

    def __init__(self, node: ast.Call, name: str, arguments: list[ast.expr], first: bool) -> None:
        self.node, self.name, self.arguments, self.is_method = node, name, arguments, first
        self.keywords = {KEYWORDS.get(k.arg or "**", k.arg or "**"): k.value for k in node.keywords}

    def exactly(self, count: int) -> list[ast.expr] | None:
        """The arguments, if there are exactly so many and no keywords but the usual names of the first two."""
        named = [self.keywords[key] for key in ("first", "second") if key in self.keywords]
        is_plain = len(named) == len(self.keywords)
        return [*self.arguments, *named] if is_plain and len(self.arguments) + len(named) == count else None


def plain(tree: ast.expr) -> ast.expr:
    """The same formula in the plainest spelling."""
    rewritten: ast.expr = _Plain().visit(tree)
    return rewritten


def is_library(node: ast.expr) -> bool:
    """np, torch, or torch.nn.functional."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in LIBRARIES


class _Plain(ast.NodeTransformer):
    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if is_library(node):
            return _at(node, ast.Constant(None)) if node.attr == "newaxis" else node
        node.value = self.visit(node.value)
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return _at(node, ast.Name(node.attr, ast.Load()))
        if node.attr == "grad":
            node.attr = "g"
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        called = node.func
        if isinstance(called, ast.Attribute) and not is_library(called):
            called.value = self.visit(called.value)
        node.args = [self.visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        if isinstance(called, ast.Name):
            known = called.id in BUILTINS or called.id in SPELLINGS or called.id in FUNCTIONS
            given = Given(node, called.id, node.args, False) if known else None
        elif isinstance(called, ast.Attribute):
            arguments = node.args if is_library(called) else [called.value, *node.args]
            given = Given(node, called.attr, arguments, not is_library(called))
        else:
            given = None
        return node if given is None else _call(given)


def _call(given: Given) -> ast.expr:
    """A call in the plainest spelling: an operator if there is one, else the method of its first operand."""
    given.name = SYNONYMS.get(given.name, given.name)
    if given.name in NEW:
        given.node.keywords = [k for k in given.node.keywords if k.arg not in ("dtype", "device")]
    for rewrite in (_unchanged, _operator, _special, _function):
        rewritten = rewrite(given)
        if rewritten is not None:
            return _at(given.node, rewritten)
    return given.node


def _unchanged(given: Given) -> ast.expr | None:
    if given.name in UNCHANGED and len(given.arguments) == 1:
        return given.arguments[0]
    if given.name == "array" and len(given.arguments) == 1 and not given.is_method:
        of = given.arguments[0]
        return ast.Call(_method(of, "float"), [], []) if isinstance(of, LISTS) else of
    return None


def _operator(given: Given) -> ast.expr | None:
    two = given.exactly(2)
    if two and given.name == "dot":
        return ast.BinOp(two[0], Dot(), two[1])
    if two and given.name in OPERATORS:
        return ast.BinOp(two[0], OPERATORS[given.name](), two[1])
    if two and given.name == "pow":
        return ast.BinOp(two[0], ast.Pow(), two[1])
    if two and given.name in COMPARISONS:
        return ast.Compare(two[0], [COMPARISONS[given.name]()], [two[1]])
    one = given.exactly(1)
    if one and given.name == "square":
        return ast.BinOp(one[0], ast.Pow(), _at(given.node, ast.Constant(2)))
    if one and given.name in ("negative", "logical_not"):
        return ast.UnaryOp(ast.USub() if given.name == "negative" else ast.Invert(), one[0])
    return None


# ---- those with a spelling of their own ----


def _transpose(given: Given) -> ast.expr | None:
    operand, *axes = given.arguments
    if "axis" in given.keywords or "axes" in given.keywords:
        axes = [given.keywords.get("axes", given.keywords.get("axis", operand))]
    if not axes:
        return ast.Attribute(operand, "T", ast.Load())
    if len(axes) == 1 and isinstance(axes[0], (ast.Tuple, ast.List)):
        axes, is_permutation = axes[0].elts, True
    else:
        is_permutation = len(axes) != 2
    if is_permutation or given.node.func.attr == "permute":  # type: ignore[attr-defined]
        order = _at(given.node, ast.Tuple(axes, ast.Load()))
        return ast.Call(_method(operand, "permute"), [order], [])
    return ast.Call(_method(operand, "swapaxes"), axes, [])  # as torch reads two numbers


def _number_of_elements(given: Given) -> ast.expr | None:
    if given.name == "size" and given.is_method:
        operand, *axis = given.arguments
        length = _at(given.node, ast.Attribute(operand, "shape", ast.Load()))
        return ast.Subscript(length, axis[0], ast.Load()) if axis else length
    return ast.Attribute(given.arguments[0], "size", ast.Load()) if len(given.arguments) == 1 else None


def _cast(given: Given) -> ast.expr | None:
    targets = [*given.arguments[1:], *(given.keywords[key] for key in ("dtype",) if key in given.keywords)]
    written = [ast.unparse(target).strip("'\"").split(".")[-1].rstrip("_0123456789") for target in targets]
    cast = {"float": "float", "double": "float", "int": "int", "dtype": "float", "long": "int", "bool": "bool"}
    if len(written) != 1 or written[0] not in cast:
        return None
    operand, kind = given.arguments[0], cast[written[0]]
    if kind == "bool":
        return ast.Compare(operand, [ast.NotEq()], [_at(given.node, ast.Constant(0))])
    return ast.Call(_method(operand, kind), [], [])


def _clip(given: Given) -> ast.expr | None:
    """clip(a, low, high); either bound may be missing."""
    operand, *bounds = given.arguments
    low, high = (
        None if bound is None or _is(bound, None) else bound
        for bound in (
            given.keywords.get("min", bounds[0] if bounds else None),
            given.keywords.get("max", bounds[1] if len(bounds) > 1 else None),
        )
    )
    raised = operand if low is None else _at(given.node, _larger(given.node, operand, low))
    clipped = raised if high is None else ast.Call(_method(raised, "minimum"), [high], [])
    return None if clipped is operand else clipped


def _maximum(given: Given) -> ast.expr | None:
    two = given.exactly(2)
    return _larger(given.node, *two) if two else None


def _larger(node: ast.expr, one: ast.expr, other: ast.expr) -> ast.expr:
    """maximum(one, other): relu if one of them is 0."""
    if _is(one, 0) or _is(other, 0):
        return ast.Call(_at(node, ast.Name("relu", ast.Load())), [other if _is(one, 0) else one], [])
    return ast.Call(_method(one, "maximum"), [other], [])


def _step(given: Given) -> ast.expr | None:
    two = given.exactly(2)
    if two and (_is(two[1], 0) or _is(two[1], 1)):
        sign = ast.Gt() if _is(two[1], 0) else ast.GtE()
        zero = _at(given.node, ast.Constant(0))
        return ast.Call(_method(_at(given.node, ast.Compare(two[0], [sign], [zero])), "float"), [], [])
    return None


def _where(given: Given) -> ast.expr | None:
    if given.is_method and len(given.arguments) == 3:  # torch: a.where(condition, b)
        kept, condition, other = given.arguments
        return ast.Call(_method(condition, "where"), [kept, other], [])
    return None


def _builtin_sum(given: Given) -> ast.expr | None:
    """sum(a) of Python adds the rows; a.sum() and np.sum(a) add everything."""
    if isinstance(given.node.func, ast.Name) and len(given.arguments) == 1 and not given.keywords:
        return ast.Call(_method(given.arguments[0], "sum"), [_at(given.node, ast.Constant(0))], [])
    return None


def _unary(given: Given) -> ast.expr | None:
    return ast.Call(_at(given.node, ast.Name(given.name, ast.Load())), given.arguments, given.node.keywords)


def _shape(given: Given) -> ast.expr | None:
    return ast.Attribute(given.arguments[0], "shape", ast.Load()) if len(given.arguments) == 1 else None


def _product_of_sizes(given: Given) -> ast.expr | None:
    """np.prod(a.shape)"""
    of = given.arguments[0]
    is_shape = len(given.arguments) == 1 and isinstance(of, ast.Attribute) and of.attr == "shape"
    return ast.Attribute(of.value, "size", ast.Load()) if is_shape and isinstance(of, ast.Attribute) else None


def _bool(given: Given) -> ast.expr | None:
    zero = _at(given.node, ast.Constant(0))
    return ast.Compare(given.arguments[0], [ast.NotEq()], [zero]) if len(given.arguments) == 1 else None


def _masked_fill(given: Given) -> ast.expr | None:
    if len(given.arguments) != 3:
        return None
    operand, mask, number = given.arguments
    return ast.Call(_method(mask, "where"), [number, operand], [])


def _inner(given: Given) -> ast.expr | None:
    two = given.exactly(2)
    return ast.BinOp(two[0], ast.MatMult(), _at(two[1], ast.Attribute(two[1], "T", ast.Load()))) if two else None


def _full(given: Given) -> ast.expr | None:
    if len(given.arguments) != 2:
        return None
    ones = _at(given.node, ast.Call(_method(given.arguments[0], "ones_like"), [], []))
    return ast.BinOp(ones, ast.Mult(), given.arguments[1])


def _turned(given: Given) -> ast.expr | None:
    return ast.Attribute(given.arguments[0], "T", ast.Load()) if len(given.arguments) == 1 else None


_SPECIAL: dict[str, Callable[[Given], ast.expr | None]] = {
    "t": _turned,
    "transpose": _transpose,
    "numel": _number_of_elements,
    "size": _number_of_elements,
    "shape": _shape,
    "astype": _cast,
    "clip": _clip,
    "clamp_min": _maximum,
    "maximum": _maximum,
    "heaviside": _step,
    "where": _where,
    "sum": _builtin_sum,
    "relu": _unary,
    "abs": _unary,
    "len": _unary,
    "full_like": _full,
    "prod": _product_of_sizes,
    "bool": _bool,
    "masked_fill": _masked_fill,
    "inner": _inner,
    "clamp_max": lambda given: ast.Call(_method(given.arguments[0], "minimum"), given.arguments[1:], []),
}
SPELLINGS = {*_SPECIAL, *OPERATORS, *COMPARISONS, *UNCHANGED, *SYNONYMS, "dot", "square", "negative", "array", "pow"}


def _special(given: Given) -> ast.expr | None:
    return _SPECIAL[given.name](given) if given.arguments and given.name in _SPECIAL else None


def _function(given: Given) -> ast.expr | None:
    """A function of the table as a method of its first operand, keywords in their places."""
    if given.name not in FUNCTIONS:
        return None
    spec = FUNCTIONS[given.name]
    if not spec.first:
        return ast.Call(_at(given.node, ast.Name(given.name, ast.Load())), given.arguments, given.node.keywords)
    if not given.arguments:
        return None
    operand, *rest = given.arguments
    keywords = given.node.keywords
    if not rest and keywords and KEYWORDS.get(keywords[0].arg or "", keywords[0].arg) == "axis":
        rest, keywords = [keywords[0].value], keywords[1:]
    return ast.Call(_method(operand, given.name), rest, keywords)


# ---- nodes ----


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool) and node.value == value


def _method(operand: ast.expr, name: str) -> ast.Attribute:
    return _at(operand, ast.Attribute(operand, name, ast.Load()))


def _at(node: ast.expr, new: Node) -> Node:
    return ast.copy_location(new, node)

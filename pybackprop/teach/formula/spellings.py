"""Other spellings of the same thing, replaced by one, before anything is checked or computed.

np.dot(x.T, dz), torch.mm(x.t(), dz) and x.transpose().matmul(dz) all become x.T @ dz; np.sum(dz, axis=0) becomes
dz.sum(0); self.out.grad becomes out.g. The nodes keep their places in the text, so errors still point there.
"""

from __future__ import annotations

import ast
import copy

from pybackprop.teach.formula.call import KEYWORDS, Given, at, method
from pybackprop.teach.formula.functions import FUNCTIONS
from pybackprop.teach.formula.special import SPECIAL

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
NEW = {"ones", "zeros", "eye", "ones_like", "zeros_like", "full_like"}  # a dtype does not change their numbers
LISTS = (ast.List, ast.Tuple, ast.ListComp)
BUILTINS = {"abs", "len", "sum", "float", "int", "pow", "max", "min"}


class Dot(ast.MatMult):
    """@ that was written as dot(...): with more than two axes on the right, dot would be something else."""


class _AsCalls(ast.NodeTransformer):
    """np.dot(a, b) in place of the operator that stands for it."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.op, Dot):
            return node
        return ast.Call(ast.Attribute(ast.Name("np", ast.Load()), "dot", ast.Load()), [node.left, node.right], [])


def unparsed(tree: ast.AST) -> str:
    """The text of a plain tree."""
    return ast.unparse(_AsCalls().visit(copy.deepcopy(tree)))


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
            return at(node, ast.Constant(None)) if node.attr == "newaxis" else node
        node.value = self.visit(node.value)
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return at(node, ast.Name(node.attr, ast.Load()))
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
            return at(given.node, rewritten)
    return given.node


def _unchanged(given: Given) -> ast.expr | None:
    if given.name in UNCHANGED and len(given.arguments) == 1:
        return given.arguments[0]
    if given.name == "array" and len(given.arguments) == 1 and not given.is_method:
        of = given.arguments[0]
        return ast.Call(method(of, "float"), [], []) if isinstance(of, LISTS) else of
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
        return ast.BinOp(one[0], ast.Pow(), at(given.node, ast.Constant(2)))
    if one and given.name in ("negative", "logical_not"):
        return ast.UnaryOp(ast.USub() if given.name == "negative" else ast.Invert(), one[0])
    return None


SPELLINGS = {*SPECIAL, *OPERATORS, *COMPARISONS, *UNCHANGED, *SYNONYMS, "dot", "square", "negative", "array", "pow"}


def _special(given: Given) -> ast.expr | None:
    return SPECIAL[given.name](given) if given.arguments and given.name in SPECIAL else None


def _function(given: Given) -> ast.expr | None:
    """A function of the table as a method of its first operand, keywords in their places."""
    if given.name not in FUNCTIONS:
        return None
    spec = FUNCTIONS[given.name]
    if not spec.first:
        return ast.Call(at(given.node, ast.Name(given.name, ast.Load())), given.arguments, given.node.keywords)
    if not given.arguments:
        return None
    operand, *rest = given.arguments
    keywords = given.node.keywords
    if not rest and keywords and KEYWORDS.get(keywords[0].arg or "", keywords[0].arg) == "axis":
        rest, keywords = [keywords[0].value], keywords[1:]
    return ast.Call(method(operand, given.name), rest, keywords)

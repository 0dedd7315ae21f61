"""The calls whose plainest spelling is neither an operator nor a method of the same name."""

from __future__ import annotations

import ast
from collections.abc import Callable

from pybackprop.teach.formula.call import Given, at, is_number, method


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
        order = at(given.node, ast.Tuple(axes, ast.Load()))
        return ast.Call(method(operand, "permute"), [order], [])
    return ast.Call(method(operand, "swapaxes"), axes, [])  # as torch reads two numbers


def _number_of_elements(given: Given) -> ast.expr | None:
    if given.name == "size" and given.is_method:
        operand, *axis = given.arguments
        length = at(given.node, ast.Attribute(operand, "shape", ast.Load()))
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
        return ast.Compare(operand, [ast.NotEq()], [at(given.node, ast.Constant(0))])
    return ast.Call(method(operand, kind), [], [])


def _clip(given: Given) -> ast.expr | None:
    """clip(a, low, high); either bound may be missing."""
    operand, *bounds = given.arguments
    low, high = (
        None if bound is None or is_number(bound, None) else bound
        for bound in (
            given.keywords.get("min", bounds[0] if bounds else None),
            given.keywords.get("max", bounds[1] if len(bounds) > 1 else None),
        )
    )
    raised = operand if low is None else at(given.node, _larger(given.node, operand, low))
    clipped = raised if high is None else ast.Call(method(raised, "minimum"), [high], [])
    return None if clipped is operand else clipped


def _maximum(given: Given) -> ast.expr | None:
    two = given.exactly(2)
    return _larger(given.node, *two) if two else None


def _larger(node: ast.expr, one: ast.expr, other: ast.expr) -> ast.expr:
    """maximum(one, other): relu if one of them is 0."""
    if is_number(one, 0) or is_number(other, 0):
        return ast.Call(at(node, ast.Name("relu", ast.Load())), [other if is_number(one, 0) else one], [])
    return ast.Call(method(one, "maximum"), [other], [])


def _step(given: Given) -> ast.expr | None:
    two = given.exactly(2)
    if two and (is_number(two[1], 0) or is_number(two[1], 1)):
        sign = ast.Gt() if is_number(two[1], 0) else ast.GtE()
        zero = at(given.node, ast.Constant(0))
        return ast.Call(method(at(given.node, ast.Compare(two[0], [sign], [zero])), "float"), [], [])
    return None


def _where(given: Given) -> ast.expr | None:
    if given.is_method and len(given.arguments) == 3:  # torch: a.where(condition, b)
        kept, condition, other = given.arguments
        return ast.Call(method(condition, "where"), [kept, other], [])
    return None


def _builtin_sum(given: Given) -> ast.expr | None:
    """sum(a) of Python adds the rows; a.sum() and np.sum(a) add everything."""
    if isinstance(given.node.func, ast.Name) and len(given.arguments) == 1 and not given.keywords:
        return ast.Call(method(given.arguments[0], "sum"), [at(given.node, ast.Constant(0))], [])
    return None


def _unary(given: Given) -> ast.expr | None:
    return ast.Call(at(given.node, ast.Name(given.name, ast.Load())), given.arguments, given.node.keywords)


def _shape(given: Given) -> ast.expr | None:
    return ast.Attribute(given.arguments[0], "shape", ast.Load()) if len(given.arguments) == 1 else None


def _product_of_sizes(given: Given) -> ast.expr | None:
    """np.prod(a.shape)"""
    of = given.arguments[0]
    is_shape = len(given.arguments) == 1 and isinstance(of, ast.Attribute) and of.attr == "shape"
    return ast.Attribute(of.value, "size", ast.Load()) if is_shape and isinstance(of, ast.Attribute) else None


def _bool(given: Given) -> ast.expr | None:
    zero = at(given.node, ast.Constant(0))
    return ast.Compare(given.arguments[0], [ast.NotEq()], [zero]) if len(given.arguments) == 1 else None


def _masked_fill(given: Given) -> ast.expr | None:
    if len(given.arguments) != 3:
        return None
    operand, mask, number = given.arguments
    return ast.Call(method(mask, "where"), [number, operand], [])


def _inner(given: Given) -> ast.expr | None:
    two = given.exactly(2)
    return ast.BinOp(two[0], ast.MatMult(), at(two[1], ast.Attribute(two[1], "T", ast.Load()))) if two else None


def _full(given: Given) -> ast.expr | None:
    if len(given.arguments) != 2:
        return None
    ones = at(given.node, ast.Call(method(given.arguments[0], "ones_like"), [], []))
    return ast.BinOp(ones, ast.Mult(), given.arguments[1])


def _turned(given: Given) -> ast.expr | None:
    return ast.Attribute(given.arguments[0], "T", ast.Load()) if len(given.arguments) == 1 else None


SPECIAL: dict[str, Callable[[Given], ast.expr | None]] = {
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
    "clamp_max": lambda given: ast.Call(method(given.arguments[0], "minimum"), given.arguments[1:], []),
}

"""Evaluates a formula part by part, tracks the axis letters of each part, and limits how much is computed.

Axis letters say what an axis counts: x is (i,k), w is (k,j), z is (i,j). `x.T @ dz` is then k,i times i,j: the inner
letters must be the same. '?' stands for an axis whose letter is unknown, '1' for one of length 1 that was inserted or
kept.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.core.suggestions import suggest
from pybackprop.teach.formula import axis_letters
from pybackprop.teach.formula.allowed import INDEX, LEN, NAMED, arguments_of, whole_number, whole_numbers
from pybackprop.teach.formula.errors import FormulaError, UnknownNameError
from pybackprop.teach.formula.functions import AXES, FLAG, FUNCTIONS, PLAIN_STEP, SIZES, TEXT, VALUE
from pybackprop.teach.formula.grammar import Formula, names_in
from pybackprop.teach.formula.limits import LARGEST, WORK, Limits
from pybackprop.teach.formula.loops import Loops
from pybackprop.teach.formula.spellings import Dot
from pybackprop.teach.formula.value import Value

__all__ = ["LARGEST", "WORK", "Value", "closest", "evaluate", "listed"]


OPERATIONS: dict[type, Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.BitAnd: np.multiply,
    ast.BitOr: np.maximum,
}
SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.BitAnd: "&", ast.BitOr: "|"}


def evaluate(
    formula: Formula,
    arrays: Mapping[str, Array],
    letters_of: Mapping[str, str] | None = None,
    part: ast.expr | None = None,
    products: dict[str, Value] | None = None,
) -> Value:
    """The numbers of a formula (or of one part of it), computed by numpy in the dtype of the arrays.

    arrays      the array for each name, `dz` or `z.g`
    letters_of  the axis letters of each name, where they are known
    part        the part to compute instead of the whole formula
    products    a cache of matrix products of these arrays, by their text; those computed here are added

    Raises FormulaError for a name that is not in arrays and for results that are too large, MisfitError for shapes
    that do not fit.
    """
    evaluator = _Evaluator(formula, arrays, letters_of or {}, {} if products is None else products)
    for name, node in names_in(part or formula.tree):  # an unknown name is reported before a shape that does not fit
        if name not in arrays:
            evaluator.unknown(name, node)
    with np.errstate(all="ignore"):
        return evaluator.value(part or formula.tree)


def listed(arrays: Mapping[str, Array]) -> str:
    """The available names for a message, with shapes and numbers: "x (4,3), n = 4"."""
    plain = _plain(arrays)
    shown = {id(arrays[name]) for name in plain}
    more = any(name.endswith(".g") and id(array) not in shown for name, array in arrays.items())
    names = ", ".join(_with_shape(name, arrays[name]) for name in plain)
    return names + (", and .g of those that have a gradient" if more else "")


def closest(name: str, arrays: Mapping[str, Array]) -> str:
    """The suggestion for a name that is not available; empty if none is close."""
    plain = _plain(arrays)
    if name.endswith(".g"):
        return suggest(name, [f"{one}.g" for one in plain if f"{one}.g" in arrays])
    return suggest(name, [*plain, *(f"{one}.g" for one in plain if f"{one}.g" in arrays)])


def _plain(arrays: Mapping[str, Array]) -> list[str]:
    """Each tensor under one name only: not inp beside x, nor dw beside w.g."""
    first: dict[int, str] = {}
    for name, array in arrays.items():
        if name.isidentifier():
            first.setdefault(id(array), name)
    others = {f"d{name}" for name in arrays} - {"dz", "da"}
    return [name for name in first.values() if name not in others]


def _with_shape(name: str, array: Array) -> str:
    return f"{name} ({','.join(map(str, array.shape))})" if array.ndim else f"{name} = {float(array):g}"


class _Evaluator(Loops):
    def __init__(
        self, formula: Formula, arrays: Mapping[str, Array], letters_of: Mapping[str, str], products: dict[str, Value]
    ) -> None:
        self.formula, self.arrays, self.letters_of, self.products = formula, arrays, letters_of, products
        self.dtype = np.result_type(*(a.dtype for a in arrays.values())) if arrays else np.dtype(float)
        self.limits = Limits(formula, self.dtype)
        self.bound: dict[str, Value] = {}  # the names of the loops around the current part

    def value(self, node: ast.expr) -> Value:
        self.limits.step(node)
        value: Value = getattr(self, f"_{type(node).__name__.lower()}")(node)
        return value

    def number(self, value: Any) -> Value:
        return Value(np.asarray(value, self.dtype), "")

    # ---- names and numbers ----

    def _constant(self, node: ast.Constant) -> Value:
        return self.number(float(node.value))  # type: ignore[arg-type]

    def _name(self, node: ast.Name) -> Value:
        return self.bound[node.id] if node.id in self.bound else self._look_up(node.id)

    def unknown(self, name: str, node: ast.expr) -> NoReturn:
        base = name.removesuffix(".g")
        missing, suggestion = f"'{name}' is not a name you can use here", ""
        if base == name or base not in self.arrays:
            suggestion = closest(name, self.arrays)
        else:
            missing = f"the gradient '{name}' is not available"
            if self.arrays[base].ndim == 0:
                missing += f": {_with_shape(base, self.arrays[base])} is a number here"
        self.no(node, f"{missing}; available are {listed(self.arrays)}{suggestion}", UnknownNameError)

    def _look_up(self, name: str) -> Value:
        array = np.asarray(self.arrays[name]).astype(self.dtype, copy=False)
        known = self.letters_of.get(name, "")
        return Value(array, known if len(known) == array.ndim else "?" * array.ndim)

    def _attribute(self, node: ast.Attribute) -> Value:
        if node.attr == "g":
            return self._look_up(f"{node.value.id}.g")  # type: ignore[attr-defined]
        value = self.value(node.value)
        if node.attr == "mT":
            if value.array.ndim < 2:
                self.no(node, f".mT: {self.described(node.value, value)} has fewer than two axes")
            letters = value.letters[:-2] + value.letters[:-3:-1]
            return Value(np.swapaxes(value.array, -1, -2), letters, value.is_mask)
        return value.T if node.attr == "T" else self.number(value.array.size)

    # ---- operators ----

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Invert):
            self._needs_masks(node, "~", (node.operand, value))
            return Value(1 - value.array, value.letters, True)
        return Value(np.asarray(-value.array), value.letters) if isinstance(node.op, ast.USub) else value

    def _needs_masks(self, node: ast.expr, sign: str, *operands: tuple[ast.expr, Value]) -> None:
        for operand, value in operands:
            if not value.is_mask:
                self.no(node, f"{sign} works on masks such as (z > 0), and {self.formula.part(operand)} is none")

    def _compare(self, node: ast.Compare) -> Value:
        return self._elementwise(node, node.left, node.ops[0], node.comparators[0])

    def _binop(self, node: ast.BinOp) -> Value:
        if isinstance(node.op, ast.MatMult):
            text = ast.dump(node)
            if self.bound or text not in self.products:
                product = self._product(node, self.value(node.left), self.value(node.right))
                if self.bound:
                    return product
                self.products[text] = product
            return self.products[text]
        if isinstance(node.op, ast.Pow):
            return self._power(node.left, node.right)
        return self._elementwise(node, node.left, node.op, node.right)

    def _elementwise(self, node: ast.expr, first: ast.expr, operator: Any, second: ast.expr) -> Value:
        left, right = self.value(first), self.value(second)
        sign = SIGNS.get(type(operator), "a comparison")
        if isinstance(operator, (ast.BitAnd, ast.BitOr)):
            self._needs_masks(node, sign, (first, left), (second, right))
        try:
            shape = np.broadcast_shapes(left.array.shape, right.array.shape)
        except ValueError:
            operands = f"{self.described(first, left)} does not fit {self.described(second, right)}"
            self.no(node, f"{sign} works element by element, and {operands}")
        self.limits.node = node
        self.limits.room(shape)
        array = np.asarray(OPERATIONS[type(operator)](left.array, right.array), self.dtype)
        is_mask = isinstance(operator, (ast.cmpop, ast.BitAnd, ast.BitOr))
        return Value(array, axis_letters.joined(left.letters, right.letters, shape), is_mask)

    def _power(self, first: ast.expr, second: ast.expr) -> Value:
        base, exponent = self.value(first), self.value(second)
        self.limits.room(base.array.shape)
        return Value(np.asarray(np.power(base.array, exponent.array), self.dtype), base.letters)

    def _product(self, node: ast.BinOp, left: Value, right: Value) -> Value:
        a, b = left.array, right.array
        self.limits.node = node
        if a.ndim == 0 or b.ndim == 0:
            number, value = (node.left, a) if a.ndim == 0 else (node.right, b)
            shown = f"{self.formula.part(number)} = {float(value):g}"
            self.no(node, f"@ multiplies matrices, and one operand is a single number, {shown}; write *")
        if isinstance(node.op, Dot) and b.ndim > 2:
            self.no(node, f"dot is not the matrix product for {self.described(node.right, right)}; write @")
        inner_b = b.shape[-2] if b.ndim > 1 else b.shape[0]
        if a.shape[-1] != inner_b:
            self.no(node, self._clash(node, left, right))
        try:
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            self.no(node, f"@ does not fit {a.shape} with {b.shape}")
        shape = (*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ()))
        self.limits.room(shape)
        self.limits.spend(float(np.prod([float(length) for length in shape])) * inner_b)
        kept = "?" * len(batch) + left.letters[-2:-1] * (a.ndim > 1) + right.letters[-1:] * (b.ndim > 1)
        return Value(np.asarray(np.matmul(a, b), self.dtype), kept)

    def _clash(self, node: ast.BinOp, left: Value, right: Value) -> str:
        a, b = left.array.shape, right.array.shape
        inner = b[-2] if len(b) > 1 else b[0]
        message = f"{self.described(node.left, left)} @ {self.described(node.right, right)} does not fit: "
        message += f"the inner dimensions, {a[-1]} and {inner}, differ"
        one, other = left.letters[-1:], right.letters[-2:-1] if len(b) > 1 else right.letters
        if "?" not in one + other and one != other:
            message += f"; one counts {one}, the other {other}, and @ needs the same letter in both places"
        return message

    def described(self, node: ast.expr, value: Value) -> str:
        shape = ",".join(map(str, value.array.shape))
        counted = f" [{','.join(value.letters)}]" if value.letters and "?" not in value.letters else ""
        return f"{self.formula.part(node)} ({shape}){counted}"

    # ---- indices ----

    def _subscript(self, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            return self._length(node, self.value(node.value.value), node.slice)
        value = self.value(node.value)
        parts = [self._index(node, k) for k in (node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice])]
        try:
            array = value.array[tuple(parts)]
        except (IndexError, ValueError) as error:
            self.no(node, f"{self.described(node.value, value)} has no such element: {error}")
        return Value(np.asarray(array), axis_letters.indexed(value.letters, parts), value.is_mask)

    def _index(self, node: ast.expr, part: ast.expr | None) -> Any:
        """A part of an index as numpy takes it."""
        if isinstance(part, ast.Slice):
            return slice(*(self._index(node, bound) for bound in (part.lower, part.upper, part.step)))
        if part is None or (isinstance(part, ast.Constant) and not isinstance(part.value, (int, float))):
            return None if part is None else part.value
        return self.whole(node, part, "an index is made of whole numbers, ':', ... and None, e.g. [:,0] or [:,None]")

    def whole(self, node: ast.expr, part: ast.expr, words: str) -> int:
        array = self.value(part).array
        number = float(array) if array.ndim == 0 else 0.5
        if not number.is_integer() or abs(number) > INDEX:
            self.no(node, words, FormulaError)
        return int(number)

    def _length(self, node: ast.expr, value: Value, axis: ast.expr) -> Value:
        k = whole_number(axis)
        if k is None or not -value.array.ndim <= k < value.array.ndim:
            self.no(node, f"shape {value.array.shape} has no axis {k}")
        return self.number(value.array.shape[k])

    # ---- calls ----

    def _call(self, node: ast.Call) -> Value:
        if isinstance(node.func, ast.Name) and node.func.id == LEN:
            return self._length(node, self.value(node.args[0]), ast.Constant(0))
        if isinstance(node.func, ast.Name):
            first, name = [], node.func.id
            of: list[ast.expr] = node.args[:1]
            if name in NAMED:
                return self._computed(node, name, of, [self.value(node.args[0])])
        else:
            of, name = [node.func.value], node.func.attr  # type: ignore[attr-defined]
            first = [self._operand(of[0])]
        given = list(arguments_of(node, FUNCTIONS[name]))
        while given and given[-1][2] is None:
            given.pop()
        arguments = [None if part is None else self._argument(kind, part) for _, kind, part in given]
        return self._computed(node, name, of, [*first, *arguments])

    def _operand(self, node: ast.expr) -> Value:
        return self.items(node.elts) if isinstance(node, ast.Tuple) else self.value(node)

    def _computed(self, node: ast.Call, name: str, of: Sequence[ast.expr], arguments: Sequence[Any]) -> Value:
        self.limits.node = node
        if arguments and isinstance(arguments[0], Value):
            self.limits.spend(PLAIN_STEP * arguments[0].array.size)
        try:
            return FUNCTIONS[name].compute(self.limits, *arguments)
        except FormulaError:
            raise
        except (ValueError, IndexError, TypeError) as error:
            shown = f"{self.described(of[0], arguments[0])}: " if of and isinstance(arguments[0], Value) else ""
            self.no(node, f".{name}: {shown}{error}")

    def _argument(self, kind: str, node: ast.expr) -> Any:
        if kind == VALUE:
            return self.value(node)
        if kind == SIZES:
            return self._sizes(node)
        if kind in (FLAG, TEXT):
            return node.value  # type: ignore[attr-defined]
        if kind == AXES and isinstance(node, (ast.Tuple, ast.List)):
            return [self._argument("", part) for part in node.elts]
        single = whole_number(node)
        return whole_numbers(node) if single is None else single

    def _sizes(self, node: ast.expr) -> tuple[int, ...]:
        if isinstance(node, ast.Attribute) and node.attr == "shape":
            return self.value(node.value).array.shape
        parts = node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]
        return tuple(self.whole(node, part, "a size is a whole number") for part in parts)

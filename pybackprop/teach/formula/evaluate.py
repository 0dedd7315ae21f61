"""Evaluates a formula part by part, tracks the axis letters of each part, and limits how much is computed.

Axis letters say what an axis counts: x is (i,k), w is (k,j), z is (i,j). `x.T @ dz` is then k,i times i,j: the inner
letters must be the same. '?' stands for an axis whose letter is unknown, '1' for one of length 1 that was inserted or
kept.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula import axis_letters
from pybackprop.teach.formula.allowed import ABS, AXIS, RELU, whole_number
from pybackprop.teach.formula.errors import FormulaError, MisfitError, place, refuse
from pybackprop.teach.formula.grammar import Formula, names_in

LARGEST = 2**23  # numbers in one intermediate result
WORK = 2**34  # multiplications in all products together

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
}
SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


@dataclass(frozen=True)
class Value:
    """An array in the dtype of the formula's arrays, with a letter for each axis."""

    array: Array
    letters: str

    @property
    def T(self) -> Value:
        return Value(self.array.T, self.letters[::-1])


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
    """The available names for a message, each tensor under one name only: not inp beside x, nor dw beside w.g."""
    first: dict[int, str] = {}
    for name, array in arrays.items():
        if name.isidentifier():
            first.setdefault(id(array), name)
    others = {f"d{name}" for name in arrays} - {"dz", "da"}
    plain = [name for name in first.values() if name not in others]
    shown = {id(arrays[name]) for name in plain}
    more = any(name.endswith(".g") and id(array) not in shown for name, array in arrays.items())
    return ", ".join(plain) + (", and .g of those that have a gradient" if more else "")


class _Evaluator:
    def __init__(
        self, formula: Formula, arrays: Mapping[str, Array], letters_of: Mapping[str, str], products: dict[str, Value]
    ) -> None:
        self.formula, self.arrays, self.letters_of, self.products = formula, arrays, letters_of, products
        self.dtype = np.result_type(*(a.dtype for a in arrays.values())) if arrays else np.dtype(float)
        self.work = 0

    def value(self, node: ast.expr) -> Value:
        value: Value = getattr(self, f"_{type(node).__name__.lower()}")(node)
        return value

    def no(self, node: ast.expr, words: str, kind: type[FormulaError] = MisfitError) -> NoReturn:
        refuse(self.formula.text, place(self.formula.text, node), words, kind)

    def _number(self, value: Any) -> Value:
        return Value(np.asarray(value, self.dtype), "")

    def _room(self, node: ast.expr, shape: tuple[int, ...]) -> None:
        size = int(np.prod([float(length) for length in shape]))
        if size > LARGEST:
            lengths = " x ".join(map(str, shape))
            self.no(node, f"this has {lengths} = {size:,} numbers; at most {LARGEST:,} are allowed", FormulaError)

    # ---- the nodes that the grammar allows ----

    def _constant(self, node: ast.Constant) -> Value:
        return self._number(float(node.value))  # type: ignore[arg-type]

    def _name(self, node: ast.Name) -> Value:
        return self._look_up(node.id)

    def unknown(self, name: str, node: ast.expr) -> NoReturn:
        missing = f"'{name}' is not a name you can use here"
        if name.endswith(".g") and name[:-2] in self.arrays:
            missing = f"the gradient '{name}' is not available"
        self.no(node, f"{missing}; available are {listed(self.arrays)}", FormulaError)

    def _look_up(self, name: str) -> Value:
        array = self.arrays[name]
        known = self.letters_of.get(name, "")
        return Value(array, known if len(known) == array.ndim else "?" * array.ndim)

    def _attribute(self, node: ast.Attribute) -> Value:
        if node.attr == "g":
            return self._look_up(f"{node.value.id}.g")  # type: ignore[attr-defined]
        value = self.value(node.value)
        return value.T if node.attr == "T" else self._number(value.array.size)

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        array = value.array.astype(self.dtype, copy=False)
        return Value(np.asarray(-array if isinstance(node.op, ast.USub) else array), value.letters)

    def _compare(self, node: ast.Compare) -> Value:
        return self._elementwise(node, node.left, node.ops[0], node.comparators[0])

    def _binop(self, node: ast.BinOp) -> Value:
        if isinstance(node.op, ast.MatMult):
            text = ast.unparse(node)
            if text not in self.products:
                self.products[text] = self._product(node, self.value(node.left), self.value(node.right))
            return self.products[text]
        if isinstance(node.op, ast.Pow):
            return self._power(node.left, node.right)
        return self._elementwise(node, node.left, node.op, node.right)

    def _elementwise(self, node: ast.expr, first: ast.expr, operator: Any, second: ast.expr) -> Value:
        left, right = self.value(first), self.value(second)
        try:
            shape = np.broadcast_shapes(left.array.shape, right.array.shape)
        except ValueError:
            sign = SIGNS.get(type(operator), "a comparison")
            operands = f"{self._described(first, left)} does not fit {self._described(second, right)}"
            self.no(node, f"{sign} works element by element, and {operands}")
        self._room(node, shape)
        function = OPERATIONS[type(operator)]
        array = function(left.array.astype(self.dtype, copy=False), right.array.astype(self.dtype, copy=False))
        return Value(np.asarray(array, self.dtype), axis_letters.joined(left.letters, right.letters, shape))

    def _power(self, first: ast.expr, second: ast.expr) -> Value:
        base, exponent = self.value(first), self.value(second)
        array = np.power(base.array.astype(self.dtype, copy=False), exponent.array)
        return Value(np.asarray(array, self.dtype), base.letters)

    def _product(self, node: ast.expr, left: Value, right: Value) -> Value:
        a, b = left.array, right.array
        parts = _operands(node)
        if a.ndim == 0 or b.ndim == 0:
            self.no(node, "@ multiplies matrices, and one operand is a single number; write *")
        inner_b = b.shape[-2] if b.ndim > 1 else b.shape[0]
        if a.shape[-1] != inner_b:
            self.no(node, self._clash(parts, left, right))
        try:
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            self.no(node, f"@ does not fit {a.shape} with {b.shape}")
        shape = (*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ()))
        self._room(node, shape)
        self.work += int(np.prod([float(length) for length in shape])) * inner_b
        if self.work > WORK:
            self.no(node, f"more than {WORK:,} multiplications; judge it on fewer rows", FormulaError)
        kept = "?" * len(batch) + left.letters[-2:-1] * (a.ndim > 1) + right.letters[-1:] * (b.ndim > 1)
        product = np.matmul(a.astype(self.dtype, copy=False), b.astype(self.dtype, copy=False))
        return Value(np.asarray(product, self.dtype), kept)

    def _clash(self, parts: tuple[ast.expr, ast.expr], left: Value, right: Value) -> str:
        a, b = left.array.shape, right.array.shape
        inner = b[-2] if len(b) > 1 else b[0]
        message = f"{self._described(parts[0], left)} @ {self._described(parts[1], right)} does not fit: "
        message += f"the inner dimensions, {a[-1]} and {inner}, differ"
        one, other = left.letters[-1:], right.letters[-2:-1] if len(b) > 1 else right.letters
        if "?" not in one + other and one != other:
            message += f"; one counts {one}, the other {other}, and @ needs the same letter in both places"
        return message

    def _described(self, node: ast.expr, value: Value) -> str:
        shape = ",".join(map(str, value.array.shape))
        counted = f" [{','.join(value.letters)}]" if value.letters and "?" not in value.letters else ""
        return f"{self.formula.part(node)} ({shape}){counted}"

    def _subscript(self, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            return self._length(node, self.value(node.value.value), node.slice)
        value = self.value(node.value)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        try:
            array = value.array[tuple(_index(part) for part in parts)]
        except (IndexError, ValueError) as error:
            self.no(node, f"{self._described(node.value, value)} has no such element: {error}")
        return Value(np.asarray(array), axis_letters.indexed(value.letters, parts))

    def _length(self, node: ast.expr, value: Value, axis: ast.expr) -> Value:
        k = whole_number(axis)
        if k is None or not -value.array.ndim <= k < value.array.ndim:
            self.no(node, f"shape {value.array.shape} has no axis {k}")
        return self._number(value.array.shape[k])

    # ---- calls ----

    def _call(self, node: ast.Call) -> Value:
        if isinstance(node.func, ast.Name):
            return self._function(node, node.func.id)
        called: Any = node.func
        value = self.value(called.value)
        if called.attr in ("dot", "matmul"):
            return self._product(node, value, self.value(node.args[0]))
        if called.attr == "pow":
            return self._power(called.value, node.args[0])
        if called.attr in ("clamp_min", "clamp"):
            low = self.value(node.args[0] if node.args else node.keywords[0].value)
            return Value(np.maximum(value.array.astype(self.dtype), low.array), value.letters)
        if called.attr == "numel":
            return self._number(value.array.size)
        return self._reshaped(node, called.attr, value)

    def _function(self, node: ast.Call, name: str) -> Value:
        value = self.value(node.args[0])
        if name == RELU:
            return Value(np.maximum(value.array.astype(self.dtype), self.dtype.type(0)), value.letters)
        if name == ABS:
            return Value(np.abs(value.array.astype(self.dtype)), value.letters)
        return self._length(node, value, ast.Constant(0))

    def _reshaped(self, node: ast.Call, name: str, value: Value) -> Value:
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        given = node.args[0] if node.args else next((named[key] for key in AXIS if key in named), None)
        axis = whole_number(given)
        array = value.array.astype(self.dtype, copy=False)
        try:
            if name in ("sum", "mean"):
                kept = [*node.args[1:2], *(named[key] for key in ("keepdims", "keepdim") if key in named)]
                keeps = bool(kept and getattr(kept[0], "value", False))
                total = (np.sum if name == "sum" else np.mean)(array, axis=axis, keepdims=keeps)
                return Value(np.asarray(total, self.dtype), axis_letters.summed(value.letters, axis, keeps))
            if name == "unsqueeze":
                expanded = np.expand_dims(array, axis or 0)
                at = (axis or 0) % expanded.ndim
                return Value(expanded, value.letters[:at] + "1" + value.letters[at:])
            if name == "squeeze":
                return Value(squeezed := np.squeeze(array, axis), "?" * squeezed.ndim)
        except (ValueError, IndexError) as error:
            self.no(node, f".{name}: {self._described(node.func.value, value)}: {error}")  # type: ignore[attr-defined]
        return {"t": value.T, "abs": Value(np.abs(array), value.letters)}.get(name, Value(array, value.letters))


def _operands(node: ast.expr) -> tuple[ast.expr, ast.expr]:
    if isinstance(node, ast.BinOp):
        return node.left, node.right
    return node.func.value, node.args[0]  # type: ignore[attr-defined]


def _index(part: ast.expr) -> Any:
    if isinstance(part, ast.Slice):
        return slice(*(whole_number(bound) for bound in (part.lower, part.upper, part.step)))
    return whole_number(part)

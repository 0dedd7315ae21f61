"""Terms: one element of a gradient as the sum that it is, and the same element of a proposal as what it adds."""

from __future__ import annotations

import ast
from dataclasses import dataclass

import numpy as np

from pybackprop.convert import Array
from pybackprop.teach.allowed import COMPARISONS, whole_number
from pybackprop.teach.evaluate import Value, evaluate
from pybackprop.teach.formula_error import FormulaError
from pybackprop.teach.grammar import Formula
from pybackprop.teach.question import Question

MOST = 4  # terms that are written out

At = tuple[int, ...]


@dataclass(frozen=True)
class Sum:
    """Terms, each in words and as a number, and what they add up to."""

    words: list[str]
    numbers: list[str]
    total: float

    def __str__(self) -> str:
        more = len(self.words) - MOST
        rest = f" + ... ({more} more)" if more > 0 else ""
        left, right = (" + ".join(part[:MOST]) + rest for part in (self.words, self.numbers))
        total = f"{self.total + 0.0:.4g}"
        return f"{left} = {right} = {total}" if right != total else f"{left} = {total}"


def number(value: float) -> str:
    return f"{value + 0.0:.3g}" if value >= 0 else f"({value:.3g})"


# ---- what should be added ----


def due(question: Question, arrays: dict[str, Array], at: At, used: list[str]) -> tuple[str, Sum] | None:
    """What moves with element at, in words, and the terms of its gradient. arrays: by role."""
    word = {role: question.word(role, used) for role in ("x", "w", "b", "z", "dz", "a", "da", "out", "targ", "size")}
    kinds = {"w": _due_w, "x": _due_x, "b": _due_b, "relu": _due_relu, "mse": _due_mse, "targ": _due_mse}
    make = kinds.get(question.kind)
    return None if make is None else make(word, arrays, at, question.kind)


def _products(pairs: list[tuple[str, float, str, float]]) -> Sum:
    words = [f"{a}*{b}" for a, _, b, _ in pairs]
    numbers = [f"{number(p)}*{number(q)}" for _, p, _, q in pairs]
    return Sum(words, numbers, float(sum(p * q for _, p, _, q in pairs)))


def _due_w(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    (k, j), x, dz = at, arrays["x"], arrays["dz"]
    pairs = [
        (f"{word['x']}[{i},{k}]", float(x[i, k]), f"{word['dz']}[{i},{j}]", float(dz[i, j])) for i in range(len(x))
    ]
    moves = f"{word['w']}[{k},{j}] moves column {j} of {word['z']}, in every row i, by {word['x']}[i,{k}] each"
    return moves, _products(pairs)


def _due_x(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    (i, k), w, dz = at, arrays["w"], arrays["dz"]
    pairs = [
        (f"{word['dz']}[{i},{j}]", float(dz[i, j]), f"{word['w']}[{k},{j}]", float(w[k, j])) for j in range(w.shape[1])
    ]
    moves = f"{word['x']}[{i},{k}] moves row {i} of {word['z']}, in every column j, by {word['w']}[{k},j] each"
    return moves, _products(pairs)


def _due_b(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    (j,), dz = at, arrays["dz"]
    column = dz[:, j].tolist()
    words = [f"{word['dz']}[{i},{j}]" for i in range(len(column))]
    moves = f"{word['b']}[{j}] was broadcast: it moves column {j} of {word['z']}, in every row, by 1 each"
    return moves, Sum(words, [number(v) for v in column], float(sum(column)))


def _due_relu(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    z, da = float(arrays["z"][at]), float(arrays["da"][at])
    index = ",".join(map(str, at))
    opened = z > 0
    moves = f"{word['z']}[{index}] is {z:.3g}, " + (
        f"positive: {word['a']}[{index}] moves with it, by 1, and nothing else does"
        if opened
        else f"not positive: {word['a']}[{index}] stays at 0 when it moves a little"
    )
    return moves, Sum([f"{int(opened)}*{word['da']}[{index}]"], [f"{int(opened)}*{number(da)}"], da if opened else 0.0)


def _due_mse(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    out = float(arrays["out"].reshape(-1)[_flat(at, arrays[kind_name(kind)])])
    targ = float(arrays["targ"].reshape(-1)[_flat(at, arrays[kind_name(kind)])])
    size, index, two = arrays["out"].size, ",".join(map(str, at)), 2 if kind == "mse" else -2
    moves = (
        f"{word[kind_name(kind)]}[{index}] moves one difference, and through its square the loss; the loss is the mean "
        f"of {size} such squares"
    )
    words = f"{two}*({word['out']}[{index}] - {word['targ']}[{index}])/{size}"
    return moves, Sum([words], [f"{two}*({out:.3g} - {number(targ)})/{size}"], two * (out - targ) / size)


def kind_name(kind: str) -> str:
    return "out" if kind == "mse" else kind


def _flat(at: At, array: Array) -> int:
    return int(np.ravel_multi_index(at, array.shape)) if at else 0


# ---- what a formula adds ----


def added(formula: Formula, arrays: dict[str, Array], at: At) -> Sum | None:
    """The terms that a formula adds up at element at; None where it is neither a product nor a sum of them."""
    try:
        whole = evaluate(formula, arrays)
        if len(at) != whole.array.ndim or any(k >= length for k, length in zip(at, whole.array.shape, strict=True)):
            return None
        return _Labels(formula, arrays).sum(formula.tree, at, float(whole.array[at]))
    except (FormulaError, IndexError):
        return None


class _Labels:
    """Element [i,j] of a part of a formula, in words."""

    def __init__(self, formula: Formula, arrays: dict[str, Array]) -> None:
        self.formula, self.arrays = formula, arrays

    def value(self, node: ast.expr) -> Value:
        return evaluate(self.formula, self.arrays, part=node)

    def sum(self, node: ast.expr, at: At, total: float) -> Sum | None:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            left, right = self.value(node.left).array, self.value(node.right).array
            if left.ndim != 2 or right.ndim != 2:
                return None
            terms = [((at[0], c), (c, at[1])) for c in range(left.shape[1])]
            words = [f"{self.label(node.left, p)}*{self.label(node.right, q)}" for p, q in terms]
            return Sum(words, [f"{number(left[p])}*{number(right[q])}" for p, q in terms], total)
        called = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        if called is not None and called.attr == "sum" and isinstance(node, ast.Call):
            return self._over_axis(node, called.value, at, total)
        label = self.label(node, at)
        return None if label is None else Sum([label], [f"{total + 0.0:.4g}"], total)

    def _over_axis(self, node: ast.Call, of: ast.expr, at: At, total: float) -> Sum | None:
        axis = whole_number(node.args[0] if node.args else None)
        inner = self.value(of).array
        if axis is None or len(node.args) != 1 or node.keywords:
            return None
        axis %= inner.ndim
        places = [(*at[:axis], c, *at[axis:]) for c in range(inner.shape[axis])]
        return Sum([self.label(of, p) for p in places], [number(float(inner[p])) for p in places], total)

    def label(self, node: ast.expr, at: At) -> str:
        """How element at of this part is written."""
        if isinstance(node, ast.Attribute) and node.attr == "T":
            return self.label(node.value, at[::-1])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "t":
            return self.label(node.func.value, at[::-1])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            return f"{self._operand(node.left, at)}*{self._operand(node.right, at)}"
        if isinstance(node, ast.Compare):
            sign = COMPARISONS[type(node.ops[0])]
            return f"({self._operand(node.left, at)} {sign} {self._operand(node.comparators[0], at)})"
        if isinstance(node, ast.Constant):
            return self.formula.part(node)
        name = self.formula.part(node)
        index = ",".join(map(str, at))
        plain = isinstance(node, (ast.Name, ast.Attribute))
        return (name if plain else f"({name})") + (f"[{index}]" if at else "")

    def _operand(self, node: ast.expr, at: At) -> str:
        """An operand of * may be broadcast: an axis of length 1 is always asked for element 0."""
        shape = self.value(node).array.shape
        inner = tuple(0 if length == 1 else k for k, length in zip(at[len(at) - len(shape) :], shape, strict=True))
        return self.label(node, inner)

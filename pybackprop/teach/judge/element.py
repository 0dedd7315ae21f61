"""Element: one element of a gradient as the sum that it is, and the same element of a proposal as what it adds."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.formula.allowed import COMPARISONS, whole_number
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.evaluate import Value, evaluate
from pybackprop.teach.formula.grammar import Formula
from pybackprop.teach.judge.question import Question
from pybackprop.teach.trace.notation import element as called
from pybackprop.teach.trace.notation import other_at

ALL, MOST = 6, 4  # so many terms are all written out; of more, the heaviest

At = tuple[int, ...]


@dataclass(frozen=True)
class Sum:
    """The first terms, in words and as numbers, how many there are, and what all of them add up to.

    Where there are too many to be read, those are shown that weigh most.
    """

    words: list[str]
    numbers: list[str]
    count: int
    total: float

    def __str__(self) -> str:
        more = self.count - len(self.words)
        rest = f" + ... ({more} smaller ones)" if more > 0 else ""
        left, right = (" + ".join(part) + rest for part in (self.words, self.numbers))
        total = f"{self.total + 0.0:.4g}"
        return f"{left} = {right} = {total}" if right != total else f"{left} = {total}"


Label = Callable[[int], str]


def number(value: float) -> str:
    return f"{value + 0.0:.3g}" if value >= 0 else f"({value:.3g})"


def heaviest(terms: Array) -> list[int]:
    """Which terms to write out: all, or those that weigh most."""
    if len(terms) <= ALL:
        return list(range(len(terms)))
    return [int(k) for k in np.argsort(-np.abs(terms), kind="stable")[:MOST]]


def products(left: Array, left_word: Label, right: Array, right_word: Label, total: float | None = None) -> Sum:
    """The sum of left[c] * right[c]."""
    with np.errstate(all="ignore"):
        terms = left * right
    shown = heaviest(terms)
    words = [f"{left_word(c)}*{right_word(c)}" for c in shown]
    numbers = [f"{number(float(left[c]))}*{number(float(right[c]))}" for c in shown]
    return Sum(words, numbers, len(terms), float(terms.sum()) if total is None else total)


def plain(terms: Array, word: Label, total: float) -> Sum:
    """The sum of terms[c]."""
    shown = heaviest(terms)
    return Sum([word(c) for c in shown], [number(float(terms[c])) for c in shown], len(terms), total)


# ---- what should be added ----


def due(question: Question, arrays: dict[str, Array], at: At, used: list[str]) -> tuple[str, Sum] | None:
    """What moves with element at, in words, and the terms of its gradient. arrays: by role."""
    word = {role: question.word(role, used) for role in ("x", "w", "b", "z", "dz", "a", "da", "out", "targ", "size")}
    kinds = {"w": _due_w, "x": _due_x, "b": _due_b, "relu": _due_relu, "mse": _due_mse, "targ": _due_mse}
    make = kinds.get(question.kind)
    return None if make is None else make(word, arrays, at, question.kind)


def _due_w(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    (k, j), x, dz = at, word["x"], word["dz"]
    moves = f"{word['w']}[{k},{j}] moves column {j} of {word['z']}, in every row i, by {x}[i,{k}] each"
    columns = arrays["x"][:, k], arrays["dz"][:, j]
    return moves, products(columns[0], lambda i: f"{x}[{i},{k}]", columns[1], lambda i: f"{dz}[{i},{j}]")


def _due_x(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    (i, k), w, dz = at, word["w"], word["dz"]
    moves = f"{word['x']}[{i},{k}] moves row {i} of {word['z']}, in every column j, by {w}[{k},j] each"
    rows = arrays["dz"][i], arrays["w"][k]
    return moves, products(rows[0], lambda j: f"{dz}[{i},{j}]", rows[1], lambda j: f"{w}[{k},{j}]")


def _due_b(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    (j,), column = at, arrays["dz"][:, at[0]]
    moves = f"{word['b']}[{j}] was broadcast: it moves column {j} of {word['z']}, in every row, by 1 each"
    return moves, plain(column, lambda i: f"{word['dz']}[{i},{j}]", float(column.sum()))


def _due_relu(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    z, da = float(arrays["z"][at]), float(arrays["da"][at])
    index = ",".join(map(str, at))
    opened = z > 0
    moves = f"{word['z']}[{index}] is {z:.3g}, " + (
        f"positive: {word['a']}[{index}] moves with it, by 1, and nothing else does"
        if opened
        else f"not positive: {word['a']}[{index}] stays at 0 when it moves a little"
    )
    words, numbers = f"{int(opened)}*{word['da']}[{index}]", f"{int(opened)}*{number(da)}"
    return moves, Sum([words], [numbers], 1, da if opened else 0.0)


def _due_mse(word: dict[str, str], arrays: dict[str, Array], at: At, kind: str) -> tuple[str, Sum]:
    at_out, at_targ = (other_at(at, arrays[role].ndim) for role in ("out", "targ"))
    out, targ = float(arrays["out"][at_out]), float(arrays["targ"][at_targ])
    size, two, mine = arrays["out"].size, *((2, "out") if kind == "mse" else (-2, "targ"))
    pair = f"{called(word['out'], at_out)} - {called(word['targ'], at_targ)}"
    moves = (
        f"{called(word[mine], at)} moves one difference, and through its square the loss; the loss is the mean of "
        f"{size} such squares"
    )
    words = f"{two}*({pair})/{size}"
    return moves, Sum([words], [f"{two}*({out:.3g} - {number(targ)})/{size}"], 1, two * (out - targ) / size)


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
            rows = left[at[0]], right[:, at[1]]
            words = (lambda c: self.label(node.left, (at[0], c))), (lambda c: self.label(node.right, (c, at[1])))
            return products(rows[0], words[0], rows[1], words[1], total)
        called = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        if called is not None and called.attr == "sum" and isinstance(node, ast.Call):
            return self._over_axis(node, called.value, at, total)
        label = self.label(node, at)
        return Sum([label], [f"{total + 0.0:.4g}"], 1, total)

    def _over_axis(self, node: ast.Call, of: ast.expr, at: At, total: float) -> Sum | None:
        axis = whole_number(node.args[0] if node.args else None)
        inner = self.value(of).array
        if axis is None or len(node.args) != 1 or node.keywords:
            return None
        axis %= inner.ndim
        before, after = at[:axis], at[axis:]
        every: Any = (*before, slice(None), *after)
        return plain(inner[every], lambda c: self.label(of, (*before, c, *after)), total)

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

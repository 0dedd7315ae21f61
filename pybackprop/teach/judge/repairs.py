"""Mistakes that are found by repairing a formula: one thing in it is replaced, and that makes it right everywhere."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pybackprop.teach.formula.allowed import OPERATORS
from pybackprop.teach.formula.errors import FormulaError
from pybackprop.teach.formula.grammar import Formula, names_in, parse
from pybackprop.teach.formula.spellings import unparsed
from pybackprop.teach.judge.attempt import SLACK, with_formula
from pybackprop.teach.judge.mistake import MSE, RELU, Mistake
from pybackprop.teach.judge.question import Question
from pybackprop.teach.judge.substitutions import exchanged

SIZES = ("n", "m", "h", "size", "n * h", "n * m", "m * h")
MOST = 200  # repairs that are tried of one kind
LONGEST_CHAIN = 5  # products in a row whose brackets are tried
PRODUCTS = (ast.Mult, ast.Div, ast.MatMult)


@dataclass(frozen=True)
class Repair:
    """A formula in which one thing was replaced. words: what the mistake's text says of it."""

    mistake: Mistake
    tree: ast.expr
    words: dict[str, str]


OPERATOR_ORDER = Mistake(
    "operator-order",
    {RELU: ("(z > 0) * out.g @ w2.T",), "w": ("x.T @ (z > 0) * da",)},
    "{first} is computed first: * and @ have the same precedence and are read from left to right. All the parts are "
    "right; brackets must say which two of them belong together.",
    by_repair=True,
)
MISPLACED_BRACKETS = Mistake(
    "misplaced-brackets",
    {RELU: ("((z > 0) * out.g) @ w2.T",), "w": ("(x.T @ (z > 0)) * da",)},
    "All the parts are right, but the brackets stand around the wrong ones: {first} is computed first.",
    by_repair=True,
)
NUMBER_FOR_SIZE = Mistake(
    "number-for-size",
    {MSE: ("2 * (out - targ) / 1000",), "w": ("x.T @ dz / n * 7",), "b": ("dz.mean(0) * 7",)},
    "The {number} in it is right for one shape at most: a size belongs in its place, one of n, m, h, size or a product "
    "of them.",
    by_repair=True,
)
FACTOR_TOO_MANY = Mistake(
    "factor-too-many",
    {MSE: ("2 * (out - targ) / size / 2", "2 * (out - targ) / size * size")},
    "Without {part} every number would be right: it is one factor too many.",
    by_repair=True,
)
WRONG_TRANSPOSE = Mistake(
    "wrong-transpose",
    {"w": ("x.T @ ((z > 0) * (out.g @ w2))",)},
    "All is right but one transpose: look at the index letters around {part}.",
    by_repair=True,
)
MATMUL_FOR_ELEMENTWISE = Mistake(
    "matmul-for-elementwise",
    {"w": ("x.T @ ((z > 0) @ da)",)},
    "It would be right with * in place of @ between {left} and {right}: each element there is multiplied by the one in "
    "the same place, and nothing is added.",
    by_repair=True,
)
ELEMENTWISE_FOR_MATMUL = Mistake(
    "elementwise-for-matmul",
    {RELU: ("(z > 0) * (out.g * w2.T)",)},
    "It would be right with @ in place of * between {left} and {right}: the products there must be added along an axis "
    "that both have.",
    by_repair=True,
)
REPAIRED = (
    OPERATOR_ORDER,
    MISPLACED_BRACKETS,
    NUMBER_FOR_SIZE,
    FACTOR_TOO_MANY,
    WRONG_TRANSPOSE,
    MATMUL_FOR_ELEMENTWISE,
    ELEMENTWISE_FOR_MATMUL,
)


def repaired(question: Question, formula: Formula) -> Repair | None:
    """The first repair that makes a formula right on all samples; None if there is none."""
    for family in (_regrouped, _with_sizes, _transposed, _other_product, _renamed):
        if found := _working(question, family(question, formula)):
            return found
    return None


def without_a_factor(question: Question, formula: Formula) -> Repair | None:
    """The factor without which a formula is right; None if there is none."""
    return _working(question, _dropped(question, formula))


def _working(question: Question, repairs: Iterator[Repair]) -> Repair | None:
    for _, repair in zip(range(MOST), repairs, strict=False):
        try:
            formula = parse(unparsed(repair.tree))
        except FormulaError:
            continue
        if _is_right(question, formula):
            return repair
    return None


def _is_right(question: Question, formula: Formula) -> bool:
    own, *others = question.samples
    if any(question.circular(name) for name in formula.names):
        return False
    for sample, slack in [*((other, SLACK) for other in others), (own, 50.0)]:
        attempt = with_formula(formula, sample, slack)
        if attempt is None or not attempt.is_right:
            return False
    return True


def _replaced(tree: ast.expr, node: ast.AST, by: Callable[[ast.expr], ast.expr]) -> ast.expr:
    """A copy of a tree in which the copy of one node is replaced."""
    at = next(k for k, other in enumerate(ast.walk(tree)) if other is node)
    changed = copy.deepcopy(tree)
    target = list(ast.walk(changed))[at]
    new = by(target)  # type: ignore[arg-type]
    if target is changed:
        return new
    for parent in ast.walk(changed):
        for field, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, field, new)
                return changed
            if isinstance(value, list) and any(part is target for part in value):
                setattr(parent, field, [new if part is target else part for part in value])
                return changed
    return changed


# ---- what is replaced ----


def _regrouped(question: Question, formula: Formula) -> Iterator[Repair]:
    """A chain such as a * b @ c with brackets wherever they can be; then with brackets that were there elsewhere."""
    for node in ast.walk(formula.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, PRODUCTS):
            yield from _bracketed(formula, node)
            yield from _other_brackets(formula, node)


def _bracketed(formula: Formula, node: ast.BinOp) -> Iterator[Repair]:
    chain = [node]  # the products of the chain, the last first
    while _is_product(inner := chain[-1].left) and inner.col_offset == node.col_offset:
        chain.append(inner)  # type: ignore[arg-type]
    chain = chain[::-1]
    if len({isinstance(product.op, ast.MatMult) for product in chain}) < 2 or len(chain) > LONGEST_CHAIN:
        return
    operands = [chain[0].left, *(product.right for product in chain)]
    for tree, spans in _groupings(operands, [product.op for product in chain], 0, len(chain)):
        wrong = next((k for k in range(1, len(chain)) if (0, k) not in spans), None)
        if wrong is not None:
            changed = _replaced(formula.tree, node, lambda _, tree=tree: copy.deepcopy(tree))  # type: ignore[misc]
            yield Repair(OPERATOR_ORDER, changed, {"first": formula.part(chain[wrong - 1])})


def _groupings(
    operands: list[ast.expr], signs: list[ast.operator], start: int, end: int
) -> Iterator[tuple[ast.expr, set[tuple[int, int]]]]:
    """All ways to put brackets into operands[start] to operands[end], each with the spans that are computed."""
    if start == end:
        yield operands[start], set()
    for last in range(start, end):
        for left, some in _groupings(operands, signs, start, last):
            for right, others in _groupings(operands, signs, last + 1, end):
                yield ast.BinOp(left, signs[last], right), {(start, end), *some, *others}


def _other_brackets(formula: Formula, node: ast.BinOp) -> Iterator[Repair]:
    """(a * b) @ c as a * (b @ c), and the reverse."""
    for inner, turn in ((node.left, _turned_right), (node.right, _turned_left)):
        is_bare = inner is node.left and inner.col_offset == node.col_offset
        if _is_product(inner) and not is_bare:
            yield Repair(MISPLACED_BRACKETS, _replaced(formula.tree, node, turn), {"first": formula.part(inner)})


def _is_product(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, PRODUCTS)


def _turned_right(node: ast.expr) -> ast.expr:
    """(a * b) @ c as a * (b @ c)."""
    inner: ast.BinOp = node.left  # type: ignore[attr-defined]
    return ast.BinOp(inner.left, inner.op, ast.BinOp(inner.right, node.op, node.right))  # type: ignore[attr-defined]


def _turned_left(node: ast.expr) -> ast.expr:
    """a * (b @ c) as (a * b) @ c."""
    inner: ast.BinOp = node.right  # type: ignore[attr-defined]
    return ast.BinOp(ast.BinOp(node.left, node.op, inner.left), inner.op, inner.right)  # type: ignore[attr-defined]


def _with_sizes(question: Question, formula: Formula) -> Iterator[Repair]:
    """A size in place of a number."""
    for node in ast.walk(formula.tree):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            for size in SIZES:
                new = ast.parse(size, mode="eval").body
                if {name for name, _ in names_in(new)} <= question.names.keys():
                    tree = _replaced(formula.tree, node, lambda _, new=new: new)  # type: ignore[misc]
                    yield Repair(NUMBER_FOR_SIZE, tree, {"number": formula.part(node)})


def _transposed(question: Question, formula: Formula) -> Iterator[Repair]:
    """An operand of @ transposed, or no longer transposed."""
    for node in ast.walk(formula.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            for operand in (node.left, node.right):
                tree = _replaced(formula.tree, operand, _toggled)
                yield Repair(WRONG_TRANSPOSE, tree, {"part": formula.part(operand)})


def _toggled(node: ast.expr) -> ast.expr:
    is_transpose = isinstance(node, ast.Attribute) and node.attr == "T"
    return node.value if is_transpose else ast.Attribute(node, "T")  # type: ignore[attr-defined]


def _other_product(question: Question, formula: Formula) -> Iterator[Repair]:
    """* in place of @, or @ in place of *."""
    for node in ast.walk(formula.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.MatMult, ast.Mult)):
            is_matmul = isinstance(node.op, ast.MatMult)
            mistake = MATMUL_FOR_ELEMENTWISE if is_matmul else ELEMENTWISE_FOR_MATMUL
            new = ast.BinOp(node.left, ast.Mult() if is_matmul else ast.MatMult(), node.right)
            tree = _replaced(formula.tree, node, lambda _, new=new: new)  # type: ignore[misc]
            yield Repair(mistake, tree, {"left": formula.part(node.left), "right": formula.part(node.right)})


def _renamed(question: Question, formula: Formula) -> Iterator[Repair]:
    """Another tensor, or another gradient, in place of one."""
    for name, node in names_in(formula.tree):
        for mistake, other, words in exchanged(question, name, formula.names):
            new = ast.parse(other, mode="eval").body
            tree = _replaced(formula.tree, node, lambda _, new=new: new)  # type: ignore[misc]
            yield Repair(mistake, tree, words)


def _dropped(question: Question, formula: Formula) -> Iterator[Repair]:
    """Without one factor or divisor that is a number or a size."""
    for node in ast.walk(formula.tree):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, (ast.Mult, ast.Div)):
            continue
        sign = OPERATORS[type(node.op)]
        if _is_number(question, node.right):
            part = f"'{sign} {formula.part(node.right)}'"
            yield Repair(FACTOR_TOO_MANY, _replaced(formula.tree, node, lambda n: n.left), {"part": part})  # type: ignore[attr-defined]
        if isinstance(node.op, ast.Mult) and _is_number(question, node.left):
            part = f"'{formula.part(node.left)} {sign}'"
            yield Repair(FACTOR_TOO_MANY, _replaced(formula.tree, node, lambda n: n.right), {"part": part})  # type: ignore[attr-defined]


def _is_number(question: Question, node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return question.names.get(node.id, ("",))[0] in ("length", "size")
    return isinstance(node, ast.Constant)

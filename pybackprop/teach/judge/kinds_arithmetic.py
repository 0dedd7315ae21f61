"""The questions about + - * / ** .sum() .mean() .T and so on: the right formulas, for operands of any shapes."""

from __future__ import annotations

import re

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor
from pybackprop.core.arrays import Array
from pybackprop.teach.formula.evaluate import evaluate
from pybackprop.teach.formula.grammar import parse
from pybackprop.teach.judge.kind import GENERIC, Kind, Reading, Roles, Terms, questions
from pybackprop.teach.judge.kinds import B
from pybackprop.teach.trace.use import Use

MOVES = "Move one element of {operand} and watch which elements of {z} move with it, and by how much each."
MOVES_OWN = "Move one element of {operand} and watch how much the same element of {a} moves."
BROADCAST = "; {operand} was broadcast, so each of its elements moves several, and their shares are added"

# ---- z = x + y, x - y, x * y, x / y, or a number for y ----

PAIRS = {
    ops.ADD: (("dz", "dz"), ("{z} moves by 1 with either",) * 2),
    ops.SUBTRACT: (("dz", "-dz"), ("{z} moves by 1 with {x}", "{z} moves by -1 with {y}")),
    ops.MULTIPLY: (("y * dz", "x * dz"), ("{z} moves by {y} with {x}", "{z} moves by {x} with {y}")),
    ops.DIVIDE: (
        ("dz / y", "-dz * x / y**2"),
        ("{z} moves by 1 / {y} with {x}", "{z} moves by -{x} / {y}**2 with {y}"),
    ),
}
_ALIASES = {"inp": "x", "a": "x", "b": "y", "out": "z"}


@questions(*PAIRS, reading=Reading(("x", "y"), "z", _ALIASES))
def _of_pair(use: Use) -> Kind:
    return _pair(use)


def _pair(use: Use) -> Kind:
    formulas, reasons = PAIRS[use.op]  # type: ignore[index]
    if len(use.operands) == 1:  # a number stands in y's place
        return Kind(GENERIC, "x", formulas[0].replace("y", "number"), MOVES, reasons[0].replace("{y}", "{number}"))
    if use.operands[0] is use.operands[1]:
        right = " + ".join(f"({formula})" for formula in formulas)
        return Kind(GENERIC, "x", _summed(right, use), MOVES, "it is both operands, and the two shares are added")
    role, formula, why = "xy"[use.slot], formulas[use.slot], reasons[use.slot]
    right = _summed(formula, use)
    if right == formula:
        return Kind(GENERIC, role, right, MOVES, why)
    return Kind(GENERIC, role, right, MOVES, why + BROADCAST.replace("operand", role), _terms_of(right))


def _terms_of(right: str) -> Terms:
    """What the rounding errors of a sum are relative to: the formula on the absolute values, which cancel nothing."""

    def terms(roles: Roles, gradient: Array) -> tuple[Array, int]:
        magnitudes = {name: np.abs(array) for name, array in roles.items()}
        whole = np.abs(evaluate(parse(right), magnitudes).array)
        return whole, roles["dz"].size // max(1, gradient.size)

    return terms


def _summed(formula: str, use: Use) -> str:
    """A formula over the result's elements, summed to the shape of an operand that was broadcast to it."""
    given, out = use.tensor, use.output
    if given.ndim == 0 < out.ndim:
        return f"({formula}).sum()"
    new = out.ndim - given.ndim
    repeated = [k for k in range(given.ndim) if given.shape[k] != out.shape[new + k]]
    sums = ".sum(0)" * new + "".join(f".sum({k}, keepdims=True)" for k in repeated)
    return f"({formula}){sums}" if sums else formula


@questions(ops.ADD, reading=Reading(("x", "b"), "z", {"inp": "x", "y": "b", "out": "z"}, ("ij", "j", "ij"), ahead=True))
def _sum_of_two(use: Use) -> Kind:
    """A bias's sum over the rows has a text of its own."""
    is_bias = use.slot == 1 and use.operands[1].ndim == 1 and use.operands[0].ndim == 2
    if is_bias and use.operands[0].shape == use.output.shape == (len(use.output), *use.tensor.shape):
        return B
    kind = _pair(use)
    role, why = kind.role.replace("y", "b"), kind.why.replace("{y}", "{b}")
    return Kind(GENERIC, role, kind.right, MOVES, why, kind.terms)


# ---- a = x**2, -x, 1 / x, ..., each element by itself ----


@questions(
    ops.SUBTRACT_FROM_NUMBER,
    ops.DIVIDE_NUMBER,
    ops.NEGATE,
    ops.POWER,
    ops.SQRT,
    ops.CLAMP_MIN,
    reading=Reading(("x",), "a", {"inp": "x", "z": "x", "b": "x", "out": "a"}),
)
def _alone(use: Use) -> Kind:
    slope = ALONE[use.op] if use.op in ALONE else _power_slope(use.operation.params["exponent"])
    right = {"1": "da", "-1": "-da"}.get(slope, f"{slope} * da")
    why = f"each element of {{a}} moves by {slope_text(slope)} per unit change of its own of {{x}}"
    return Kind(GENERIC, "x", right, MOVES_OWN, why)


ALONE = {
    ops.SUBTRACT_FROM_NUMBER: "-1",
    ops.DIVIDE_NUMBER: "-number / x**2",
    ops.NEGATE: "-1",
    ops.SQRT: "1 / (2 * a)",
    ops.CLAMP_MIN: "(x > low)",
}


def _power_slope(exponent: int) -> str:
    if exponent in (0, 1):
        return str(exponent)
    return f"{exponent} * x" if exponent == 2 else f"{exponent} * x**{exponent - 1}"


def slope_text(slope: str) -> str:
    """A slope with its names as places for those of the network."""
    return re.sub(r"[a-z]\w*", lambda name: f"{{{name[0]}}}", slope)


# ---- z = x.sum(0), x.mean(), x.T, x.reshape(n, 1) ----

_WHOLE = Reading(("x",), "z", {"inp": "x", "out": "z"}, rows="x")


@questions(ops.SUM, ops.MEAN, reading=_WHOLE)
def _total(use: Use) -> Kind:
    axes, x = use.operation.params["axes"], use.operands[0]
    dz = "dz" if use.operation.params["keepdims"] else _back(axes, x)
    if use.op is ops.SUM:
        return Kind(GENERIC, "x", f"np.ones_like(x) * {dz}", MOVES, "each element moves its sum by 1")
    count = "x.size" if len(axes) == x.ndim else " / ".join(f"x.shape[{axis}]" for axis in axes)
    why = "each element moves its mean by 1 / the number of elements in it"
    return Kind(GENERIC, "x", f"np.ones_like(x) * {dz} / {count}", MOVES, why)


def _back(axes: tuple[int, ...], x: Tensor) -> str:
    """The gradient at a sum, with the summed axes put back where they are not the first."""
    index = ["None" if axis in axes else ":" for axis in range(x.ndim)]
    is_plain = axes == tuple(range(len(axes)))
    return "dz" if is_plain else f"dz[{','.join(index)}]"


@questions(ops.TRANSPOSE, reading=_WHOLE)
def _transpose(use: Use) -> Kind:
    return Kind(GENERIC, "x", "dz.T", MOVES, "element [i,j] went to [j,i], and its gradient comes back from there")


@questions(ops.RESHAPE, ops.INDEX, reading=_WHOLE)
def _arranged(use: Use) -> Kind:
    """What was taken by an index has no formula, unless it is everything."""
    is_known = use.op is ops.RESHAPE or (use.tensor.size == use.output.size and _keeps_order(use))
    why = "each element's gradient comes back from where it went"
    return Kind(GENERIC, "x", "dz.reshape(x.shape)" if is_known else None, MOVES, why)


def _keeps_order(use: Use) -> bool:
    """Whether an index takes all: [:,0] of one column, or [:,None]."""
    index = use.operation.params.get("index")
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or type(part) is int or (type(part) is slice and part == slice(None)) for part in parts)

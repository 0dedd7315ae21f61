"""Moves: what moves when one element moves, by how much each, and how the definition adds it up.

A Path is one way from the element to what one operation computed from it. Its sum is added by
csrc/ops/reference.c itself, on the one row and the one column that meet in the element.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop import reference
from pybackprop.arithmetic import _sum_to
from pybackprop.convert import Array
from pybackprop.errors import GradientError
from pybackprop.storage import Storage
from pybackprop.teach.find import Operation
from pybackprop.teach.gradients import Walk

Index = tuple[int, ...]
PRODUCTS = ("lin", "@")


@dataclass(frozen=True)
class Path:
    """One way on: the element is input `slot` of an operation, and moves some elements of its output.

    rule      which of RULES it follows: w, x, b, same, relu, mse, targ, broadcast
    moved     the index of each moved element in the output, one row each (terms, dimensions)
    local     ∂ moved / ∂ element, one number each
    upstream  ∂ loss / ∂ moved, the output's gradient there
    start     what earlier paths left in the gradient, to which this one adds; None for the first
    """

    operation: Operation
    slot: int
    at: Index
    rule: str
    moved: Array
    local: Array
    upstream: Array
    start: float | None

    def __len__(self) -> int:
        return len(self.local)

    @property
    def products(self) -> Array:
        """The terms in double: exact where the numbers are float32."""
        with np.errstate(all="ignore"):
            made = self.local.astype(np.float64) * self.upstream.astype(np.float64)
        return (
            np.where(self.local == 0, 0.0, made) if self.rule == "relu" else made
        )  # a relu that is off lets no NaN by

    def added(self, count: int | None = None) -> float:
        """The sum of the first `count` terms as the definition adds them, on top of start."""
        few = slice(None, count)
        return float(RULES[self.rule].add(self, self.local[few], self.upstream[few]))


@dataclass(frozen=True)
class Rule:
    """find: (operation, slot, at) -> indices of what moves and local derivatives. add: the definition's sum."""

    find: Callable[[Operation, int, Index], tuple[Array, Array]]
    add: Callable[[Path, Array, Array], Any]


def paths_of(tensor: Storage, at: Index, walk: Walk) -> list[Path]:
    """Every path from the element on, in the order in which a backward adds them."""
    paths: list[Path] = []
    for op in reversed(walk.network.operations):
        for slot in backward_order(op):
            if op.inputs[slot] is tensor and id(op.output) in walk.buffers:
                start = paths[-1].added() if paths else None
                paths.append(_path(op, slot, at, walk.of(op.output), start))
    return paths


def backward_order(op: Operation) -> list[int]:
    """The inputs in the order in which the operation's backward fills their gradients."""
    slots = list(range(len(op.inputs)))
    return slots[::-1] if op.kind == "mse" else slots


def _path(op: Operation, slot: int, at: Index, dout: Array, start: float | None) -> Path:
    rule = rule_of(op, slot)
    moved, local = RULES[rule].find(op, slot, at)
    upstream = dout[tuple(moved.T)] if dout.ndim else np.full(len(moved), dout)
    return Path(op, slot, at, rule, moved, local.astype(dout.dtype), upstream, start)


def rule_of(op: Operation, slot: int) -> str:
    """Which of RULES the input of an operation follows. Raises GradientError for a step that is not known here."""
    if op.kind in PRODUCTS:
        return ("x", "w", "b")[slot]
    if op.kind in ("relu", "relu_"):
        return "relu"
    if op.kind == "mse":
        return ("mse", "targ")[slot]
    if op.kind == "+" and op.inputs[slot].shape != op.output.shape:
        return "b" if op.inputs[slot].ndim == 1 and op.output.ndim == 2 and _is_row(op, slot) else "broadcast"
    if op.kind in ("+", ".clone"):
        return "same"
    raise GradientError(
        f"explain: the tensor goes into '{op.kind}', a step of your own: what moves inside it is known to its author "
        "alone. bp.gradcheck measures whether its gradient is right; explain takes what goes into lin, @, +, relu, mse"
    )


def _is_row(op: Operation, slot: int) -> bool:
    return op.inputs[slot].shape == op.output.shape[1:]


# ---- what moves, and by how much ----


def _grid(shape: Index, **fixed: int) -> Array:
    """The indices of a row (row=) or column (col=) of a matrix."""
    n, h = shape
    if "row" in fixed:
        return np.stack([np.full(h, fixed["row"]), np.arange(h)], 1)
    return np.stack([np.arange(n), np.full(n, fixed["col"])], 1)


def _weight(op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
    """w[k,j] moves column j, row i by x[i,k]."""
    return _grid(op.output.shape, col=at[1]), op.inputs[0]._array[:, at[0]]


def _input(op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
    """x[i,k] moves row i, column j by w[k,j]."""
    return _grid(op.output.shape, row=at[0]), op.inputs[1]._array[at[1]]


def _bias(op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
    """b[j] moves column j by 1 in every row."""
    return _grid(op.output.shape, col=at[0]), np.ones(op.output.shape[0])


def _same(op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
    return np.array([at], dtype=int).reshape(1, len(at)), np.ones(1)


def _relu(op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
    """Itself where it is positive; relu_ shows by its output what its input was."""
    return _same(op, slot, at)[0], np.array([float(op.output._array[at] > 0)])


def _mse(sign: float) -> Callable[[Operation, int, Index], tuple[Array, Array]]:
    def find(op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        out, targ = (given._array.reshape(op.inputs[0].shape) for given in op.inputs)
        where = at if len(at) == out.ndim else (*at, 0)
        with np.errstate(all="ignore"):
            slope = (out[where] - targ[where]) * out.dtype.type(2.0 / out.size)
        return np.empty((1, 0), int), np.array([sign * slope])

    return find


def _broadcast(op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
    """Every element of the output that this one was copied to."""
    shape = op.inputs[slot].shape
    places = np.broadcast_to(np.arange(op.inputs[slot].size).reshape(shape), op.output.shape)
    moved = np.argwhere(places == (np.ravel_multi_index(at, shape) if at else 0))
    return moved, np.ones(len(moved))


# ---- how the definition adds ----


def _start(path: Path, *shape: int) -> Any:
    """What earlier paths left, as the reference takes it."""
    return None if path.start is None else np.full(shape, path.start, path.local.dtype)


def _add_weight(path: Path, local: Array, upstream: Array) -> Any:
    return reference.linear_backward_w(local[:, None], upstream[:, None], _start(path, 1, 1))[0, 0]


def _add_input(path: Path, local: Array, upstream: Array) -> Any:
    return reference.linear_backward_x(upstream[None], local[None], _start(path, 1, 1))[0, 0]


def _add_bias(path: Path, local: Array, upstream: Array) -> Any:
    return reference.linear_backward_b(upstream[:, None], _start(path, 1))[0]


def _add_one(path: Path, local: Array, upstream: Array) -> Any:
    """One product, rounded once, and the earlier paths before it."""
    if not len(local):
        return 0 if path.start is None else path.start
    with np.errstate(all="ignore"):
        product = local[0] * upstream[0]
        if path.rule == "relu":
            product = reference.relu_backward(local, upstream)[0]
        return product if path.start is None else local.dtype.type(path.start) + product


def _add_broadcast(path: Path, local: Array, upstream: Array) -> Any:
    """As numpy adds in the operation's own backward, where all columns are summed side by side."""
    shape = path.operation.inputs[path.slot].shape
    dout = np.zeros(path.operation.output.shape, upstream.dtype)
    dout[tuple(path.moved[: len(upstream)].T)] = upstream
    found = _sum_to(dout, shape)[path.at]
    return found if path.start is None else upstream.dtype.type(path.start) + found


RULES = {
    "w": Rule(_weight, _add_weight),
    "x": Rule(_input, _add_input),
    "b": Rule(_bias, _add_bias),
    "same": Rule(_same, _add_one),
    "relu": Rule(_relu, _add_one),
    "mse": Rule(_mse(1.0), _add_one),
    "targ": Rule(_mse(-1.0), _add_one),
    "broadcast": Rule(_broadcast, _add_broadcast),
}

"""Operands without a rule: what moves, and by how much, is measured by nudging the element.

So an operation registered by a user, or a user's own layer, is explained from its forward alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.explain.rules.rule import Marks, Path, Rule, Words, gradient_formula, line
from pybackprop.teach.render.formula import Name, Part, Partial, Sum
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.replay import replay
from pybackprop.teach.trace.slope import slope_at_kink

STEP = 1e-5  # times max(1, |element|)


class Measured(Rule):
    """Central differences in double, of this one operation."""

    measured = True
    nothing = "Nothing moves, and the sum over nothing is 0."
    order = "in double"

    # numbers

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        below, above, width = nudged(op, slot, at)
        moved = np.argwhere(below != above)
        return moved, slopes(below, above, width, moved)

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        with np.errstate(all="ignore"):
            total = (local.astype(np.float64) * upstream.astype(np.float64)).sum()
        return (0.0 if path.start is None else path.start) + total

    # words

    def words(self, path: Path, network: Network) -> Words:
        op = path.operation
        X, Z = network.name(op.inputs[path.slot]), network.name(op.output)
        me, there = element(X, path.at), _there(path, Z)
        equation = f" It computes {op.op.equation}." if op.op.equation else ""
        return Words(
            Z,
            f"{self.used(op, me, network)} {self.moves(path, there, Z)}",
            f"No rule is registered for '{op.name}': what moves, and by how much, was measured by nudging.{equation}",
            self.by(path, me),
            there,
            f"∂{there}/∂{me}",
            f"∂{Z}/∂{Z}" if op.output is network.root and network.is_loss() else _there(path, f"{Z}.g"),
            (self.all_elements(X, Z), *self.given(path, X, network)),
        )

    def moves(self, path: Path, there: str, Z: str) -> str:
        """Which values move."""
        if not path.local.any():
            return f"Every measured slope in {Z} is 0: to first order it moves nothing."
        if path.operation.output.ndim == 0:
            return f"It moves {Z} directly."
        if len(path) == 1:
            return f"In {Z} it moves {there}, and nothing else."
        return f"In {Z} it moves {len(path)} elements, and nothing else."

    def by(self, path: Path, me: str) -> str:
        """By how much they move."""
        if not len(path):
            return f"Nothing changes with {me}, as measured."
        if len(path) == 1:
            return f"It changes by {float(path.local[0]):.6g} per unit change of {me}, as measured."
        return f"Each by its own measured slope: its change per unit change of {me}."

    def all_elements(self, X: str, Z: str) -> str:
        """From one element to all."""
        return f"For any element of {X}: the sum of its slopes, each times the {Z}.g there."

    def given(self, path: Path, X: str, network: Network) -> tuple[str, ...]:
        """The formula for the whole gradient, if the operation's record has one."""
        op = path.operation
        if path.slot >= len(op.op.gradients):
            return ()
        return f"'{op.name}' gives its gradient as", f"  {path.gradient(X)} = {self.computed(op, path.slot, network)}"

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        if slot >= len(op.op.gradients):
            return f"by '{op.name}' itself"
        return gradient_formula(op, slot, network)

    # formulas

    def index(self, path: Path) -> tuple[str, ...]:
        return tuple(str(i) for i in path.moved[0]) if len(path) == 1 else ("…",)

    def sum(self, path: Path) -> list[Part]:
        return [Sum("k", len(path) - 1)] if len(path) > 1 else []

    def factor(self, path: Path, network: Network) -> list[Part]:
        me = Name(network.name(path.operation.inputs[path.slot]), tuple(map(str, path.at)))
        return [Partial(Name(network.name(path.operation.output), self.index(path)), me), "·"]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [Name(self.computed(op, slot, network))] if slot < len(op.op.gradients) else []

    # heat map

    def marks(self, path: Path) -> Marks:
        if path.operation.output.ndim == 0:
            return Marks(None)
        return Marks(line(tuple(int(i) for i in path.moved[0])) if len(path) == 1 else (None, None))


class MeasuredElementwise(Measured):
    """The same, where each element moves only its own element of the result."""

    symbol = "v"

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        moved = Rule.find(self, op, slot, at)[0]
        distance = _to_kink(op, slot, at)
        if distance == 0:
            return moved, np.array([slope_at_kink(op)])
        return moved, slopes(*nudged(op, slot, at, distance / 2), moved)

    def by(self, path: Path, me: str) -> str:
        if _to_kink(path.operation, path.slot, path.at) > 0:
            return super().by(path, me)
        return (
            f"{me} is at the corner of '{path.operation.name}', where there are two slopes; its backward uses "
            f"{float(path.local[0]):.6g}."
        )

    def all_elements(self, X: str, Z: str) -> str:
        return f"Each element of {X} has one term and no sum: the {Z}.g there, times its own slope."


def _to_kink(op: Operation, slot: int, at: Index) -> float:
    """How far the element is from the corner; infinity where there is none."""
    return np.inf if op.kink is None else abs(float(op.inputs[slot]._array[at]) - op.kink)


def nudged(op: Operation, slot: int, at: Index, limit: float = np.inf) -> tuple[Array, Array, float]:
    """The operation's output with one element moved down and up, at most by limit, and how far apart these two are."""
    values = [given._array.astype(np.float64) for given in op.inputs]
    by = min(limit, STEP * max(1.0, abs(float(values[slot][at]))))
    results, places = [], []
    for move in (-by, by):
        moved = values[slot].copy()
        moved[at] += move
        places.append(float(moved[at]))
        results.append(np.array(replay(op, [*values[:slot], moved, *values[slot + 1 :]])))
    return results[0], results[1], places[1] - places[0]


def slopes(below: Array, above: Array, width: float, moved: Array) -> Array:
    """The slope of each moved element."""
    places = tuple(moved.T)
    with np.errstate(all="ignore"):
        return np.atleast_1d((above[places] - below[places]) / width)


def _there(path: Path, name: str) -> str:
    return element(name, tuple(int(i) for i in path.moved[0])) if len(path) == 1 else f"{name}[…]"

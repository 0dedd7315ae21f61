"""Operands without a rule: what moves, and by how much, is measured by nudging the element.

So an operation that somebody registered, or a layer of one's own, is explained from its forward alone.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from pybackprop.core.arrays import Array
from pybackprop.teach.explain.rules.rule import Path, Rule, Words
from pybackprop.teach.render.formula import Name, Part, Partial, Sum
from pybackprop.teach.trace.graph import Network, Operation
from pybackprop.teach.trace.notation import Index, element
from pybackprop.teach.trace.replay import replay
from pybackprop.teach.trace.slope import slope_at_kink

STEP = 1e-5  # times max(1, |element|)


class Measured(Rule):
    """Central differences in double, of this one operation."""

    measured = True
    nothing = "Nothing moves, and the sum over nothing is 0."

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        if _at_kink(op, slot, at):
            return super().find(op, slot, at)[0], np.array([slope_at_kink(op)])
        below, above, width = _nudged(op, slot, at)
        moved = np.argwhere(below != above)
        if op.op.elementwise:
            moved = super().find(op, slot, at)[0]
        places = tuple(moved.T)
        with np.errstate(all="ignore"):
            return moved, np.atleast_1d((above[places] - below[places]) / width)

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        with np.errstate(all="ignore"):
            total = (local.astype(np.float64) * upstream.astype(np.float64)).sum()
        return (0.0 if path.start is None else path.start) + total

    # words

    def words(self, path: Path, network: Network) -> Words:
        op, slot = path.operation, path.slot
        X, Z = network.name(op.inputs[slot]), network.name(op.output)
        me, there = element(X, path.at), _there(path, Z)
        return Words(
            Z,
            _moves(path, me, there, Z),
            f"No rule is registered for '{op.name}': what moves, and by how much, was measured by nudging."
            f"{_equation(op)}",
            _by(path, me),
            there,
            f"∂{there}/∂{me}",
            _there(path, f"{Z}.g"),
            _everything(path, X, Z, self.computed(op, slot, network)),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        if slot >= len(op.op.gradients):
            return f"by '{op.name}' itself"
        names = {"out": network.name(op.output)}
        names |= {operand: network.name(t) for operand, t in zip(op.op.operands, op.inputs, strict=False)}
        return re.sub(r"[^\W\d]\w*(?<!\.)\b", lambda word: names.get(word[0], word[0]), op.op.gradients[slot])

    # formulas

    def index(self, path: Path) -> tuple[str, ...]:
        return super().index(path) if path.operation.op.elementwise else ("…",)

    def sum(self, path: Path) -> list[Part]:
        return [Sum("k", len(path) - 1)] if len(path) > 1 else []

    def factor(self, path: Path, network: Network) -> list[Part]:
        me = Name(network.name(path.operation.inputs[path.slot]), tuple(map(str, path.at)))
        return [Partial(Name(network.name(path.operation.output), self.index(path)), me), "·"]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [self.computed(op, slot, network)] if slot < len(op.op.gradients) else []


def _at_kink(op: Operation, slot: int, at: Index) -> bool:
    return op.op.elementwise and float(op.inputs[slot]._array[at]) == op.op.kink


def _nudged(op: Operation, slot: int, at: Index) -> tuple[Array, Array, float]:
    """The operation's output with one element moved down and up, and how far apart these two are."""
    values = [given._array.astype(np.float64) for given in op.inputs]
    here = float(values[slot][at])
    step = STEP * max(1.0, abs(here))
    if op.op.elementwise and op.op.kink is not None:
        step = min(step, abs(here - op.op.kink) / 2)
    results, places = [], []
    for by in (-step, step):
        moved = values[slot].copy()
        moved[at] += by
        places.append(float(moved[at]))
        results.append(np.array(replay(op, [*values[:slot], moved, *values[slot + 1 :]])))
    return results[0], results[1], places[1] - places[0]


def _there(path: Path, name: str) -> str:
    return element(name, path.at) if path.operation.op.elementwise else f"{name}[…]"


def _moves(path: Path, me: str, there: str, Z: str) -> str:
    if not path.local.any():
        return f"{me} moves nothing: {Z} stays as it is when {me} is nudged."
    if path.operation.op.elementwise:
        return f"{me} moves {there}, and nothing else."
    count = len(path)
    return f"{me} moves {count} element{'s' if count > 1 else ''} of {Z}, and nothing else."


def _equation(op: Operation) -> str:
    return f" It computes {op.op.equation}." if op.op.equation else ""


def _by(path: Path, me: str) -> str:
    op = path.operation
    if _at_kink(op, path.slot, path.at):
        return (
            f"{me} sits at the corner of '{op.name}', where there are two slopes; its backward takes "
            f"{float(path.local[0]):.6g} for each 1."
        )
    if op.op.elementwise:
        return f"It moves by {float(path.local[0]):.6g} for each 1 that {me} moves, as measured."
    return f"Each by its own slope, measured: how far it moves for each 1 that {me} moves."


def _everything(path: Path, X: str, Z: str, computed: str) -> tuple[str, ...]:
    op = path.operation
    if op.op.elementwise:
        pieces = [f"There is one term and no sum: each element of {Z}.g is multiplied by its own slope."]
    else:
        pieces = [f"For any element of {X}: its slopes, each times the {Z}.g there, added up."]
    if path.slot < len(op.op.gradients):
        pieces += [f"'{op.name}' gives its gradient as", f"  {X}.g = {computed}"]
    return tuple(pieces)

"""The operands of - * / ** .sqrt and .clamp_min: each element moves its own element of the result, or those it was
broadcast to, each by its own factor. The factors are those that the operation's own backward uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import wrap
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.rules.rule import Path, Rule, Words, gradient_formula, rule, with_names
from pybackprop.teach.render.formula import Name, Part
from pybackprop.teach.trace.gradients import Private
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element, shape
from pybackprop.teach.trace.operation import Operation


def own_gradient(op: Operation, slot: int, dout: Array, **operand: Array) -> Array:
    """What the operation's own backward gives this operand, and no other, from dout. operand: other numbers for it."""
    inputs = [given.alias() for given in op.inputs]
    for array in operand.values():
        inputs[slot] = wrap(array)
    sink = Private({id(inputs[slot])})
    backward: Any = op.op.backward
    with np.errstate(all="ignore"):
        backward(inputs, _saved(op, inputs), wrap(dout), sink, **op.params)
    return sink.buffers[id(inputs[slot])]._array


def _saved(op: Operation, inputs: list[Any]) -> list[Any]:
    """What backward reads, where the forward gave it that: an operand of these inputs, or else the result."""
    kept = [] if op.node is None else [tensor for tensor, _ in op.node.saved]
    return [next((new for new, old in zip(inputs, op.inputs, strict=True) if old is t), t) for t in kept]


class OwnBackward(Rule):
    """Sums as the operation's own backward does."""

    order = "as the operation's own backward adds them"

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        dout = np.zeros(path.operation.output.shape, upstream.dtype)
        for place, value in zip(path.moved, upstream, strict=False):
            dout[tuple(place)] = value
        total = own_gradient(path.operation, path.slot, dout)[path.at]
        return total if path.start is None else total.dtype.type(path.start) + total

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        return gradient_formula(op, slot, network)

    def index(self, path: Path) -> tuple[str, ...]:
        return tuple(map(str, path.moved[0])) if len(path) == 1 else ("…",)

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [Name(self.computed(op, slot, network))]


@rule(ops.SUBTRACT)
@rule(ops.MULTIPLY)
@rule(ops.DIVIDE)
@rule(ops.SUBTRACT_FROM_NUMBER)
@rule(ops.DIVIDE_NUMBER)
@rule(ops.NEGATE)
@rule(ops.POWER)
@rule(ops.SQRT)
@rule(ops.CLAMP_MIN)
@rule(ops.SIGMOID)
@rule(ops.TANH)
class Elementwise(OwnBackward):
    """By its own factor."""

    counted = "term"
    symbol = "v"

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        given, out = op.inputs[slot], op.output
        copies = np.broadcast_to(np.arange(given.size).reshape(given.shape), out.shape)
        mine = copies == (np.ravel_multi_index(at, given.shape) if at else 0)
        spread = np.array(np.broadcast_to(given._array, out.shape))
        factors = own_gradient(op, slot, np.ones(out.shape, out.dtype), operand=spread)
        return np.argwhere(mine), factors[mine].astype(np.float64)

    def words(self, path: Path, network: Network) -> Words:
        op = path.operation
        given, out = op.inputs[path.slot], op.output
        X, Z = network.name(given), network.name(out)
        me, formula = element(X, path.at), self.computed(op, path.slot, network)
        equation = with_names(op, op.op.equation, Z, [*map(network.name, op.inputs)])
        spread = given.shape != out.shape
        there = (
            f"{Z}[…]" if spread and len(path) != 1 else element(Z, tuple(map(int, path.moved[0])) if len(path) else ())
        )
        return Words(
            Z,
            f"{self.used(op, me, network)} {self.moves(path, me, there, Z)}",
            f"'{op.name}' works element by element: {equation}.",
            self.by(path, me, there),
            there,
            f"∂{there}/∂{me}",
            f"{there[: len(Z)]}.g{there[len(Z) :]}",
            (
                "Each element is multiplied by its own factor, hence * and not @:"
                if not spread
                else "What was broadcast along an axis is summed along that axis:",
                f"  {path.gradient(X)} = {formula}        {shape(given)}",
            ),
        )

    def moves(self, path: Path, me: str, there: str, Z: str) -> str:
        """Which values move."""
        if not path.local.any():
            return f"{me} moves nothing in {Z}: the factor is 0."
        if len(path) == 1:
            return f"In {Z}, {me} moves {there}, and nothing else."
        return f"In {Z}, {me} moves {len(path)} elements, all those that it was broadcast to, and nothing else."

    def by(self, path: Path, me: str, there: str) -> str:
        """By how much they move."""
        if len(path) == 1:
            return f"{there} changes by {float(path.local[0]):.6g} per unit change of {me}."
        return f"Each by its own factor, its change per unit change of {me}: {_few(path.local)}."

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        formula = super().computed(op, slot, network)
        given = op.inputs[slot]
        return formula if given.shape == op.output.shape else f"({formula}) summed to {shape(given)}"

    def forward(self, op: Operation, names: list[str]) -> str:
        if op.op.activation is not None:
            return super().forward(op, names)
        if op.name.startswith("."):
            return f"{names[0]}{op.name}({', '.join(f'{value:g}' for value in op.params.values())})"
        return with_names(op, op.op.equation, names[0], names).partition(" = ")[2]

    def factor(self, path: Path, network: Network) -> list[Part]:
        if len(path) == 1:
            return [f"{float(path.local[0]):.6g}", "·"]
        return ["∂", "·"]


def _few(numbers: Array) -> str:
    shown = ", ".join(f"{float(number):.6g}" for number in numbers[:4])
    return shown + (", …" if len(numbers) > 4 else "")


@rule(ops.SUM)
@rule(ops.MEAN)
@rule(ops.TRANSPOSE)
@rule(ops.RESHAPE)
@rule(ops.INDEX)
@rule(ops.FLOAT)
@rule(ops.DOUBLE)
class Arranged(OwnBackward):
    """Sums, means, and the same numbers in other places: what moves is seen by letting one element alone be 1."""

    counted = "term"
    nothing = "It was not taken, so there is no term, and the sum over nothing is 0."

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        one = np.zeros(op.inputs[0].shape)
        one[at] = 1
        result = np.asarray(op.op.replay([one], **op.params), np.float64)
        return np.argwhere(result), result[result != 0]

    def words(self, path: Path, network: Network) -> Words:
        op = path.operation
        given, out = op.inputs[0], op.output
        X, Z = network.name(given), network.name(out)
        me, places = element(X, path.at), [element(Z, tuple(map(int, at))) for at in path.moved]
        there = places[0] if len(places) == 1 else f"{Z}[…]"
        return Words(
            Z,
            f"{self.used(op, me, network)} {self.moves(me, Z, places)}",
            f"'{op.name}' makes {Z} {shape(out)} of {X} {shape(given)}.",
            f"It changes by {float(path.local[0]):.6g} per unit change of {me}." if len(path) else "",
            there,
            f"{float(path.local[0]):.6g}" if len(path) else "0",
            f"{there[: len(Z)]}.g{there[len(Z) :]}",
            (
                f"Each element of {X} gets the gradient from where it went:",
                f"  {path.gradient(X)} = {self.computed(op, 0, network)}        {shape(given)}",
            ),
        )

    def moves(self, me: str, Z: str, places: list[str]) -> str:
        """Which values move."""
        if not places:
            return f"{me} moves nothing in {Z}: it was not taken."
        if len(places) == 1:
            return f"In {Z}, {me} moves {places[0]}, and nothing else."
        return f"In {Z}, {me} moves {len(places)} elements, the places that it was copied to, and nothing else."

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        if not op.op.gradients:
            return f"zeros, with {network.name(op.output)}.g added at the index"
        count = op.inputs[0].size // max(1, op.output.size)
        return gradient_formula(op, slot, network).replace("count", str(count))

    def forward(self, op: Operation, names: list[str]) -> str:
        if op.op is ops.TRANSPOSE:
            return f"{names[0]}.T"
        if op.op is ops.INDEX:
            return f"{names[0]}[…]"
        numbers = op.params.get("shape", op.params.get("axes", ()))
        is_all = "axes" in op.params and len(numbers) == op.inputs[0].ndim
        shown = [] if is_all else [*map(str, numbers)] if len(numbers) == 1 or "shape" in op.params else [str(numbers)]
        kept = ["keepdims=True"] if op.params.get("keepdims") else []
        return f"{names[0]}{op.name}({', '.join([*shown, *kept])})"

    def factor(self, path: Path, network: Network) -> list[Part]:
        return [] if not len(path) or path.local[0] == 1 else [f"{float(path.local[0]):.6g}", "·"]

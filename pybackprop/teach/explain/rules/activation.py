"""The operand of an activation: each element moves only its own element of the result, with its own factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.core.arrays import Array
from pybackprop.ops import reference
from pybackprop.teach.explain.rules.rule import Path, Rule, Words, gradient_formula, rule
from pybackprop.teach.render.formula import Name, Part
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element, shape
from pybackprop.teach.trace.operation import Operation


class _Activation(Rule):
    """A function of one element whose factor depends on whether the element is above 0."""

    symbol = "v"

    def words(self, path: Path, network: Network) -> Words:
        op = path.operation
        x, z = op.inputs[0], op.output
        X, Z = network.name(x), network.name(z)
        me, there = element(X, path.at), element(Z, path.at)
        shared = f" ({Z} was written over {X}, in place.)" if op.op.inplace else ""
        return Words(
            Z,
            f"{self.used(op, me, network)} {self.moves(path, there, Z)}",
            f"{op.function} looks at each element by itself: {there} = {self.value(op, me)}.{shared}",
            self.by(path, me),
            there,
            self.local(op, me),
            element(f"{Z}.g", path.at),
            (
                f"Only {there} moves, so there is nothing for a matrix product to add up: each element of {Z}.g is "
                f"multiplied by its own factor, 1 or {self.below(op):g}. Hence * and not @:",
                f"  {path.gradient(X)} = {self.computed(op, 0, network)}        {self.shapes(op)}",
            ),
        )

    def shapes(self, op: Operation) -> str:
        """The shapes in the formula for all elements."""
        return shape(op.inputs[0])

    def below(self, op: Operation) -> float:
        """The factor of elements that are not above 0."""
        raise NotImplementedError

    def value(self, op: Operation, me: str) -> str:
        """What the function computes."""
        raise NotImplementedError

    def local(self, op: Operation, me: str) -> str:
        """The factor, as it is written."""
        raise NotImplementedError

    def above(self, path: Path) -> bool:
        """Whether the element is above 0."""
        return bool(path.operation.inputs[0]._array[path.at] > 0)

    def moves(self, path: Path, there: str, Z: str) -> str:
        """Which values move."""
        if path.local[0]:
            return f"In {Z} it moves {there}, and nothing else."
        return f"It moves nothing: its factor is 0 where it is not above 0, as {path.operation.function} is flat there."

    def by(self, path: Path, me: str) -> str:
        """By how much they move."""
        if self.above(path):
            return f"{me} is above 0, where {path.operation.function} passes it on: the factor is 1."
        return f"{me} is not above 0: the factor is {self.below(path.operation):g}."

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        return gradient_formula(op, slot, network)

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [Name(self.computed(op, slot, network))]


@rule(ops.RELU)
@rule(ops.RELU_)
class Relu(_Activation):
    """By 1 where it is positive. This is read from the output, because relu_ overwrites its input."""

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        return super().find(op, slot, at)[0], np.array([float(op.output._array[at] > 0)])

    def products(self, local: Array, upstream: Array) -> Array:
        return np.where(local == 0, 0.0, local * upstream)  # where relu is off, the gradient is 0 even if NaN arrives

    def product(self, local: Array, upstream: Array) -> Any:
        return reference.relu_backward(local, upstream)[0]

    def shapes(self, op: Operation) -> str:
        return f"{shape(op.inputs[0])} * {shape(op.output)} -> {shape(op.inputs[0])}"

    def below(self, op: Operation) -> float:
        return 0.0

    def value(self, op: Operation, me: str) -> str:
        return f"max({me}, 0)"

    def local(self, op: Operation, me: str) -> str:
        return f"({me} > 0)"

    def above(self, path: Path) -> bool:
        return bool(path.operation.output._array[path.at] > 0)

    def moves(self, path: Path, there: str, Z: str) -> str:
        op = path.operation
        value = float(op.inputs[0]._array[path.at])
        if path.local[0]:
            return super().moves(path, there, Z)
        if np.isnan(value):
            return f"It is nan, and so is {there}; the gradient of {op.function} is 0 there, as nan > 0 is false."
        if op.op.inplace:
            return f"It was not above 0, where {op.function} is flat, so it moves nothing."
        if value == 0:
            return f"It is 0, the corner of {op.function}, whose slope there counts as 0, so it moves nothing."
        return f"It is {value:.6g}, not above 0, where {op.function} is flat, so it moves nothing."

    def factor(self, path: Path, network: Network) -> list[Part]:
        return ["(", Name(network.name(path.operation.inputs[0]), self.index(path)), ">", "0", ")", "·"]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return ["(", Name(network.name(op.inputs[0])), ">", "0", ")", "*", Name(network.name(op.output), g=True)]


@rule(ops.LEAKY_RELU)
class LeakyRelu(_Activation):
    """By 1 where it is positive, by the negative slope elsewhere."""

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        return super().find(op, slot, at)[0], np.array([1.0 if op.inputs[0]._array[at] > 0 else self.below(op)])

    def below(self, op: Operation) -> float:
        return float(op.params["negative_slope"])

    def value(self, op: Operation, me: str) -> str:
        return f"{me} where it is above 0, else {self.below(op):g} {me}"

    def local(self, op: Operation, me: str) -> str:
        return f"(1 if {me} > 0 else {self.below(op):g})"

    def factor(self, path: Path, network: Network) -> list[Part]:
        me, below = Name(network.name(path.operation.inputs[0]), self.index(path)), f"{self.below(path.operation):g}"
        return ["(", "(", me, ">", "0", ")", "+", below, "(", me, "<=", "0", ")", ")", "·"]

"""Operands of which each element moves its own element of the result, or the copies that were made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd.broadcast import sum_to
from pybackprop.core.arrays import Array
from pybackprop.ops import reference
from pybackprop.teach.explain.rules.linear import _Summand
from pybackprop.teach.explain.rules.rule import Path, Rule, Words, rule
from pybackprop.teach.render.formula import Name, Part
from pybackprop.teach.trace.graph import Network, Operation
from pybackprop.teach.trace.notation import Index, element, shape


@rule(ops.CLONE)
class Copy(Rule):
    """Each element moves its own by 1."""

    def words(self, path: Path, network: Network) -> Words:
        x, z = path.operation.inputs[path.slot], path.operation.output
        X, Z = network.name(x), network.name(z)
        there = element(Z, path.at)
        return Words(
            Z,
            f"{element(X, path.at)} moves {there}, and nothing else.",
            f"'{path.operation.name}' works on each element by itself.",
            "It moves by 1 for each 1.",
            there,
            "1",
            element(f"{Z}.g", path.at),
            (f"  {X}.g = {Z}.g        {shape(x)}",),
        )


@rule(ops.ADD)
class Summand(_Summand, Copy):
    """An operand of + that has the shape of the sum."""

    def fits(self, op: Operation, slot: int) -> bool:
        return op.inputs[slot].shape == op.output.shape


@rule(ops.ADD)
class Broadcast(_Summand):
    """Each element moves, by 1, every element of the sum that it was copied to."""

    counted = "…"

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        shape = op.inputs[slot].shape
        copies = np.broadcast_to(np.arange(op.inputs[slot].size).reshape(shape), op.output.shape)
        moved = np.argwhere(copies == (np.ravel_multi_index(at, shape) if at else 0))
        return moved, np.ones(len(moved))

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        """As numpy adds in the operation's own backward, where all columns are summed side by side."""
        dout = np.zeros(path.operation.output.shape, upstream.dtype)
        dout[tuple(path.moved[: len(upstream)].T)] = upstream
        total = sum_to(dout, path.operation.inputs[path.slot].shape)[path.at]
        return total if path.start is None else upstream.dtype.type(path.start) + total

    def words(self, path: Path, network: Network) -> Words:
        x, z = path.operation.inputs[path.slot], path.operation.output
        X, Z = network.name(x), network.name(z)
        me = element(X, path.at)
        return Words(
            Z,
            f"{me} moves {len(path)} elements of {Z}: all those that it was broadcast to.",
            f"{X} {shape(x)} was stretched to {shape(z)}: copies of {me} were added in each of these places.",
            "Each moves by 1 for each 1.",
            f"{Z}[…]",
            "1",
            f"{Z}.g[…]",
            (
                "What was broadcast along an axis is summed along that axis:",
                f"  {X}.g = {Z}.g summed to {shape(x)}        {shape(z)} -> {shape(x)}",
            ),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        return f"{network.name(op.output)}.g summed to {shape(op.inputs[slot])}"

    def index(self, path: Path) -> tuple[str, ...]:
        return ("…",)

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [Name(network.name(op.output), g=True), "summed to", shape(op.inputs[slot])]


@rule(ops.RELU)
@rule(ops.RELU_)
class Relu(Rule):
    """Each element moves its own where it is positive; relu_ shows by its output what its input was."""

    symbol = "v"

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        return super().find(op, slot, at)[0], np.array([float(op.output._array[at] > 0)])

    def products(self, local: Array, upstream: Array) -> Array:
        return np.where(local == 0, 0.0, local * upstream)  # a relu that is off lets no NaN by

    def product(self, local: Array, upstream: Array) -> Any:
        return reference.relu_backward(local, upstream)[0]

    def words(self, path: Path, network: Network) -> Words:
        op = path.operation
        x, z = op.inputs[0], op.output
        X, Z = network.name(x), network.name(z)
        me, there, name = element(X, path.at), element(Z, path.at), op.function
        value = float(x._array[path.at])
        on = bool(path.local[0])
        shared = f" ({Z} was written over {X}, in place.)" if op.op.inplace else ""
        return Words(
            Z,
            f"{me} moves {there}, and nothing else."
            if on
            else f"{me} moves nothing: it is {value:.6g}, not above 0, and there {name} is flat.",
            f"{name} looks at each element by itself: {there} = max({me}, 0).{shared}",
            f"{me} is above 0, where {name} passes it on: by 1 for each 1."
            if on
            else f"{there} stays 0 when {me} moves a little: by 0 for each 1.",
            there,
            f"({me} > 0)",
            element(f"{Z}.g", path.at),
            (
                "There is one term and no sum, so there is nothing for a matrix product to add up: each element is "
                "multiplied by its own factor, 1 or 0. Hence * and not @:",
                f"  {X}.g = ({X} > 0) * {Z}.g        {shape(x)} * {shape(z)} -> {shape(x)}",
            ),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        return f"({network.name(op.inputs[0])} > 0) * {network.name(op.output)}.g"

    def factor(self, path: Path, network: Network) -> list[Part]:
        return ["(", Name(network.name(path.operation.inputs[0]), self.index(path)), ">", "0", ")", "·"]

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return ["(", Name(network.name(op.inputs[0])), ">", "0", ")", "*", Name(network.name(op.output), g=True)]

"""The operands of + and .clone(): each element moves its own element of the result, or the copies made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.core.arithmetic import total_to
from pybackprop.core.arrays import Array
from pybackprop.teach.explain.rules.linear import _Summand
from pybackprop.teach.explain.rules.rule import Path, Rule, Words, rule
from pybackprop.teach.render.formula import Name, Part
from pybackprop.teach.trace.graph import Network
from pybackprop.teach.trace.notation import Index, element, shape
from pybackprop.teach.trace.operation import Operation


@rule(ops.CLONE)
class Copy(Rule):
    """Each element moves its own by 1."""

    def words(self, path: Path, network: Network) -> Words:
        x, z = path.operation.inputs[path.slot], path.operation.output
        X, Z = network.name(x), network.name(z)
        there = element(Z, path.at)
        return Words(
            Z,
            f"{self.used(path.operation, element(X, path.at), network)} In {Z} it moves {there}, and nothing else.",
            f"'{path.operation.name}' works on each element by itself.",
            f"{there} changes by 1 per unit change of {element(X, path.at)}.",
            there,
            "1",
            element(f"{Z}.g", path.at),
            (f"  {path.gradient(X)} = {Z}.g        {shape(x)}",),
        )


@rule(ops.ADD)
class Summand(_Summand, Copy):
    """An operand of + that has the shape of the sum."""

    def fits(self, op: Operation, slot: int) -> bool:
        return op.inputs[slot].shape == op.output.shape


@rule(ops.ADD)
class Broadcast(_Summand):
    """Each element moves, by 1, every element of the sum that it was copied to."""

    counted = "term"
    order = "by numpy's sum"

    def find(self, op: Operation, slot: int, at: Index) -> tuple[Array, Array]:
        shape = op.inputs[slot].shape
        copies = np.broadcast_to(np.arange(op.inputs[slot].size).reshape(shape), op.output.shape)
        moved = np.argwhere(copies == (np.ravel_multi_index(at, shape) if at else 0))
        return moved, np.ones(len(moved))

    def add(self, path: Path, local: Array, upstream: Array) -> Any:
        """The sum in the order of the operation's own backward, which sums as a bias is summed over its rows."""
        dout = np.zeros(path.operation.output.shape, upstream.dtype)
        dout[tuple(path.moved[: len(upstream)].T)] = upstream
        total = total_to(dout, path.operation.inputs[path.slot].shape)[path.at]
        return total if path.start is None else upstream.dtype.type(path.start) + total

    def words(self, path: Path, network: Network) -> Words:
        x, z = path.operation.inputs[path.slot], path.operation.output
        X, Z = network.name(x), network.name(z)
        me, n = element(X, path.at), len(path)
        return Words(
            Z,
            f"{self.used(path.operation, me, network)} In {Z} it moves {n} element{'s' * (n != 1)}, all those it was "
            "broadcast to, and nothing else.",
            f"{X} {shape(x)} was broadcast to {shape(z)}: {me} was added in {'each of ' * (n != 1)}"
            f"{'these places' if n != 1 else 'this place'}.",
            f"{'Each' if n != 1 else 'It'} changes by 1 per unit change of {me}.",
            f"{Z}[…]",
            "1",
            f"{Z}.g[…]",
            (
                "What was broadcast along an axis is summed along that axis:",
                f"  {path.gradient(X)} = {Z}.g summed to {shape(x)}        {shape(z)} -> {shape(x)}",
            ),
        )

    def computed(self, op: Operation, slot: int, network: Network) -> str:
        return f"{network.name(op.output)}.g summed to {shape(op.inputs[slot])}"

    def index(self, path: Path) -> tuple[str, ...]:
        return ("…",)

    def whole(self, op: Operation, slot: int, network: Network) -> list[Part]:
        return [Name(network.name(op.output), g=True), "summed to", shape(op.inputs[slot])]

"""Operations in order, without the tensors that they were called with, and which of their axes are equally long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pybackprop.ops import Op

Axis = tuple[int, int]  # (tensor, axis)


@dataclass(frozen=True)
class Instruction:
    """One operation of a program. Tensors are numbers here."""

    op: Op
    params: Mapping[str, Any]
    inputs: tuple[int, ...]
    output: int


@dataclass
class Program:
    """Operations in order, without the tensors that they were called with.

    shapes  the shape of every tensor
    asked   the instruction that the question is about
    slot    which of its operands the question is about
    ties    which axes must be equally long: a union-find forest
    fixed   axes that must keep their length
    whole   whether these are all operations of the network
    keys    the id of each tensor in the learner's network
    """

    instructions: list[Instruction]
    shapes: dict[int, tuple[int, ...]]
    asked: Instruction
    slot: int
    ties: dict[Axis, Axis] = field(default_factory=dict)
    fixed: list[Axis] = field(default_factory=list)
    whole: bool = False
    keys: dict[int, int] = field(default_factory=dict)

    def root(self, axis: Axis) -> Axis:
        while self.ties.get(axis, axis) != axis:
            axis = self.ties[axis]
        return axis

    def tie(self, one: Axis, other: Axis) -> None:
        self.ties[self.root(one)] = self.root(other)

    def tie_all(self, one: int, other: int) -> None:
        """Ties all axes of two tensors of the same shape."""
        for k in range(len(self.shapes[one])):
            self.tie((one, k), (other, k))

    def fix(self, tensor: int) -> None:
        """Keeps a tensor's shape."""
        self.fixed += [(tensor, k) for k in range(len(self.shapes[tensor]))]

    def length(self, axis: Axis) -> int:
        return self.shapes[axis[0]][axis[1]]

    def lengths(self) -> list[Axis]:
        """One axis out of each set of axes that are equally long."""
        axes = [(t, k) for t, shape in self.shapes.items() for k in range(len(shape))]
        return list(dict.fromkeys(map(self.root, axes)))

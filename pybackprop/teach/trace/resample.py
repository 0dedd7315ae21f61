"""Runs the operations around a use again, on random numbers and on other shapes.

A formula that is right only by accident fails on some of these: sizes that all differ, sizes that are all equal, and
values of which some are exactly 0, where relu has its kink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor, param
from pybackprop.core.arrays import Array
from pybackprop.core.errors import ShapeError
from pybackprop.ops import Op
from pybackprop.teach.trace.graph import Operation
from pybackprop.teach.trace.use import Use, all_gradients, gradient_along

Axis = tuple[int, int]  # (tensor, axis)
Shapes = Sequence[tuple[int, ...]]


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
    ones    axes that must keep length 1
    """

    instructions: list[Instruction]
    shapes: dict[int, tuple[int, ...]]
    asked: Instruction
    slot: int
    ties: dict[Axis, Axis] = field(default_factory=dict)
    ones: list[Axis] = field(default_factory=list)

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

    def lengths(self) -> list[Axis]:
        """One axis out of each set of axes that are equally long."""
        axes = [(t, k) for t, shape in self.shapes.items() for k in range(len(shape))]
        return list(dict.fromkeys(map(self.root, axes)))


# ---- which axes are equally long ----

Tie = Callable[[Program, Instruction], bool]
_TIES: dict[Op, Tie] = {}


def ties_axes(*operations: Op) -> Callable[[Tie], Tie]:
    """Registers a function that ties an operation's axes, for operations whose axis letters are not enough.

    The function returns whether it knows the axes for the given shapes.
    """

    def register(rule: Tie) -> Tie:
        _TIES.update(dict.fromkeys(operations, rule))
        return rule

    return register


def _tie(program: Program, instruction: Instruction) -> bool:
    """Ties the axes that an operation needs to be equal. False if these are not known."""
    op, tensors = instruction.op, (*instruction.inputs, instruction.output)
    if op in _TIES:
        return _TIES[op](program, instruction)
    shapes = [program.shapes[t] for t in tensors]
    if op.elementwise and all(shape == shapes[-1] for shape in shapes):
        for t in instruction.inputs:
            program.tie_all(t, instruction.output)
        return True
    return bool(op.axes) and _tie_letters(program, tensors, (*op.axes[: len(tensors) - 1], op.axes[-1]))


def _tie_letters(program: Program, tensors: Sequence[int], axes: Sequence[str]) -> bool:
    if [len(letters) for letters in axes] != [len(program.shapes[t]) for t in tensors]:
        return False
    first: dict[str, Axis] = {}
    for t, letters in zip(tensors, axes, strict=True):
        for k, letter in enumerate(letters):
            program.tie((t, k), first.setdefault(letter, (t, k)))
    return True


@ties_axes(ops.MSE)
def _tie_mse(program: Program, instruction: Instruction) -> bool:
    """If one of out and targ is (n,1) and the other (n), the axis of length 1 must stay so."""
    out, targ = instruction.inputs
    ndims = [len(program.shapes[t]) for t in instruction.inputs]
    for k in range(min(ndims)):
        program.tie((out, k), (targ, k))
    if ndims[0] != ndims[1]:
        program.ones.append((out if ndims[0] > ndims[1] else targ, 1))
    return True


@ties_axes(ops.ADD)
def _tie_sum(program: Program, instruction: Instruction) -> bool:
    """Two tensors of the same shape, a matrix and a bias, or a tensor and a plain number."""
    (left, *others), out, shapes = instruction.inputs, instruction.output, program.shapes
    if shapes[left] != shapes[out]:
        return False
    program.tie_all(left, out)
    if not others:
        return np.ndim(instruction.params["number"]) == 0
    right = others[0]
    if shapes[left] == shapes[right]:
        program.tie_all(right, out)
        return True
    if len(shapes[left]) == 2 and shapes[right] == shapes[left][1:]:
        program.tie((right, 0), (out, 1))
        return True
    return False


# ---- from the tape ----


def programs_of(use: Use) -> Iterator[Program]:
    """What can be run again: all operations of the network if it ends in one number; then the use's own alone."""
    candidates = [use.network.operations] if use.network.root.size == 1 else []
    for operations in (*candidates, (use.operation,)):
        if not all(isinstance(operation.op, Op) for operation in operations):
            continue  # a handwritten layer's call cannot be run apart from that layer
        program = _program(use, operations)
        if all(_tie(program, instruction) for instruction in program.instructions):
            yield program


def _program(use: Use, operations: Sequence[Operation]) -> Program:
    ids: dict[int, int] = {}
    shapes: dict[int, tuple[int, ...]] = {}
    instructions = []
    for operation in operations:
        for tensor in (*operation.inputs, operation.output):
            shapes[ids.setdefault(id(tensor), len(ids))] = tensor.shape
        inputs = tuple(ids[id(t)] for t in operation.inputs)
        assert isinstance(operation.op, Op)
        instructions.append(Instruction(operation.op, operation.params, inputs, ids[id(operation.output)]))
    asked = next(instruction for instruction in instructions if instruction.output == ids[id(use.output)])
    return Program(instructions, shapes, asked, use.slot)


# ---- running again ----


@dataclass(frozen=True)
class Run:
    """One run of a program: the numbers and gradients of its tensors, and the answer to the question.

    right: the answer, the tensor's gradient along one use; whole: its gradient along all of its uses
    """

    values: dict[int, Array]
    grads: dict[int, Array]
    right: Array
    whole: Array | None = None


def run_again(program: Program, rng: np.random.Generator, lengths: str, dtype: Any = np.float64) -> Run:
    """Runs a program on random numbers. lengths: 'same', 'different' or 'equal'; with 'zeros', some columns are
    exactly 0; with 'open', all numbers are positive, so that relu passes all and no gradient is 0 by chance.

    Raises whatever an operation raises that does not run on these shapes, and ShapeError if a result does not have
    the shape that the axis letters say.
    """
    tensors = _leaves(program, rng, lengths, dtype)
    values = {t: tensor._array for t, tensor in tensors.items()}
    sizes: dict[Axis, int] = {}
    for instruction in program.instructions:
        _execute(program, instruction, tensors, values)
        _check_sizes(program, instruction, values, sizes)
    grads = _gradients(program, tensors, rng)
    asked = program.asked
    operand, result = tensors[asked.inputs[program.slot]], tensors[asked.output]
    right = gradient_along(result._node, operand, result._make(grads[asked.output].copy()))
    return Run(values, grads, right, grads.get(asked.inputs[program.slot]))


def _leaves(program: Program, rng: np.random.Generator, lengths: str, dtype: Any) -> dict[int, Tensor]:
    sizes = _sizes(program, rng, lengths)
    computed = {instruction.output for instruction in program.instructions}
    overwritten = {t for instruction in program.instructions if instruction.op.inplace for t in instruction.inputs}
    # targets of 0 would meet outputs of 0, and no gradient would arrive at the kink
    targets = {instruction.inputs[1] for instruction in program.instructions if instruction.op is ops.MSE}
    tensors: dict[int, Tensor] = {}
    for t, shape in program.shapes.items():
        if t in computed:
            continue
        array = rng.uniform(0.2, 1.2, [sizes[program.root((t, k))] for k in range(len(shape))])
        if array.ndim > 1 and "open" not in lengths:  # a bias stays positive, so that most of a relu behind it is open
            array = array * rng.choice([-1.0, 1.0], array.shape)
        if "zeros" in lengths and array.ndim and t not in targets:
            array[..., 0] = 0
        leaf = param(array, dtype)
        tensors[t] = leaf.clone() if t in overwritten else leaf  # a parameter must not be overwritten
    return tensors


def _sizes(program: Program, rng: np.random.Generator, lengths: str) -> dict[Axis, int]:
    axes = program.lengths()
    if "same" in lengths:
        return {axis: program.shapes[axis[0]][axis[1]] for axis in axes}
    different = map(int, rng.permutation(np.arange(3, 3 + len(axes))))
    sizes = dict.fromkeys(axes, 4) if "equal" in lengths else dict(zip(axes, different, strict=True))
    return sizes | {program.root(axis): 1 for axis in program.ones}


def _execute(program: Program, instruction: Instruction, tensors: dict[int, Tensor], values: dict[int, Array]) -> None:
    if instruction.op.inplace:
        values.update({t: values[t].copy() for t in instruction.inputs})
    result = instruction.op(*(tensors[t] for t in instruction.inputs), **instruction.params)
    tensors[instruction.output], values[instruction.output] = result, result._array
    # on the tape, an overwritten operand is replaced by another tensor
    tensors.update(zip(instruction.inputs, result._node.inputs, strict=True))


def _check_sizes(program: Program, instruction: Instruction, values: dict[int, Array], sizes: dict[Axis, int]) -> None:
    """Raises ShapeError if tied axes are not equally long."""
    for t in (*instruction.inputs, instruction.output):
        for k, length in enumerate(values[t].shape):
            if sizes.setdefault(program.root((t, k)), length) != length or values[t].ndim != len(program.shapes[t]):
                raise ShapeError(f"'{instruction.op.name}' gives {values[t].shape}, which contradicts its axis letters")


def _gradients(program: Program, tensors: dict[int, Tensor], rng: np.random.Generator) -> dict[int, Array]:
    """The gradients of the single number at the end; without one, a random gradient of the asked operation's result."""
    end = tensors[program.instructions[-1].output]
    if end.ndim == 0:
        by_id = all_gradients(end)
        return {t: by_id[id(tensor)] for t, tensor in tensors.items() if id(tensor) in by_id}
    return {program.asked.output: rng.uniform(-1, 1, end.shape).astype(end.dtype)}

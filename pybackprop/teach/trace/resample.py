"""Runs the operations around a use again, on random numbers and on other shapes.

A formula that is right only by accident fails on some of these: sizes that all differ, sizes that are all equal, and
values of which some are exactly 0, where relu has its kink.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor, param, wrap
from pybackprop.core.arrays import Array
from pybackprop.core.errors import ShapeError
from pybackprop.ops import Op
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.program import Axis, Instruction, Program
from pybackprop.teach.trace.ties import new_params, tie
from pybackprop.teach.trace.use import Use, all_gradients, gradient_along

NEVER_ZERO = (ops.SUBTRACT, ops.SQRT, ops.DIVIDE_NUMBER)  # a difference's operands: as with targets

# ---- from the tape ----


def programs_of(use: Use, step: Sequence[Operation]) -> Iterator[Program]:
    """What can be run again: all operations of the network if it ends in one number; then those of one step alone."""
    candidates = [use.network.operations] if use.network.root.size == 1 else []
    for operations in (*candidates, step):
        if not all(isinstance(operation.op, Op) for operation in operations):
            continue  # a handwritten layer's call cannot be run apart from that layer
        program = _program(use, operations)
        if all(tie(program, instruction) for instruction in program.instructions):
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
    whole = len(operations) == len(use.network)
    return Program(instructions, shapes, asked, use.slot, whole=whole, keys={t: key for key, t in ids.items()})


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
    given = _sizes(program, rng, lengths)
    tensors = _leaves(program, rng, lengths, given, dtype)
    values = {t: tensor._array for t, tensor in tensors.items()}
    sizes: dict[Axis, int] = {}
    for instruction in program.instructions:
        _execute(instruction, new_params(program, instruction, given), tensors, values)
        _check_sizes(program, instruction, values, sizes)
    grads = _gradients(program, tensors, rng)
    asked = program.asked
    operand, result = tensors[asked.inputs[program.slot]], tensors[asked.output]
    right = gradient_along(result._node, operand, result._make(grads[asked.output].copy()))
    return Run(values, grads, right, grads.get(asked.inputs[program.slot]))


def _leaves(
    program: Program, rng: np.random.Generator, lengths: str, sizes: dict[Axis, int], dtype: Any
) -> dict[int, Tensor]:
    computed = {instruction.output for instruction in program.instructions}
    overwritten = {t for instruction in program.instructions if instruction.op.inplace for t in instruction.inputs}
    never_zero = {t for instruction in program.instructions for t in _never_zero(instruction)}
    positive = {instruction.inputs[0] for instruction in program.instructions if instruction.op is ops.SQRT}
    classes = {i.inputs[1]: i.inputs[0] for i in program.instructions if i.op.targets is not None}
    tensors: dict[int, Tensor] = {}
    for t, shape in program.shapes.items():
        if t in computed:
            continue
        array = rng.uniform(0.2, 1.2, [sizes[program.root((t, k))] for k in range(len(shape))])
        if (
            array.ndim > 1 and "open" not in lengths and t not in positive
        ):  # a bias stays positive, so that most of a relu behind it is open
            array = array * rng.choice([-1.0, 1.0], array.shape)
        if "zeros" in lengths and array.ndim and t not in never_zero:
            array[..., 0] = 0
        if t in classes:
            array = _classes(array, rng, sizes[program.root((classes[t], 1))])
        leaf = wrap(array.astype(dtype)) if t in classes else param(array, dtype)
        tensors[t] = leaf.clone() if t in overwritten else leaf  # a parameter must not be overwritten
    return tensors


def _classes(array: Array, rng: np.random.Generator, count: int) -> Array:
    """Targets of a classification: labels, or if array has two axes, a row of probabilities for each row."""
    if array.ndim == 1:
        return rng.integers(count, size=array.shape).astype(np.float64)
    chances = np.abs(array) + 0.01
    return np.asarray(chances / chances.sum(1, keepdims=True))


def _never_zero(instruction: Instruction) -> Sequence[int]:
    """Operands that must not be 0: targets, since they would meet outputs of 0 and no gradient would arrive at the
    kink; and what is divided by, or is under a root."""
    if instruction.op in (ops.MSE, ops.DIVIDE):
        return instruction.inputs[1:]
    is_negative = instruction.op is ops.POWER and instruction.params["exponent"] < 0
    return instruction.inputs if is_negative or instruction.op in NEVER_ZERO else ()


def _sizes(program: Program, rng: np.random.Generator, lengths: str) -> dict[Axis, int]:
    axes = program.lengths()
    if "same" in lengths:
        return {axis: program.shapes[axis[0]][axis[1]] for axis in axes}
    different = map(int, rng.permutation(np.arange(3, 3 + len(axes))))
    sizes = dict.fromkeys(axes, 4) if "equal" in lengths else dict(zip(axes, different, strict=True))
    return sizes | {program.root(axis): program.length(axis) for axis in program.fixed}


def _execute(
    instruction: Instruction, params: dict[str, Any], tensors: dict[int, Tensor], values: dict[int, Array]
) -> None:
    if instruction.op.inplace:
        values.update({t: values[t].copy() for t in instruction.inputs})
    result = instruction.op(*(tensors[t] for t in instruction.inputs), **params)
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
    if end.ndim == 0 or (program.whole and end.size == 1):
        by_id = all_gradients(end)
        return {t: by_id[id(tensor)] for t, tensor in tensors.items() if id(tensor) in by_id}
    return {program.asked.output: rng.uniform(-1, 1, end.shape).astype(end.dtype)}

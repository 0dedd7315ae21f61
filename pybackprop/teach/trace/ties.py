"""Which axes of an operation's tensors must be equally long, so that it can be run on other shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pybackprop import ops
from pybackprop.ops import Op
from pybackprop.teach.trace.program import Axis, Instruction, Program

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


def tie(program: Program, instruction: Instruction) -> bool:
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
        program.fixed.append((out if ndims[0] > ndims[1] else targ, 1))
    return True


@ties_axes(ops.CROSS_ENTROPY, ops.NLL)
def _tie_classes(program: Program, instruction: Instruction) -> bool:
    """Targets are labels, one for each row, or have the shape of out."""
    out, targ = instruction.inputs
    for k in range(len(program.shapes[targ])):
        program.tie((out, k), (targ, k))
    return True


@ties_axes(ops.ADD, ops.SUBTRACT, ops.MULTIPLY, ops.DIVIDE)
def _tie_broadcast(program: Program, instruction: Instruction) -> bool:
    """An operand's axis is as long as the result's, or 1 if it was broadcast along it."""
    out = instruction.output
    ndim = len(program.shapes[out])
    for t in instruction.inputs:
        first = ndim - len(program.shapes[t])
        for k, length in enumerate(program.shapes[t]):
            if length == program.length((out, first + k)):
                program.tie((t, k), (out, first + k))
            else:
                program.fixed.append((t, k))
    return True


@ties_axes(ops.SUM, ops.MEAN)
def _tie_total(program: Program, instruction: Instruction) -> bool:
    """The axes that are not summed stay; a summed one is left with length 1, or not at all."""
    (inp,), out, axes = instruction.inputs, instruction.output, instruction.params["axes"]
    kept = [k for k in range(len(program.shapes[inp])) if k not in axes]
    if instruction.params["keepdims"]:
        program.fixed += [(out, k) for k in axes]
        pairs = [(k, k) for k in kept]
    else:
        pairs = list(zip(kept, range(len(kept)), strict=True))
    for k, at in pairs:
        program.tie((inp, k), (out, at))
    return True


@ties_axes(ops.TRANSPOSE)
def _tie_transpose(program: Program, instruction: Instruction) -> bool:
    (inp,), out = instruction.inputs, instruction.output
    for k in range(len(program.shapes[inp])):
        program.tie((inp, k), (out, -1 - k + len(program.shapes[inp])))
    return True


@ties_axes(ops.RESHAPE)
def _tie_reshape(program: Program, instruction: Instruction) -> bool:
    """Axes of length 1 may come and go, as with .squeeze(); anything else keeps its shape."""
    (inp,), out = instruction.inputs, instruction.output
    axes = [[(t, k) for k, length in enumerate(program.shapes[t]) if length != 1] for t in (inp, out)]
    if [program.length(axis) for axis in axes[0]] != [program.length(axis) for axis in axes[1]]:
        program.fix(inp)
        program.fix(out)
        return True
    program.fixed += [(t, k) for t in (inp, out) for k, length in enumerate(program.shapes[t]) if length == 1]
    for one, other in zip(*axes, strict=True):
        program.tie(one, other)
    return True


@ties_axes(ops.INDEX)
def _tie_index(program: Program, instruction: Instruction) -> bool:
    """Axes taken whole, [:], may be of any length, and [:,None] makes one of length 1; others keep their length."""
    (inp,), out = instruction.inputs, instruction.output
    index = instruction.params.get("index")
    parts = index if isinstance(index, tuple) else (index,)
    if not all(part is None or type(part) in (int, slice) for part in parts):
        program.fix(inp)
        program.fix(out)
        return True
    before = after = 0
    for part in (*parts, *[slice(None)] * (len(program.shapes[inp]) - sum(part is not None for part in parts))):
        if part == slice(None):
            program.tie((inp, before), (out, after))
        else:
            program.fixed += [(inp, before)] if part is not None else []
            program.fixed += [(out, after)] if not isinstance(part, int) else []
        before += part is not None
        after += not isinstance(part, int)
    return True


@ties_axes(ops.FLOAT, ops.DOUBLE)
def _tie_converted(program: Program, instruction: Instruction) -> bool:
    """Other numbers are in float64 throughout, where these convert nothing."""
    return False


def new_params(program: Program, instruction: Instruction, sizes: dict[Axis, int]) -> dict[str, object]:
    """The arguments of an operation on other shapes: what .reshape makes must be as long as what it gets."""
    if instruction.op is not ops.RESHAPE:
        return dict(instruction.params)
    shape = tuple(sizes[program.root((instruction.output, k))] for k in range(len(program.shapes[instruction.output])))
    return {"shape": shape}

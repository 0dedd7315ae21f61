"""Network: the operations around a question, to be run again on other shapes and numbers.

Whether a formula is right shows on numbers that nobody chose: sizes that all differ, sizes that are all equal,
and values of which some are exactly 0, where relu has its kink.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor, param
from pybackprop.core.arrays import Array
from pybackprop.teach.trace.use import Use, gradients

Axis = tuple[int, int]  # (tensor, axis)


@dataclass(frozen=True)
class Step:
    """One operation. Tensors are numbers here."""

    operation: str
    inputs: tuple[int, ...]
    output: int


@dataclass
class Network:
    """Steps in order. shapes: of every tensor; asked: the step and the operand that the question is about."""

    steps: list[Step]
    shapes: dict[int, tuple[int, ...]]
    asked: Step
    place: int
    sizes: dict[Axis, Axis] = field(default_factory=dict)  # which axes must be equally long: a forest
    single: list[Axis] = field(default_factory=list)  # axes of length 1 that must stay so

    def root(self, axis: Axis) -> Axis:
        while self.sizes.get(axis, axis) != axis:
            axis = self.sizes[axis]
        return axis

    def tie(self, one: Axis, other: Axis) -> None:
        self.sizes[self.root(one)] = self.root(other)

    def classes(self) -> list[Axis]:
        """One axis out of each set of axes that are equally long."""
        axes = [(t, k) for t, shape in self.shapes.items() for k in range(len(shape))]
        return list(dict.fromkeys(map(self.root, axes)))


def network_of(use: Use) -> Network | None:
    """The operations around a use; only its own where others cannot be run again; None if not even that one can."""
    ends_in_a_number = use.results[-1].size == 1
    for results in ([use.results] if ends_in_a_number else []) + [[use.output]]:
        made = _network(use, results)
        if made is not None:
            return made
    return None


def _network(use: Use, results: Sequence[Tensor]) -> Network | None:
    ids: dict[int, int] = {}
    shapes: dict[int, tuple[int, ...]] = {}
    steps = []
    for result in results:
        node: Any = result._node
        for tensor in (*node.inputs, result):
            shapes[ids.setdefault(id(tensor), len(ids))] = tensor.shape
        steps.append(Step(node.op.name, tuple(ids[id(t)] for t in node.inputs), ids[id(result)]))
    asked = next(step for step in steps if step.output == ids[id(use.output)])
    network = Network(steps, shapes, asked, use.place)
    return network if all(_tie(network, step) for step in steps) else None


def _tie(net: Network, step: Step) -> bool:
    """Ties the axes that an operation needs to be equal. False for one that cannot be run again."""
    shapes = [net.shapes[t] for t in step.inputs]
    out = step.output
    if step.operation in ("relu", "relu_", ".clone"):
        _tie_all(net, step.inputs[0], out)
    elif step.operation == "mse":
        first, targ = step.inputs
        for k in range(min(len(shapes[0]), len(shapes[1]))):
            net.tie((first, k), (targ, k))
        longer = first if len(shapes[0]) > len(shapes[1]) else targ
        net.single += [(longer, 1)] if len(shapes[0]) != len(shapes[1]) else []
    elif step.operation in ("lin", "@"):
        if len(shapes[0]) != 2 or len(shapes[1]) != 2:
            return False
        net.tie((step.inputs[0], 1), (step.inputs[1], 0))
        net.tie((out, 0), (step.inputs[0], 0))
        net.tie((out, 1), (step.inputs[1], 1))
        if len(step.inputs) > 2:
            net.tie((step.inputs[2], 0), (out, 1))
    elif step.operation == "+" and len(shapes) == 2:
        return _tie_sum(net, step, shapes)
    else:
        return False
    return True


def _tie_all(net: Network, one: int, other: int) -> None:
    for k in range(len(net.shapes[one])):
        net.tie((one, k), (other, k))


def _tie_sum(net: Network, step: Step, shapes: list[tuple[int, ...]]) -> bool:
    left, right = step.inputs
    _tie_all(net, left, step.output)
    if shapes[0] == shapes[1]:
        _tie_all(net, right, step.output)
        return True
    if len(shapes[0]) == 2 and shapes[1] == shapes[0][1:]:
        net.tie((right, 0), (step.output, 1))
        return True
    return False


@dataclass(frozen=True)
class Run:
    """One run of a network: the numbers and gradients of its tensors, and the answer to the question.

    whole: the gradient of the tensor asked about along all of its uses, of which the answer is the share of one
    """

    values: dict[int, Array]
    grads: dict[int, Array]
    right: Array
    whole: Array | None = None


def run_again(net: Network, rng: np.random.Generator, lengths: str, dtype: Any = np.float64) -> Run:
    """Runs a network on random numbers. lengths: 'same', 'different', 'equal', or 'zeros' (some columns exactly 0)."""
    sizes = _sizes(net, rng, lengths)
    made = {step.output for step in net.steps}
    tensors: dict[int, Tensor] = {}
    for t, shape in net.shapes.items():
        if t not in made:
            array = rng.uniform(0.2, 1.2, [sizes[net.root((t, k))] for k in range(len(shape))])
            if array.ndim > 1:  # a bias stays positive, so that most of a relu behind it is open
                array = array * rng.choice([-1.0, 1.0], array.shape)
            if lengths == "zeros" and array.ndim:
                array[..., 0] = 0
            tensors[t] = param(array, dtype)
    for step in net.steps:
        tensors[step.output] = _compute(step.operation, [tensors[t] for t in step.inputs])
    found = _grads(net, tensors, rng)
    right = _answer(net, tensors, found)
    whole = found.get(net.asked.inputs[net.place])
    return Run({t: tensor._array for t, tensor in tensors.items()}, found, right, whole)


def _sizes(net: Network, rng: np.random.Generator, lengths: str) -> dict[Axis, int]:
    classes = net.classes()
    if lengths == "same":
        return {axis: net.shapes[axis[0]][axis[1]] for axis in classes}
    different = map(int, rng.permutation(np.arange(3, 3 + len(classes))))
    sizes = dict.fromkeys(classes, 4) if lengths == "equal" else dict(zip(classes, different, strict=True))
    return sizes | {net.root(axis): 1 for axis in net.single}


def _compute(operation: str, operands: list[Tensor]) -> Tensor:
    if operation in ("relu", "relu_"):
        return ops.relu(*operands)
    if operation == ".clone":
        return operands[0].clone()
    if operation == "@":
        return operands[0] @ operands[1]
    if operation == "+":
        return operands[0] + operands[1]
    return ops.lin(*operands) if operation == "lin" else ops.mse(*operands)


def _grads(net: Network, tensors: dict[int, Tensor], rng: np.random.Generator) -> dict[int, Array]:
    end = tensors[net.steps[-1].output]
    if end.size == 1 and end.ndim == 0:
        by_id = gradients(end)
        return {t: by_id[id(tensor)] for t, tensor in tensors.items() if id(tensor) in by_id}
    return {net.asked.output: rng.uniform(-1, 1, end.shape).astype(end.dtype)}


def _answer(net: Network, tensors: dict[int, Tensor], grads: dict[int, Array]) -> Array:
    step = net.asked
    operands = tuple(tensors[t] for t in step.inputs)
    return Use(step.operation, operands, net.place, tensors[step.output], grads[step.output]).gradient()

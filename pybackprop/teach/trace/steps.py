"""What the lesson counts as one step and the tape as several: x @ w + b, and a mean of squares that is written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pybackprop import ops
from pybackprop.autograd.tensor import Tensor
from pybackprop.teach.trace.operation import Operation

REARRANGED = (ops.RESHAPE, ops.INDEX)


def readers(operations: Sequence[Operation], tensor: Tensor) -> list[Operation]:
    """The operations that use a tensor, each once."""
    return [op for op in operations if any(given is tensor for given in op.inputs)]


def bias_added(operations: Sequence[Operation], product: Operation) -> Operation | None:
    """The operation that adds a bias to a product, where x @ w + b was written as two operations."""
    following = readers(operations, product.output) if product.op is ops.MATMUL else []
    if len(following) != 1 or following[0].op is not ops.ADD or len(following[0].inputs) != 2:
        return None
    other = next((given for given in following[0].inputs if given is not product.output), None)
    is_bias = other is not None and other.ndim == 1 and following[0].output.shape == product.output.shape
    return following[0] if is_bias else None


@dataclass(frozen=True)
class WrittenLoss:
    """((out - targ)**2).mean(), or the same with .squeeze(), .pow(2) or targ - out.

    operations: those that make it, from the first that reads out to the mean
    """

    out: Tensor
    targ: Tensor
    operations: tuple[Operation, ...]

    @property
    def loss(self) -> Tensor:
        return self.operations[-1].output


def written_loss(operations: Sequence[Operation]) -> WrittenLoss | None:
    """The mean of squares at the end of a network, of which the tape knows only the parts; None if there is none.

    Other terms may be added to it, as for weight decay: its own gradient is still 1.
    """
    means = [op for op in operations if op.op is ops.MEAN and not op.output.ndim and _is_a_term(operations, op.output)]
    found = [loss for mean in means if (loss := _ending_in(operations, mean)) is not None]
    return found[0] if len(found) == 1 else None


def _is_a_term(operations: Sequence[Operation], tensor: Tensor) -> bool:
    """Whether the end of the network is a tensor, or a sum that it is part of."""
    while tensor is not operations[-1].output:
        following = readers(operations, tensor)
        if len(following) != 1 or following[0].op is not ops.ADD:
            return False
        tensor = following[0].output
    return True


def _ending_in(operations: Sequence[Operation], mean: Operation) -> WrittenLoss | None:
    by_output = {id(op.output): op for op in operations}
    square = _before(operations, by_output, mean.inputs[0])
    if square is None or not _is_square(square):
        return None
    difference = _before(operations, by_output, square.inputs[0])
    if difference is None or difference.op is not ops.SUBTRACT or len(difference.inputs) != 2:
        return None
    return _with_operands(operations, by_output, (difference, square, mean))


def _before(operations: Sequence[Operation], by_output: dict[int, Operation], tensor: Tensor) -> Operation | None:
    """The operation that computed a tensor which only one operation uses."""
    return by_output.get(id(tensor)) if len(readers(operations, tensor)) == 1 else None


def _is_square(op: Operation) -> bool:
    is_power = op.op is ops.POWER and op.params.get("exponent") == 2
    return is_power or (op.op is ops.MULTIPLY and len(op.inputs) == 2 and op.inputs[0] is op.inputs[1])


def _with_operands(
    operations: Sequence[Operation], by_output: dict[int, Operation], end: tuple[Operation, ...]
) -> WrittenLoss | None:
    """The loss, if one operand of the difference was computed and the other was not; out.squeeze() counts as out."""
    computed = [given for given in end[0].inputs if id(given) in by_output]
    leaves = [given for given in end[0].inputs if id(given) not in by_output]
    if len(computed) != 1 or len(leaves) != 1:
        return None
    out, path = computed[0], end
    before = _before(operations, by_output, out)
    while before is not None and before.op in REARRANGED and before.inputs[0].size == out.size:
        out, path = before.inputs[0], (before, *path)
        before = _before(operations, by_output, out)
    is_each_with_its_own = end[0].output.size == out.size == leaves[0].size
    return WrittenLoss(out, leaves[0], path) if is_each_with_its_own else None

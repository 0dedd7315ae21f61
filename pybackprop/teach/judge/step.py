"""The step that a question is about: one operation, or several that the lesson writes as one.

x @ w + b is one step, and so is ((out - targ)**2).mean(), about which the questions are those about mse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pybackprop.autograd.tensor import Tensor
from pybackprop.teach.judge import kinds, kinds_arithmetic  # noqa: F401 (registers what is known of the operations)
from pybackprop.teach.judge.kind import Kind, Reading, generic_kind, reading_of
from pybackprop.teach.trace.operation import Operation
from pybackprop.teach.trace.steps import WrittenLoss, bias_added, written_loss
from pybackprop.teach.trace.use import Use


@dataclass(frozen=True)
class Step:
    """One step of the lesson.

    reading     the roles of its tensors
    tensors     the tensors by their roles
    axes        the axis letters of its operands and then of its result, as far as they are known
    operations  what the tape recorded for it
    kind        the question about the tensor that the use is about
    """

    reading: Reading
    tensors: dict[str, Tensor]
    axes: Sequence[str]
    operations: tuple[Operation, ...]
    kind: Kind


def step_of(use: Use) -> Step:
    """The step that a use is part of."""
    if loss := loss_of(use):
        slot = 0 if use.tensor is loss.out else 1
        kind, reading = kinds.mse_kind(slot, loss.out, loss.targ), kinds.MSE_READING
        tensors = reading.parts((loss.out, loss.targ), loss.loss)
        return Step(reading, tensors, reading.axes, loss.operations, kind)
    reading = reading_of(use.op, len(use.operands))
    tensors = reading.parts(use.operands, use.output)
    if bias := bias_added(use.network.operations, use.operation):
        tensors |= {reading.result: bias.output, "b": next(t for t in bias.inputs if t is not use.output)}
    kind = reading.kind(use) or generic_kind(use, reading)
    return Step(reading, tensors, reading.axes or use.op.axes, (use.operation,), kind)


def loss_of(use: Use) -> WrittenLoss | None:
    """The written-out mean of squares that begins or goes on with this use of its output or of its targets."""
    loss = written_loss(use.network.operations)
    if loss is None or not any(use.tensor is tensor for tensor in (loss.out, loss.targ)):
        return None
    return loss if any(use.output is op.output for op in loss.operations) else None

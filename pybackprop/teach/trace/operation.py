"""Operation: one step of a forward pass, what was computed from what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pybackprop.autograd.tape import NO_PARAMS, Node
from pybackprop.autograd.tensor import Tensor
from pybackprop.nn.handwritten import Call
from pybackprop.ops import Op


@dataclass(frozen=True)
class Operation:
    """One step of a forward pass: what was computed from what.

    op      the operation's record, or the record of a call of a layer with handwritten gradients
    inputs  the tensors that it reads
    output  the tensor that it computes
    node    its node on the tape, if it has one
    params  its other arguments
    """

    op: Op | Call
    inputs: tuple[Tensor, ...]
    output: Tensor
    node: Node | None = None
    params: Mapping[str, Any] = field(default_factory=lambda: NO_PARAMS)

    @property
    def name(self) -> str:
        """Its name in messages: lin, @, +, relu, relu_, mse, .clone, or the name of a user's layer."""
        return self.op.name

    @property
    def function(self) -> str:
        """The name as a function: relu for relu_, clone for .clone."""
        return self.op.name.strip("._")

    @property
    def kink(self) -> float | None:
        """Where the operation has a corner, as relu has at 0; None: nowhere."""
        kink = self.op.kink
        return self.params[kink] if isinstance(kink, str) else kink

    @property
    def is_defined(self) -> bool:
        """Whether it was made with define_op: its gradients are then set by a method of its record."""
        return "." in self.op.lesson_grad

    @property
    def is_product(self) -> bool:
        """Whether it multiplies the data (n,m) by weights (m,h): such an operation starts a new layer."""
        match self.op.axes:
            case [data, weights, *_, out] if len(data) == len(weights) == 2:
                return data[1] == weights[0] and out == data[0] + weights[1]
        return False

    @property
    def is_loss(self) -> bool:
        """Whether it compares with targets, as mse does: a backward pass begins there."""
        return "targ" in self.op.operands and self.output.ndim == 0

    def is_target(self, slot: int) -> bool:
        """Whether input `slot` holds the targets, whose gradient is left out unless it is required."""
        return self.is_loss and self.op.operands[slot] == "targ"
